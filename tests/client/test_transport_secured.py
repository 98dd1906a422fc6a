"""A secured server lets in whom it should, and each refusal says why; the real embedded Triton."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ichclient.access import OPEN, TOKEN_HEADER, TOKEN_VARIABLE, ServerAccess, token_from
from ichclient.cli import main
from ichclient.embedded import embedded_files
from ichclient.errors import AccessRefused, BadAccess, ServerUnreachable
from ichclient.flags import LOOPBACK
from ichclient.golden import Golden
from ichclient.proof import Proof
from ichclient.readiness import server_is_ready
from ichclient.supervise import Charge, remove_leftovers
from ichclient.transport import TritonTransport
from ichclient.workspace import server_command, server_environment, write_workspace

TOKEN = "a-token-of-these-tests"
MODELS = ("ich_fused", "ich_study")
triton = pytest.mark.triton


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NAME.crt and NAME.key of two authorities, and of whom they vouch for."""
    folder = tmp_path_factory.mktemp("pem")
    for authority in ("ours", "theirs"):
        _openssl(folder, "req -x509", _new_key(authority), f"-subj /CN={authority} -days 2",
                 f"-out {authority}.crt")  # fmt: skip
    (folder / "names").write_text(f"subjectAltName=DNS:ich-triton,IP:{LOOPBACK}\n")
    for name, authority, days in (
        ("server", "ours", 2),
        ("client", "ours", 2),
        ("stranger", "theirs", 2),
        ("expired", "ours", -1),
    ):
        _openssl(folder, "req", _new_key(name), f"-subj /CN={name} -out {name}.csr")
        _openssl(folder, f"x509 -req -in {name}.csr -CA {authority}.crt -CAkey {authority}.key",
                 f"-CAcreateserial -days {days} -extfile names -out {name}.crt")  # fmt: skip
    return folder


def _new_key(name: str) -> str:
    return f"-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key"


def _openssl(folder: Path, *words: str) -> None:
    command = ["openssl", *" ".join(words).split()]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)


def tls_flags(pem: Path, name: str) -> tuple[str, ...]:
    files = (f"--grpc-server-cert={pem}/{name}.crt", f"--grpc-server-key={pem}/{name}.key")
    return ("--grpc-use-ssl=true", *files)


def started(
    stack: ExitStack, repository: Path, folder: Path, models: tuple[str, ...], *flags: str
) -> str:
    """Run the real binary with further flags until `stack` ends; its address."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = int(probe.getsockname()[1])
    files, workspace, log_path = embedded_files(), folder / f"{port}", folder / f"{port}.log"
    prefix = f"ich-secured-{os.getpid()}-{port}-"
    workspace.mkdir()
    write_workspace(files, workspace)
    command = server_command(
        files, workspace, repository=repository, model_config_name="cpu", shm_prefix=prefix,
        grpc_port=port, http_port=None, models=models,
    )  # fmt: skip
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            (*command, *flags), stdout=log, stderr=log, cwd=workspace, process_group=0,
            env=server_environment(files, workspace, os.environ),
        )  # fmt: skip

    def ended() -> None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        remove_leftovers(Charge(os.getpid(), command, str(workspace), prefix, 0))

    stack.callback(ended)
    deadline = time.monotonic() + 60
    while "Started GRPCInferenceService" not in log_path.read_text():
        assert process.poll() is None, log_path.read_text()[-2000:]
        assert time.monotonic() < deadline, log_path.read_text()[-2000:]
        time.sleep(0.05)
    return f"{LOOPBACK}:{port}"


@pytest.fixture(scope="module")
def mutual(bundle: Path, pem: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bundle behind mutual TLS; judging needs the token."""
    with ExitStack() as stack:
        yield started(
            stack, bundle, tmp_path_factory.mktemp("mutual"), MODELS, *tls_flags(pem, "server"),
            "--grpc-use-ssl-mutual=true", f"--grpc-root-cert={pem}/ours.crt",
            f"--grpc-restricted-protocol=metadata,inference,model-config:client={TOKEN}",
        )  # fmt: skip


@pytest.fixture(scope="module")
def empty(pem: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Servers without any model: in the clear, with TLS, and with an expired certificate."""
    folder = tmp_path_factory.mktemp("empty")
    (folder / "repository").mkdir()
    kinds = {"plain": (), "tls": tls_flags(pem, "server"), "expired": tls_flags(pem, "expired")}
    with ExitStack() as stack:
        yield {
            kind: started(stack, folder / "repository", folder, (), *flags)
            for kind, flags in kinds.items()
        }


def shown(pem: Path, who: str | None = "client", **more: object) -> ServerAccess:
    """TLS with our authority, a certificate of `who`, and the token."""
    own = {} if who is None else {"certificate": pem / f"{who}.crt", "key": pem / f"{who}.key"}
    values = {"tls": True, "ca": pem / "ours.crt", "token": TOKEN, **own, **more}
    return ServerAccess(**values)  # type: ignore[arg-type]


def refusal(url: str, access: ServerAccess) -> str:
    """What a first call is refused with, at once."""
    began = time.monotonic()
    with (
        TritonTransport(url, access=access) as transport,
        pytest.raises(AccessRefused) as caught,
    ):
        transport.metadata()
    assert time.monotonic() - began < 2.5  # not after trying for as long as an absent server
    assert caught.value.exit_code == 13
    assert TOKEN not in str(caught.value)
    return str(caught.value)


@triton
def test_the_golden_slices_are_proven_through_mutual_tls_with_the_token(
    mutual: str, pem: Path, golden: Golden
) -> None:
    with TritonTransport(mutual, access=shown(pem)) as transport:
        Proof(golden).refuse_untrue_server(transport)
        chunk = transport.infer(np.resize(golden.hu, (40, *golden.hu.shape[1:])))
    assert len(chunk.score) == 40
    assert server_is_ready(mutual, timeout_s=5, access=shown(pem))
    assert not server_is_ready(mutual, timeout_s=5)


@triton
@pytest.mark.parametrize(
    ("server", "who", "more", "told"),
    [
        ("tls", None, {"ca": "theirs.crt"}, "is of no authority in .*theirs.crt"),
        ("tls", None, {"ca": None}, "is of no authority that this system trusts"),
        ("tls", None, {"server_name": "elsewhere"}, "is not for 'elsewhere'"),
        ("expired", None, {}, "certificate of the server .* has expired"),
        ("plain", None, {}, "answers in plain text, not in TLS"),
        ("mutual", None, {}, "asks for a client certificate"),
        ("mutual", "stranger", {}, "does not accept the client certificate .*stranger.crt"),
        ("mutual", "expired", {}, "does not accept the client certificate .*expired.crt"),
        ("mutual", "client", {"token": None}, f"closed to this client: set {TOKEN_VARIABLE}"),
        ("mutual", "client", {"token": "other"}, "that was sent is not the right one"),
        ("mutual", "client", {"token_header": "x-key"}, "was sent as 'x-key'.*-protocol-client"),
    ],
)
def test_each_refusal_says_why_at_once(
    mutual: str, empty: dict[str, str], pem: Path, server: str, who: str | None,
    more: dict[str, str | None], told: str,
) -> None:  # fmt: skip
    url = {**empty, "mutual": mutual}[server]
    changed = {k: pem / v if k == "ca" and v else v for k, v in more.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(pem / "theirs.crt"))  # what "this system" trusts
        text = refusal(url, shown(pem, who, **changed))
    assert re.search(told, text), text


@triton
@pytest.mark.parametrize("server", ["tls", "mutual"])
def test_plain_text_to_a_tls_server_is_told_to_add_tls(
    mutual: str, empty: dict[str, str], server: str
) -> None:
    assert "add --tls" in refusal({**empty, "mutual": mutual}[server], OPEN)


@triton
def test_a_name_other_than_the_address_may_be_given(empty: dict[str, str], pem: Path) -> None:
    access = shown(pem, None, server_name="ich-triton")
    assert server_is_ready(empty["tls"], timeout_s=5, access=access)


@triton
def test_the_system_s_own_authorities_are_trusted_without_any_file(
    empty: dict[str, str], pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(pem / "ours.crt"))
    assert server_is_ready(empty["tls"], timeout_s=5, access=ServerAccess(tls=True))


def test_an_absent_tls_server_is_told_from_one_that_refuses(pem: Path) -> None:
    with (
        TritonTransport(f"{LOOPBACK}:9", access=shown(pem), retry_for_s=0.2) as transport,
        pytest.raises(ServerUnreachable, match="No answer"),
    ):
        transport.metadata()


def ichclient(*words: object, token: str | None = None) -> Result:
    return CliRunner(env={TOKEN_VARIABLE: token}).invoke(main, [str(word) for word in words])


@triton
def test_doctor_proves_a_secured_server_and_says_what_keeps_it_out(
    mutual: str, pem: Path, tmp_path: Path
) -> None:
    tls = ("--tls", "--server-ca", pem / "ours.crt")
    own = ("--server-cert", pem / "client.crt", "--server-key", pem / "client.key")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    where = ("doctor", "--json", "--url", mutual, *tls)
    assert "golden slices as recorded" in ichclient(*where, *own, token=TOKEN).stdout
    from_file = ichclient(*where, *own, "--token-file", tmp_path / "token", token="wrong")
    assert "golden slices as recorded" in from_file.stdout
    wrong = ichclient(*where, *own, token="wrong")
    assert wrong.exit_code == 9
    assert "is not the right one" in wrong.stdout
    assert "client certificate" in ichclient(*where, token=TOKEN).stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--tls"], "add --url"),
        (["--url", "h:1", "--server-ca", "x.pem"], "add --tls"),
        (["--url", "h:1", "--tls", "--server-cert", "x.pem"], "give both"),
        (["--url", "h:1", "--token-file", "absent"], "absent cannot be read: No such file"),
        (["--url", "h:1", "--token-header", "A b"], "is no header"),
    ],
)
def test_options_that_contradict_each_other_are_a_wrong_use(words: list[str], told: str) -> None:
    answer = ichclient("doctor", *words)
    assert answer.exit_code == 2
    assert told in answer.stderr


def test_a_token_never_crosses_a_network_in_the_clear_nor_stands_in_a_repr() -> None:
    access = ServerAccess(token=TOKEN)
    assert TOKEN not in repr(access)
    assert access.headers == {TOKEN_HEADER: TOKEN}
    for url in ("10.0.0.5:8001", "127.example.org:8001", "localhost.example.org:8001"):
        with pytest.raises(BadAccess, match="add --tls"):
            TritonTransport(url, access=access)
    for url in (f"{LOOPBACK}:9", "localhost:9", "[::1]:9"):
        TritonTransport(url, access=access).close()


@pytest.mark.parametrize("token", ["", " ", "two\nlines", "é"])
def test_a_token_that_no_header_can_carry_is_refused(token: str, tmp_path: Path) -> None:
    with pytest.raises(BadAccess, match="token"):
        ServerAccess(token=token)
    (tmp_path / "token").write_text(token, encoding="utf-8")
    with pytest.raises(BadAccess, match="token"):
        ServerAccess(token=token_from(tmp_path / "token", {}))


def test_files_that_are_no_certificates_are_named(pem: Path, tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("nothing")
    with pytest.raises(BadAccess, match=r"none\.pem holds no certificates"):
        TritonTransport("h:1", access=shown(pem, ca=tmp_path / "none.pem"))
    with pytest.raises(BadAccess, match=r"absent\.pem .*No such file"):
        TritonTransport("h:1", access=shown(pem, ca=tmp_path / "absent.pem"))
    with pytest.raises(BadAccess, match=r"client\.crt and .*server\.key .*mismatch"):
        TritonTransport("h:1", access=shown(pem, key=pem / "server.key"))

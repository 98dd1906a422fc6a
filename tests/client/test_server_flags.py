"""Settings -> the command line of a Triton version, held against the real binary of 2.51."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from ichclient.cli import main
from ichclient.container_command import CONTAINER_SETTINGS, container_command
from ichclient.embedded import embedded_files
from ichclient.errors import FlagRefused
from ichclient.flags import (
    CLOSED_TO_CLIENTS,
    CONTAINER,
    EMBEDDED,
    LOOPBACK,
    OPEN_TO_CLIENTS,
    OPEN_TO_TOKENS,
    SINCE,
    ServerSettings,
    Version,
    server_arguments,
    version_from_text,
)
from ichclient.workspace import server_environment

LOCAL = ServerSettings(model_repository="/repository", address=LOOPBACK)


@pytest.fixture(scope="module")
def help_of_2_51(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the real binary says of itself."""
    files = embedded_files()
    environment = server_environment(files, tmp_path_factory.mktemp("help"), os.environ)
    command = [str(files.tritonserver), "--help"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return told.stdout + told.stderr


@pytest.mark.triton
def test_the_table_says_what_the_real_binary_has(help_of_2_51: str) -> None:
    present = set(re.findall(r"^\s*--([a-z0-9-]+)", help_of_2_51, flags=re.MULTILINE))
    assert {name for name, since in SINCE.items() if since <= EMBEDDED} <= present
    assert {name for name, since in SINCE.items() if since > EMBEDDED} & present == set()


@pytest.mark.triton
def test_every_protocol_is_either_open_or_closed(help_of_2_51: str) -> None:
    told = re.search(r"Allowed protocols:([a-z, \s-]+)\n\n", help_of_2_51)
    assert told is not None
    protocols = {name.strip() for name in told[1].split(",")}
    assert protocols == {*OPEN_TO_CLIENTS, *CLOSED_TO_CLIENTS}


def test_nothing_but_judging_is_open_unless_asked_for() -> None:
    assert set(server_arguments(LOCAL, EMBEDDED)) > {
        "--model-control-mode=none",
        "--disable-auto-complete-config",
        "--strict-readiness=true",
        "--exit-on-error=true",
        "--allow-http=false",
        "--allow-metrics=false",
        "--allow-sagemaker=false",
        "--allow-vertex-ai=false",
    }


def test_the_container_asks_for_certificates_and_closes_what_nobody_needs() -> None:
    command = container_command()
    assert {"--grpc-use-ssl-mutual=true", "--allow-http=false", "--allow-client-shm=false"} < set(
        command
    )
    assert (
        "--grpc-restricted-protocol=shared-memory,model-repository,statistics,trace,logging:"
        "admin=${ICH_ADMIN_TOKEN}" in command
    )
    assert not any(part.startswith("--model-config-name") for part in command)
    assert "--model-config-name=onnxruntime" in container_command("onnxruntime")


@pytest.mark.parametrize(
    ("flag", "version", "sentence"),
    [
        ("allow-client-shm", EMBEDDED, "Triton 2.51 has no flag --allow-client-shm"),
        ("grpc-infer-thread-count", Version(2, 58), "came with 2.59"),
        ("allow-everything", CONTAINER, "no flag --allow-everything that is known"),
        ("grpc-port", CONTAINER, "--grpc-port is written already"),
    ],
)
def test_a_flag_that_cannot_be_is_refused(flag: str, version: Version, sentence: str) -> None:
    with pytest.raises(FlagRefused, match=sentence):
        server_arguments(replace(LOCAL, more=((flag, "1"),)), version)


def test_an_old_server_may_not_be_reached_by_others() -> None:
    with pytest.raises(FlagRefused, match=r"must not listen on 0\.0\.0\.0"):
        server_arguments(replace(LOCAL, address="0.0.0.0"), Version(2, 70))


def test_a_version_without_known_flags_is_refused() -> None:
    with pytest.raises(FlagRefused, match=r"oldest is 2\.51"):
        server_arguments(LOCAL, Version(2, 50))
    with pytest.raises(FlagRefused, match="is no version"):
        version_from_text("26.07-py3")


@pytest.mark.parametrize("token", ["", "two words", "a,b", "a=b"])
def test_a_token_that_would_break_the_flag_is_refused(token: str) -> None:
    with pytest.raises(FlagRefused, match="A token is not empty"):
        server_arguments(replace(LOCAL, admin_token=token), EMBEDDED)


def test_a_token_for_clients_is_asked_for_where_that_is_wanted() -> None:
    told = CliRunner().invoke(main, ["server-command", "--client-token", "--no-tls"])
    assert "metadata,inference,model-config:client=${ICH_CLIENT_TOKEN}" in told.output
    assert {*OPEN_TO_TOKENS, "health"} == set(OPEN_TO_CLIENTS)


def test_traces_go_where_they_are_asked_to() -> None:
    arguments = server_arguments(replace(LOCAL, otlp_url="http://c:4318/v1/traces"), EMBEDDED)
    assert "--trace-config=opentelemetry,url=http://c:4318/v1/traces" in arguments


def test_the_command_prints_the_container_s_own_text() -> None:
    told = CliRunner().invoke(main, ["server-command"])
    assert told.exit_code == 0
    assert tuple(told.output.replace("\\\n", "").split()) == tuple(
        part if "$" not in part else f'"{part}"' for part in container_command()
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--version", "2.51"], "must not listen on 0.0.0.0"),
        (["--tls-cert", "a.pem"], "needs both --tls-cert and --tls-key"),
        (["--no-tls", "--client-ca", "a.pem"], "choose one"),
        (["--flag", "nonsense=1"], "no flag --nonsense"),
        (["--flag", "rate-limit"], "names no value"),
    ],
)
def test_the_command_refuses_with_one_sentence(options: list[str], sentence: str) -> None:
    told = CliRunner().invoke(main, ["server-command", *options])
    assert told.exit_code == 2
    assert sentence in told.output
    assert "Traceback" not in told.output


def test_an_older_version_is_written_without_flags_it_lacks() -> None:
    options = ["--version", "2.51", "--address", LOOPBACK, "--no-tls"]
    told = CliRunner().invoke(main, ["server-command", *options])
    assert told.exit_code == 0
    assert "--allow-client-shm" not in told.output
    assert "--grpc-use-ssl" not in told.output


def test_what_the_container_adds_is_known_for_its_version() -> None:
    assert all(SINCE[name] <= CONTAINER for name, _ in CONTAINER_SETTINGS.more)
    assert Path(CONTAINER_SETTINGS.model_repository).parent != Path("/")  # renamed as a whole

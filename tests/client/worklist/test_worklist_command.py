"""`ichclient worklist` and `ichclient mark` as programs: they start, end and refuse well."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ichclient.audit.chain import LOG_FILE
from ichclient.cli import main
from ichclient.worklist.marks import marks_of

from .conftest import BEARER, TOKEN, Phase, Ward, key_of, outcome_of

KEY = key_of(1)
# Marked, so that they are found wherever they went.
WHO = {"PatientName": "MARKED^NAME", "PatientID": "MARKED-ID", "AccessionNumber": "MARKED-ACC",
       "StudyDescription": "MARKED DESCRIPTION"}  # fmt: skip


class Program:
    """`ichclient worklist` in a process and with a folder for temporary files of its own."""

    def __init__(self, ward: Ward, tmp_path: Path, *arguments: str) -> None:
        self.temporary = tmp_path / "temporary"
        self.temporary.mkdir()
        environment = {
            **os.environ, "TMPDIR": str(self.temporary), "ICHCLIENT_WORKLIST_TOKEN": TOKEN
        }  # fmt: skip
        command = [sys.executable, "-m", "ichclient", "worklist", "--port", "0", *arguments]
        self._log = tmp_path / "said"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--state", str(ward.folder.path)],
                stdout=log, stderr=subprocess.STDOUT, env=environment,
            )  # fmt: skip
        while not (found := re.search(r"(https?)://\S+:(\d+)/ ", self.said)):
            assert self.process.poll() is None, self.said
            time.sleep(0.02)
        self.scheme, self.port = found[1], int(found[2])

    @property
    def said(self) -> str:
        return self._log.read_text()

    def ask(self, path: str, method: str = "GET", body: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, BEARER)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def end(self, how: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """End it as somebody would; gives its exit code and all that it said."""
        self.process.send_signal(how)
        return self.process.wait(timeout=60), self.said


@pytest.fixture
def program(ward: Ward, tmp_path: Path) -> Iterator[Callable[..., Program]]:
    ward.add(1, 5, outcome=outcome_of(0.9, "positive"), report="<p>R</p>", **WHO)
    made: list[Program] = []

    def start(*arguments: str) -> Program:
        made.append(Program(ward, tmp_path, *arguments))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.wait()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_end(
    program: Callable[..., Program], how: signal.Signals
) -> None:
    started = program()
    assert started.ask("/api/studies")[0] == 200
    code, said = started.end(how)
    assert (code, said.splitlines()[1:]) == (0, ["Stopping."])


def test_it_serves_https_with_a_certificate(
    program: Callable[..., Program], certificate: tuple[Path, Path]
) -> None:
    key, file = certificate
    started = program("--tls-cert", str(file), "--tls-key", str(key), "--address", "0.0.0.0")
    assert started.scheme == "https"
    context = ssl.create_default_context(cafile=file)
    with socket.create_connection(("127.0.0.1", started.port)) as plain:
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b"Work list" not in plain.recv(4096)
    quiet = socket.create_connection(("127.0.0.1", started.port))
    connection = http.client.HTTPSConnection("127.0.0.1", started.port, context=context, timeout=60)
    try:
        connection.request("GET", "/api/studies", headers=BEARER)
        assert json.load(connection.getresponse())["studies"][0]["key"] == KEY
    finally:
        connection.close()
        quiet.close()
    code, said = started.end()
    assert (code, "Warning" in said) == (0, False)


def test_another_address_in_the_clear_is_warned_of(program: Callable[..., Program]) -> None:
    started = program("--address", "0.0.0.0")
    assert started.ask("/")[0] == 200
    assert "crosses the network in the clear" in started.end()[1]


def test_a_marked_patient_is_in_no_log_address_or_temporary_name(
    program: Callable[..., Program], ward: Ward
) -> None:
    started = program("--allow-marking", "--identity")
    for path in ("/", "/list", "/api/studies", f"/studies/{KEY}/report", "/MARKED-ID?MARKED-ACC"):
        content = started.ask(path)[1]
        assert b"MARKED" not in content.split(b"</html>")[-1] or path in ("/list", "/api/studies")
    assert started.ask(f"/studies/{KEY}/mark", "POST", "read=1&PatientID=MARKED-ID")[0] == 303
    names = [path.name for path in started.temporary.rglob("*")]
    _, said = started.end()
    runner = CliRunner()
    state = ["--state", str(ward.folder.path)]
    said += runner.invoke(main, ["mark", KEY, "--unread", *state]).output
    said += runner.invoke(main, ["mark", "MARKED-ID", *state]).output.replace("MARKED-ID", "", 1)
    said += runner.invoke(main, ["audit", "verify", *state]).output
    said += runner.invoke(main, ["audit", "verify", "--json", *state]).output
    log = (ward.folder.path / LOG_FILE).read_text()
    assert log.count("\n") == 3, "viewed, marked_read, marked_unread"
    files = [path for path in ward.folder.path.rglob("*") if path.is_file()]
    for text in (said, log, *names, *(str(path) for path in files)):
        assert not re.search(r"MARKED(?!_)", text)
        assert not re.search(r"1\.9\.1\b|1\.2\.\d", text), "no UID either"
    held = [path.name for path in files if b"MARKED" in path.read_bytes()]
    assert {name.partition("-")[0] for name in held} <= {"station.sqlite3"}, "and its journal"


def run(*arguments: object) -> Any:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("command", [["worklist"], ["mark"], ["audit"], ["audit", "verify"]])
def test_the_commands_have_help_that_loads_little(command: list[str]) -> None:
    code = (
        f"import sys; from ichclient.cli import main; main({[*command, '--help']!r}, "
        "standalone_mode=False); sys.exit(' '.join({'pydicom', 'grpc', 'rich', 'jinja2', "
        "'http.server'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
    assert "Usage: " in done.stdout


def test_a_program_marks_studies_as_read(ward: Ward) -> None:
    for number in (1, 2):
        ward.add(number, 5, Phase.RECEIVING)
    assert run("mark", key_of(1), key_of(2), "--state", ward.folder.path).exit_code == 0
    assert set(marks_of(ward.folder)) == {key_of(1), key_of(2)}
    assert run("mark", key_of(1), "--unread", "--state", ward.folder.path).exit_code == 0
    assert set(marks_of(ward.folder)) == {key_of(2)}
    answer = run("mark", key_of(9), "--state", ward.folder.path)
    assert (answer.exit_code, answer.stderr.count("\n")) == (3, 1)
    log = (ward.folder.path / LOG_FILE).read_text().splitlines()
    assert [json.loads(line)["event"] for line in log] == [
        "marked_read", "marked_read", "marked_unread",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--address", "0.0.0.0"], 2, "give a token"),
        (["--allow-marking"], 2, "needs a token"),
        (["--token-file", "/absent"], 2, "cannot be read"),
        (["--tls-cert", "/absent"], 2, "give both"),
        (["--tls-cert", "/absent", "--tls-key", "/absent"], 2, "no certificate with its key"),
        (["--address", "no.such.host.invalid"], 2, "give a token"),
        (["--port", "99999"], 2, "--port"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(
    ward: Ward, arguments: list[str], code: int, told: str
) -> None:
    ward.add(1, 5, Phase.RECEIVING)
    answer = run("worklist", "--state", ward.folder.path, *arguments)
    assert (answer.exit_code, told in answer.stderr) == (code, True)
    assert "Traceback" not in answer.stderr


def test_a_port_that_is_taken_has_its_own_code(ward: Ward) -> None:
    ward.add(1, 5, Phase.RECEIVING)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = run("worklist", "--state", ward.folder.path, "--port", port)
    assert (answer.exit_code, "--port" in answer.stderr) == (11, True)


def test_a_folder_that_is_no_station_is_refused(tmp_path: Path) -> None:
    answer = run("worklist", "--state", tmp_path)
    assert answer.exit_code == 16
    assert list(tmp_path.iterdir()) == []

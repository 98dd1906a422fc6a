"""An embedded server starts before the rest of the client is imported, and never outlives it."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from ichclient import connect
from ichclient.cli import main
from ichclient.connect import ServerOptions, ServerStart
from ichclient.process import is_running
from ichclient.server_cli import begun


def servers() -> set[int]:
    """Children of this process that are servers or watch over one."""
    return {one.pid for one in psutil.Process().children(recursive=True) if "triton" in one.name()
            or any("supervise" in part for part in one.cmdline())}  # fmt: skip


def test_nothing_starts_for_a_server_elsewhere_or_a_folder_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "server_start", None)
    elsewhere, here = ServerOptions(url="127.0.0.1:8001"), ServerOptions()
    with begun(elsewhere, str(tmp_path)) as told:
        assert told is elsewhere
    with begun(here, str(tmp_path / "absent")) as told:
        assert told is here


@pytest.mark.triton
def test_whatever_happens_meanwhile_ends_the_server(bundle: Path, tmp_path: Path) -> None:
    pids: list[int] = []

    def interrupted() -> None:
        with begun(ServerOptions(repository=bundle), str(tmp_path)) as start:
            assert isinstance(start, ServerStart)
            pids.append(start.server.ready().pid)
            assert is_running(pids[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not is_running(pids[0])


@pytest.mark.triton
def test_a_refused_study_leaves_no_server(bundle: Path, tmp_path: Path) -> None:
    before = servers()
    answer = CliRunner().invoke(main, ["infer", str(tmp_path), "--repository", str(bundle)])
    assert answer.exit_code == 3, answer.output
    assert servers() == before


def test_wrong_options_are_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "server_start", None)
    for wrong in (["--resume"], ["--dicom"], ["--store-to", "dimse:A@127.0.0.1:104"]):
        answer = CliRunner().invoke(main, ["infer", str(tmp_path), *wrong])
        assert answer.exit_code == 2, answer.output

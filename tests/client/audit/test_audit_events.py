"""Every event of the audit log is told in its document, and a rerun is one."""

from __future__ import annotations

import json
import re
from pathlib import Path

from click.testing import CliRunner

from ichclient.audit.chain import LOG_FILE
from ichclient.cli import main
from ichclient.station.folder import StationFolder
from ichclient.station.state import Identity, Station, StationImage

KEY = "0123456789abcdef0123"
# Calls that write into the audit log, and the name of the event; `say` writes a line alone.
_CALL = re.compile(
    r"(?:\.write|\.tell|\.told|_tell_once|_note|_append)\(\s*(?:descriptor, head, )?\"([a-z_]+)\""
    r"|event = \"([a-z_]+)\" if .* else \"([a-z_]+)\""
)


def test_every_event_is_in_the_document(checkout: Path) -> None:
    folder = checkout / "client" / "ichclient"
    rooms = ("audit", "delivery", "station", "worklist")
    files = [
        *folder.glob("*_cli.py"),
        *(file for room in rooms for file in (folder / room).glob("*.py")),
    ]
    written = {
        name
        for file in files
        for names in _CALL.findall(file.read_text(encoding="utf-8"))
        for name in filter(None, names)
    }
    assert {"started", "judged", "viewed", "marked_read", "torn", "rerun", "no_room"} <= written
    document = (checkout / "docs" / "audit.md").read_text(encoding="utf-8")
    rows = document.partition("## Events")[2].partition("\n## ")[0]
    assert written == set(re.findall(r"`([a-z_]+)`", rows))


def test_a_rerun_is_noted(tmp_path: Path) -> None:
    folder = StationFolder.made(tmp_path / "station")
    image = StationImage(KEY, "1.2.3.4.5.6.7", f"{1:032x}.dcm", 1, "0" * 64, 0.0, "CT")
    with Station(folder) as station:
        station.received(image, Identity("1.2.3.4.5.6"))
    answer = CliRunner().invoke(main, ["rerun", KEY, "--state", str(folder.path)])
    assert answer.exit_code == 0, answer.output
    line = json.loads((folder.path / LOG_FILE).read_text())
    assert (line["event"], line["key"]) == ("rerun", KEY)
    answer = CliRunner().invoke(main, ["rerun", "f" * 20, "--state", str(folder.path)])
    assert answer.exit_code == 3
    assert len((folder.path / LOG_FILE).read_text().splitlines()) == 1

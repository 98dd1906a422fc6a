"""The folder of a station: whose it is, who may enter, and one process at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ichclient.errors import StationError
from ichclient.station.folder import StationFolder, checked_key, default_station
from ichclient.station.state import Station


def test_a_new_folder_is_the_users_own(tmp_path: Path) -> None:
    folder = StationFolder.made(tmp_path / "a" / "station")
    for path in (folder.path, folder.received, folder.results, folder.incoming):
        assert path.stat().st_mode & 0o777 == 0o700
    Station(folder).close()
    assert folder.database.stat().st_mode & 0o777 == 0o600


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").touch()
    tmp_path.chmod(0o700)
    with pytest.raises(StationError, match="holds other files"):
        StationFolder.made(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["letter.txt"]


def test_images_without_their_database_are_left_alone(folder: StationFolder) -> None:
    folder.images_of("a" * 20).mkdir()
    with pytest.raises(StationError, match="is gone, and images lie"):
        StationFolder.made(folder.path)
    assert folder.images_of("a" * 20).is_dir()


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "open"
    path.mkdir(mode=0o755)
    with pytest.raises(StationError, match="chmod 700"):
        StationFolder.made(path)


def test_a_folder_without_a_station_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(StationError, match="no station at"):
        StationFolder.found(tmp_path)


def test_a_second_process_is_refused_until_the_first_ends(folder: StationFolder) -> None:
    source = (
        "import sys; from pathlib import Path\n"
        "from ichclient.station.folder import StationFolder\n"
        "with StationFolder(Path(sys.argv[1])).locked(): print('ran')\n"
    )
    other = [sys.executable, "-c", source, str(folder.path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def ran() -> subprocess.CompletedProcess[str]:
        return subprocess.run(other, capture_output=True, text=True, env=environment, check=False)

    with folder.locked():
        refused = ran()
        assert refused.returncode != 0
        assert "Another process runs the station" in refused.stderr
    assert ran().stdout == "ran\n"


@pytest.mark.parametrize("text", ["", "..", "../../etc", "0123456789ABCDEF0123", "0" * 21])
def test_what_is_no_key_names_no_folder(folder: StationFolder, text: str) -> None:
    for path_of in (folder.images_of, folder.result_of, checked_key):
        with pytest.raises(ValueError, match="20 hexadecimal"):
            path_of(text)


def test_the_default_is_the_users_state_folder(tmp_path: Path) -> None:
    assert default_station({}, tmp_path) == tmp_path / ".local" / "state" / "ichclient"
    assert default_station({"XDG_STATE_HOME": "/s"}, tmp_path) == Path("/s/ichclient")

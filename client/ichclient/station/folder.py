"""A path -> the folder of a station: what lies where in it, and the lock of its one process.

station.sqlite3   studies, images, outbox      incoming/        files that are not whole yet
station.key       makes keyed hashes           received/<key>/  images as they came
audit.jsonl       the audit log                results/<key>/   the newest result
lock              held by the station's process

Folders of studies are named by their keys, files by random names.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ichclient.errors import StationError

_KEY = re.compile(r"[0-9a-f]{20}")
_DATABASE = "station.sqlite3"
_OURS = {"lock", "station.key", "incoming", "received", "results", "outbox"}
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class StationFolder:
    """Where a station keeps what it has; `made` makes it, `found` takes one that is there."""

    path: Path

    @classmethod
    def made(cls, path: Path) -> StationFolder:
        """The station at `path`, made with mode 0700 where there is none.

        Raises StationError for a folder that holds something else, one that others may enter, and
        one that cannot be written.
        """
        folder = cls(path)
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not folder.database.exists():
                _refuse_other_content(folder)
            if path.stat().st_mode & _OTHERS:
                raise StationError(
                    f"Others may enter {path}, and images of patients will lie there: "
                    f"chmod 700 {path}"
                )
            for below in (folder.incoming, folder.received, folder.results, folder.outbox):
                below.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StationError(
                f"{path} cannot be used ({error.strerror}): name another folder with --state."
            ) from error
        return folder

    @classmethod
    def found(cls, path: Path) -> StationFolder:
        """The station at `path`; raises StationError where there is none."""
        folder = cls(path)
        if not folder.database.is_file():
            raise StationError(f"There is no station at {path}: name its folder with --state.")
        return folder

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.path / _DATABASE

    @property
    def incoming(self) -> Path:
        """Files that are being received, by random names."""
        return self.path / "incoming"

    @property
    def received(self) -> Path:
        """A folder for each study, of images as they came."""
        return self.path / "received"

    @property
    def results(self) -> Path:
        """A folder for each study, of its newest result."""
        return self.path / "results"

    @property
    def outbox(self) -> Path:
        """A folder for each study, of objects that wait to be delivered."""
        return self.path / "outbox"

    def images_of(self, key: str) -> Path:
        """The images of a study; raises ValueError for what is no key."""
        return self.received / checked_key(key)

    def result_of(self, key: str) -> Path:
        """The newest result of a study; raises ValueError for what is no key."""
        return self.results / checked_key(key)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the one process of this station; raises StationError where another one is."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StationError(
                    f"Another process runs the station at {self.path}: stop it, or name another "
                    "folder with --state."
                ) from error
            yield
        finally:
            os.close(descriptor)


def checked_key(key: str) -> str:
    """The key of a study, 20 hexadecimal digits; raises ValueError for anything else."""
    if not _KEY.fullmatch(key):
        raise ValueError("a study's key has 20 hexadecimal digits")
    return key


def default_station(environment: Mapping[str, str], home: Path) -> Path:
    """Where a user's station lies unless it is named: the XDG state folder."""
    state = environment.get("XDG_STATE_HOME")
    return Path(state or home / ".local" / "state") / "ichclient"


def _refuse_other_content(folder: StationFolder) -> None:
    """Without its database a folder is a new station only where nothing could be lost in it."""
    if any(folder.received.glob("*")):
        raise StationError(
            f"{folder.database} is gone, and images lie in {folder.received}: bring it back, or "
            "name a new folder with --state."
        )
    for entry in folder.path.iterdir():
        if entry.name not in _OURS and not entry.name.startswith("audit."):
            raise StationError(
                f"{folder.path} holds other files and is no station: name an empty or new folder "
                "with --state."
            )

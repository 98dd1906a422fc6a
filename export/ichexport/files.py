"""Bytes -> a file that is whole or not there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ichexport.errors import IchExportError


def written_whole(path: Path, content: bytes) -> None:
    """Write beside `path` and rename, so that a kill or a full disk leaves what was there.

    Raises `IchExportError` where it cannot be written.
    """
    scratch: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(scratch).chmod(0o644)
        Path(scratch).replace(path)
    except OSError as error:
        raise IchExportError(
            f"{path} cannot be written ({error.strerror or error}); free some space or choose "
            "another folder."
        ) from error
    finally:
        if scratch is not None:
            Path(scratch).unlink(missing_ok=True)

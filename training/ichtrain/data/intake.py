"""Folders or files -> one series, by the very reading and choice of the client."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ichclient.dicom import headers_from_path
from ichclient.errors import IchClientError
from ichclient.headers import Scan, SliceHeader
from ichclient.series import Series, chosen_series, series_from_scan
from ichtrain.errors import DataError


@dataclass(frozen=True)
class Intake:
    """The chosen series and every image header that was met on the way."""

    series: Series
    headers: tuple[SliceHeader, ...]

    @property
    def folder(self) -> Path:
        """The deepest folder that holds all files of the series."""
        folders = [header.path.parent for header in self.series.slices]
        common = folders[0]
        while not all(folder.is_relative_to(common) for folder in folders):
            common = common.parent
        return common


def intake_from_paths(paths: Iterable[Path], series_uid: str | None = None) -> Intake:
    """Read folders or single files, and take the series that is named, or the client's choice.

    Raises `DataError` where nothing can be read or no series may be judged.
    """
    try:
        scans = [headers_from_path(path) for path in paths]
        headers = tuple(header for scan in scans for header in scan.headers)
        scan = Scan(scans[0].root, headers)
        return Intake(chosen_series(series_from_scan(scan), series_uid), headers)
    except IchClientError as error:
        raise DataError(str(error)) from error

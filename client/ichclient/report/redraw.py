"""result.json on disk, with its masks and its study -> report.html again, without a server."""

from __future__ import annotations

from pathlib import Path

from ichclient.dicom import headers_from_path
from ichclient.errors import NothingFound, RefusedInput
from ichclient.headers import SliceHeader
from ichclient.hounsfield import hu_from_header
from ichclient.masks import Masks, masks_from_bytes
from ichclient.output import output_folder, write_files
from ichclient.report.page import page_from_result
from ichclient.report.pictures import pictures_from_slices
from ichclient.result import MASKS_FILE, REPORT_FILE, Result
from ichclient.saved import result_from_file
from ichclient.series import series_from_scan
from ichclient.slabs import SLAB_AVERAGED

_SAME_POSITION_MM = 0.01


def report_from_file(path: Path, study: Path | None = None, out: Path | None = None) -> Path:
    """Draw the page of a result.json anew, with pictures where its study is given.

    The page is written beside the result, or to the file `out`; returns where. Raises an IchError,
    and writes nothing then.
    """
    result = result_from_file(path)
    folder = path if path.is_dir() else path.parent
    file = out or folder / REPORT_FILE
    pictures = None
    with output_folder(file.parent):
        if study is not None:
            headers = headers_of_result(result, study)
            masks = masks_beside(result, folder)
            pictures = pictures_from_slices(lambda i: hu_from_header(headers[i]), masks, result)
        write_files(file.parent, {file.name: page_from_result(result, pictures).encode()})
    return file


def headers_of_result(result: Result, study: Path) -> tuple[SliceHeader, ...]:
    """The headers of the very slices that were judged, lowest first.

    Rules of intake are not asked again: the result says which series was taken. Raises
    NothingFound or RefusedInput where the study is another one, or was changed since.
    """
    uid, told = result.series.SeriesInstanceUID, list(result.slices)
    stacks = [
        item.stack
        for item in series_from_scan(headers_from_path(study))
        if item.SeriesInstanceUID == uid
    ]
    if not stacks:
        raise RefusedInput(
            f"{study} does not hold series {uid}, which this result is of. Give its study."
        )
    for stack in stacks:
        found = [(header.SOPInstanceUID, header.frame_number) for header in stack.slices]
        if found == [(one.SOPInstanceUID, one.frame_number) for one in told] and all(
            abs(here - one.position_mm) < _SAME_POSITION_MM
            for here, one in zip(stack.positions_mm, told, strict=True)
        ):
            return stack.slices
    if any(notice.code == SLAB_AVERAGED for notice in result.warnings):
        raise RefusedInput(
            f"Series {uid} was judged in slabs, of which no page can be drawn again with pictures. "
            "Judge it again, or draw the page without its study."
        )
    there = {header.SOPInstanceUID for stack in stacks for header in stack.slices}
    absent = sum(one.SOPInstanceUID not in there for one in told)
    what = f"{absent} of its {len(told)} slices are absent" if absent else "its slices differ"
    raise RefusedInput(
        f"Series {uid} in {study} is not as it was judged: {what}. "
        "Give the study that was judged, or judge this one."
    )


def masks_beside(result: Result, folder: Path) -> Masks | None:
    """The masks that belong to a result; None where it kept none or they were taken away."""
    file = folder / MASKS_FILE
    if result.masks_sha256 is None or not file.exists():
        return None
    try:
        content = file.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise NothingFound(f"{file} cannot be read ({reason}).") from error
    return masks_from_bytes(content, result.masks_sha256, len(result.slices))

"""The phantom in examples/ -> the pictures of report and objects, made again as they are now.

    python docs/pictures/make.py            # needs the extras dev and local, and Chromium
    python docs/pictures/make.py --url HOST:PORT --out elsewhere/

The page is seen in a browser. The key image and the segmentation are read back from their DICOM
files, the segmentation with highdicom's reader, and drawn over the scanned slice.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ichclient.connect import ServerOptions
from ichclient.hounsfield import hu_from_header
from ichclient.infer import result_from_path
from ichclient.report.redraw import headers_of_result
from ichclient.report.windows import BRAIN
from ichclient.result import REPORT_FILE, Result

PHANTOM = Path(__file__).resolve().parents[2] / "examples" / "phantom-sdh"
_TALL, _DESKTOP = {"width": 1100, "height": 1640}, {"width": 1100, "height": 900}
_PHONE = {"width": 390, "height": 844}
_RED = np.array([255, 64, 64], dtype=np.float32)
_GAP_PX = 8


def main(arguments: list[str] | None = None, chromium: Any = None) -> None:
    """Judge the phantom and draw every picture into a folder; `chromium` is a browser, if open."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a server to judge on, instead of an embedded one")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    chosen = parser.parse_args(arguments)
    chosen.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = result_from_path(PHANTOM, ServerOptions(url=chosen.url), out=folder, dicom=True)
        for file, picture in (*pages(folder / REPORT_FILE, chromium), objects(folder, result)):
            # A palette of 256 colours: half the bytes, and no difference to the eye.
            small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
            small.save(chosen.out / file, optimize=True)


def pages(report: Path, opened_before: Any) -> Iterator[tuple[str, Image.Image]]:
    """The page in a light scheme, its series in a dark one, and on a phone."""
    with nullcontext(opened_before) if opened_before else browser() as chromium:
        light = opened(chromium, report, viewport=_TALL)
        yield "report.png", shot(light)
        dark = opened(chromium, report, viewport=_DESKTOP, color_scheme="dark")
        dark.evaluate("document.querySelector('#viewer').closest('section').scrollIntoView()")
        yield "report-dark.png", shot(dark)
        phone = opened(chromium, report, viewport=_PHONE, device_scale_factor=2)
        yield "report-phone.png", shot(phone)


def objects(folder: Path, result: Result) -> tuple[str, Image.Image]:
    """The key image of the top slice beside both segmentations over the scanned slice."""
    import highdicom
    from pydicom import dcmread

    top = result.slices[result.top_slices[0]]
    key_image = Image.fromarray(dcmread(folder / "dicom" / "key_image_1.dcm").pixel_array)
    header = headers_of_result(result, PHANTOM)[top.index]
    grey = BRAIN.grey(hu_from_header(header).hu)
    panels = [key_image]
    for name in ("mask.dcm", "probability.dcm"):
        pixels = highdicom.seg.segread(folder / "dicom" / name).get_pixels_by_source_instance(
            [top.SOPInstanceUID]
        )
        panels.append(overlaid(grey, np.asarray(pixels[0, ..., 0], dtype=np.float32), name))
    side = max(max(panel.size) for panel in panels)
    row = Image.new("RGB", (len(panels) * (side + _GAP_PX) - _GAP_PX, side), "white")
    for number, panel in enumerate(panels):
        row.paste(panel.resize((side, side)), (number * (side + _GAP_PX), 0))
    return "objects.png", row


def overlaid(grey: NDArray[np.uint8], shown: NDArray[np.float32], name: str) -> Image.Image:
    """A slice [rows, columns] with a segmentation of 0 to 1 in red over it, and its file's name."""
    weight = 0.6 * shown[..., None]
    mixed = grey[..., None] * (1 - weight) + _RED * weight
    picture = Image.fromarray(mixed.astype(np.uint8))
    ImageDraw.Draw(picture).text((8, 8), name, fill="white")
    return picture


@contextmanager
def browser() -> Iterator[Any]:
    """Debian's Chromium."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    if path is None:
        sys.exit("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield chromium
        finally:
            chromium.close()


def opened(chromium: Any, file: Path, **options: Any) -> Any:
    """A page of its own."""
    page = chromium.new_context(**options).new_page()
    page.goto(file.as_uri())
    return page


def shot(page: Any) -> Image.Image:
    """What is to be seen without scrolling."""
    return Image.open(io.BytesIO(page.screenshot()))


if __name__ == "__main__":
    main()

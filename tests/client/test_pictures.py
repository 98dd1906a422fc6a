"""The pictures of the documents can be made again, and are those that the documents show."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from ichclient.process import RunningServer

MOST_BYTES = 200 * 1024


def test_every_picture_is_made_again_from_the_phantom(
    checkout: Path, served: RunningServer, chromium: Any, tmp_path: Path
) -> None:
    pytest.importorskip("highdicom", reason="highdicom is not installed")
    pictures = checkout / "docs" / "pictures"
    spec = importlib.util.spec_from_file_location("make_pictures", pictures / "make.py")
    assert spec is not None
    assert spec.loader is not None
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    make.main(["--url", served.url, "--out", str(tmp_path)], chromium)
    made = {path.name: path for path in tmp_path.iterdir()}
    # The work list's show an evening of invented studies that were not judged, and no phantom.
    shown = {path.name for path in pictures.glob("*.png") if "worklist" not in path.name}
    assert set(made) == shown
    for name, path in made.items():
        with Image.open(path) as new, Image.open(pictures / name) as shown:
            assert new.size == shown.size
            greys = np.asarray(new.convert("L"), dtype=np.float64)
        assert greys.std() > 20, f"{name} is blank"
        assert path.stat().st_size < MOST_BYTES


def test_the_documents_show_pictures_that_are_there(checkout: Path) -> None:
    shown = set()
    for document in (checkout / "README.md", *(checkout / "docs").glob("*.md")):
        for name in re.findall(r"pictures/([\w.-]+)", document.read_text(encoding="utf-8")):
            assert (checkout / "docs" / "pictures" / name).is_file(), f"{document.name}: {name}"
            shown.add(name)
    assert {path.name for path in (checkout / "docs" / "pictures").glob("*.png")} <= shown

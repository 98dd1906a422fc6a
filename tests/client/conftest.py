"""Fixtures of the client's tests: small but valid axial CT series, written file by file."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from ichclient.answers import ChunkScores, ServerFacts
from ichclient.connect import ProvenServer
from ichclient.golden import Golden, spec_key
from ichclient.proof import Proof
from ichcore import (
    Calibration,
    EnsembleSpec,
    Grid,
    MemberSpec,
    OperatingPoint,
    SliceScores,
    StudyRule,
    StudyScore,
    study_from_slices,
)
from ichcore.wire import provenance_from_hashes


def _module_beside(name: str) -> ModuleType:
    """A module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_pacs = _module_beside("pacs_programs")
orthanc, start_orthanc = _pacs.orthanc, _pacs.start_orthanc
unused_port, certificate = _pacs.unused_port, _pacs.certificate

SIZE = 32
UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_TYPE_2 = (
    "AccessionNumber", "PatientName", "StudyID", "StudyDate", "StudyTime", "PatientBirthDate",
    "PatientSex", "ReferringPhysicianName",
)  # fmt: skip

OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
PHONE = {"width": 390, "height": 844}

# Every text with its colour, the first background below it that is not clear, and its size.
CONTRASTS = """() => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const part = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (!node.data.trim() || element.closest("script, title, .unseen, .side, [hidden]")) continue;
    if (!element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const ink = numbers(element instanceof SVGElement ? style.fill : style.color);
    let under = element, back = [0, 0, 0, 0];
    while (under && (back = numbers(getComputedStyle(under).backgroundColor))[3] === 0) {
      under = under.parentElement;
    }
    const [low, high] = [light(ink), light(back)].sort((a, b) => a - b);
    found.push([(high + 0.05) / (low + 0.05), node.data.trim()]);
  }
  return found;
}"""


def head_hu() -> NDArray[np.int16]:
    """A plane of air with a ring of bone around brain, and a mark front right of the middle."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    radius = np.hypot(rows - 15.5, columns - 15.5)
    hu = np.where(radius < 11, 35, np.where(radius < 13, 1000, -1000)).astype(np.int16)
    hu[8:10, 9:12] = 70
    return hu


def write_slice(path: Path, hu: NDArray[Any] | None = None, **tags: Any) -> FileDataset:
    """Write one CT slice; a tag given as None is left out of the file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = tags.pop("TransferSyntaxUID", ExplicitVRLittleEndian)
    values: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "FrameOfReferenceUID": "1.2.3.5",
        "PatientID": "MADE",
        "Modality": "CT",
        "Manufacturer": "GE MEDICAL SYSTEMS",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "SeriesNumber": 2,
        "SeriesDescription": "HEAD",
        "ConvolutionKernel": "STANDARD",
        "ImagePositionPatient": [-16.0, -16.0, 0.0],
        "ImageOrientationPatient": list(UPRIGHT),
        "PixelSpacing": [6.0, 6.0],
        "Rows": SIZE,
        "Columns": SIZE,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        **tags,
    }
    values.setdefault("PixelData", ((head_hu() if hu is None else hu) + 1024).tobytes())
    meta.MediaStorageSOPClassUID = values["SOPClassUID"] or CTImageStorage
    meta.MediaStorageSOPInstanceUID = values["SOPInstanceUID"]
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return dataset


def write_series(folder: Path, z_mm: Sequence[float] | None = None, **tags: Any) -> Path:
    """Write a series with one slice at each height; 20 slices every 5 mm unless told."""
    heights = [5.0 * index for index in range(20)] if z_mm is None else list(z_mm)
    for index, z in enumerate(heights):
        own = {"ImagePositionPatient": [-16.0, -16.0, z], "InstanceNumber": index + 1, **tags}
        write_slice(folder / f"{index:03}.dcm", **own)
    return folder


def legacy_converted(
    folder: Path, target: Path, syntax: str = ExplicitVRLittleEndian, **given: Any
) -> Path:
    """The `files` of a folder as one Legacy Converted Enhanced CT image of `series_uid`."""
    legacy = pytest.importorskip("highdicom.legacy", reason="highdicom is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frames = [
            dcmread(path) for path in sorted(folder.iterdir())[given.get("files", slice(None))]
        ]
        for frame in frames:
            for keyword in _TYPE_2:
                if keyword not in frame:
                    setattr(frame, keyword, "")
        image = legacy.LegacyConvertedEnhancedCTImage(
            frames,
            series_instance_uid=given.get("series_uid", generate_uid()),
            series_number=9,
            sop_instance_uid=generate_uid(),
            instance_number=1,
        )
        if syntax != ExplicitVRLittleEndian:
            image.compress(syntax)
        target.parent.mkdir(parents=True, exist_ok=True)
        image.save_as(target)
    return target


@pytest.fixture(scope="session")
def make_legacy_converted() -> Callable[..., Path]:
    """`legacy_converted`, for tests that need a stack in one file."""
    return legacy_converted


@pytest.fixture(scope="session")
def make_slice() -> Callable[..., FileDataset]:
    """`write_slice`, for tests that need one file."""
    return write_slice


@pytest.fixture(scope="session")
def make_series() -> Callable[..., Path]:
    """`write_series`, for tests that need a study."""
    return write_series


@pytest.fixture
def made_hu() -> NDArray[np.int16]:
    """The Hounsfield units that every made slice holds."""
    return head_hu()


class FakeTransport:
    """A server without a server: a slice's score is its mean HU, the study rule is the real one.

    `on_infer` is called within every `infer`, and may raise.
    """

    def __init__(self, slices_per_item: int = 1) -> None:
        members = tuple(
            MemberSpec(name, name, weight, weight, Calibration(), "a" * 64)
            for name, weight in (("ich_any", 0.75), ("ich_sdh", 0.25))
        )
        self.spec = EnsembleSpec(
            name="fake",
            version="1",
            grid=Grid(64, 96, 3.0, slices_per_item),
            members=members,
            brain_member="ich_any",
            mask_threshold=0.5,
            brain_threshold=0.5,
            study_rule=StudyRule(),
            operating_points=(OperatingPoint("balanced", 0.5, 0.9, 0.9),),
        )
        self.provenance = provenance_from_hashes(self.spec.sha256, "e" * 64)
        self.interruptions = 0
        self.chunks: list[NDArray[np.float16]] = []
        self.starts: frozenset[str] = frozenset()
        self.on_infer: Callable[[], None] = lambda: None

    def metadata(self) -> ServerFacts:
        return ServerFacts(
            server_version="2.51.0",
            grid=self.spec.grid,
            member_names=self.spec.member_names,
            operating_points=("balanced",),
            spec_sha256=self.spec.sha256,
            ensemble="fake 1",
        )

    def infer(self, chunk: NDArray[np.float16]) -> ChunkScores:
        self.chunks.append(chunk)
        self.on_infer()
        mean = chunk.astype(np.float32).mean(axis=(1, 2, 3))
        score = np.asarray(mean / 4096 + 0.5, dtype=np.float32)
        return ChunkScores(
            score=score,
            member_scores=np.stack([score, score / 2], axis=1),
            mask=np.full((len(chunk), *self.spec.grid.mask_shape), 0.25, dtype=np.float16),
            lesion_mm2=np.full(len(chunk), 50, dtype=np.float32),
            brain_mm2=np.full(len(chunk), 9000, dtype=np.float32),
            provenance=(self.provenance,) * len(chunk),
            starts=self.starts,
        )

    def study(self, slices: SliceScores) -> StudyScore:
        return study_from_slices(slices, self.spec)


@pytest.fixture
def fake_transport() -> FakeTransport:
    """A transport that answers at once and by the real study rule."""
    return FakeTransport()


@pytest.fixture
def make_transport() -> Callable[..., FakeTransport]:
    """`FakeTransport`, for tests that need another grid."""
    return FakeTransport


@pytest.fixture
def proven(fake_transport: FakeTransport) -> ProvenServer:
    """A server, proven by slices that the fake transport judged itself."""
    grid = fake_transport.spec.grid
    hu = np.zeros((3, 1, grid.rows, grid.columns), dtype=np.float16)
    hu += np.arange(3, dtype=np.float16).reshape(3, 1, 1, 1)
    said = fake_transport.infer(hu)
    fake_transport.chunks.clear()
    golden = Golden(
        hu=hu,
        score=said.score,
        member_scores=said.member_scores,
        lesion_mm2=said.lesion_mm2,
        spec_key=spec_key(fake_transport.provenance),
        tolerance_score=1e-4,
        tolerance_lesion_mm2=1.0,
    )
    timings = {"server_ready_s": 0.0, "golden_proof_s": 0.0}
    return ProvenServer("fake:1", None, None, fake_transport, Proof(golden), timings)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        yield browser
        browser.close()


class Seen:
    """A page that is open, what it asked for, and what its console said."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.asked: list[str] = []
        self.said: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))

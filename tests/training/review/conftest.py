"""A small prepared folder of drawn heads, and evaluations whose scores are chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ichcore import Grid
from ichtrain.data import LABELS, LabelledSeries, Prepared, PreparedWriter
from ichtrain.review.evaluation import Evaluation, Judged
from ichtrain.review.key import Key
from ichtrain.review.pack import Images, key_from_picked, write_pack
from ichtrain.review.pick import PickOptions, picked_from_evaluations

GRID = Grid(rows=64, columns=64, pixel_spacing_mm=3.0)
SLICES = 6
SERIES = 12
HOSTILE_SITE = "<script>alert('site')</script>"


def uid(number: int) -> str:
    return f"1.2.826.0.1.99.{number}"


def is_bleed(number: int) -> bool:
    return number % 2 == 1


def drawn_series(number: int) -> LabelledSeries:
    """An ellipse of bone around brain; odd numbers bleed in slices 3 and 4."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[-1 : 1 : GRID.rows * 1j, -1 : 1 : GRID.columns * 1j]
    radius = np.hypot(rows, columns * 1.2)
    head = np.where(radius < 0.75, 33.0, np.where(radius < 0.85, 900.0, -1000.0))
    hu = np.rint(head + rng.normal(0, 3, (SLICES, *head.shape)))
    lesion = np.zeros((SLICES, *GRID.mask_shape), dtype=np.uint8)
    labels = np.zeros((SLICES, len(LABELS)), dtype=np.int8)
    if is_bleed(number):
        hu[3:5, 30:38, 20:28] = 68
        lesion[3:5, 15:19, 10:14] = 255
        labels[3:5, [0, LABELS.index("iph")]] = 1
    return LabelledSeries(
        SeriesInstanceUID=uid(number),
        SOPInstanceUID=tuple(f"{uid(number)}.{index}" for index in range(SLICES)),
        patient=f"Patient^{number}",
        site=HOSTILE_SITE,
        split="test",
        annotation="mask",
        labels=labels,
        lesion_ml=4.5 if is_bleed(number) else 0.0,
        hu=hu.astype(np.float16),
        position_mm=np.arange(SLICES, dtype=np.float32) * 5,
        lesion=lesion,
    )


def evaluation(scores: dict[int, float], name: str = "ensemble") -> Evaluation:
    """An evaluation at the threshold 0.5 of the series with these numbers."""
    judged = {
        uid(n): Judged(uid(n), is_bleed(n), score, "positive" if score >= 0.5 else "negative")
        for n, score in scores.items()
    }
    return Evaluation(name, "balanced", 0.5, judged)


SCORES = {
    # a third wrong, a third nearly wrong, a third easy; bleeds have odd numbers
    0: 0.912347, 1: 0.087653, 2: 0.812341, 3: 0.187659,
    4: 0.437651, 5: 0.562349, 6: 0.447651, 7: 0.552349,
    8: 0.012341, 9: 0.987659, 10: 0.022341, 11: 0.977659,
}  # fmt: skip


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("review") / "prepared"
    writer = PreparedWriter(folder, GRID)
    for number in range(SERIES):
        writer.add(drawn_series(number))
    return folder


@pytest.fixture(scope="session")
def images(prepared: Path) -> Images:
    return Images((Prepared(prepared),))


def true_marks(series: LabelledSeries) -> NDArray[np.bool_]:
    """A marker that knows where the blood is; made for tests."""
    return np.asarray(series.lesion) > 127


@pytest.fixture(scope="session")
def make_key(images: Images) -> Callable[..., Key]:
    """The key of a study of all twelve series."""

    def made(readers: int = 3, seed: int = 0) -> Key:
        options = PickOptions(cases=SERIES, controls_share=4 / 12, seed=seed)
        evaluations = [evaluation(SCORES)]
        picked = picked_from_evaluations(evaluations, images.patients(), options)
        return key_from_picked(picked, evaluations, images, readers, seed)

    return made


@pytest.fixture(scope="session")
def key(make_key: Callable[..., Key]) -> Key:
    return make_key()


@pytest.fixture(scope="session")
def drawn_pack(key: Key, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack with marks; read it, but do not write into it."""
    pack = tmp_path_factory.mktemp("packs") / "PACK"
    write_pack(pack, key, images, true_marks)
    return pack

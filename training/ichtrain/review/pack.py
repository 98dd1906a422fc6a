"""Picked cases + prepared folders -> PACK: pages and forms for readers, a key for the leader.

    PACK/
      README.md                         for the study leader
      key.json                          for the study leader: case -> series, truth, scores
      reader-N/without_ai.html          what a reader gets, and nothing else
      reader-N/with_ai.html
      reader-N/answers.csv

Whole or not at all: everything is built beside its place and moved there at the end.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ichcore import Grid
from ichcore.study import slice_extent_mm
from ichtrain.data import LabelledSeries, Prepared
from ichtrain.errors import ReviewError
from ichtrain.review.answers import FORM_FILE, form_from_key
from ichtrain.review.evaluation import Evaluation
from ichtrain.review.key import (
    KEY_FILE,
    ROUNDS,
    WITH_AI,
    WITHOUT_AI,
    Case,
    Key,
    folder_name,
    orders_from_numbers,
    text_from_key,
)
from ichtrain.review.leader import readme_from_key
from ichtrain.review.marks import Marker
from ichtrain.review.page import Opinion, Views, article_from_views, page_from_articles
from ichtrain.review.pick import Picked
from ichtrain.review.picture import png_from_grey, png_from_marks, uri_from_png
from ichtrain.review.windows import (
    WINDOWS,
    anatomical_slices,
    marked_on_grid,
    marked_slices,
    sheet_from_hu,
)

KEY_SLICES = 4

Progress = Callable[[int, int], None]


class Images:
    """The prepared folders that hold the series of a study."""

    def __init__(self, folders: Sequence[Prepared]) -> None:
        """Refuse a series that lies in two folders, which might differ."""
        self.folders = tuple(folders)
        self._home: dict[str, Prepared] = {}
        for folder in self.folders:
            for uid in folder.uids:
                if uid in self._home:
                    raise ReviewError(
                        f"Series {uid} lies in {self._home[uid].folder} and in {folder.folder}; "
                        "name one of them."
                    )
                self._home[uid] = folder

    def patients(self) -> dict[str, str]:
        """The patient of every series."""
        return {uid: folder.series(uid).patient for uid, folder in self._home.items()}

    def grid(self, uid: str) -> Grid:
        """The grid a series lies on."""
        return self._home[uid].grid

    def series(self, uid: str) -> LabelledSeries:
        """A series of any of the folders."""
        return self._home[uid].series(uid)


def key_from_picked(
    picked: Sequence[Picked],
    evaluations: Sequence[Evaluation],
    images: Images,
    readers: int,
    seed: int,
) -> Key:
    """Number the cases at random, so that a number says nothing, and draw the orders."""
    if not picked:
        raise ReviewError(
            "No case was picked; allow a wider margin or more controls, or evaluate more series."
        )
    ensemble = evaluations[0]
    numbers = np.random.default_rng((seed, 0)).permutation(len(picked)) + 1
    cases = []
    for number, one in zip(numbers, picked, strict=True):
        uid = one.SeriesInstanceUID
        series, judged = images.series(uid), ensemble.judged[uid]
        if series.has("any") != judged.positive:
            raise ReviewError(
                f"Series {uid} is {'positive' if judged.positive else 'negative'} in "
                f"{ensemble.name}, but not in the prepared folder; evaluate this folder again."
            )
        cases.append(
            Case(
                number=int(number),
                SeriesInstanceUID=uid,
                site=series.site,
                positive=judged.positive,
                subtypes=tuple(sorted(series.subtypes)),
                lesion_ml=series.lesion_ml,
                kind=one.kind,
                reason=one.reason,
                scores={other.name: other.judged[uid].score for other in evaluations},
                called={other.name: other.judged[uid].called for other in evaluations},
            )
        )
    cases.sort(key=lambda case: case.number)
    return Key(
        seed=seed,
        point=ensemble.point,
        ensemble=ensemble.name,
        thresholds={other.name: other.threshold for other in evaluations},
        cases=tuple(cases),
        orders=orders_from_numbers([case.number for case in cases], readers, seed),
        left_out=ensemble.left_out,
    )


def write_pack(
    pack: Path,
    key: Key,
    images: Images,
    marker: Marker | None,
    progress: Progress = lambda done, total: None,
) -> None:
    """Draw every case once and write a reader's pages from the drawings.

    Raises `ReviewError` when PACK exists or cannot be written; then nothing of it is there.
    """
    if pack.exists():
        raise ReviewError(f"{pack} exists; a pack is made once, so choose another folder.")
    try:
        pack.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{pack.name}-", dir=pack.parent) as place:
            folder = Path(place) / "pack"
            _fill(folder, key, images, marker, progress, pack.name)
            folder.rename(pack)
    except OSError as error:
        raise ReviewError(
            f"{pack} cannot be written ({error.strerror or error}); free some space or choose "
            "another folder. Nothing was left behind."
        ) from error


def _fill(
    folder: Path, key: Key, images: Images, marker: Marker | None, progress: Progress, title: str
) -> None:
    folder.mkdir()
    (folder / KEY_FILE).write_text(text_from_key(key), encoding="utf-8")
    (folder / "README.md").write_text(
        readme_from_key(key, marker is not None, title), encoding="utf-8"
    )
    views: dict[str, dict[int, Views]] = {name: {} for name in ROUNDS}
    for done, case in enumerate(key.cases):
        progress(done, len(key.cases))
        for name, view in views_from_case(case, key, images, marker).items():
            views[name][case.number] = view
    uids = ",".join(case.SeriesInstanceUID for case in key.cases)
    study = hashlib.sha256(f"{key.seed},{uids}".encode()).hexdigest()[:12]
    for reader in key.readers:
        home = folder / folder_name(reader)
        home.mkdir()
        (home / FORM_FILE).write_text(form_from_key(key, reader), encoding="utf-8")
        for name in ROUNDS:
            articles = _articles(views[name], key.orders[reader - 1][name])
            page = page_from_articles(reader, name, articles, study)
            (home / f"{name}.html").write_text(page, encoding="utf-8")
    progress(len(key.cases), len(key.cases))


def _articles(views: Mapping[int, Views], order: Sequence[int]) -> Iterator[str]:
    for place, number in enumerate(order, 1):
        yield article_from_views(views[number], place, len(order))


def views_from_case(
    case: Case, key: Key, images: Images, marker: Marker | None
) -> dict[str, Views]:
    """What a page shows of one case in either round; both share the pictures."""
    series = images.series(case.SeriesInstanceUID)
    hu = np.asarray(series.hu)
    sheet = sheet_from_hu(hu)
    uris = {
        window.name: uri_from_png(png_from_grey(sheet.laid(window.grey(hu)))) for window in WINDOWS
    }
    neutral = anatomical_slices(hu, KEY_SLICES)
    height_mm = tuple(float(mm) for mm in series.position_mm - series.position_mm[0])
    opinion = Opinion(
        called=case.called[key.ensemble],
        score=case.scores[key.ensemble],
        threshold=key.thresholds[key.ensemble],
        point=key.point,
    )
    plain = Views(case.number, sheet, uris, height_mm, neutral)
    if marker is None:
        return {WITHOUT_AI: plain, WITH_AI: replace(plain, opinion=opinion)}
    marks = marker(series)
    grid = images.grid(case.SeriesInstanceUID)
    drawn = uri_from_png(png_from_marks(sheet.laid(marked_on_grid(marks, grid))))
    told = replace(
        opinion,
        marks=drawn if marks.any() else None,
        marked_ml=_marked_ml(marks, series, grid),
    )
    best = marked_slices(marks, KEY_SLICES, neutral)
    return {WITHOUT_AI: plain, WITH_AI: replace(plain, opinion=told, key_slices=best)}


def _marked_ml(marks: NDArray[np.bool_], series: LabelledSeries, grid: Grid) -> float | None:
    extent_mm = slice_extent_mm(series.position_mm)
    if extent_mm is None:
        return None
    area_mm2 = marks.sum(axis=(1, 2)) * grid.mask_pixel_mm2
    return float((area_mm2 * extent_mm).sum() / 1000.0)

"""A result of the phantom in examples/, its masks and its page, made without a server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ichclient.headers import SliceHeader
from ichclient.hounsfield import hu_from_header
from ichclient.infer import Study, study_from_path
from ichclient.masks import Masks, bytes_from_masks, sha256_of_masks
from ichclient.report.pictures import Pictures, pictures_from_slices
from ichclient.result import (
    Bundle,
    Combination,
    Judgement,
    Notice,
    Result,
    SliceResult,
    StudyIdentity,
)
from ichclient.told import geometry_result, intake_result, series_result
from ichcore import Decision, Grid, placement_from_hu

MEMBERS = ("ich_any", "ich_sdh")


@pytest.fixture(scope="session")
def phantom(checkout: Path) -> Path:
    """The study in examples/."""
    return checkout / "examples" / "phantom-sdh"


@pytest.fixture(scope="session")
def study(phantom: Path) -> Study:
    return study_from_path(phantom)


@pytest.fixture(scope="session")
def headers(study: Study) -> tuple[SliceHeader, ...]:
    return study.series.slices


@pytest.fixture(scope="session")
def masks(headers: tuple[SliceHeader, ...]) -> Masks:
    """A block of 40 x 20 mm marked on slices 9 to 12, and one pixel of 2 mm on slice 15."""
    grid = Grid()
    mask = np.zeros((len(headers), *grid.mask_shape), dtype=np.uint8)
    mask[8:12, 50:70, 60:70] = 255
    mask[14, 40, 40] = 255
    one = hu_from_header(headers[12])
    place = placement_from_hu(one.hu, one.row_spacing_mm, one.column_spacing_mm)
    return Masks(mask, (place,) * len(headers), grid)


@pytest.fixture(scope="session")
def result(study: Study, masks: Masks) -> Result:
    """Scores that rise to one peak on slice 11 and to a smaller one on slice 19."""
    series = study.series
    count = len(series.slices)
    places = np.arange(count)
    scores = 0.9 * np.exp(-(((places - 10) / 3) ** 2)) + 0.3 * np.exp(-(((places - 18) / 2) ** 2))
    brain = 15000 * np.exp(-(((places - 12) / 8) ** 2))
    return Result(
        study=StudyIdentity(series.identity.StudyInstanceUID),
        series=series_result(series),
        geometry=geometry_result(series),
        intake=intake_result(study.book, None),
        study_score=0.85,
        member_scores={"ich_any": 0.9, "ich_sdh": 0.8},
        decisions={"high_sensitivity": Decision.POSITIVE, "balanced": Decision.INDETERMINATE},
        lesion_volume_ml=16.5,
        coverage_mm=120.0,
        top_slices=(10, 11, 9),
        slices=tuple(
            SliceResult(
                index=index,
                SOPInstanceUID=place.SOPInstanceUID,
                frame_number=place.frame_number,
                position_mm=place.position_mm,
                origin_mm=place.origin_mm,
                score=float(scores[index]),
                member_scores=dict.fromkeys(MEMBERS, float(scores[index])),
                lesion_mm2=float((masks.mask[index] > 127).sum() * 4),
                brain_mm2=float(brain[index]),
            )
            for index, place in enumerate(series.geometry.slices)
        ),
        considered=(
            Judgement(
                "chosen",
                "Chosen: the best of those accepted.",
                {"SeriesNumber": 2, "SeriesDescription": "HEAD", "slices": count},
            ),
        ),
        skipped_files=(Judgement("not_dicom", "There is no DICM mark.", {}, "notes.txt"),),
        slice_verdicts=(),
        warnings=(Notice("sharp_kernel", "Only a sharp reconstruction is there."),),
        bundle=Bundle("ich-triton 0.1.0", "spec:aa engines:bb", "a" * 64, "2.51.0", 1),
        timings={"read_headers_s": 0.1, "total_s": 2.5},
        combination=Combination(
            findings={"ich_any": "any haemorrhage", "ich_sdh": "subdural haemorrhage"},
            score_weights={"ich_any": 0.75, "ich_sdh": 0.25},
            thresholds={"high_sensitivity": 0.2, "balanced": 0.5},
            mask_threshold=0.5,
            study_rule="smoothed_maximum",
            minimum_brain_share=0.5,
        ),
        masks_sha256=sha256_of_masks(bytes_from_masks(masks)),
    )


@pytest.fixture(scope="session")
def pictures(headers: tuple[SliceHeader, ...], masks: Masks, result: Result) -> Pictures:
    return pictures_from_slices(lambda index: hu_from_header(headers[index]), masks, result)

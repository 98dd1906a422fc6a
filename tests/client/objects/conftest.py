"""Judged studies to make objects of: the study rule is the real one, scores and masks are made."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import FileDataset

from ichclient.connect import ProvenServer
from ichclient.infer import result_from_study, study_from_path
from ichclient.objects.files import object_files
from ichclient.result import Result
from ichclient.series import Series
from ichclient.stream import Judged

BEGAN = datetime(2026, 1, 2, 3, 4, 5)


@dataclass(frozen=True)
class JudgedStudy:
    """A judged study and what `object_files` makes of it."""

    series: Series
    judged: Judged
    result: Result

    def files(self, out: Path, began: datetime = BEGAN) -> dict[str, bytes | None]:
        return object_files(self.series, self.judged, self.result, out, began)

    def objects(self, out: Path) -> dict[str, FileDataset]:
        return {
            name: dcmread(io.BytesIO(content))
            for name, content in self.files(out).items()
            if content is not None
        }


Judge = Callable[..., JudgedStudy]


@pytest.fixture
def judge(proven: ProvenServer) -> Judge:
    """Judge the study in a folder; with `lesion` as a positive with a mask left of the middle."""
    transport: Any = proven.transport
    answer = transport.infer

    def infer(chunk: np.ndarray[Any, Any]) -> Any:
        said = answer(chunk)
        mask = np.zeros_like(said.mask)
        rows, columns = mask.shape[1:]
        mask[:, rows // 2 - 5 : rows // 2 - 1, columns // 2 + 1 : columns // 2 + 6] = 0.75
        mask[:, rows // 2 - 4 : rows // 2 - 2, columns // 2 + 2 : columns // 2 + 5] = 0.9
        return replace(said, mask=mask, score=np.clip(said.score + 0.5, 0, 1))

    def judged(folder: Path, *, lesion: bool = True, series_uid: str | None = None) -> JudgedStudy:
        transport.infer = infer if lesion else answer
        study = study_from_path(folder, series_uid)
        result, answers = result_from_study(study, proven, lambda *_: None, time.monotonic())
        if not lesion:
            answers = replace(answers, mask=np.zeros_like(answers.mask))
        return JudgedStudy(study.series, answers, result)

    return judged

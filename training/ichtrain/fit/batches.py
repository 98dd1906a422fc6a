"""Slices -> batches, each a pure function of seed, epoch and step.

So a resumed run sees what an uninterrupted one would have seen, with any number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ichtrain.augment import augmented
from ichtrain.data import LabelledSeries
from ichtrain.fit.options import FitOptions
from ichtrain.fit.slices import FitData, SeriesSlices

Batch = dict[str, Tensor]
"""`hu` [N, S, R, C], `lesion` and `brain` [N, 1, R/2, C/2] (strong), `brain_known` [N],
`label` [N, 1]; all float32."""


class TrainingBatches(Dataset[Batch]):
    """Whole batches by the number of their step, counted over all epochs."""

    def __init__(self, data: FitData, options: FitOptions) -> None:
        self.data = data
        self.options = options

    def __getitem__(self, step: int) -> Batch:
        """Half of the slices with blood, half without, of random series; augmented and cropped."""
        rng = np.random.default_rng([self.options.seed, step])
        half = self.options.batch_size // 2
        chosen = [_drawn(self.data.positive, rng) for _ in range(half)]
        chosen += [_drawn(self.data.negative, rng) for _ in range(self.options.batch_size - half)]
        parts = [self._slice(where, index) for where, index in chosen]
        batch = {
            name: torch.from_numpy(np.stack([part[name] for part in parts])) for name in parts[0]
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**62)))
            batch["hu"], batch["lesion"], batch["brain"] = augmented(
                batch["hu"], batch["lesion"], batch["brain"], rng
            )
        return self._cropped(batch, rng)

    def _slice(self, where: SeriesSlices, index: int) -> dict[str, NDArray[np.float32]]:
        series = self.data.series(where)
        label = series.labels[index, 0] == 1
        return {
            "hu": self.data.items(series, [index])[0].astype(np.float32),
            "lesion": self._mask(series, "lesion", index),
            "brain": self._mask(series, "brain", index),
            "brain_known": np.float32(series.brain is not None),
            "label": np.full(1, label, dtype=np.float32),
        }

    def _mask(self, series: LabelledSeries, name: str, index: int) -> NDArray[np.float32]:
        drawn = getattr(series, name)
        if drawn is None or self.options.annotation == "weak":
            return np.zeros((1, *self.data.grid.mask_shape), dtype=np.float32)
        return np.asarray(drawn[index][None], dtype=np.float32) / np.float32(255)

    def _cropped(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """The same crop for the whole batch; the mask raster is coarser by the mask stride."""
        stride = self.data.grid.mask_stride
        sizes = batch["hu"].shape[-2:]
        wanted = (self.options.crop_rows, self.options.crop_columns)
        places = []
        for size, crop in zip(sizes, wanted, strict=True):
            length = min(crop or size, size)
            places.append((stride * int(rng.integers((size - length) // stride + 1)), length))
        fine = tuple(slice(first, first + length) for first, length in places)
        coarse = tuple(slice(s.start // stride, s.stop // stride) for s in fine)
        batch["hu"] = batch["hu"][..., fine[0], fine[1]].contiguous()
        for name in ("lesion", "brain"):
            batch[name] = batch[name][..., coarse[0], coarse[1]].contiguous()
        return batch


class EpochSteps(Sampler[int]):
    """Steps of the present epoch; the trainer says which one that is, except for the first.

    Lightning begins to draw the first epoch of a resumed run before it calls `set_epoch`.
    """

    def __init__(self, steps_per_epoch: int, first_epoch: int) -> None:
        self.steps_per_epoch = steps_per_epoch
        self.epoch = first_epoch

    def set_epoch(self, epoch: int) -> None:
        """Go on with the steps of another epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self.steps_per_epoch
        return iter(range(first, first + self.steps_per_epoch))

    def __len__(self) -> int:
        return self.steps_per_epoch


class ValidationStudies(Dataset[dict[str, Any]]):
    """Whole studies in order: `hu` [n, S, R, C] float16 and its `number`."""

    def __init__(self, data: FitData) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data.validation)

    def __getitem__(self, number: int) -> dict[str, Any]:
        where = self.data.validation[number]
        hu = self.data.items(self.data.series(where), where.indices)
        return {"hu": torch.from_numpy(hu), "number": number}


def training_loader(
    data: FitData, options: FitOptions, *, first_epoch: int = 0, pin: bool = False
) -> DataLoader[Batch]:
    """Batches of the epochs from `first_epoch` on, made ahead by worker processes."""
    return DataLoader(
        TrainingBatches(data, options),
        batch_size=None,
        sampler=EpochSteps(options.steps_per_epoch, first_epoch),
        num_workers=options.workers,
        persistent_workers=options.workers > 0,
        worker_init_fn=_one_thread,
        pin_memory=pin,
    )


def validation_loader(data: FitData) -> DataLoader[dict[str, Any]]:
    """The studies of the validation split, one at a time."""
    return DataLoader(ValidationStudies(data), batch_size=None, num_workers=0)


def _drawn(pool: tuple[SeriesSlices, ...], rng: np.random.Generator) -> tuple[SeriesSlices, int]:
    """A random slice of a random series, so that long bleeds do not crowd out short ones."""
    where = pool[int(rng.integers(len(pool)))]
    return where, int(where.indices[int(rng.integers(len(where.indices)))])


def _one_thread(worker: int) -> None:
    # Workers that each start a thread per core spend their time waiting for each other.
    torch.set_num_threads(1)

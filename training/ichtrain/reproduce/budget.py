"""The budgets: how much data and how many steps each size of the comparison takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ichcore import Grid
from ichexport.members import ENCODERS
from ichtrain.ensemble import EnsembleOptions
from ichtrain.fit import FitOptions
from ichtrain.phantoms import PhantomPlan

KINDS = (
    "normal", "sdh", "normal", "sah", "normal", "small", "iph", "normal", "mixed",
    "normal", "edh", "normal", "sdh", "ivh", "normal", "small", "sah", "normal",
)  # fmt: skip
"""Kinds of successive phantoms; 8 of 18 show no blood."""

MEMBER_SUBSETS = {"ich_any": "all", "ich_sdh": "sdh", "ich_sah": "sah", "ich_small": "small"}
MEMBER_ENCODER = "mobilenet_v2"
ANNOTATIONS = ("strong", "weak")


@dataclass(frozen=True)
class Budget:
    """One size of the comparison.

    `steps` is how many an encoder takes, strong or weak: about the same processor time for each.
    A step has `batch_size` slices. Each encoder has its own peak `learning_rates`: VGG19 has no
    batch norms and does not bear that of the others.
    """

    name: str
    grid: Grid
    matrix: int
    slices: int
    series: Mapping[str, int]
    steps: Mapping[str, int]
    learning_rates: Mapping[str, float]
    pace: str
    kinds: tuple[str, ...] = KINDS
    epochs: int = 1
    batch_size: int = 8
    seed: int = 0
    workers: int = 1
    ensemble: EnsembleOptions = field(
        default_factory=lambda: EnsembleOptions(members=tuple(MEMBER_SUBSETS))
    )

    @property
    def plans(self) -> tuple[PhantomPlan, ...]:
        """The phantoms of the three splits."""
        return tuple(
            PhantomPlan(split, count, self.kinds, self.slices, self.matrix)
            for split, count in self.series.items()
        )

    def comparators(self) -> tuple[FitOptions, ...]:
        """Every encoder, trained on masks and on labels of slices."""
        return tuple(
            replace(self._fit(encoder), name=f"{annotation}_{encoder}", annotation=annotation,
                    with_brain=False)
            for encoder in self.steps
            for annotation in ANNOTATIONS
        )  # fmt: skip

    def members(self) -> tuple[FitOptions, ...]:
        """The four members of the ensemble; the last three begin from the first.

        Their seed is another than the comparators', so that the first member is not the very
        network it is compared with.
        """
        fit = replace(self._fit(MEMBER_ENCODER), seed=self.seed + 1)
        return tuple(
            replace(fit, name=name, subset=subset) for name, subset in MEMBER_SUBSETS.items()
        )

    def _fit(self, encoder: str) -> FitOptions:
        return FitOptions(
            name=encoder,
            encoder=encoder,
            epochs=self.epochs,
            steps_per_epoch=self.steps[encoder] // self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rates[encoder],
            patience=self.epochs,
            seed=self.seed,
            workers=self.workers,
        )


_RATES = {
    "densenet121": 2e-3, "inceptionresnetv2": 1e-3, "mobilenet_v2": 2e-3, "vgg19": 3e-4,
}  # fmt: skip

BUDGETS = {
    budget.name: budget
    for budget in (
        Budget(
            name="small",
            grid=Grid(96, 96, 2.5),
            matrix=128,
            slices=12,
            series={"train": 162, "validation": 54, "test": 126},
            steps={
                "densenet121": 330,
                "inceptionresnetv2": 120,
                "mobilenet_v2": 1350,
                "vgg19": 150,
            },
            learning_rates=_RATES,
            pace="a fixed number of steps an encoder, chosen so that training takes each about the "
            "same time on a processor",
        ),
        Budget(
            name="full",
            grid=Grid(),
            matrix=512,
            slices=28,
            series={"train": 7200, "validation": 900, "test": 1800},
            steps=dict.fromkeys(ENCODERS, 40_000),
            learning_rates=_RATES,
            pace="the same number of steps for each encoder, meant for a GPU",
            epochs=20,
            batch_size=24,
            workers=8,
        ),
        Budget(
            name="tiny",
            grid=Grid(64, 64, 4.0),
            matrix=64,
            slices=8,
            series={"train": 8, "validation": 8, "test": 8},
            steps={"densenet121": 2, "mobilenet_v2": 2},
            learning_rates=_RATES,
            pace="two steps, which teach nothing; for tests",
            kinds=("normal", "sdh", "normal", "sah", "small", "normal", "sdh", "normal"),
            batch_size=4,
            workers=0,
        ),
    )
}
"""`tiny` is for tests; `full` has never been run by its authors."""

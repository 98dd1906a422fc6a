"""Weights and prepared series -> what the members say, as the fit takes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ichcore import Grid
from ichexport.engines import Runner, outputs_from_runner
from ichexport.manifest import sha256_from_file
from ichexport.members import output_names
from ichexport.parity import torch_from_member
from ichexport.weights import member_from_file
from ichtrain.data import LabelledSeries, Prepared
from ichtrain.data.items import items_hu
from ichtrain.ensemble.lineage import finding_of_member, record_of_member
from ichtrain.ensemble.options import EnsembleOptions, MemberFacts
from ichtrain.ensemble.validation import Validated, Validation, validated_from_outputs
from ichtrain.errors import EnsembleError


class Members:
    """The members of a run, ready to judge series; raises `EnsembleError` where they do not fit."""

    def __init__(self, run: Path, options: EnsembleOptions) -> None:
        facts, grids, outputs = [], {}, {}
        self._runners: dict[str, Runner] = {}
        for name in options.members:
            path = run / f"{name}.safetensors"
            if not path.is_file():
                raise EnsembleError(
                    f"{path} is absent; train {name} with `ichtrain fit`, or say which members "
                    "there are with --members."
                )
            member = member_from_file(path)
            grids[name], outputs[name] = member.options.grid, output_names(member.options)
            self._runners[name] = torch_from_member(member)
            record, sha256 = record_of_member(run, name), sha256_from_file(path)
            if record is not None and record.get("weights_sha256") != sha256:
                raise EnsembleError(
                    f"{run / name}.json is the record of other weights than {path}; train {name} "
                    "again, so that what it says of its data is true."
                )
            facts.append(MemberFacts(name, finding_of_member(name, record), sha256))
        self.facts = tuple(facts)
        self.names = options.members
        self.grid = _one_grid(grids)
        self.has_mask = tuple("MASK" in outputs[name] for name in self.names)
        self.brain_member = _brain_member(outputs, options)

    def judge(self, series: LabelledSeries) -> Validated:
        """Run every member on a series and keep what the fit needs."""
        hu = items_hu(series, self.grid.slices_per_item)
        outputs = {name: outputs_from_runner(run, hu) for name, run in self._runners.items()}
        return validated_from_outputs(series, outputs, self.names, self.brain_member)

    def validation(
        self, data: Sequence[Prepared], split: str, progress: Callable[[int, int], None]
    ) -> Validation:
        """Judge every series of a split; raises `OneClass` where one class is missing."""
        for folder in data:
            if replace(folder.grid, slices_per_item=self.grid.slices_per_item) != self.grid:
                raise EnsembleError(
                    f"{folder.folder} is on {folder.grid}, the members are on {self.grid}; "
                    "prepare the data on the members' grid."
                )
        work = [
            (folder, uid)
            for folder in data
            for uid in folder.uids
            if folder.record(uid)["split"] == split
        ]
        if len({uid for _, uid in work}) != len(work):
            raise EnsembleError(
                "A series is in two of the prepared folders, or a folder was named twice; it would "
                "count double. Name each once."
            )
        judged = []
        for number, (folder, uid) in enumerate(work):
            progress(number, len(work))
            judged.append(self.judge(folder.series(uid)))
        progress(len(work), len(work))
        return Validation(self.grid, self.facts, self.has_mask, self.brain_member, tuple(judged))


def _one_grid(grids: Mapping[str, Grid]) -> Grid:
    first, grid = next(iter(grids.items()))
    for name, other in grids.items():
        if other != grid:
            raise EnsembleError(
                f"{name} is on {other}, {first} on {grid}; members of one ensemble share a grid."
            )
    return grid


def _brain_member(outputs: Mapping[str, Sequence[str]], options: EnsembleOptions) -> str:
    able = [name for name, tensors in outputs.items() if "BRAIN" in tensors]
    wanted = options.brain_member or (able[0] if able else None)
    if wanted not in able:
        raise EnsembleError(
            f"{wanted or 'No member'} gives {'no ' if wanted else ''}BRAIN; train one strong "
            "member with `ichtrain fit --brain`."
        )
    return wanted

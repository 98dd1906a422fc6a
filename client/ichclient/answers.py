"""Tensors of a server -> typed answers, or a refusal that names the tensor.

Whatever arrives is held against `ichcore.wire`: names, types, shapes, and that every number is
finite. A NaN compares as negative, so it is refused here again although the server refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichclient.errors import ServerRefused
from ichcore import ContractError, Decision, Grid, NonFiniteError, StudyScore
from ichcore.spec import CONTRACT_VERSION
from ichcore.wire import INT8, PRECISION, TensorSpec, ensemble_outputs, study_outputs

Tensors = Mapping[str, NDArray[np.generic]]
Float32 = NDArray[np.float32]

_DTYPES = {"FP16": np.float16, "FP32": np.float32, "INT32": np.int32, "BYTES": np.object_}


@dataclass(frozen=True)
class ServerFacts:
    """What a server says of its bundle, from the parameters of `ich_ensemble`."""

    server_version: str
    grid: Grid
    member_names: tuple[str, ...]
    operating_points: tuple[str, ...]
    spec_sha256: str
    ensemble: str
    """Name and version of the ensemble spec."""
    contract_version: int = CONTRACT_VERSION
    int8: bool = False
    """Whether it says that its engines calculate in 8 bits."""

    def __post_init__(self) -> None:
        """Refuse a bundle without members or points, and one of another contract."""
        if not self.member_names or not self.operating_points:
            raise ServerRefused("The server names no members or no operating points.")
        if self.contract_version != CONTRACT_VERSION:
            raise ServerRefused(
                f"The server speaks contract version {self.contract_version}, this client version "
                f"{CONTRACT_VERSION}: install the client that belongs to the server."
            )


@dataclass(frozen=True)
class ChunkScores:
    """What the ensemble says of the N slices of one request.

    `score`, `lesion_mm2` and `brain_mm2` [N], `member_scores` [N, K], `mask` [N, r, c] lesion
    probability on the grid's mask raster, `provenance` one string per slice. `starts` are the
    starts of a server that answered, none where it does not say.
    """

    score: Float32
    member_scores: Float32
    mask: NDArray[np.float16]
    lesion_mm2: Float32
    brain_mm2: Float32
    provenance: tuple[str, ...]
    starts: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse values that are not finite and slices without provenance."""
        for name in ("score", "member_scores", "mask", "lesion_mm2", "brain_mm2"):
            if not np.isfinite(getattr(self, name)).all():
                raise NonFiniteError(
                    f"The server's {name.upper()} has values that are not finite; refused."
                )
        if len(self.provenance) != len(self.score) or not all(self.provenance):
            raise ContractError("The server left slices without PROVENANCE; refused.")


def facts_from_parameters(server_version: str, parameters: Mapping[str, str]) -> ServerFacts:
    """Read the ensemble's parameters; raises ServerRefused naming one that is absent or broken."""
    name = ""

    def text(key: str) -> str:
        nonlocal name
        name = key
        return parameters[key]

    try:
        return ServerFacts(
            server_version=server_version,
            grid=Grid(
                rows=int(text("grid_rows")),
                columns=int(text("grid_columns")),
                pixel_spacing_mm=float(text("grid_pixel_spacing_mm")),
                slices_per_item=int(text("slices_per_item")),
            ),
            member_names=_names(text("members")),
            operating_points=_names(text("operating_points")),
            spec_sha256=text("spec_sha256"),
            ensemble=text("ensemble"),
            contract_version=int(text("contract_version")),
            int8=parameters.get(PRECISION) == INT8,
        )
    except (KeyError, ValueError) as error:
        raise ServerRefused(
            f"The server's ensemble has no usable parameter '{name}': it does not serve a "
            "bundle of ich-triton; check --url."
        ) from error


def chunk_from_tensors(tensors: Tensors, facts: ServerFacts, slices: int) -> ChunkScores:
    """The ensemble's answer for a request of N = `slices` slices."""
    specs = ensemble_outputs(facts.grid, len(facts.member_names))
    checked = {
        spec.name: _checked(tensors, spec, (slices, *spec.shape))
        for spec in specs
        if spec.name in tensors or not spec.optional
    }
    return ChunkScores(
        score=_float32(checked["SCORE"])[:, 0],
        member_scores=_float32(checked["MEMBER_SCORES"]),
        mask=np.asarray(checked["MASK"], dtype=np.float16),
        lesion_mm2=_float32(checked["LESION_MM2"])[:, 0],
        brain_mm2=_float32(checked["BRAIN_MM2"])[:, 0],
        provenance=_texts(checked["PROVENANCE"]),
        starts=frozenset(_texts(checked["START"]) if "START" in checked else ()),
    )


def study_from_tensors(tensors: Tensors, facts: ServerFacts, slices: int) -> StudyScore:
    """The study model's answer; an empty LESION_VOLUME_ML means that no volume can be told."""
    specs = study_outputs(len(facts.member_names), len(facts.operating_points))
    found = {spec.name: _checked(tensors, spec, spec.shape) for spec in specs}
    numbers = ("STUDY_SCORE", "STUDY_MEMBER_SCORES", "LESION_VOLUME_ML", "COVERAGE_MM")
    for name in numbers:
        if not np.isfinite(_float32(found[name])).all():
            raise NonFiniteError(f"The server's {name} is not finite; the study is refused.")
    volume = _float32(found["LESION_VOLUME_ML"])
    top = tuple(int(index) for index in np.asarray(found["TOP_SLICES"], dtype=np.int64))
    if volume.size > 1 or not top or not all(0 <= index < slices for index in top):
        raise ServerRefused("The server's study result names slices or volumes that cannot be.")
    return StudyScore(
        score=float(_float32(found["STUDY_SCORE"])[0]),
        member_scores=tuple(_float32(found["STUDY_MEMBER_SCORES"]).tolist()),
        lesion_volume_ml=float(volume[0]) if volume.size else None,
        coverage_mm=float(_float32(found["COVERAGE_MM"])[0]),
        decisions=_decisions(found, facts),
        top_slices=top,
        provenance=_texts(found["PROVENANCE"])[0],
    )


def _decisions(found: Tensors, facts: ServerFacts) -> tuple[tuple[str, Decision], ...]:
    points, words = _texts(found["OPERATING_POINT"]), _texts(found["DECISION"])
    if points != facts.operating_points or not set(words) <= set(Decision):
        raise ServerRefused(
            f"The server decided {', '.join(words)} at {', '.join(points)}; this client knows "
            f"{', '.join(Decision)} at {', '.join(facts.operating_points)}."
        )
    return tuple((point, Decision(word)) for point, word in zip(points, words, strict=True))


def _checked(tensors: Tensors, spec: TensorSpec, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """One tensor as the contract has it; -1 in `shape` stands for any size."""
    values = tensors.get(spec.name)
    if values is None:
        raise ServerRefused(f"The server's answer has no {spec.name}; it breaks the contract.")
    fits = len(values.shape) == len(shape) and all(
        wanted in (-1, size) for size, wanted in zip(values.shape, shape, strict=True)
    )
    if not fits or values.dtype != _DTYPES[spec.data_type]:
        raise ServerRefused(
            f"The server's {spec.name} is {values.dtype} {list(values.shape)}; the contract has "
            f"{spec.data_type} {list(shape)}."
        )
    return values


def _float32(values: NDArray[np.generic]) -> Float32:
    return np.asarray(values, dtype=np.float32)


def _texts(values: NDArray[np.generic]) -> tuple[str, ...]:
    flat = values.reshape(-1).tolist()
    return tuple(item.decode() if isinstance(item, bytes) else str(item) for item in flat)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())

"""Wire contract, version 1: the Triton models, their tensors and the provenance string.

Every config, adapter and client takes names and shapes from here; prose in `docs/contract.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ichcore.errors import ContractError, ProvenanceError
from ichcore.grid import Grid

DataType = Literal["FP16", "FP32", "FP64", "UINT8", "INT16", "INT32", "BYTES"]

ENSEMBLE_MODEL = "ich_ensemble"
COMBINE_MODEL = "ich_combine"
FUSED_MODEL = "ich_fused"
FUSED_ENGINE_MODEL = "ich_fused_engine"
PROVENANCE_MODEL = "ich_provenance"
STUDY_MODEL = "ich_study"
SERIES_MODEL = "ich_series"
SERIES_UNARY_MODEL = "ich_series_unary"
CANARY_MODEL = "ich_canary"
"""`ich_ensemble` of the candidate, beside it and with the same tensors, while there is one."""
MAX_BATCH_SIZE = 64
"""Slices that one request may carry."""

PRECISION, INT8 = "precision", "int8"
"""Parameter of `ich_ensemble` where every engine calculates in 8 bits; absent otherwise."""

SPEC_FILE = "ensemble.json"
REFERENCE_FILE = "reference.json"
"""At the root of a repository: how its spec did on the data that its model card is about."""


@dataclass(frozen=True)
class TensorSpec:
    """A named tensor; `shape` leaves out the batch dimension N."""

    name: str
    data_type: DataType
    shape: tuple[int, ...]
    optional: bool = False

    def __post_init__(self) -> None:
        """Refuse a shape that Triton would not take."""
        if any(size == 0 or size < -1 for size in self.shape):
            raise ContractError(f"{self.name} has shape {self.shape}; sizes must be above 0 or -1.")


def hu_tensor(grid: Grid) -> TensorSpec:
    """`HU`: whole Hounsfield units in [-1024, 2047], slices inferior to superior."""
    return TensorSpec("HU", "FP16", (grid.slices_per_item, grid.rows, grid.columns))


def member_outputs(grid: Grid, *, with_brain: bool) -> tuple[TensorSpec, ...]:
    """`LOGIT`, `MASK` and, from the one member that has it, `BRAIN`."""
    outputs = (
        TensorSpec("LOGIT", "FP32", (1,)),
        TensorSpec("MASK", "FP16", grid.mask_shape),
    )
    return (*outputs, TensorSpec("BRAIN", "FP16", grid.mask_shape)) if with_brain else outputs


def combine_inputs(grid: Grid, members: tuple[str, ...], brain: str) -> tuple[TensorSpec, ...]:
    """The members' outputs under one roof: `LOGIT_<member>`, `MASK_<member>`, then `BRAIN`."""
    logits = tuple(TensorSpec(f"LOGIT_{name}", "FP32", (1,)) for name in members)
    masks = tuple(
        TensorSpec(f"MASK_{name}", "FP16", grid.mask_shape, optional=True) for name in members
    )
    if brain not in members:
        raise ContractError(f"The brain member '{brain}' is none of {', '.join(members)}.")
    return (*logits, *masks, TensorSpec("BRAIN", "FP16", grid.mask_shape))


_VOUCHED = (
    TensorSpec("PROVENANCE", "BYTES", (1,)),
    # Clients do without it: a server may be of an earlier release, or of another maker.
    TensorSpec("START", "BYTES", (1,), optional=True),
)


def ensemble_outputs(grid: Grid, member_count: int) -> tuple[TensorSpec, ...]:
    """What `ich_combine`, and so `ich_ensemble` and `ich_fused`, answers for each slice."""
    return (*fused_outputs(grid, member_count), *_VOUCHED)


def fused_outputs(grid: Grid, member_count: int) -> tuple[TensorSpec, ...]:
    """What the engine of the whole ensemble answers: all but who vouches for it."""
    return (
        TensorSpec("SCORE", "FP32", (1,)),
        TensorSpec("MEMBER_SCORES", "FP32", (member_count,)),
        TensorSpec("MASK", "FP16", grid.mask_shape),
        TensorSpec("LESION_MM2", "FP32", (1,)),
        TensorSpec("BRAIN_MM2", "FP32", (1,)),
    )


def provenance_inputs(grid: Grid, member_count: int) -> tuple[TensorSpec, ...]:
    """What `ich_provenance` looks at, and hands on; a mask needs no copy through it."""
    return tuple(tensor for tensor in fused_outputs(grid, member_count) if tensor.name != "MASK")


def provenance_outputs(grid: Grid, member_count: int) -> tuple[TensorSpec, ...]:
    """What it was given, `PROVENANCE`, and `START`."""
    return (*provenance_inputs(grid, member_count), *_VOUCHED)


def study_inputs(member_count: int) -> tuple[TensorSpec, ...]:
    """The slice results of one series, n slices inferior to superior; no batch dimension."""
    return (
        TensorSpec("SCORE", "FP32", (-1,)),
        TensorSpec("MEMBER_SCORES", "FP32", (-1, member_count)),
        TensorSpec("LESION_MM2", "FP32", (-1,)),
        TensorSpec("BRAIN_MM2", "FP32", (-1,)),
        TensorSpec("POSITION_MM", "FP32", (-1,)),
        TensorSpec("PROVENANCE", "BYTES", (-1,)),
    )


def study_outputs(member_count: int, point_count: int) -> tuple[TensorSpec, ...]:
    """The study result; `LESION_VOLUME_ML` is empty where positions do not allow a volume."""
    return (
        TensorSpec("STUDY_SCORE", "FP32", (1,)),
        TensorSpec("STUDY_MEMBER_SCORES", "FP32", (member_count,)),
        TensorSpec("LESION_VOLUME_ML", "FP32", (-1,)),
        TensorSpec("COVERAGE_MM", "FP32", (1,)),
        TensorSpec("OPERATING_POINT", "BYTES", (point_count,)),
        TensorSpec("DECISION", "BYTES", (point_count,)),
        TensorSpec("TOP_SLICES", "INT32", (-1,)),
        TensorSpec("PROVENANCE", "BYTES", (1,)),
    )


def series_inputs() -> tuple[TensorSpec, ...]:
    """A whole series in its own geometry: n slices inferior to superior; no batch dimension."""
    return (
        TensorSpec("HU", "INT16", (-1, -1, -1)),
        TensorSpec("POSITION_MM", "FP32", (-1,)),
        # FP32 would place the grid by other bits than the client, which has the header's numbers.
        TensorSpec("PIXEL_SPACING_MM", "FP64", (2,)),
    )


def series_slice_outputs(member_count: int) -> tuple[TensorSpec, ...]:
    """What a series model says of m slices: of a chunk when it streams, of all when it does not."""
    return (
        TensorSpec("SLICE_INDEX", "INT32", (-1,)),
        TensorSpec("SCORE", "FP32", (-1,)),
        TensorSpec("MEMBER_SCORES", "FP32", (-1, member_count)),
        TensorSpec("MASK", "UINT8", (-1, -1, -1)),
        TensorSpec("LESION_MM2", "FP32", (-1,)),
        TensorSpec("BRAIN_MM2", "FP32", (-1,)),
    )


def series_outputs(member_count: int, point_count: int) -> tuple[TensorSpec, ...]:
    """Slice results and the study result; `PROVENANCE` comes with either."""
    return (*series_slice_outputs(member_count), *study_outputs(member_count, point_count))


def provenance_from_hashes(spec_sha256: str, engines_sha256: str) -> str:
    """The string that says which spec and engines judged a slice."""
    return f"spec:{spec_sha256[:16]} engines:{engines_sha256[:16]}"


def build_record_file(engine_file: str) -> str:
    """Name of the record beside an engine: `model.onnx` has `model.onnx.build.json`."""
    return f"{engine_file}.build.json"


def refuse_other_spec(provenance: str, spec_sha256: str) -> None:
    """Raise `ProvenanceError` where slices were judged under another spec than this one."""
    if not provenance.startswith(f"spec:{spec_sha256[:16]} "):
        raise ProvenanceError(
            f"The slices were judged under '{provenance}', this study model applies spec "
            f"{spec_sha256[:16]}; release members, combination and study model together."
        )

"""Proofs and inspections -> plain text for a terminal, or plain values for `--json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from ichexport.proofs import NOT_RUN, Proof

if TYPE_CHECKING:
    from ichexport.inspection import Inspection, Tensor


def tell_proofs(proofs: Iterable[Proof]) -> None:
    """One line for each engine and runtime, and why some were not run."""
    proofs = list(proofs)
    tell_table(
        ("model", "version", "engine", "target", "precision", "proof", "score differs by"),
        [
            (p.model, str(p.version), p.engine_file, p.target, p.precision, _in_words(p), _of(p))
            for p in proofs
        ],
    )
    reasons = {proof.why_not for proof in proofs if proof.state == NOT_RUN}
    for reason in sorted(reasons):
        click.echo(f"Not run, only their graphs were compared: {reason}.")


def tell_inspection(found: Inspection) -> None:
    """An engine in a few lines and two tables."""
    click.echo(f"{found.engine}")
    graph = found.graph
    rows = [
        ("precision", f"{_shares(found.layers)} (layers with weights, of {found.read_from})"),
        ("size", f"{_mb(found.engine_bytes)}, {_mb(graph.weight_bytes)} of weights in its graph"),
        ("memory", f"{_mb(graph.activation_bytes)} alive at most for one slice, by its graph"),
    ]
    if found.device:
        device = (f"{key.replace('_', ' ')} {_value(value)}" for key, value in found.device.items())
        rows.append(("device", "; ".join(device)))
    rows += [("weights", " ".join(sha256[:16] for sha256 in found.weights_sha256))]
    rows += [("made with", ", ".join(f"{name} {v}" for name, v in found.versions.items()))]
    rows += [("input", _tensor(tensor)) for tensor in graph.inputs]
    rows += [("output", _tensor(tensor)) for tensor in graph.outputs]
    operations = ", ".join(f"{count} {name}" for name, count in graph.operations.items())
    rows.append(("layers" if found.graph_is_engine else "layers of its graph", operations))
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        click.echo(f"  {name.ljust(width)}  {text}")
    tell_proofs(found.proofs)


def plain(value: Any) -> Any:
    """A value of ours as JSON takes it."""
    return {
        name: [dataclasses.asdict(each) for each in field]
        if name == "proofs"
        else dataclasses.asdict(field)
        if dataclasses.is_dataclass(field) and not isinstance(field, type)
        else field
        for name, field in vars(value).items()
    }


def tell_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell."""
    table = [head, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _in_words(proof: Proof) -> str:
    return proof.state.replace("_", " ")


def _of(proof: Proof) -> str:
    return "" if proof.score_difference is None else f"{proof.score_difference:.2g}"


def _shares(layers: Any) -> str:
    total = sum(layers.values())
    counts = sorted(layers.items(), key=lambda item: -item[1])
    return ", ".join(f"{count} in {name}, {count / total:.0%}" for name, count in counts) or "none"


def _value(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _tensor(tensor: Tensor) -> str:
    return f"{tensor.name} {tensor.data_type} [{', '.join(map(str, tensor.shape))}]"


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"

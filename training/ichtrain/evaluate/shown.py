"""Record -> what shows it elsewhere: the model card, and the table in the README."""

from __future__ import annotations

import textwrap
from importlib.resources import files
from pathlib import Path
from string import Template

from ichexport.files import written_whole
from ichtrain.errors import EvaluationError
from ichtrain.evaluate import tables
from ichtrain.evaluate.record import Record

PHANTOM_SITE = "phantom"
"""The site of every phantom; source: ichtrain.phantoms."""

PHANTOMS_ALONE = "no patient data"
"""What the spec's provenance says of its data where all of them are phantoms."""

TEMPLATE_FILE = "model-card.md.template"
BEGIN, END = "<!-- evaluation -->", "<!-- /evaluation -->"


def card_from_record(record: Record) -> str:
    """The model card: the package's own words with the figures of one evaluation.

    Raises `EvaluationError` where weights or figures are of other data than phantoms, of which
    those words would be false.
    """
    _refuse_other_data(record)
    text = files("ichtrain.evaluate").joinpath(TEMPLATE_FILE).read_text(encoding="utf-8")
    spec, conditions, counts = record["spec"], record["conditions"], record["counts"]
    grid = spec["grid"]
    return Template(text).substitute(
        name=record["name"],
        notice=record["notice"],
        members=_members(record),
        input=(
            f"HU on a grid of {grid['rows']} x {grid['columns']} pixels of "
            f"{grid['pixel_spacing_mm']:g} mm, {_slices(grid['slices_per_item'])} an item"
        ),
        rule=spec["study_rule"]["name"].replace("_", " "),
        brain_share=f"{100 * spec['study_rule']['minimum_brain_share']:g} %",
        provenance=_provenance(spec["provenance"]),
        spec=record["spec_sha256"][:16],
        series=counts["series"],
        bleeds=counts["bleeds"],
        clean=counts["clean"],
        split=conditions["split"],
        data=", ".join(f"`{one['folder']}` ({one['series']})" for one in conditions["data"]),
        sites=", ".join(one["name"] for one in record["sites"]),
        engine=conditions["engine"],
        command=conditions["command"],
        points=tables.points_table(record),
        areas=tables.areas_table(record),
        subtypes=tables.groups_table(record, "subtypes"),
        bands=tables.groups_table(record, "bands"),
        predictive=tables.predictive_table(record),
        calibration=tables.calibration_table(record),
        volume=tables.volume_table(record),
    )


def readme_with_table(text: str, record: Record) -> str:
    """The README with the table of a record between its marks.

    Raises `EvaluationError` where the marks are not there once each.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise EvaluationError(f"The README needs the marks {BEGIN} and {END}, once each.")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables.readme_table(record)}\n{END}{after}"


def write_shown(record: Record, card: Path | None, readme: Path | None) -> None:
    """Write the model card and put the table into the README, where named; both or none."""
    texts: dict[Path, str] = {}
    if card is not None:
        texts[card] = card_from_record(record)
    if readme is not None:
        try:
            texts[readme] = readme_with_table(readme.read_text(encoding="utf-8"), record)
        except OSError as error:
            raise EvaluationError(f"{readme} cannot be read ({error.strerror}).") from error
    for path, text in texts.items():
        written_whole(path, text.encode())


def _refuse_other_data(record: Record) -> None:
    sites = sorted(one["name"] for one in record["sites"])
    trained_on = str(record["spec"]["provenance"].get("data", "unknown"))
    if sites != [PHANTOM_SITE] or PHANTOMS_ALONE not in trained_on:
        raise EvaluationError(
            "The model card's words are of weights made of phantoms and judged on phantoms; these "
            f"were made of: {trained_on}; and judged on: {', '.join(sites)}. Write a card of your "
            "own from evaluation.md."
        )


def _members(record: Record) -> str:
    networks = record["conditions"].get("networks", {})
    rows = [
        [
            f"`{one['name']}`",
            one["finding"],
            networks.get(one["name"], "unknown"),
            f"{one['score_weight']:.3f}",
            f"{one['mask_weight']:.3f}",
            f"`{one['weights_sha256'][:16]}`",
        ]
        for one in record["spec"]["members"]
    ]
    heads = ["member", "trained on", "network", "score weight", "mask weight", "weights SHA-256"]
    return tables.table(heads, rows)


def _provenance(provenance: dict[str, str]) -> str:
    """What the spec says of its own making; long values are options, and stay in ensemble.json."""
    rows = [
        [name.replace("_", " "), textwrap.shorten(value, 200, placeholder=" ...")]
        for name, value in provenance.items()
        if not value.startswith("{")
    ]
    return tables.table(["what", "as `ensemble.json` has it"], rows)


def _slices(count: int) -> str:
    return "one slice" if count == 1 else f"{count} neighbouring slices"

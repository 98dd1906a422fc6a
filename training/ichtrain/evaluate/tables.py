"""Record -> evaluation.md and the README's table: every figure in words and lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ichtrain.evaluate.record import ENSEMBLE, NOTICE, Record

NONE = "none"
"""What a cell says where there is nothing to make a figure of."""

NOT_DEFINED = "not defined"
"""What an area is without a bleed or without a clean head."""


GROUP_WORDS = {
    "sdh": "subdural",
    "sah": "subarachnoid",
    "edh": "epidural",
    "iph": "intraparenchymal",
    "ivh": "intraventricular",
    "two or more": "two subtypes or more",
}
"""Groups whose names are abbreviations, as a table says them; others stand as they are."""


def page_from_record(record: Record) -> str:
    """The whole evaluation as one Markdown page."""
    sections = [
        f"# Evaluation of {record['name']}",
        f"**{NOTICE}** Made by `ichtrain evaluate`; every figure and every series is in "
        "`evaluation.json`.",
        "## Conditions",
        conditions_table(record),
        "## Series",
        counts_table(record),
        "A series that was refused or called indeterminate is neither found nor cleared: it counts "
        "against sensitivity and specificity.",
        "## Operating points",
        points_table(record),
        "## Predictive values",
        predictive_table(record),
        "## Areas under the ROC curve",
        areas_table(record),
        "Intervals are DeLong's, symmetric in the logit of the area, and tests DeLong's paired "
        "ones, with Obuchowski's variance: what comes from one patient hangs together, slices "
        "above all. P values are adjusted by Holm within a level.",
        "![ROC curves](roc.png)",
        "## Subtypes, against all clean heads",
        groups_table(record, "subtypes"),
        "## Volume of blood, against all clean heads",
        groups_table(record, "bands"),
        "## Sites, each against its own clean heads",
        groups_table(record, "sites", clean=True),
        "## Volume and mask",
        volume_table(record),
        "![Found and true volume, and what was found by group](volume.png)",
        "## Calibration",
        calibration_table(record),
        "![Reliability](reliability.png)",
        "## Weights",
        weights_table(record),
        "![Weights](weights.png)",
    ]
    return "\n\n".join(sections) + "\n"


def readme_table(record: Record) -> str:
    """The table that the README shows: how many of each group are called positive."""
    names = [point["name"] for point in record["whole"]["points"]]
    heads = ["series", "how many", *(f"positive at {_words(name)}" for name in names)]
    whole = record["whole"]
    clean = [_of(point["clean"]) for point in whole["points"]]
    rows = [["no bleed", str(whole["clean"]), *clean, "", ""], _readme_row(whole, "any bleed")]
    groups = [one for one in (*record["subtypes"], *record["bands"]) if one["bleeds"]]
    rows += [_readme_row(one, group_words(one["name"])) for one in groups]
    return table([*heads, "AUC (95 % interval)", "median Dice"], rows)


def conditions_table(record: Record) -> str:
    """What was judged, on what, with what."""
    conditions = record["conditions"]
    rows = [
        ["spec", f"`{record['spec_sha256'][:16]}`"],
        ["study rule", record["spec"]["study_rule"]["name"]],
    ]
    rows += [[name.replace("_", " "), _condition(value)] for name, value in conditions.items()]
    return table(["condition", "value"], rows)


def counts_table(record: Record) -> str:
    """How many series, and how many stand on a line of their own."""
    counts = record["counts"]
    rows = [
        [name.replace("_", " "), str(counts[name])]
        for name in ("series", "patients", "bleeds", "clean", "truth_unknown", "refused")
    ]
    rows += [
        [f"indeterminate at {_words(name)}", str(count)]
        for name, count in counts["indeterminate"].items()
    ]
    return table(["what", "how many"], rows)


def points_table(record: Record) -> str:
    """Sensitivity and specificity with exact intervals, and every call counted."""
    heads = ["operating point", "threshold", "sensitivity", "specificity"]
    heads += [f"{kind}: positive / negative / indeterminate / refused" for kind in _KINDS]
    rows = [
        [
            _words(point["name"]),
            f"{point['threshold']:.4g}",
            proportion(point["sensitivity"]),
            proportion(point["specificity"]),
            _calls(point["bleeds"]),
            _calls(point["clean"]),
        ]
        for point in record["whole"]["points"]
    ]
    return table(heads, rows)


def predictive_table(record: Record) -> str:
    """Predictive values at stated prevalences; the last of each point is the test's own."""
    rows = []
    for point in record["whole"]["points"]:
        for index, one in enumerate(point["predictive"]):
            own = " (this test)" if index == len(point["predictive"]) - 1 else ""
            rows.append(
                [
                    _words(point["name"]),
                    f"{100 * one['prevalence']:.0f} %{own}",
                    share(one["ppv"]),
                    share(one["npv"]),
                ]
            )
    return table(["operating point", "prevalence", "PPV", "NPV"], rows) if rows else NONE.title()


def areas_table(record: Record) -> str:
    """Areas of ensemble, members and baseline, and the tests of the ensemble against each."""
    rows = []
    for level in ("study", "slice"):
        areas = record[level]["areas"]
        cases = f"{record[level]['cases']} ({record[level]['positives']} with blood)"
        if areas is None:
            rows.append([level, ENSEMBLE, cases, NOT_DEFINED, "", "", ""])
            continue
        rows.append([level, ENSEMBLE, cases, area(areas["ensemble"]), "", "", ""])
        tests = {one["against"]: one for one in areas["tests"]}
        for name, one in areas["others"].items():
            rows.append([level, name, cases, area(one), *_test(tests.get(name))])
    heads = [
        "level",
        "score",
        "cases",
        "AUC (95 % interval)",
        "ensemble less this",
        "p",
        "p (Holm)",
    ]
    return table(heads, rows)


def groups_table(record: Record, name: str, *, clean: bool = False) -> str:
    """A line for each group; sensitivity, and with `clean` specificity, at every point."""
    points = [point["name"] for point in record["whole"]["points"]]
    heads = ["group", "bleeds", *(["clean"] if clean else []), "AUC (95 % interval)"]
    heads += [f"sensitivity, {_words(point)}" for point in points]
    heads += [f"specificity, {_words(point)}" for point in points] if clean else []
    rows = []
    for one in record[name]:
        row = [
            group_words(one["name"]),
            _count(one["bleeds"]),
            *([_count(one["clean"])] if clean else []),
        ]
        row.append(area(one["area"]))
        row += [proportion(point["sensitivity"]) for point in one["points"]]
        row += [proportion(point["specificity"]) for point in one["points"]] if clean else []
        rows.append([*row, _number(one["median_dice"], 2)])
    return table([*heads, "median Dice"], rows)


def volume_table(record: Record) -> str:
    """How the found volume differs from the true one."""
    volume, whole = record["volume"], record["whole"]
    limits = volume["limits_of_agreement_ml"]
    rows = [
        ["median Dice of bleeds with a mask", _number(whole["median_dice"], 2)],
        ["bleeds with both volumes", _count(volume["bleeds"])],
        ["median true volume, mL", _number(whole["median_lesion_ml"], 1)],
        ["median found volume, mL", _number(whole["median_found_ml"], 1)],
        ["median absolute difference, mL", _number(volume["median_absolute_error_ml"], 1)],
        ["mean difference, found less true, mL", _number(volume["mean_difference_ml"], 1)],
        [
            "95 % limits of agreement, mL",
            NONE if limits is None else f"{limits[0]:.1f} to {limits[1]:.1f}",
        ],
        ["median volume found in clean heads, mL", _number(volume["median_found_in_clean_ml"], 2)],
    ]
    return table(["figure", "value"], rows)


def calibration_table(record: Record) -> str:
    """Whether scores are probabilities."""
    rows = []
    for level in ("study", "slice"):
        one = record[level]["calibration"] or {}
        names = ("brier", "expected_calibration_error", "intercept", "slope")
        rows.append([level, *(_number(one.get(name), 3) for name in names)])
    return table(
        ["level", "Brier score", "expected calibration error", "intercept (0)", "slope (1)"], rows
    )


def weights_table(record: Record) -> str:
    """The members' two weights."""
    rows = [
        [one["name"], one["finding"], f"{one['score_weight']:.3f}", f"{one['mask_weight']:.3f}"]
        for one in record["spec"]["members"]
    ]
    return table(["member", "finding", "score weight", "mask weight"], rows)


def group_words(name: str) -> str:
    """The name of a group in words."""
    return GROUP_WORDS.get(name, name)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, without a newline at the end."""
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def area(one: Record | None) -> str:
    """An area with its interval."""
    return (
        NOT_DEFINED if one is None else f"{one['area']:.3f} ({one['low']:.3f} to {one['high']:.3f})"
    )


def proportion(one: Record | None) -> str:
    """A count with its share and exact interval."""
    if one is None:
        return NONE
    counted = f"{one['count']} of {one['total']}"
    return f"{counted}, {one['share']:.2f} ({one['low']:.2f} to {one['high']:.2f})"


def share(value: float | None) -> str:
    """A share of 0 to 1."""
    return NONE if value is None else f"{value:.2f}"


_KINDS = ("bleeds", "clean")


def _readme_row(one: Record, name: str) -> list[str]:
    calls = [_of(point["bleeds"]) for point in one["points"]]
    return [name, str(one["bleeds"]), *calls, area(one["area"]), _number(one["median_dice"], 2)]


def _of(calls: Record) -> str:
    total = sum(calls.values())
    return f"{calls['positive']} of {total}" if total else NONE


def _calls(calls: Record) -> str:
    return " / ".join(
        str(calls[name]) for name in ("positive", "negative", "indeterminate", "refused")
    )


def _test(one: Record | None) -> list[str]:
    if one is None:
        return [NOT_DEFINED, "", ""]
    test = one["test"]
    difference = f"{test['difference']:+.3f} ({test['low']:+.3f} to {test['high']:+.3f})"
    return [difference, _p(test["p_value"]), _p(one["p_holm"])]


def _p(value: float | None) -> str:
    if value is None:
        return NOT_DEFINED
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def _condition(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    if isinstance(value, list):
        return "; ".join(_condition(each) for each in value)
    return str(value)


def _count(value: int) -> str:
    return str(value) if value else NONE


def _number(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _words(name: str) -> str:
    return name.replace("_", " ")

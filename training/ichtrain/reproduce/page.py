"""Record -> the page `reproduce.md`: the paper's claims, and what came out here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ichtrain.reproduce.paper import TITLES
from ichtrain.reproduce.verdict import HELD, NOT_HELD, NOT_TESTED, UNDERPOWERED

Record = Mapping[str, Any]


def page_from_record(record: Record) -> str:
    """The page in Markdown; every figure on it stands in the record."""
    parts = [_head(record), _findings(record), _areas(record), _strong(record), _ensemble(record),
             _conditions(record)]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def title_of(name: str) -> str:
    """A network's name in words: `weak_vgg19` -> VGG19, weak."""
    annotation, _, encoder = name.partition("_")
    if encoder in TITLES:
        return f"{TITLES[encoder]}, {annotation}"
    return TITLES.get(name, f"member `{name}`")


def _head(record: Record) -> str:
    paper, cases, budget = record["paper"], record["cases"], record["budget"]
    return (
        "# The paper's comparison, repeated on phantoms\n\n"
        f"{record['notice']} Made by `ichtrain reproduce OUT --budget {budget['name']}`; every "
        "figure below stands in `reproduce.json`.\n\n"
        f"{paper['citation']} trained four architectures on strongly annotated data (drawn "
        "lesions) and on weakly annotated data (labels of slices), and a weighted ensemble of "
        "models of all haemorrhages, subdural, subarachnoid and small ones. It tested on "
        f"{paper['cases']} scans "
        f"({paper['positives']} with blood; {paper['data']}). {paper['limits']}\n\n"
        f"Here the same comparison runs on {cases['test']} synthetic test phantoms "
        f"({cases['positives']} with blood, {cases['negatives']} without) with small networks "
        "trained for minutes from random weights. It shows whether the order comes out under these "
        "conditions; it can neither confirm nor refute what was found in patients, and no area "
        "here says how the networks would do on a scan of a patient."
    )


def _findings(record: Record) -> str:
    rule = record["rule"]
    claimed = [one for one in record["strong_beats_weak"] if one["claimed"]]
    lines = [
        "## What came out",
        "",
        f"- Strong annotation beats weak ({_names(claimed)}): {_tally(claimed)}.",
        f"- The ensemble beats each network: {_tally(record['ensemble_beats'])}.",
    ]
    unclaimed = [one for one in record["strong_beats_weak"] if not one["claimed"]]
    lines += [
        f"- {title_of(one['first']).partition(',')[0]}, for which the paper claims nothing: "
        f"{one['verdict']}."
        for one in unclaimed
    ]
    confidence = f"{rule['confidence_percent']:g} %"
    lines += [
        "",
        f"The rule, set before the run. A network whose AUC on the validation split is under "
        f"{rule['trained_from_auc']:g} is *not trained* and left out of every test. Two areas on "
        "the same cases are compared by DeLong's paired test; p is corrected by Holm within each "
        f"table. *{HELD.capitalize()}*: the difference is above zero and the corrected p below "
        f"{rule['significance']:g}. *{UNDERPOWERED.capitalize()}*: it is not significant and its "
        f"{confidence} interval is wider than {rule['widest_interval']:g}, or no test can be made. "
        f"*{NOT_HELD.capitalize()}*: all else, a difference the other way round included. "
        "*Detectable* is the true difference that would be seen with a power of "
        f"{rule['power_percent']:g} % by one test, uncorrected. A claim that did not hold or is "
        "underpowered is no evidence that there is no difference.",
    ]
    return "\n".join(lines)


def _names(answers: Sequence[Record]) -> str:
    return ", ".join(title_of(one["first"]).partition(",")[0] for one in answers)


def _tally(answers: Sequence[Record]) -> str:
    """Which comparisons came out how, in words."""
    parts = []
    for verdict in (HELD, NOT_HELD, UNDERPOWERED, NOT_TESTED):
        which = [title_of(one["second"]) for one in answers if one["verdict"] == verdict]
        if len(which) == len(answers):
            return f"{verdict} in every comparison"
        if which:
            parts.append(f"{verdict} against {'; '.join(which)}")
    return " — ".join(parts)


def _areas(record: Record) -> str:
    ensemble = record["ensemble"]
    rows = [_area_row("ensemble", ensemble, record["paper"]["areas"].get("ensemble"))]
    for one in record["networks"]:
        paper = None
        if one["name"].startswith(("strong_", "weak_")):
            paper = record["paper"]["areas"].get(one["encoder"])
        rows.append(_area_row(one["name"], one, paper))
    return "\n".join(
        [
            "## Areas under the ROC curve",
            "",
            f"Studies of the test split, DeLong's {record['rule']['confidence_percent']:g} % "
            "intervals; the paper's figure is one an architecture. The validation AUC is over "
            "studies too, of a member over those of its own subset; that of the ensemble is of the "
            "split it was fitted on.",
            "",
            "| model | AUC here | paper | validation |",
            "|---|---|---|---|",
            *rows,
            "",
            "![ROC curves of all models](roc.png)",
            "",
            "![Areas with their intervals beside the paper's](forest.png)",
        ]
    )


def _area_row(name: str, one: Record, paper: Record | None) -> str:
    here = _area(one["test"]) if one["trained"] else "not trained"
    theirs = _area(paper) if paper else "none given"
    return f"| {title_of(name)} | {here} | {theirs} | {one['validation_auc']:.3f} |"


def _area(area: Record) -> str:
    return f"{area['area']:.3f} ({area['low']:.3f} to {area['high']:.3f})"


_TEST_HEAD = (
    "| difference of AUC | Holm's p | detectable | verdict |",
    "|---|---|---|---|",
)


def _strong(record: Record) -> str:
    rows = [
        f"| {title_of(one['first']).partition(',')[0]} | "
        f"{'better' if one['claimed'] else 'not named'} {_test_cells(one)}"
        for one in record["strong_beats_weak"]
    ]
    return "\n".join(
        [
            "## Strong minus weak annotation",
            "",
            f"| architecture | paper: strong {_TEST_HEAD[0]}",
            f"|---|---{_TEST_HEAD[1]}",
            *rows,
        ]
    )


def _ensemble(record: Record) -> str:
    rows = [f"| {title_of(one['second'])} {_test_cells(one)}" for one in record["ensemble_beats"]]
    below = record["paper"]["ensemble_p_below"]
    return "\n".join(
        [
            "## Ensemble minus each network",
            "",
            f"The paper has the ensemble better than each architecture, p below {below:.4f}. Here "
            f"its study rule, chosen on the validation split, is `{record['ensemble']['rule']}`.",
            "",
            f"| network {_TEST_HEAD[0]}",
            f"|---{_TEST_HEAD[1]}",
            *rows,
        ]
    )


def _test_cells(one: Record) -> str:
    test = one["test"]
    if test is None:
        names = " and ".join(title_of(name) for name in one["not_trained"])
        return f"| none | none | none | {NOT_TESTED}: {names} not trained |"
    p = test["adjusted_p"]
    return (
        f"| {test['difference']:+.3f} ({test['low']:+.3f} to {test['high']:+.3f}) | "
        f"{'none' if p is None else f'{p:.4f}'} | {test['detectable_difference']:.3f} | "
        f"{one['verdict']} |"
    )


def _conditions(record: Record) -> str:
    budget, conditions = record["budget"], record["conditions"]
    series = ", ".join(f"{count} {split}" for split, count in budget["series"].items())
    kinds = ", ".join(f"{count} {kind}" for kind, count in budget["kinds"].items())
    versions = ", ".join(f"{name} {one}" for name, one in sorted(conditions["versions"].items()))
    lines = [
        "## Conditions",
        "",
        f"- Data: {series} phantoms of {budget['slices']} slices, scanned with {budget['matrix']} "
        f"pixels a side, on a grid of {budget['pixels']} pixels of {budget['pixel_spacing_mm']:g} "
        f"mm; in turn {kinds}. Heads of one split are in no other.",
        f"- Budget `{budget['name']}`: {budget['pace']}; batches of {budget['batch_size']} slices, "
        f"half of them with blood; epochs: {budget['epochs']}. A weak network sees the same slices "
        "as the strong one. All begin from random weights, the last three members from "
        "`ich_any`; so the ensemble had the time of four networks.",
        f"- Device: {', '.join(conditions['devices'])} ({conditions['processor']}, "
        f"{conditions['cores']} cores), precision {', '.join(conditions['precisions'])}; "
        f"{conditions['training_seconds']:.0f} s of training in all.",
        f"- Python {conditions['python']}; {versions}.",
        "- One run with one seed a network: the intervals are of the test cases alone, and another "
        "seed would give other networks. The tests do not cover that.",
        "",
        "| network | steps | learning rate | seed | training, s |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {title_of(one['name'])} | {one['steps']} | {one['learning_rate']:g} | {one['seed']} | "
        f"{one['training_seconds']:.0f} |"
        for one in record["networks"]
    ]
    return "\n".join(lines)

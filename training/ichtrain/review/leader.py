"""The key of a study -> README.md of its pack: what the study leader does, and must not do."""

from __future__ import annotations

from collections import Counter

from ichtrain.review.key import WITHOUT_AI, Key, folder_name, rounds_of

_TEXT = """\
# A reading study of difficult head CTs

For the study leader; readers must not see this file or key.json. Research demonstration, not a \
medical device.

{cases} cases for {readers} readers: {contents}. Picked at the operating point "{point}" of \
{ensemble}{comparators}. Seed {seed}. {marks}{left_out}

**The cases were picked because the AI is wrong or nearly wrong on them.** Nothing measured here \
is the accuracy of the AI or of a reader among patients; the study shows where and why reading is \
hard, and what the AI does to readers on such cases.

## What to do

1. Give each reader the folder `reader-N` and nothing else. Its files hold case numbers only: no \
UID, patient, label or reason; `without_ai.html` holds no score either.
2. Give out one round at a time. Odd readers begin without AI, even readers with it:

{plan}

3. Leave at least four weeks between a reader's rounds. The order of the cases differs, but the \
case numbers do not, so let nobody keep notes.
4. Readers answer in the page and press "Save answers as CSV" (`answers-without_ai.csv`, \
`answers-with_ai.csv`), or fill in `answers.csv` by hand. Put what they saved into their folder \
here, under the same name.
5. Score: `ichtrain review score {name}`. Mistakes in the answers are named by file, row and \
column; readers who did not finish are reported as such.

## What may stand in the columns

| column | may hold |
|---|---|
| case, round | as given |
| answer | `positive` or `negative`: any intracranial haemorrhage |
| confidence | 1 (guess) to 5 (certain), or empty |
| location, comment | any text |
| the causes | `x` where it made the case difficult, else empty |

A row without any entry counts as not read. Images are those the AI saw, on its grid: a reader \
has coarser pixels here than on the scanner's own images, and no other plane.
"""


def readme_from_key(key: Key, marked: bool, name: str = "PACK") -> str:
    """The text of README.md; `marked` says whether the AI's marks are in the pages."""
    counts = Counter(("bleeds" if case.positive else "normals", case.kind) for case in key.cases)
    contents = ", ".join(
        f"{count} {kind} {truth}" for (truth, kind), count in sorted(counts.items())
    )
    others = [other for other in key.thresholds if other != key.ensemble]
    plan = "\n".join(
        f"   - `{folder_name(reader)}`: "
        + ("without AI, then with AI" if rounds_of(reader)[0] == WITHOUT_AI else
           "with AI, then without AI")
        for reader in key.readers
    )  # fmt: skip
    return _TEXT.format(
        cases=len(key.cases),
        readers=len(key.readers),
        contents=contents,
        point=key.point.replace("_", " "),
        ensemble=key.ensemble,
        comparators=f" and of the comparators {', '.join(others)}" if others else "",
        seed=key.seed,
        marks="Pages with AI show its score, decision and marks."
        if marked
        else "Pages with AI show its score and decision; no marks were made.",
        left_out=f" {key.left_out} series were left out, having no known truth or no score."
        if key.left_out
        else "",
        plan=plan,
        name=name,
    )

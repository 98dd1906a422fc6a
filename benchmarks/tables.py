"""Result files -> the tables of README and operations, between their markers.

python -m benchmarks.tables          # write them again
python -m benchmarks.tables --check  # exit code 1 where one has drifted from the results
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks.conditions import arithmetic_of
from benchmarks.data import CHECKOUT
from benchmarks.errors import BenchmarkError
from benchmarks.targets import Documents, documents_from_folder, targets_from_documents
from benchmarks.written import write_whole
from ichclient.ending_cli import told


def speed_table(documents: Documents) -> str:
    """What the bundle wants to reach, what was measured, and under which conditions."""
    rows = [
        (row.what, row.goal, row.measured or "not measured",
         "" if row.reached is None else "yes" if row.reached else "no")
        for row in targets_from_documents(documents)
    ]  # fmt: skip
    table = markdown_table(("what", "wanted", "measured (95 % interval)", "reached"), rows)
    return f"{table}\n\n{conditions_line(documents)}"


def sizing_table(documents: Documents) -> str:
    """Studies an hour by processor; nothing but a sentence where it was not measured."""
    if "scale" not in documents:
        return "Not measured yet: `python -m benchmarks.scale`."
    scale = documents["scale"]
    sizing, machine = scale["sizing"], scale["conditions"]["machine"]
    rows = [
        (f"{machine['cpu_model']}, {_arithmetic(scale)}", str(machine["cores"]),
         f"{sizing['studies_per_hour']:.0f}", f"{sizing['studies_per_hour_per_core']:.0f}",
         str(sizing["at_once"]))
    ]  # fmt: skip
    head = ("processor", "cores", "studies an hour", "an hour and core", "reached with, at once")
    line = conditions_line({"scale": scale})
    return (
        f"{markdown_table(head, rows)}\n\nStudies of {sizing['slices']} slices, from files to "
        f"result, client and server on the same cores. {line}"
    )


def conditions_line(documents: Documents) -> str:
    """Processor, arithmetic, load and form of the results, in a sentence or two."""
    if not documents:
        return "Nothing was measured yet."
    told = dict.fromkeys(_conditions(one) for one in documents.values())
    loads = [
        load
        for one in documents.values()
        for load in (
            one["conditions"]["machine"]["load_average_start"],
            one["conditions"]["machine"]["load_average_end"],
        )
    ]
    short = [name for name, one in documents.items() if one["form"] != "full"]
    line = f"{'; '.join(told)}; load {min(loads):.1f} to {max(loads):.1f}."
    return line + (f" Short form, no record: {', '.join(short)}." if short else "")


def _conditions(document: Mapping[str, Any]) -> str:
    machine = document["conditions"]["machine"]
    return f"{machine['cpu_model']}, {machine['cores']} cores, {_arithmetic(document)}"


def _arithmetic(document: Mapping[str, Any]) -> str:
    conditions = document["conditions"]
    return arithmetic_of(conditions["precision"], conditions["machine"]["vector_flags"])


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


TABLES: Mapping[str, tuple[Path, Callable[[Documents], str]]] = {
    "speed": (Path("README.md"), speed_table),
    "sizing": (Path("docs/operations.md"), sizing_table),
}
"""By marker: the file that holds the table, and what makes it."""


def drifted(documents: Documents, checkout: Path = CHECKOUT) -> dict[Path, str]:
    """Files whose tables are not those of the results, and the text that they should have.

    Raises BenchmarkError where a file has lost its markers.
    """
    found: dict[Path, str] = {}
    for marker, (name, table) in TABLES.items():
        path = checkout / name
        text = found.get(path) or path.read_text(encoding="utf-8")
        if not re.search(rf"<!-- {marker} -->\n.*<!-- /{marker} -->", text, re.DOTALL):
            raise BenchmarkError(f"{name} has no <!-- {marker} --> and <!-- /{marker} -->.")
        before, _, rest = text.partition(f"<!-- {marker} -->\n")
        _, end, after = rest.partition(f"<!-- /{marker} -->")
        new = f"{before}<!-- {marker} -->\n{table(documents)}\n{end}{after}"
        if new != text:
            found[path] = new
    return found


def write_tables(documents: Documents, checkout: Path = CHECKOUT) -> list[Path]:
    """Write what has drifted; the files that were written."""
    changed = drifted(documents, checkout)
    for path, text in changed.items():
        write_whole(path, text)
    return list(changed)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--check", is_flag=True, help="Change nothing; fail where a table has drifted.")
@told
def main(check: bool) -> None:
    """Write the tables of README and operations from the result files."""
    documents = documents_from_folder()
    if not check:
        for path in write_tables(documents):
            click.echo(path)
    elif changed := drifted(documents):
        names = ", ".join(path.name for path in changed)
        raise BenchmarkError(
            f"{names} differs from the result files; run: python -m benchmarks.tables"
        )


if __name__ == "__main__":
    main()

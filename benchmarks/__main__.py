"""The whole set, one benchmark after the other -> result files, the page and the tables.

    python -m benchmarks           # 24 to 28 minutes on two cores with bf16 that do nothing else
    python -m benchmarks --quick   # two minutes: a few ratios against their committed references

Each runs in a process of its own. One that fails leaves its former result alone, and the others
go on; Ctrl-C ends the one that runs, and keeps what is finished.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from benchmarks.data import CHECKOUT
from benchmarks.errors import BenchmarkError
from benchmarks.page import write_page
from benchmarks.tables import write_tables
from benchmarks.targets import NAMES, RESULTS, documents_from_folder
from ichclient.ending_cli import told

_OPTIONS = {
    "limits": ("--repeats", "8"),
    "throughput": ("--within", "150"),
    "peers": ("--within", "360"),
    "latency": ("--csv", "{folder}/latency.csv"),
    "startup": (),
    "scale": ("--within", "150"),
}
"""What keeps the set within half an hour; alone, each takes its own time."""

_END_DEADLINE_S = 60.0
_SHORT_RESULTS = Path(tempfile.gettempdir()) / "ich-benchmarks-short"
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Only compare a few ratios with their references.")
@click.option(
    "--short", is_flag=True, help="The whole set in its short form, to see that it works."
)
@click.option("--install", is_flag=True, help="First make an environment for each peer.")
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="Leave the others out.")
@click.option("--out", type=_FOLDER, help="Where the results go, instead of benchmarks/results or, "
              "in the short form, a temporary folder.")  # fmt: skip
@told
def main(quick: bool, short: bool, install: bool, only: tuple[str, ...], out: Path | None) -> None:
    """Run every benchmark of the set, then write its page and the tables of the documents."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    if quick:
        sys.exit(_ended(["benchmarks.regression"]))
    folder = _SHORT_RESULTS if short and out is None else (out or RESULTS).resolve()
    failed = {}
    try:
        for name in only or NAMES:
            started = time.monotonic()
            click.echo(f"== {name}", err=True)
            options = [option.format(folder=folder) for option in _OPTIONS[name]]
            form = [*(["--quick"] if short else []),
                    *(["--install"] if install and name == "peers" else [])]  # fmt: skip
            command = [f"benchmarks.{name}", *form, *options, "--out", f"{folder / name}.json"]
            status = _ended(command)
            if status:
                failed[name] = status
            click.echo(f"== {name}: {time.monotonic() - started:.0f} s", err=True)
    finally:
        documents = documents_from_folder(folder)
        click.echo(write_page(documents, folder))
        if folder == RESULTS:
            for path in write_tables(documents):
                click.echo(path)
    if failed:
        told_of = ", ".join(f"{name} ({status})" for name, status in failed.items())
        worst = BenchmarkError(f"Without a result, with its exit code: {told_of}.")
        worst.exit_code = max(1, *failed.values())  # a signal's is below 0
        raise worst


def _ended(command: list[str]) -> int:
    """Run a benchmark to its end; its exit status.

    It is in a process group of its own, so that Ctrl-C reaches it once, from here, and it is given
    time to end its servers.
    """
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=CHECKOUT, process_group=0)
    try:
        return process.wait()
    except BaseException:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_END_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise


if __name__ == "__main__":
    main()

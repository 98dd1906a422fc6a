"""Result files -> one page with tables and plots, from them alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.plots import (
    svg_of_latency,
    svg_of_limits,
    svg_of_scale,
    svg_of_shares,
    svg_of_startup,
)
from benchmarks.tables import conditions_line
from benchmarks.targets import Documents, targets_from_documents
from benchmarks.written import write_whole

PAGE = "index.html"
_PLOTS = {
    "throughput": ("How much of the engine our servers give",
                   "The raw engine in its own process is 1. Median of paired turns.",
                   svg_of_shares),
    "peers": ("Beside other servers with the same engine",
              "Same graph, precision, streams and slices; every answer was proven first.",
              svg_of_shares),
    "latency": ("Latency", "Three windows in a row within 10 %; hollow points were not stable.",
                svg_of_latency),
    "limits": ("The raw engine by its settings",
               "Blue is what every server here holds. On this machine, without any server.",
               svg_of_limits),
    "startup": ("From nothing to the first result",
                "The lowest bar is what no client could leave out; the target takes it without its "
                "last part, the engine's time for the study.", svg_of_startup),
    "scale": ("Longer studies, more at once, hours",
              "From files to results through the client, on one embedded server. The client is the "
              "benchmark's own process, which begins the last plot after many studies at once.",
              svg_of_scale),
}  # fmt: skip

_ENOUGH_STUDIES = 100
_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; margin: 2.5rem auto;
  max-width: 62rem; padding: 0 1.2rem; }
h1 { font-size: 1.7rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.6rem 0 .2rem; }
p { margin: .2rem 0 .8rem; } .soft { color: #666; font-size: .88rem; }
.notice { border-left: 4px solid #D55E00; padding: .3rem .8rem; background: #fdf3ec; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; margin: .6rem 0; }
th, td { text-align: left; padding: .32rem .7rem .32rem 0; border-bottom: 1px solid #e4e4e4;
  font-variant-numeric: tabular-nums; vertical-align: top; }
th { font-weight: 600; color: #555; } .yes { color: #00795a; font-weight: 600; }
.no { color: #b3440a; font-weight: 600; } .yes, .no { white-space: nowrap; }
svg { width: 100%; height: auto; margin-top: .4rem; }
code { font-size: .92em; }
"""


def html_from_documents(documents: Documents) -> str:
    """The page; it says what is missing."""
    parts = [
        "<!doctype html>", '<html lang="en">', '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>ich-triton: benchmarks</title><style>{_STYLE}</style>",
        "<h1>ich-triton: benchmarks</h1>",
        f'<p class="soft">{escape(conditions_line(documents))} Made by '
        "<code>python -m benchmarks</code> from the files beside this page.</p>",
        '<p class="notice">Research demonstration, not a medical device.</p>',
        "<h2>Targets</h2>",
        _targets(documents),
    ]  # fmt: skip
    for name, (title, words, plot) in _PLOTS.items():
        parts.append(f"<h2>{escape(title)}</h2>")
        if name not in documents:
            parts.append(f"<p>Not measured: <code>python -m benchmarks.{name}</code>.</p>")
            continue
        document = documents[name]
        parts += [f"<p>{escape(words)}</p>", plot(document), _more(name, document)]
        parts.append(f'<p class="soft">{escape(_conditions(name, document))}</p>')
    return "\n".join([*parts, "</html>", ""])


def write_page(documents: Documents, folder: Path) -> Path:
    """Write the page into the folder of the results; where it is."""
    try:
        text = html_from_documents(documents)
    except ImportError as error:
        raise BenchmarkError(
            "matplotlib is not installed; run: pip install 'ich-triton[bench]'"
        ) from error
    write_whole(folder / PAGE, text)
    return folder / PAGE


def _targets(documents: Documents) -> str:
    rows = [
        [_code(row.what), escape(row.goal), escape(row.measured) or "not measured",
         {None: "", True: '<span class="yes">reached</span>',
          False: '<span class="no">not reached</span>'}[row.reached]]
        for row in targets_from_documents(documents)
    ]  # fmt: skip
    return _table(("what", "wanted", "measured (95 % interval)", ""), rows)


def _more(name: str, document: Mapping[str, Any]) -> str:
    """What a plot does not show."""
    if name == "limits":
        rows = [
            [escape(work), f"{one['memory_copy_ms']:.3f} ms", f"{one['loopback_ms']:.3f} ms"]
            for work, one in document["transfers"].items()
        ]
        decoding = "; ".join(
            f"{escape(syntax)} {one['slices_per_second']:.0f}"
            for syntax, one in document["decoding"].items()
        )
        table = _table(("bytes of", "copy in memory", "there and back over loopback TCP"), rows)
        return f"{table}<p>Decoding alone, slices a second: {decoding}.</p>"
    if name == "throughput":
        rows = [
            [escape(syntax), escape(what), f"{share['median']:.2f}",
             f"{share['low']:.2f} to {share['high']:.2f}"]
            for syntax, one in document["studies"].items()
            for what, share in one["shares"].items()
        ]  # fmt: skip
        return _table(("study of 32 slices", "share", "median", "95 % interval"), rows)
    if name == "latency":
        return f"<p>perf_analyzer: {escape(document['perf_analyzer']['verdict'])}</p>"
    if name == "scale":
        memory, after = document["infer_memory"], document["one_after_the_other"]
        slope = (
            f"{after['server_mib_per_1000']:+.1f} MiB a thousand in the server, "
            f"{after['benchmark_mib_per_1000']:+.1f} in the client, over the second half"
            if after["studies"] >= _ENOUGH_STUDIES
            else "too few to tell a slope"
        )
        return (
            f"<p>One <code>ichclient infer</code> with its own server: client "
            f"{memory['client_mib']:.0f} MiB, server {memory['server_mib']:.0f} MiB, together at "
            f"most {memory['together_mib']:.0f} MiB. {after['studies']} studies one after the "
            f"other: {slope}.</p>"
        )
    if name == "startup":
        cold = document["cold_infer"]["stages_s"]
        timed = [(f"cold infer: {_spoken(stage)}", value) for stage, value in cold.items()]
        timed += [
            (f"part: {_spoken(part)}", one["median_s"]) for part, one in document["parts"].items()
        ]
        timed += [
            (f"server with {models}, until ready", one["ready_s"])
            for models, one in document["servers"].items()
        ]
        rows = [[escape(what), f"{value:.3f} s"] for what, value in timed]
        return _table(("start", "median"), rows)
    skipped = document.get("skipped", {})
    words = "".join(f"<li>{escape(who)}: {escape(why)}</li>" for who, why in skipped.items())
    return f"<p>Skipped:</p><ul>{words}</ul>" if words else ""


def _conditions(name: str, document: Mapping[str, Any]) -> str:
    conditions = document["conditions"]
    machine = conditions["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in conditions["versions"].items())
    return (
        f"{name}.json, {conditions['date']}, {document['form']} form, commit "
        f"{_commit(conditions['git_commit'])}; {machine['cpu_model']}, "
        f"{machine['cores']} cores, {conditions['precision']}, load "
        f"{machine['load_average_start']} to {machine['load_average_end']}; chunks of "
        f"{conditions['chunk_slices']}; {versions}"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"<tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows]
    return f"<table>{''.join(lines)}</table>"


def _commit(commit: str | None) -> str:
    """A commit's first letters, and whether files differed from it."""
    if commit is None:
        return "unknown"
    return commit[:12] + (" with changes" if commit.endswith("-dirty") else "")


def _spoken(name: str) -> str:
    """A name with its unit, as words without it."""
    return name.removesuffix("_s").replace("_", " ")


def _code(text: str) -> str:
    """Markdown's backticks as HTML."""
    parts = escape(text).split("`")
    return "".join(f"<code>{p}</code>" if n % 2 else p for n, p in enumerate(parts))

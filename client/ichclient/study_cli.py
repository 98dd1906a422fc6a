"""Options of the commands that read a study: what it is, how it is fetched, by which rules."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path)


def rules_options(command: _F) -> _F:
    """Options of every command that judges a study; the command gets them as `book`."""

    @functools.wraps(command)
    def run(*args: Any, allow: tuple[str, ...], rules: Path | None, **kwargs: Any) -> Any:
        from ichclient.rules_file import book_from_options

        return command(*args, book=book_from_options(rules, allow), **kwargs)

    for option in (
        click.option("--allow", multiple=True, metavar="CODE",
                     help="Let this refusal through with a warning, for example gap; repeatable."),
        click.option("--rules", type=_FILE, metavar="FILE",
                     help="A site's own words, kernels and limits (TOML)."),
    ):  # fmt: skip
        run = option(run)
    return run  # type: ignore[return-value]


def _studies(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    return tuple(_study(context, parameter, value) for value in values)


def _study(_: click.Context, __: click.Parameter, value: str) -> str:
    from ichclient.sources.address import address_from_text

    try:
        address_from_text(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from error
    return value


study_argument = click.argument("study", callback=_study)
studies_argument = click.argument(
    "studies", nargs=-1, required=True, metavar="STUDY...", callback=_studies
)


_PACS_OPTIONS = (
    click.option("--pacs-key", type=_FILE, metavar="FILE", help="Key (PEM) of --pacs-cert."),
    click.option("--pacs-cert", type=_FILE, metavar="FILE",
                 help="This client's own certificate (PEM), where a PACS asks for one."),
    click.option("--ca", type=_FILE, metavar="FILE",
                 help="Certificates (PEM) to trust, instead of the system's."),
    click.option("--ae-title", default="ICHCLIENT", metavar="AET", show_default=True,
                 help="The name by which a DIMSE node knows this client."),
    click.option("--fetch-timeout", "--pacs-timeout", "pacs_timeout", metavar="S", default=60.0,
                 type=click.FloatRange(min=0.1), show_default=True,
                 help="Seconds that a PACS may be silent."),
)  # fmt: skip


def pacs_options(command: _F) -> _F:
    """Options of every command that speaks to a PACS; the command gets them as `source`."""

    @functools.wraps(command)
    def run(
        *args: Any, pacs_timeout: float, ca: Path | None, pacs_cert: Path | None,
        pacs_key: Path | None, ae_title: str, **kwargs: Any,
    ) -> Any:  # fmt: skip
        from ichclient.sources import SourceOptions

        try:
            source = SourceOptions(
                timeout_s=pacs_timeout, ca_file=ca, ae_title=ae_title, certificate=pacs_cert,
                key=pacs_key,
            )  # fmt: skip
        except ValueError as error:
            raise click.UsageError(f"{error}.") from error
        return command(*args, source=source, **kwargs)

    for option in _PACS_OPTIONS:
        run = option(run)
    return run  # type: ignore[return-value]


def source_options(command: _F) -> _F:
    """Options of every command that reads a study; the command gets them as `source`."""

    @functools.wraps(command)
    def run(
        *args: Any, max_files: int, max_mib: int, max_ratio: int, move_port: int | None,
        source: Any, **kwargs: Any,
    ) -> Any:  # fmt: skip
        from dataclasses import replace

        from ichclient.sources import Limits

        limits = Limits(max_files, max_mib << 20, max_ratio)
        return command(*args, source=replace(source, limits=limits, move_port=move_port), **kwargs)

    run = pacs_options(run)
    for option in (
        click.option("--move-port", type=click.IntRange(1, 65535), metavar="PORT",
                     help="Have a DIMSE study moved to this port (C-MOVE) instead of C-GET."),
        click.option("--max-ratio", type=click.IntRange(1), default=100, metavar="N",
                     show_default=True, help="Most bytes unpacked for each byte of an archive."),
        click.option("--max-mib", type=click.IntRange(1), default=8192, metavar="N",
                     show_default=True, help="Most MiB that a study may unpack or fetch."),
        click.option("--max-files", type=click.IntRange(1), default=20000, metavar="N",
                     show_default=True, help="Most files that a study may unpack or fetch."),
    ):  # fmt: skip
        run = option(run)
    return run  # type: ignore[return-value]


series_option = click.option(
    "--series", metavar="UID", help="Judge this SeriesInstanceUID, whatever its texts say."
)
slab_option = click.option(
    "--slab", type=click.FloatRange(min=0.5, max=20), metavar="MM",
    help="Average thin slices to slabs every MM; a warning says what was done.",
)  # fmt: skip

"""The option `--state`, which names a station's folder."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])
_VARIABLE = "ICHCLIENT_STATE"


def state_option(command: _F) -> _F:
    """Add `--state`; the command gets the folder's path as `state`, whether it exists or not."""

    @functools.wraps(command)
    def run(*args: Any, state: Path | None, **kwargs: Any) -> Any:
        from ichclient.station.folder import default_station

        return command(*args, state=state or default_station(os.environ, Path.home()), **kwargs)

    return click.option(
        "--state", type=click.Path(path_type=Path), metavar="DIR", envvar=_VARIABLE,
        help=f"The station's folder, instead of that of {_VARIABLE}  "
             "[default: ~/.local/state/ichclient]",
    )(run)  # type: ignore[return-value]  # fmt: skip

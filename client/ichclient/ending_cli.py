"""How every command ends: its answer, or one sentence on stderr and an exit code of its own."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ichcore.errors import IchError

_F = TypeVar("_F", bound=Callable[..., Any])
_INTERRUPTED = 130

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")


def told(command: _F) -> _F:
    """End a command with one sentence on stderr and the error's own exit code, no traceback."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except IchError as error:
            from ichclient.plain import printable

            click.echo(f"Error: {printable(error)}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            sys.exit(_INTERRUPTED)

    return run  # type: ignore[return-value]

"""How a command ends: with its answer, or one sentence on stderr and the error's exit code."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from ichcore.errors import IchError

_F = TypeVar("_F", bound=Callable[..., Any])
_INTERRUPTED = 130


def told(command: _F) -> _F:
    """End a command with one sentence on stderr and the error's own exit code, no traceback."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except IchError as error:
            from ichclient.plain import printable

            sys.stderr.write(f"Error: {printable(error)}\n")
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            sys.stderr.write("Interrupted.\n")
            sys.exit(_INTERRUPTED)

    return run  # type: ignore[return-value]

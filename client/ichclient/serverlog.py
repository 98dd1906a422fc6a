"""A server's log file: where it lies, who may read it, and the one line in it that tells."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from ichclient.errors import EmbeddedServerError

LOGS_KEPT = 10

# "E1123 11:03:14.398307 3925 server.cc:241] "CudaDriverHelper has not been initialized.""
_ERROR_LINE = re.compile(r"^E\d{4} [\d:.]+ \d+ \S+\] (?P<message>.*)$")
_STUB_FAILED = re.compile(
    r"(?P<message>Failed to preinitialize Python stub: .*|.*error while loading shared libraries.*)"
)
# Triton says this of every machine without a graphics card.
_HARMLESS = "CudaDriverHelper"


def new_log_path(environment: Mapping[str, str]) -> Path:
    """A path for the log of a server that starts now; all but the newest logs are removed.

    Logs lie in $XDG_STATE_HOME/ich-triton/logs (by default ~/.local/state/ich-triton/logs).
    """
    state = environment.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    folder = Path(state) / "ich-triton" / "logs"
    for old in sorted(folder.glob("triton-*.log"))[: -(LOGS_KEPT - 1)]:
        old.unlink(missing_ok=True)
    started = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return folder / f"triton-{started}-{os.getpid()}.log"


def opened_log(log_path: Path) -> int:
    """Create or empty the log, readable by its owner alone; return its file descriptor.

    Raises:
        EmbeddedServerError: the log cannot be written.

    """
    try:
        log_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        descriptor = os.open(log_path, flags, 0o600)
        os.fchmod(descriptor, 0o600)
    except OSError as error:
        raise EmbeddedServerError(
            f"The embedded Triton server's log cannot be written to {log_path} "
            f"({error.strerror}): choose another place for it."
        ) from error
    return descriptor


def failed_for_good(log: str) -> bool:
    """Whether a model's Python did not start: Triton 2.51 then waits for it without end."""
    return any(_STUB_FAILED.search(line) for line in log.splitlines())


def telling_line(log: str) -> str:
    """The line of a failed start that names its cause, as a sentence; "" for an empty log.

    The first model that did not load explains the rest (an ensemble fails because a member did).
    """
    lines = log.splitlines()
    stubs = [match["message"] for line in lines if (match := _STUB_FAILED.search(line))]
    errors = [match["message"] for line in lines if (match := _ERROR_LINE.match(line))]
    own = [message.strip('"') for message in errors if _HARMLESS not in message]
    loads = [message for message in own if message.startswith("failed to load")]
    last = [line for line in lines if line.lower().startswith("error")]
    for candidate in (*stubs, *loads, *own, *last[-1:], *lines[-1:]):
        # Triton writes a Python error on one line, with its traceback after "At:".
        cause = candidate.partition("\\n\\nAt:")[0].replace("\\n", " ").strip()
        return cause if cause.endswith(".") else cause + "."
    return ""

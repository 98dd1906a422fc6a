"""One random trace for each study, carried by every call to a server in W3C's `traceparent`.

A server that sends traces (OpenTelemetry) then tells what it did for that study, under the
`trace_id` in result.json. The number is drawn anew for each study and says nothing of it.
Source: W3C Trace Context, https://www.w3.org/TR/trace-context/.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "traceparent"
_CURRENT: ContextVar[str | None] = ContextVar("trace_id", default=None)


@contextmanager
def traced_study() -> Iterator[str]:
    """Let every call made within the block, and on threads it starts, belong to one new trace."""
    trace_id = secrets.token_hex(16)
    token = _CURRENT.set(trace_id)
    try:
        yield trace_id
    finally:
        _CURRENT.reset(token)


def trace_headers() -> dict[str, str]:
    """What a call carries: the trace of its study and a span of its own; nothing outside of one."""
    trace_id = _CURRENT.get()
    return {} if trace_id is None else {HEADER: f"00-{trace_id}-{secrets.token_hex(8)}-01"}

"""What happens at a station -> a line on stderr, and a line of the audit log.

Facts are keys, counts, codes, AE titles and addresses, never an identity and never a UID.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime

from ichclient.audit.chain import Fact
from ichclient.audit.log import AuditLog
from ichclient.errors import AuditBroken, IchClientError
from ichclient.plain import printable

_BARE = re.compile(r"[\w.:@/+-]+")


class Events:
    """Tells what happens; threads may share it. `line` takes a finished line."""

    def __init__(self, audit: AuditLog, line: Callable[[str], None]) -> None:
        self._audit = audit
        self._line = line
        self.broken: AuditBroken | None = None
        """Set once the audit log cannot go on: neither can the station."""

    def tell(self, event: str, **facts: Fact) -> None:
        """Write an event to the audit log, then as a line; raises what the audit log raises."""
        self._audit.write(event, **facts)
        self.say(event, **facts)

    def told(self, event: str, **facts: Fact) -> bool:
        """The same where nobody could do anything about a failure; whether it was audited."""
        try:
            self.tell(event, **facts)
        except IchClientError as error:
            if isinstance(error, AuditBroken):
                self.broken = error
            self.say("not_audited", of=event, reason=str(error))
            return False
        return True

    def say(self, event: str, **facts: Fact) -> None:
        """Write an event as a line alone."""
        at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        said = [f"{name}={_text(value)}" for name, value in facts.items() if value is not None]
        self._line(printable(" ".join([at, event, *said])).replace("\n", "?"))


def _text(value: Fact) -> str:
    """A value as it stands in a line: quoted where it is not a single plain word."""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)

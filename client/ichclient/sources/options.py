"""What a user may say about how a study comes in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from ichclient.sources.address import is_ae_title
from ichclient.sources.limits import Limits

Progress: TypeAlias = Callable[[str, int, int], None]
"""Hears the stage's name, how much of it is done, and of how much (0 where nobody knows)."""


@dataclass(frozen=True)
class SourceOptions:
    """How far to go for a study: limits, patience, and how to speak to a PACS.

    `timeout_s` is how long a PACS may be silent, `retry_s` how long a request is repeated that had
    no answer. `ca_file` holds the certificates to trust instead of the system's, `certificate` and
    `key` (PEM) are this client's own, for a PACS that asks for them. With `move_port` a study is
    moved to this machine (C-MOVE), to a storage service on that port under the name `ae_title`;
    otherwise it is got (C-GET).
    """

    limits: Limits = field(default_factory=Limits)
    timeout_s: float = 60.0
    ca_file: Path | None = None
    ae_title: str = "ICHCLIENT"
    move_port: int | None = None
    retry_s: float = 10.0
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what no PACS would understand."""
        if not self.timeout_s > 0:
            raise ValueError("timeout_s must be above 0")
        if not is_ae_title(self.ae_title):
            raise ValueError("an AE title has 1 to 16 characters and no backslash")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a certificate and its key belong together: give both")

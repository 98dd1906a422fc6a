"""Names of the files that make an acceptance a signed one."""

from __future__ import annotations

STATEMENT_FILE = "acceptance.signed.txt"
SIGNATURE_FILE = "acceptance.sig"

"""`ichclient audit`: what a station's log says, and whether it is the log that was written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from ichclient.ending_cli import json_option, told
from ichclient.state_cli import state_option


@click.group()
def audit() -> None:
    """Look at the audit log of a station."""


@audit.command()
@state_option
@click.option("--expect", metavar="HASH",
              help="Hash of a line that was noted elsewhere: it must be in the log.")  # fmt: skip
@click.option("--without-key", is_flag=True,
              help="Follow the hashes alone, where station.key is not at hand.")  # fmt: skip
@json_option
@told
def verify(state: Path, expect: str | None, without_key: bool, as_json: bool) -> None:
    """Find lines of the audit log that were changed, removed, added or reordered.

    Prints the newest hash; note it where nobody of this host can change it, and give it to
    --expect later: that finds what somebody with the station's key did. The exit code is 0 where
    the whole log holds and 15 where it does not.
    """
    from ichclient.audit.verify import values_of, verification_of_folder
    from ichclient.errors import AuditBroken

    found = verification_of_folder(state, sealed=not without_key, expect=expect)
    if as_json:
        click.echo(json.dumps(values_of(found), indent=2))
    else:
        for finding in found.findings:
            click.echo(f"{finding.kind:<10} {finding.sentence}")
        if found.torn_bytes:
            click.echo(f"A crash left {found.torn_bytes} bytes of an unfinished line at the end.")
        click.echo(f"lines      {found.lines}, the chain holds until line {found.holds_until}")
        click.echo(f"newest     {found.at or 'none'}")
        click.echo(f"hash       {found.hash}")
        click.echo(f"seals      {'checked' if found.sealed else 'not checked'}")
    if not found.ok:
        sys.exit(AuditBroken.exit_code)

"""First process of the server's container: a verified repository -> Triton in this process.

    python3 -m ichclient.container tritonserver --model-repository=/models/model_repository ...

Every file of the repository is held against its manifest, and the manifest against the digest in
ICH_MANIFEST_SHA256 where that is set. The token in ICH_ADMIN_TOKEN takes the place that the
command line keeps for it; without one a random token is taken, and what it opens stays closed to
everybody. ICH_CLIENT_TOKEN has to be set where the command line asks clients for one. Then this
process becomes Triton, so that SIGTERM reaches it.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ichclient.errors import FlagRefused
from ichclient.flags import CLIENT_TOKEN_PLACEHOLDER, TOKEN_PLACEHOLDER, refuse_bad_token
from ichclient.repository import verified_by_manifest
from ichcore.errors import IchError

_REPOSITORY = "--model-repository="


def command_to_run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[str, ...]:
    """Verify the repository that `command` names, and put the token into it.

    Raises RepositoryError for a file that is missing, altered or not listed, and FlagRefused for
    a command without a repository or an unusable token.
    """
    folders = [part.removeprefix(_REPOSITORY) for part in command if part.startswith(_REPOSITORY)]
    if len(folders) != 1:
        raise FlagRefused(f"One {_REPOSITORY}DIR is needed, and {len(folders)} were given.")
    verified_by_manifest(Path(folders[0]), environment.get("ICH_MANIFEST_SHA256") or None)
    tokens = {
        TOKEN_PLACEHOLDER: environment.get("ICH_ADMIN_TOKEN") or secrets.token_urlsafe(32),
        CLIENT_TOKEN_PLACEHOLDER: environment.get("ICH_CLIENT_TOKEN", ""),
    }
    return tuple(_with_tokens(part, tokens) for part in command)


def _with_tokens(part: str, tokens: Mapping[str, str]) -> str:
    for placeholder, token in tokens.items():
        if placeholder in part:
            refuse_bad_token(token)
            part = part.replace(placeholder, token)
    return part


def main() -> None:
    """Verify, then become the server; one sentence and the error's exit code where that fails."""
    try:
        command = command_to_run(sys.argv[1:], os.environ)
        os.execvp(command[0], command)
    except IchError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(error.exit_code)
    except OSError as error:
        sys.stderr.write(f"Error: {command[0]} cannot be run ({error.strerror}).\n")
        sys.exit(9)


if __name__ == "__main__":
    main()

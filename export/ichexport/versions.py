"""versions.json: which versions of the bundle a repository keeps, and which of them is served.

A version is a number N; folder N of every model belongs to it, for members, spec and study rule
are released together. Triton would serve the highest number there is, so every config pins what
it serves, and this file says what that is.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, replace
from pathlib import Path

from ichexport.errors import DriftError, IchExportError
from ichexport.golden import GOLDEN_FILE

VERSIONS_FILE = "versions.json"


@dataclass(frozen=True)
class Versions:
    """`current` is served; `candidate` beside it, as a canary; `former` was served before.

    `newest` is the highest number ever given, so that none is given twice.
    """

    current: int = 1
    candidate: int | None = None
    former: int | None = None
    newest: int = 1

    def __post_init__(self) -> None:
        """Refuse numbers that cannot stand side by side."""
        numbers = (self.current, self.candidate, self.former)
        given = [number for number in numbers if number is not None]
        whole = all(type(number) is int for number in (*given, self.newest))
        if not whole or len(set(given)) < len(given) or not 1 <= min(given) <= self.newest:
            raise ValueError(f"versions {numbers} of {self.newest} cannot be")
        if max(given) > self.newest:
            raise ValueError(f"version {max(given)} is above the newest, {self.newest}")

    @property
    def kept(self) -> tuple[int, ...]:
        """Every version that has folders, lowest first."""
        numbers = (self.current, self.candidate, self.former)
        return tuple(sorted(number for number in numbers if number is not None))

    @property
    def with_candidate(self) -> Versions:
        """With a new candidate in the place of one that there may be."""
        return replace(self, candidate=self.newest + 1, newest=self.newest + 1)

    @property
    def promoted(self) -> Versions:
        """With the candidate served; raises `IchExportError` where there is none."""
        if self.candidate is None:
            raise IchExportError(
                f"There is no candidate beside version {self.current}; make one with `ichexport "
                "release RUN --candidate` or `ichexport build --candidate`."
            )
        return replace(self, current=self.candidate, candidate=None, former=self.current)

    @property
    def rolled_back(self) -> Versions:
        """With the former version served; raises `IchExportError` where there is none."""
        if self.former is None:
            raise IchExportError(
                f"There is no version before {self.current} to go back to; nothing was promoted."
            )
        return replace(self, current=self.former, former=self.current)

    @property
    def withdrawn(self) -> Versions:
        """Without the candidate; raises `IchExportError` where there is none."""
        if self.candidate is None:
            raise IchExportError(f"There is no candidate beside version {self.current}.")
        return replace(self, candidate=None)


def versions_of(repository: Path) -> Versions:
    """What a repository keeps; version 1 alone where it says nothing.

    Raises `DriftError` where the file cannot be read.
    """
    path = repository / VERSIONS_FILE
    try:
        return Versions(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        return Versions()
    except (OSError, TypeError, ValueError) as error:
        raise DriftError(f"{path} cannot be read ({error}); restore it.") from error


def versions_to_json(versions: Versions) -> str:
    """The file's text."""
    return json.dumps(dataclasses.asdict(versions), indent=2, sort_keys=True) + "\n"


def version_folder(repository: Path, model: str, version: int | None = None) -> Path:
    """A model's folder of a version, of the current one if none is named."""
    return repository / model / str(version or versions_of(repository).current)


def golden_file(repository: Path, version: int | None = None) -> Path:
    """The golden slices of a version; those of the current one bear the name clients look for."""
    if version is None or version == versions_of(repository).current:
        return repository / GOLDEN_FILE
    return repository / f"golden.{version}.npz"

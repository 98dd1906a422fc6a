"""A folder with many studies -> each of them as a folder of links, one after another.

Only paths are kept of what was read, so that an archive may be larger than the memory. Files are
linked and never copied, under the names that they have below the folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ichclient.dicom import found_below
from ichclient.errors import CannotWrite, NothingFound
from ichclient.headers import Verdict
from ichclient.sources.folder import called, private_folder


@dataclass(frozen=True)
class StudyFiles:
    """The files of one study, relative to `root`, in the order of their paths."""

    root: Path
    StudyInstanceUID: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Sorted:
    """The studies below a folder in the order of their first files, and what belongs to none."""

    studies: tuple[StudyFiles, ...]
    without_study: tuple[Path, ...]


def studies_below(path: Path) -> Sorted:
    """Sort every file below `path` by its StudyInstanceUID.

    A file that says none (a broken one, a text) belongs to the study of its folder, if all others
    there are of one study: so that what is wrong with it is told beside that study. Raises
    NothingFound where no file says a study.
    """
    by_study: dict[str, list[Path]] = {}
    unknown: list[Path] = []
    studies_of_folder: dict[Path, set[str]] = {}
    for relative, found in found_below(path):
        uid = "" if isinstance(found, Verdict) else found[0].StudyInstanceUID
        if not uid:
            unknown.append(relative)
            continue
        by_study.setdefault(uid, []).append(relative)
        studies_of_folder.setdefault(relative.parent, set()).add(uid)
    if not by_study:
        raise NothingFound(
            f"{path} holds {len(unknown)} file(s), and no DICOM image that names its study. "
            "Give a folder of DICOM studies."
        )
    lost: list[Path] = []
    for relative in unknown:
        near = studies_of_folder.get(relative.parent, set())
        (by_study[next(iter(near))] if len(near) == 1 else lost).append(relative)
    root = path if path.is_dir() else path.parent
    studies = (StudyFiles(root, uid, tuple(sorted(files))) for uid, files in by_study.items())
    return Sorted(tuple(studies), tuple(lost))


@contextmanager
def linked_study(study: StudyFiles) -> Iterator[Path]:
    """A private folder with a link to each file of one study; gone at the end."""
    with private_folder() as folder, called(folder, str(study.root)):
        try:
            for relative in study.files:
                link = folder / relative
                link.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                link.symlink_to((study.root / relative).absolute())
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise CannotWrite(
                f"The temporary folder cannot be written ({reason}): name another in TMPDIR."
            ) from error
        yield folder

"""Files in, files out: evaluations and prepared folders -> PACK, and a read PACK -> its report."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ichtrain.data import Prepared
from ichtrain.errors import ReviewError
from ichtrain.review.answers import answers_from_pack
from ichtrain.review.evaluation import evaluation_from_file
from ichtrain.review.key import Key, key_from_pack
from ichtrain.review.marks import marker_from_repository
from ichtrain.review.pack import Images, Progress, key_from_picked, write_pack
from ichtrain.review.pick import PickOptions, picked_from_evaluations
from ichtrain.review.plot import png_from_score
from ichtrain.review.report import json_from_score, markdown_from_score
from ichtrain.review.score import Score, score_from_answers


@dataclass(frozen=True)
class StudyOptions:
    """Where a study comes from; `repository` makes the marks, None leaves them out."""

    evaluation: Path
    data: tuple[Path, ...]
    comparators: tuple[Path, ...] = ()
    repository: Path | None = None
    readers: int = 6
    point: str = "balanced"
    pick: PickOptions = field(default_factory=PickOptions)

    def __post_init__(self) -> None:
        """Refuse a study that nobody reads or that has no images."""
        if self.readers < 1 or not self.data:
            raise ReviewError("A reading study needs a reader and a prepared folder at least.")


def pack_from_options(
    pack: Path, options: StudyOptions, progress: Progress = lambda done, total: None
) -> Key:
    """Pick the cases and write the pack; raises `ReviewError` or `DataError`, and writes nothing.

    The evaluations' names must differ, because the key tells them apart by name.
    """
    paths = (options.evaluation, *options.comparators)
    evaluations = [evaluation_from_file(path, options.point) for path in paths]
    names = [one.name for one in evaluations]
    if len(set(names)) != len(names):
        raise ReviewError(f"Two of the evaluations have one name ({', '.join(names)}).")
    images = Images(tuple(Prepared(folder) for folder in options.data))
    picked = picked_from_evaluations(evaluations, images.patients(), options.pick)
    key = key_from_picked(picked, evaluations, images, options.readers, options.pick.seed)
    marker = None
    if options.repository is not None:
        marker, spec = marker_from_repository(options.repository)
        if evaluations[0].spec_sha256 != spec.sha256:
            raise ReviewError(
                f"{options.repository} holds another ensemble than the one that "
                f"{options.evaluation} evaluated; its marks would not belong to the scores."
            )
        for folder in images.folders:
            if folder.grid != spec.grid:
                raise ReviewError(
                    f"{folder.folder} lies on another grid than the members of "
                    f"{options.repository}; prepare the data on {spec.grid}."
                )
    write_pack(pack, key, images, marker, progress)
    return key


def report_from_pack(pack: Path, out: Path) -> Score:
    """Score a pack into OUT with the endings .json, .md and .png; whole files or none."""
    key = key_from_pack(pack)
    answers = answers_from_pack(pack, key)
    if not answers:
        raise ReviewError(
            f"{pack} holds no answers; put each reader's answers.csv, or what the pages saved, "
            "into reader-1, reader-2 and so on."
        )
    score = score_from_answers(key, answers, key.seed)
    picture = out.with_suffix(".png")
    _replace(picture, png_from_score(score))
    _replace(out.with_suffix(".md"), markdown_from_score(score, key, picture.name).encode())
    _replace(out.with_suffix(".json"), json_from_score(score).encode())
    return score


def _replace(path: Path, data: bytes) -> None:
    """Write whole or not at all."""
    beside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ReviewError(
            f"{path} cannot be written ({error.strerror or error}); choose another place with "
            "--out."
        ) from error

"""Files in, files out: evaluations and prepared folders -> PACK, and a read PACK -> its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ichtrain.data import Prepared
from ichtrain.errors import ReviewError
from ichtrain.review.answers import answers_from_pack
from ichtrain.review.evaluation import Evaluation, evaluation_from_file
from ichtrain.review.key import Key, key_from_pack
from ichtrain.review.marks import Marker, marker_from_bundle
from ichtrain.review.pack import Images, Progress, key_from_picked, write_pack
from ichtrain.review.pick import PickOptions, picked_from_evaluations
from ichtrain.review.plot import png_from_score
from ichtrain.review.report import json_from_score, markdown_from_score
from ichtrain.review.score import Score, score_from_answers


@dataclass(frozen=True)
class StudyOptions:
    """Where a study comes from; marks come from the ensemble that was evaluated.

    `repository` or `run` holds it, as for `ichtrain evaluate`; without either there are no marks.
    """

    evaluation: Path
    data: tuple[Path, ...]
    comparators: tuple[Path, ...] = ()
    repository: Path | None = None
    run: Path | None = None
    readers: int = 6
    point: str = "balanced"
    pick: PickOptions = field(default_factory=PickOptions)

    def __post_init__(self) -> None:
        """Refuse a study that nobody reads, that has no images, or that has two ensembles."""
        if self.repository is not None and self.run is not None:
            raise ReviewError("Marks come from a repository or from a run; give one of them.")
        if self.readers < 1 or not self.data:
            raise ReviewError("A reading study needs a reader and a prepared folder at least.")


def pack_from_options(
    pack: Path, options: StudyOptions, progress: Progress = lambda done, total: None
) -> Key:
    """Pick the cases and write the pack; raises `DataError` and then writes nothing."""
    evaluations = _named_apart((options.evaluation, *options.comparators), options.point)
    images = Images(tuple(Prepared(folder) for folder in options.data))
    picked = picked_from_evaluations(evaluations, images.patients(), options.pick)
    key = key_from_picked(picked, evaluations, images, options.readers, options.pick.seed)
    write_pack(pack, key, images, _marker(options, evaluations[0], images), progress)
    return key


def _named_apart(paths: Sequence[Path], point: str) -> list[Evaluation]:
    """Evaluations with names of their own, by which the key tells them apart."""
    evaluations = [evaluation_from_file(path, point) for path in paths]
    names = [one.name for one in evaluations]
    if len(set(names)) < len(names):
        names = [
            f"{name} ({path.resolve().parent.name})"
            for name, path in zip(names, paths, strict=True)
        ]
    if len(set(names)) < len(names):
        raise ReviewError(
            f"Two of the evaluations have one name ({', '.join(names)}); give each once, from "
            "folders of different names."
        )
    return [replace(one, name=name) for one, name in zip(evaluations, names, strict=True)]


def _marker(options: StudyOptions, evaluation: Evaluation, images: Images) -> Marker | None:
    """What draws the marks, if it is the ensemble that was evaluated, on this data's grid."""
    from ichtrain.evaluate.bundle import bundle_from_repository, bundle_from_run

    if options.run is not None:
        bundle = bundle_from_run(options.run)
    elif options.repository is not None:
        bundle = bundle_from_repository(options.repository)
    else:
        return None
    if evaluation.spec_sha256 != bundle.spec.sha256:
        raise ReviewError(
            f"{options.run or options.repository} holds another ensemble than the one that "
            f"{options.evaluation} evaluated; its marks would not belong to the scores."
        )
    for folder in images.folders:
        if folder.grid != bundle.spec.grid:
            raise ReviewError(
                f"{folder.folder} lies on another grid than the ensemble's; prepare the data on "
                f"{bundle.spec.grid}."
            )
    return marker_from_bundle(bundle)


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

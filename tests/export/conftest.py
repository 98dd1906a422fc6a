"""Fixtures of building: a small member with lively weights, its graph and a run to release."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from torch import nn

from ichcore import Calibration, EnsembleSpec, Grid, spec_to_json
from ichexport.cli import main
from ichexport.graph import onnx_from_member
from ichexport.members import Member, MemberOptions, options_from_encoder
from ichexport.parity import torch_from_member
from ichexport.release import repository_from_run
from ichexport.weights import member_from_file, released_from_trained, weights_to_file

GRID = Grid(rows=64, columns=64, pixel_spacing_mm=4.0)
OPTIONS = MemberOptions(encoder_depth=3, decoder_channels=(32, 16), with_brain=True, grid=GRID)


@dataclass(frozen=True)
class Run:
    """A run folder with everything that belongs to it."""

    folder: Path
    spec: EnsembleSpec
    hu: NDArray[np.float16]


@pytest.fixture(scope="session")
def trained_member(small_hu: NDArray[np.float16]) -> Member:
    """A small member in eval mode that has seen heads: its outputs differ from slice to slice.

    Its batch norms are far from the identity, as those of a trained network are.
    """
    torch.manual_seed(3)
    member = Member(OPTIONS).train()
    for module in member.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the average over all that is seen
            nn.init.uniform_(module.weight, 0.7, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    with torch.no_grad():
        member(torch.from_numpy(small_hu))
    return member.eval()


@pytest.fixture(scope="session")
def small_member(trained_member: Member) -> Member:
    """The same member as it leaves training."""
    return released_from_trained(trained_member)


@pytest.fixture(scope="session")
def small_hu(make_hu: Callable[..., NDArray[np.float16]]) -> NDArray[np.float16]:
    """Five heads on the small grid."""
    return make_hu(GRID, slices=5, seed=1)


@pytest.fixture(scope="session")
def encoder_graph(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Graphs of the four encoders on a small grid by encoder and annotation; each made once."""
    folder = tmp_path_factory.mktemp("encoders")

    def graph(encoder: str, annotation: str) -> Path:
        path = folder / f"{encoder}-{annotation}.onnx"
        if not path.is_file():
            options = options_from_encoder(encoder, annotation=annotation, grid=GRID)
            onnx_from_member(released_from_trained(Member(options)), path)
        return path

    return graph


@pytest.fixture
def run(
    tmp_path: Path,
    small_member: Member,
    small_hu: NDArray[np.float16],
    released_spec: EnsembleSpec,
) -> Run:
    """A finished run whose ensemble is the small member alone."""
    return written_run(tmp_path / "run", small_member, small_hu, released_spec)


@pytest.fixture(scope="session")
def released(
    tmp_path_factory: pytest.TempPathFactory,
    small_member: Member,
    small_hu: NDArray[np.float16],
    released_spec: EnsembleSpec,
) -> tuple[Path, str]:
    """A repository released from such a run, with nothing replaced, and its digest."""
    folder = tmp_path_factory.mktemp("released")
    run = written_run(folder / "run", small_member, small_hu, released_spec)
    return folder / "repository", repository_from_run(run.folder, folder / "repository")


@pytest.fixture(scope="session")
def small_graph(released: tuple[Path, str]) -> Path:
    """The small member's ONNX graph as it was released; an export takes seconds."""
    return released[0] / "ich_any" / "1" / "model.onnx"


@pytest.fixture(scope="session")
def write_run() -> Callable[..., Run]:
    """Writes the finished run of a member, golden slices and a spec like the one given."""
    return written_run


def written_run(folder: Path, member: Member, hu: NDArray[np.float16], like: EnsembleSpec) -> Run:
    folder.mkdir(parents=True, exist_ok=True)
    sha256 = weights_to_file(member, folder / "ich_any.safetensors")
    outputs = torch_from_member(member)(hu)
    only = replace(
        like.members[0],
        name="ich_any",
        score_weight=1.0,
        mask_weight=1.0,
        calibration=spreading_calibration(np.asarray(outputs["LOGIT"], dtype=np.float64)),
        weights_sha256=sha256,
    )
    spec = replace(
        like,
        name="small",
        grid=GRID,
        members=(only,),
        brain_member="ich_any",
        mask_threshold=float(np.quantile(np.asarray(outputs["MASK"], dtype=np.float64), 0.8)),
        brain_threshold=float(np.quantile(np.asarray(outputs["BRAIN"], dtype=np.float64), 0.2)),
    )
    (folder / "ensemble.json").write_text(spec_to_json(spec))
    np.save(folder / "golden_hu.npy", hu)
    return Run(folder, spec, hu)


def spreading_calibration(logit: NDArray[np.float64]) -> Calibration:
    """Spreads the scores of a member that was never trained, as golden slices must be spread."""
    slope = 6.0 / float(np.ptp(logit))
    return Calibration(slope, -slope * float(logit.mean()))


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    """The committed repository, free to be spoilt."""
    return shutil.copytree(
        bundle, tmp_path / "repository", ignore=shutil.ignore_patterns("__pycache__")
    )


@pytest.fixture
def small_copy(released: tuple[Path, str], tmp_path: Path) -> Path:
    """A small released repository, alone in its folder and free to be built in."""
    return shutil.copytree(released[0], tmp_path / "site" / "repository")


@pytest.fixture(scope="session")
def contents() -> Callable[[Path], dict[str, bytes]]:
    """Every file below a folder by its path, to be held against what was there before."""

    def read(folder: Path) -> dict[str, bytes]:
        files = (path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    return read


@pytest.fixture
def record_of() -> Callable[[Path], dict[str, object]]:
    """Reads the build record beside a member's graph."""

    def record(repository: Path) -> dict[str, object]:
        path = repository / "ich_any" / "1" / "model.onnx.build.json"
        return dict(json.loads(path.read_text()))

    return record


@pytest.fixture(scope="session")
def ichexport() -> Callable[..., Result]:
    """Runs a command of `ichexport`."""
    return lambda *arguments: CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def done(ichexport: Callable[..., Result]) -> Callable[..., Result]:
    """Runs a command that must go well."""

    def run(*arguments: object) -> Result:
        answer = ichexport(*arguments)
        assert answer.exit_code == 0, answer.stderr
        return answer

    return run


@pytest.fixture(scope="session")
def second_run(
    tmp_path_factory: pytest.TempPathFactory,
    small_member: Member,
    small_hu: NDArray[np.float16],
    released_spec: EnsembleSpec,
) -> Path:
    """A run of the same bundle whose member has learnt otherwise."""
    other = deepcopy(small_member)
    with torch.no_grad():
        other.head.weight.mul_(-0.5)
    folder = tmp_path_factory.mktemp("second") / "run"
    written_run(folder, other, small_hu, replace(released_spec, version="2"))
    return folder


@pytest.fixture(scope="session")
def with_candidate(
    released: tuple[Path, str],
    second_run: Path,
    done: Callable[..., Result],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Version 1 is served, and version 2 of other weights stands beside it."""
    folder = tmp_path_factory.mktemp("candidate") / "repository"
    shutil.copytree(released[0], folder)
    done("release", second_run, "--candidate", "--repository", folder)
    return folder


@pytest.fixture(scope="session")
def promoted(
    with_candidate: Path, done: Callable[..., Result], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Version 2 is served, and 1 was before."""
    folder = shutil.copytree(with_candidate, tmp_path_factory.mktemp("promoted") / "repository")
    done("promote", "--repository", folder)
    return folder


@pytest.fixture
def graphs_at_hand(
    small_graph: Path, with_candidate: Path, second_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export takes seconds, and the graphs of both runs are at hand."""
    second = with_candidate / "ich_any" / "2" / "model.onnx"

    def export(member: Member, path: Path) -> None:
        weight = member.head.weight.flatten()[0]
        known = member_from_file(second_run / "ich_any.safetensors").head.weight.flatten()[0]
        shutil.copy(second if weight == known else small_graph, path)

    monkeypatch.setattr("ichexport.build.onnx_from_member", export)


@pytest.fixture
def site(tmp_path: Path) -> Callable[[Path], Path]:
    """Copies a repository into a folder of its own, free to be changed."""
    return lambda repository: shutil.copytree(repository, tmp_path / "site" / "repository")


@pytest.fixture
def untouched(
    contents: Callable[[Path], dict[str, bytes]],
) -> Callable[[Path, dict[str, bytes]], None]:
    """Holds a repository against what it was, and that nothing was left beside it."""

    def check(repository: Path, before: dict[str, bytes]) -> None:
        assert contents(repository) == before
        assert [path.name for path in repository.parent.iterdir()] == ["repository"]

    return check

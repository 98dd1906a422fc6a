"""Spec, graphs and golden slices -> model_repository/, whole or not at all.

Everything but the graphs is generated, so `check` can say which committed file drifted.
"""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ichcore import EnsembleSpec, spec_from_json, spec_to_json
from ichcore.wire import (
    CANARY_MODEL,
    COMBINE_MODEL,
    ENSEMBLE_MODEL,
    FUSED_ENGINE_MODEL,
    FUSED_MODEL,
    PROVENANCE_MODEL,
    SERIES_MODEL,
    SERIES_UNARY_MODEL,
    SPEC_FILE,
    STUDY_MODEL,
    build_record_file,
)
from ichexport.engines import onnxruntime_from_onnx
from ichexport.entry import graph_of
from ichexport.errors import DriftError, IchExportError
from ichexport.files import written_whole
from ichexport.fused_entry import fused_entry, prove_fused, refuse_other_fused, write_fused
from ichexport.golden import (
    GOLDEN_FILE,
    combined_from_runners,
    golden_is_current,
    refuse_blind_golden,
    write_golden,
)
from ichexport.manifest import MANIFEST_FILE, manifest_from_repository, sha256_from_file
from ichexport.targets import ONNX_FILE
from ichexport.version_configs import configs_from_versions
from ichexport.versions import VERSIONS_FILE, version_folder, versions_of, versions_to_json

MEMBER_ADAPTERS = {"model.py": "member.py", "rtx.py": "rtx.py"}
"""Python models of a member by the name that a target's config gives; and their sources."""


def spec_of_repository(repository: Path, version: int | None = None) -> EnsembleSpec:
    """The released spec of a repository's version, of the current one if none is named."""
    path = version_folder(repository, COMBINE_MODEL, version) / SPEC_FILE
    try:
        return spec_from_json(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise IchExportError(
            f"{path} cannot be read ({error}); write the spec with `ichtrain ensemble`."
        ) from error


def generated_files(repository: Path, spec: EnsembleSpec) -> dict[str, str]:
    """Every generated text file of a repository, as path -> text; `spec` is the current one."""
    versions = versions_of(repository)
    specs = {
        number: spec if number == versions.current else spec_of_repository(repository, number)
        for number in versions.kept
    }
    candidate = specs.get(versions.candidate or 0)
    texts = configs_from_versions(versions, spec, candidate)
    for number, of_version in specs.items():
        for name, text in _files_of_version(of_version).items():
            model, _, file = name.split("/", 2)
            texts[f"{model}/{number}/{file}"] = text
    if candidate is not None:
        texts[f"{CANARY_MODEL}/{versions.candidate}/.gitkeep"] = ""
    texts[VERSIONS_FILE] = versions_to_json(versions)
    return texts


def _files_of_version(spec: EnsembleSpec) -> dict[str, str]:
    """Adapters and spec of one version, named as those of version 1 are."""
    adapters = files("ichexport.adapters")
    texts: dict[str, str] = {}
    for member in (*spec.member_names, FUSED_ENGINE_MODEL):
        for adapter, source in MEMBER_ADAPTERS.items():
            texts[f"{member}/1/{adapter}"] = adapters.joinpath(source).read_text()
    sources = {
        COMBINE_MODEL: "combine.py",
        PROVENANCE_MODEL: "provenance.py",
        STUDY_MODEL: "study.py",
        SERIES_MODEL: "series.py",
        SERIES_UNARY_MODEL: "series.py",
    }
    counts = "study_counts.py"
    texts[f"{STUDY_MODEL}/1/{counts}"] = adapters.joinpath(counts).read_text()
    for model, source in sources.items():
        texts[f"{model}/1/model.py"] = adapters.joinpath(source).read_text()
        texts[f"{model}/1/{SPEC_FILE}"] = spec_to_json(spec)
    for model in (ENSEMBLE_MODEL, FUSED_MODEL):
        # Triton wants a version folder for an ensemble too; git keeps no empty ones.
        texts[f"{model}/1/.gitkeep"] = ""
    return texts


def write_repository(
    repository: Path, spec: EnsembleSpec, golden_hu: NDArray[np.float16] | None = None
) -> str:
    """Generate all but the members' graphs, record golden answers, write the manifest.

    Gives the manifest's digest. Golden slices that are absent or would prove nothing, and a fused
    graph that does not say of them what its members say, are refused before anything is written.
    """
    _refuse_other_graphs(repository, spec)
    golden = repository / GOLDEN_FILE
    if golden_hu is None and golden.is_file():
        with np.load(golden, allow_pickle=False) as arrays:
            golden_hu = arrays["HU"]
    if golden_hu is None:
        raise IchExportError(f"{golden} is absent; give golden slices to record.")
    runners = {
        name: onnxruntime_from_onnx(graph_of(repository, name)) for name in spec.member_names
    }
    combined = combined_from_runners(runners, golden_hu, spec)
    refuse_blind_golden(combined)
    fused = fused_entry(repository, spec)
    prove_fused(fused, golden_hu, combined, spec)
    write_golden(golden, golden_hu, combined, spec)
    write_fused(repository, fused)
    write_generated(repository, spec)
    return write_manifest(repository)


def write_generated(repository: Path, spec: EnsembleSpec) -> None:
    """Write every generated text file of a repository whose current spec is `spec`."""
    for name, text in generated_files(repository, spec).items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def write_manifest(repository: Path) -> str:
    """Hash every file of the repository into its manifest; gives the manifest's own digest."""
    manifest = manifest_from_repository(repository).encode()
    written_whole(repository / MANIFEST_FILE, manifest)
    return hashlib.sha256(manifest).hexdigest()


def check_repository(repository: Path, pin: Path | None = None) -> EnsembleSpec:
    """Raise `DriftError` naming the first file that differs from what its spec generates."""
    spec = spec_of_repository(repository)
    _refuse_other_graphs(repository, spec)
    for name, text in generated_files(repository, spec).items():
        path = repository / name
        if not path.is_file() or path.read_bytes() != text.encode():
            raise _drift(path)
    refuse_other_fused(repository, spec)
    if not golden_is_current(repository / GOLDEN_FILE, spec):
        raise _drift(repository / GOLDEN_FILE)
    manifest = repository / MANIFEST_FILE
    listed = manifest_from_repository(repository).encode()
    if not manifest.is_file() or manifest.read_bytes() != listed:
        raise _drift(manifest)
    pinned = f"{sha256_from_file(manifest)}\n".encode()
    if pin is not None and (not pin.is_file() or pin.read_bytes() != pinned):
        raise _drift(pin)
    return spec


def _refuse_other_graphs(repository: Path, spec: EnsembleSpec) -> None:
    for member in spec.members:
        graph = graph_of(repository, member.name)
        record_path = graph.with_name(build_record_file(ONNX_FILE))
        if not graph.is_file() or not record_path.is_file():
            raise IchExportError(f"{graph} or its record is absent; run `ichexport release`.")
        try:
            record = json.loads(record_path.read_bytes())
            engine_sha256, weights_sha256 = record["engine_sha256"], record["weights_sha256"]
        except (KeyError, TypeError, ValueError) as error:
            raise DriftError(f"{record_path} is no build record; release the run again.") from error
        if engine_sha256 != sha256_from_file(graph):
            raise DriftError(f"{graph} is not the file that {record_path.name} records.")
        if weights_sha256 != member.weights_sha256:
            raise IchExportError(
                f"{graph} was made of weights {weights_sha256[:16]}, the spec names "
                f"{member.weights_sha256[:16]}; release them together."
            )


def _drift(path: Path) -> DriftError:
    return DriftError(
        f"{path} differs from what its spec generates; run `ichexport repository` and commit."
    )

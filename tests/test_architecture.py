"""Import directions are law: who may import whom, and where each foreign library may live.

The tables below are the law; the tests read every import of every module and hold it, those
inside functions and type checking included.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

CHECKOUT = Path(__file__).parents[1]
MAX_LINES = 320

ROOMS = {
    # room: where its modules lie
    "ichcore": "client/ichcore/**/*.py",
    "ichclient": "client/ichclient/**/*.py",
    "ichexport": "export/ichexport/**/*.py",
    "ichtrain": "training/ichtrain/**/*.py",
    "model_repository": "model_repository/*/1/*.py",
}

MAY_IMPORT_OF_OURS = {
    # importing room or module: the rooms or modules of ours it may import; its own is understood
    "ichcore": [],
    "ichclient": ["ichcore"],
    "ichexport": ["ichcore"],
    "ichtrain": [
        "ichcore",
        "ichexport",
        "ichclient.dicom",
        "ichclient.errors",
        "ichclient.geometry",
        "ichclient.headers",
        "ichclient.hounsfield",
        "ichclient.series",
    ],
    "model_repository": ["ichcore"],
}

FOREIGN = {
    # library: the files that may import it; a library that is not here may be imported by none
    "click": ["cli.py", "*_cli.py"],
    # The CUDA runtime for a served model, which has no torch.
    "cuda": ["export/ichexport/adapters/rtx.py", "model_repository/*/1/rtx.py"],
    # The one codestream that pydicom does not hand to it.
    "gdcm": ["client/ichclient/decoder.py"],
    "google": [
        "client/ichclient/transport.py",
        "export/ichexport/configs.py",
        "export/ichexport/version_configs.py",
        "export/ichexport/fused.py",  # here and below: the error of an ONNX file that is none
        "export/ichexport/graph.py",
        "export/ichexport/merging.py",
    ],
    "cryptography": ["client/ichclient/acceptance/signature.py"],
    "jinja2": ["client/ichclient/markup.py"],
    "markupsafe": ["client/ichclient/markup.py"],
    "highdicom": ["client/ichclient/objects/*.py", "training/ichtrain/data/masks.py"],
    "httpx": ["client/ichclient/sources/dicomweb.py", "client/ichclient/sources/http.py"],
    "grpc": [
        "client/ichclient/channel.py",
        "client/ichclient/probe.py",
        "client/ichclient/readiness.py",
        "client/ichclient/transport.py",
    ],
    "lightning_fabric": ["training/ichtrain/fit/checkpoint.py"],
    "nibabel": ["training/ichtrain/data/masks.py", "training/ichtrain/phantom/atlas.py"],
    "matplotlib": [
        "training/ichtrain/ensemble/plot.py",
        "training/ichtrain/evaluate/plots.py",
        "training/ichtrain/fit/curves.py",
        "training/ichtrain/reproduce/plots.py",
        "training/ichtrain/review/plot.py",
    ],
    "numpy": ["*"],
    "onnx": [
        "export/ichexport/audit.py",
        "export/ichexport/calibrating.py",
        "export/ichexport/casting.py",
        "export/ichexport/combining.py",
        "export/ichexport/fused.py",
        "export/ichexport/graph.py",
        "export/ichexport/inspection.py",
        "export/ichexport/merging.py",
        "export/ichexport/quantising.py",
        "export/ichexport/quantising_unsigned.py",
        "export/ichexport/rounding.py",
        "export/ichexport/typed.py",
    ],
    "onnxruntime": [
        "export/ichexport/engines.py",
        "export/ichexport/quantising_unsigned.py",
    ],
    "openvino": [
        "export/ichexport/engines.py",
        "export/ichexport/adapters/member.py",
        "model_repository/*/1/*.py",
    ],
    "PIL": [
        "client/ichcore/grid.py",
        "client/ichclient/picture.py",
        "client/ichclient/report/pictures.py",
        "training/ichtrain/review/picture.py",
    ],
    "pyarrow": ["training/ichtrain/data/manifest.py"],
    "pydicom": [
        "client/ichclient/delivery/*.py",
        "client/ichclient/codecs.py",
        "client/ichclient/decoder.py",
        "client/ichclient/dicom.py",
        "client/ichclient/frames.py",
        "client/ichclient/sources/dicomdir.py",
        "client/ichclient/sources/find.py",
        "client/ichclient/objects/*.py",
        "client/ichclient/station/identity.py",
        "training/ichtrain/data/patients.py",
        "training/ichtrain/phantom/dicom.py",
    ],
    "pynetdicom": [
        "client/ichclient/sources/node.py",
        "client/ichclient/station/readers.py",
        "client/ichclient/station/scp.py",
    ],
    "pytorch_lightning": ["training/ichtrain/fit/loop.py"],
    "rich": ["cli.py", "*_cli.py", "client/ichclient/terminal.py"],
    "sklearn": [
        "training/ichtrain/evaluate/roc.py",
        "training/ichtrain/fit/validation.py",
        "training/ichtrain/statistics/calibration.py",
    ],
    "statsmodels": [
        "training/ichtrain/review/agreement.py",
        "training/ichtrain/statistics/calibration.py",
        "training/ichtrain/statistics/intervals.py",
    ],
    "safetensors": ["export/ichexport/weights.py", "training/ichtrain/fit/checkpoint.py"],
    "scipy": [
        "training/ichtrain/ensemble/optimise.py",
        "training/ichtrain/evaluate/baseline.py",
        "training/ichtrain/paint.py",
        "training/ichtrain/phantom/*.py",
        "training/ichtrain/statistics/delong.py",
    ],
    "threadpoolctl": [
        "training/ichtrain/phantoms.py",
        "training/ichtrain/data/parallel.py",
    ],
    "segmentation_models_pytorch": ["export/ichexport/members.py"],
    "tensorrt": ["export/ichexport/tensorrt_library.py"],
    "tensorrt_rtx": [
        "export/ichexport/tensorrt_library.py",
        "export/ichexport/adapters/rtx.py",
        "model_repository/*/1/rtx.py",
    ],
    # Not a library: a file beside the study model, which Triton puts on the path.
    "study_counts": ["export/ichexport/adapters/study.py", "model_repository/ich_study/1/model.py"],
    "torch": [
        "export/ichexport/*.py",
        "export/ichexport/routes/torch_tensorrt.py",
        "training/ichtrain/*.py",
        "training/ichtrain/fit/*.py",
    ],
    "torch_tensorrt": ["export/ichexport/routes/torch_tensorrt.py"],
    "triton_python_backend_utils": [
        "export/ichexport/adapters/*.py",
        "model_repository/*/1/*.py",
    ],
    "zstandard": ["client/ichclient/sources/archives.py"],
    "tritonclient": [
        "client/ichclient/transport.py",
        "export/ichexport/configs.py",  # protobuf classes of config.pbtxt, no client
        "export/ichexport/version_configs.py",
    ],
}

NEVER = {
    # room: libraries that none of its files may import, whatever the table above would say
    "ichcore": ["os", "pathlib", "shutil", "socket", "subprocess", "torch", "tritonclient"],
    "ichclient": ["scipy", "torch", "torchvision", "onnx", "openvino", "pytriton"],
    "ichexport": ["pydicom", "pytriton"],
    "ichtrain": ["pytriton", "tritonclient"],
    "model_repository": ["torch", "tritonclient", "pytriton"],
}

ENGINE_RUNTIMES = {"openvino", "onnxruntime", "tensorrt", "tensorrt_rtx"}
"""A model of the repository imports one of these at most."""

MODULES = [
    pytest.param(room, path, id=path.relative_to(CHECKOUT).as_posix())
    for room, pattern in ROOMS.items()
    for path in sorted(CHECKOUT.glob(pattern))
]
every_module = pytest.mark.parametrize(("room", "path"), MODULES)


def imports_of(path: Path) -> Iterator[str]:
    """Dotted names of everything that a module imports; `from a import b` gives `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(name: str, allowed: str) -> bool:
    return name == allowed or name.startswith(allowed + ".")


def breaches(room: str, where: str, name: str) -> Iterator[str]:
    """What the import of `name` breaks in the file `where` of a room; nothing if it may stand."""
    library = name.split(".")[0]
    if library in NEVER[room]:
        yield f"{room} never imports {library}"
    if library in ROOMS:
        allowed = [room, *MAY_IMPORT_OF_OURS[room]]
        if not any(is_within(name, each) for each in allowed):
            yield f"{room} may not import {name}"
    elif library not in sys.stdlib_module_names and not any(
        PurePosixPath(where).match(pattern) for pattern in FOREIGN.get(library, [])
    ):
        yield f"{library} does not belong into {where}"


def test_every_room_is_seen() -> None:
    present = [room for room, pattern in ROOMS.items() if any(CHECKOUT.glob(pattern))]
    assert {"ichcore", "ichclient", "ichexport", "ichtrain"} <= set(present)
    assert set(ROOMS) == set(MAY_IMPORT_OF_OURS) == set(NEVER)


@every_module
def test_imports_keep_to_the_tables(room: str, path: Path) -> None:
    where = path.relative_to(CHECKOUT).as_posix()
    assert [text for name in imports_of(path) for text in breaches(room, where, name)] == []


@pytest.mark.parametrize(
    ("room", "where", "name"),
    [
        ("ichcore", "client/ichcore/grid.py", "ichclient.errors"),
        ("ichcore", "client/ichcore/spec.py", "pathlib.Path"),
        ("ichclient", "client/ichclient/infer.py", "torch.nn"),
        ("ichclient", "client/ichclient/infer.py", "ichexport.members"),
        ("ichclient", "client/ichclient/infer.py", "tritonclient.grpc"),
        ("ichexport", "export/ichexport/build.py", "ichtrain.starter"),
        ("ichtrain", "training/ichtrain/starter.py", "ichclient.process"),
        ("ichtrain", "training/ichtrain/starter.py", "ichclient.dicomweb"),
        ("model_repository", "model_repository/ich_any/1/model.py", "ichexport.engines"),
        ("ichclient", "client/ichclient/infer.py", "a_library_nobody_named"),
    ],
)
def test_the_tables_would_catch(room: str, where: str, name: str) -> None:
    assert list(breaches(room, where, name)) != []


@pytest.mark.parametrize(
    "path", [p.values[1] for p in MODULES if p.values[0] == "model_repository"], ids=str
)
def test_a_served_model_needs_one_engine_runtime_at_most(path: Path) -> None:
    assert len({name.split(".")[0] for name in imports_of(path)} & ENGINE_RUNTIMES) <= 1


@every_module
def test_every_module_says_what_it_is_and_stays_small(room: str, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), f"{path.name} of {room} has no docstring"
    lines = len(text.splitlines())
    assert lines <= MAX_LINES, f"{lines} lines: a second topic is a second file"


def test_test_files_and_scripts_stay_small_too() -> None:
    files = [*CHECKOUT.glob("tests/**/*.py"), *CHECKOUT.glob("benchmarks/**/*.py")]
    ours = [path for path in files if "node_modules" not in path.parts]
    counts = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in ours}
    assert {name: count for name, count in counts.items() if count > MAX_LINES} == {}


def tracked_texts() -> Iterator[tuple[str, str]]:
    """Names and contents of the text files that git holds or would take up."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("git is absent or this is no git checkout, so tracked files are unknown")
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = CHECKOUT / name
        if not path.is_file():
            continue
        head = path.read_bytes()
        if b"\0" not in head:
            yield name, head.decode("utf-8", errors="replace")


def test_no_file_holds_the_path_of_somebodys_folder() -> None:
    somebody = re.compile(r"(?<![\w.*}-])/(?:home|Users|root|work)/\w[\w.-]*")
    found = {
        f"{name}: {match.group()}"
        for name, text in tracked_texts()
        if (match := somebody.search(text))
        if name != Path(__file__).relative_to(CHECKOUT).as_posix()
    }
    assert found == set()

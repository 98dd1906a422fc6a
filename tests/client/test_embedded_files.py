"""Environment facts -> server files, or one sentence that says what to do."""

from __future__ import annotations

import dataclasses
import os
import stat
from pathlib import Path

import pytest

from ichclient.embedded import EnvironmentFacts, environment_facts, server_files_from_facts
from ichclient.errors import EmbeddedServerError
from ichclient.serverlog import LOGS_KEPT, failed_for_good, new_log_path, opened_log, telling_line
from ichclient.workspace import server_command, server_environment, write_workspace

WHEEL_FILES = (
    "pytriton/tritonserver/bin/tritonserver",
    "pytriton/tritonserver/backends/python/libtriton_python.so",
    "pytriton/tritonserver/backends/python/triton_python_backend_utils.py",
    "pytriton/tritonserver/python_backend_stubs/3.11/triton_python_backend_stub",
    "nvidia_pytriton.libs/libcudart.so",
)


@pytest.fixture
def facts(tmp_path: Path) -> EnvironmentFacts:
    """An environment in which the server can start, laid out in a folder."""
    for name in (*WHEEL_FILES, "python/lib/libpython3.11.so.1.0", "python/bin/python3.11"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return EnvironmentFacts(
        system="linux",
        machine="x86_64",
        glibc=(2, 35),
        python=(3, 11),
        implementation="CPython",
        interpreter=tmp_path / "python" / "bin" / "python3.11",
        libpython_folders=(tmp_path / "absent", tmp_path / "python" / "lib"),
        wheel_folder=tmp_path,
        numpy_version="1.26.4",
        module_folders=(tmp_path,),
    )


def test_complete_environment_gives_every_file(facts: EnvironmentFacts, tmp_path: Path) -> None:
    files = server_files_from_facts(facts)
    assert files.stub == tmp_path / WHEEL_FILES[3]
    assert files.libpython_folder == tmp_path / "python" / "lib"
    assert files.wheel_libraries == tmp_path / "nvidia_pytriton.libs"


@pytest.mark.parametrize(
    ("change", "found", "advice"),
    [
        ({"system": "darwin", "machine": "arm64"}, "darwin on arm64", "--url"),
        ({"machine": "aarch64"}, "linux on aarch64", "--url"),
        ({"glibc": (2, 31)}, "glibc 2.31", "--url"),
        ({"glibc": None}, "another C library", "--url"),
        ({"python": (3, 13)}, "CPython 3.13", "3.11 or 3.12"),
        ({"implementation": "PyPy"}, "PyPy 3.11", "CPython"),
        ({"numpy_version": "2.2.1"}, "numpy 2.2.1", "pip install 'numpy<2'"),
        ({"numpy_version": None}, "numpy", "pip install 'ich-triton[local]'"),
        ({"wheel_folder": None}, "not installed", "pip install 'ich-triton[local]'"),
        ({"libpython_folders": ()}, "libpython3.11.so.1.0", "shared library"),
    ],
)
def test_absence_is_one_sentence_with_advice(
    facts: EnvironmentFacts, change: dict[str, object], found: str, advice: str
) -> None:
    with pytest.raises(EmbeddedServerError) as refusal:
        server_files_from_facts(dataclasses.replace(facts, **change))  # type: ignore[arg-type]
    assert found in str(refusal.value)
    assert advice in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert refusal.value.exit_code == 9


@pytest.mark.parametrize("name", WHEEL_FILES[:4])
def test_incomplete_wheel_names_the_missing_file(
    facts: EnvironmentFacts, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).unlink()
    with pytest.raises(EmbeddedServerError, match=f"{Path(name).name} is missing"):
        server_files_from_facts(facts)


def test_facts_of_this_interpreter_do_not_import_pytriton() -> None:
    import sys

    facts = environment_facts()
    assert facts.system == sys.platform
    assert facts.interpreter.is_file()
    assert not facts.interpreter.is_symlink()
    assert "pytriton" not in sys.modules


def test_server_listens_on_loopback_alone(facts: EnvironmentFacts, tmp_path: Path) -> None:
    command = server_command(
        server_files_from_facts(facts),
        tmp_path,
        repository=tmp_path,
        model_config_name="cpu",
        shm_prefix="p-",
        grpc_port=4001,
        http_port=None,
    )
    assert [part for part in command if "address" in part] == ["--grpc-address=127.0.0.1"]
    assert {"--allow-http=false", "--allow-metrics=false", "--grpc-port=4001"} < set(command)


def test_environment_puts_own_paths_first_and_drops_python_settings(
    facts: EnvironmentFacts, tmp_path: Path
) -> None:
    files = server_files_from_facts(facts)
    inherited = {"PATH": "/bin", "LD_LIBRARY_PATH": "/x", "PYTHONHOME": "/y", "LANG": "C"}
    environment = server_environment(files, tmp_path, inherited)
    libraries = environment["LD_LIBRARY_PATH"].split(":")
    assert libraries == [str(files.libpython_folder), str(files.wheel_libraries), "/x"]
    assert environment["PATH"] == f"{tmp_path}/python/bin:/bin"
    assert environment["LANG"] == "C"
    assert "PYTHONHOME" not in environment


def test_workspace_python_is_the_running_one(facts: EnvironmentFacts, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    write_workspace(server_files_from_facts(facts), workspace)
    assert (workspace / "python" / "bin" / "python3").resolve() == facts.interpreter
    packages = workspace / "python" / "lib" / "python3.11" / "site-packages"
    assert str(tmp_path) in (packages / "sitecustomize.py").read_text(encoding="utf-8")


def test_log_is_private_and_only_the_newest_are_kept(tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path)}
    paths = []
    for _ in range(LOGS_KEPT + 2):
        paths.append(new_log_path(environment))
        os.close(opened_log(paths[-1]))
    kept = sorted((tmp_path / "ich-triton" / "logs").iterdir())
    assert kept == paths[-LOGS_KEPT:]
    assert stat.S_IMODE(kept[0].stat().st_mode) == 0o600


def test_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedServerError, match="cannot be written"):
        opened_log(tmp_path / "file" / "triton.log")


NO_GPU = 'E1123 11:03:14.398307 3925 server.cc:241] "CudaDriverHelper has not been initialized."\n'


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("", ""),
        (
            NO_GPU + "E1123 11:03:15.1 9 model_lifecycle.cc:642] \"failed to load 'ich_any' "
            'version 1: Internal: ValueError: bad\\n\\nAt:\\n  /r/model.py(5): initialize\\n"\n'
            'E1123 11:03:15.2 9 model_repository_manager.cc:703] "Invalid argument: ensemble '
            "'ich_ensemble' depends on 'ich_any' which has no loaded version.\"\n",
            "failed to load 'ich_any' version 1: Internal: ValueError: bad.",
        ),
        (NO_GPU + "error: creating server: Internal\n", "error: creating server: Internal."),
    ],
)
def test_telling_line_is_the_first_cause(log: str, told: str) -> None:
    assert telling_line(log) == told
    assert not failed_for_good(log)


def test_python_without_its_model_file_is_known_to_wait_for_ever() -> None:
    log = "I1123 11:10:12.1 5167 pb_stub.cc:2105]  Failed to preinitialize Python stub: none in x\n"
    assert failed_for_good(log)
    assert telling_line(log) == "Failed to preinitialize Python stub: none in x."

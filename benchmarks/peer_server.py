"""A peer's name -> its server, running in the environment of that peer for a `with` block.

Peers need versions of numpy, protobuf and more that exclude each other and ours, so each has a
virtual environment of its own in `.venv-peers/`, made by `python -m benchmarks.peers --install`.
The supervisor of the embedded Triton watches them too: a peer ends with whoever started it.
"""

from __future__ import annotations

import importlib.metadata
import os
import secrets
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clients import Client, HttpBytes, V2Grpc
from benchmarks.data import CHECKOUT
from benchmarks.errors import BenchmarkError
from benchmarks.peers.engine import EngineSettings, json_from_settings
from benchmarks.peers.wire import ITEM
from ichclient import supervise

ENVIRONMENTS = CHECKOUT / ".venv-peers"
_READY_DEADLINE_S = 120.0
_LOOK_EVERY_S = 0.2


@dataclass(frozen=True)
class Peer:
    """Another way to serve a model: its file, its package and how it is spoken to."""

    name: str
    package: str
    title: str
    client: Callable[[str], Client]

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return ENVIRONMENTS / self.name / "bin" / "python"

    @property
    def module(self) -> str:
        """What is run there, with a port and the engine's settings."""
        return f"benchmarks.peers.{self.name}"

    @property
    def requirements(self) -> Path:
        """What its environment holds beside the engine's runtime."""
        return Path(__file__).parent / "peers" / f"requirements-{self.name}.txt"

    def version(self) -> str | None:
        """Version of its package in its environment; None where that is absent or broken."""
        program = f"import importlib.metadata as m, openvino; print(m.version({self.package!r}))"
        try:
            done = subprocess.run(
                [self.python, "-c", program], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()


def _bytes_at(path: str) -> Callable[[str], Client]:
    return lambda address: HttpBytes(address, path)


PEERS = (
    Peer("fastapi", "fastapi", "FastAPI + uvicorn", _bytes_at("/infer")),
    Peer("mosec", "mosec", "mosec", _bytes_at("/inference")),
    Peer("litserve", "litserve", "LitServe", _bytes_at("/infer")),
    Peer("pytriton", "nvidia-pytriton", "PyTriton", lambda address: V2Grpc(address, "fused")),
    Peer("bentoml", "bentoml", "BentoML", _bytes_at("/raw/infer")),
    Peer("mlserver", "mlserver", "MLServer", lambda address: V2Grpc(address, "fused")),
    Peer("rayserve", "ray", "Ray Serve", _bytes_at("/infer")),
)


def install(peer: Peer, say: Callable[[str], object]) -> None:
    """Make the environment of a peer with our OpenVINO; raises BenchmarkError where pip fails."""
    say(f"Installing {peer.title} into {peer.python.parents[1]}")
    openvino = f"openvino=={importlib.metadata.version('openvino')}"
    commands: list[list[Any]] = [
        [sys.executable, "-m", "venv", peer.python.parents[1]],
        [peer.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         openvino, "-r", peer.requirements],
    ]  # fmt: skip
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise BenchmarkError(f"{peer.title} could not be installed: {' '.join(last)}")


@dataclass(frozen=True)
class RunningPeer:
    """A peer that answers."""

    client: Client
    pid: int


@contextmanager
def running_peer(peer: Peer, settings: EngineSettings, log: Path) -> Iterator[RunningPeer]:
    """Start a peer, yield when it answers, end it and all of its processes.

    Raises BenchmarkError where it ends or stays silent.
    """
    port = _free_ports()
    workspace = tempfile.mkdtemp(prefix="ich-peer-")
    charge = supervise.Charge(
        parent_pid=os.getpid(),
        command=(str(peer.python), "-m", peer.module, str(port),
                 json_from_settings(settings)),
        workspace=workspace,
        shm_prefix=f"ich-peer-{secrets.token_hex(8)}-",
        stop_deadline_s=5.0,
    )  # fmt: skip
    # A PYTHONPATH of ours would hide the peer's own packages; its HOME takes what it leaves behind.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment |= {
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": workspace,
        "TMPDIR": workspace,
        "PATH": f"{peer.python.parent}:{environment.get('PATH', '')}",
        "CUDA_VISIBLE_DEVICES": "",
        # PyTriton's Triton embeds the library of a Python: that of the interpreter, not Debian's.
        "LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR")),
    }
    with log.open("wb") as said:
        supervisor = subprocess.Popen(
            [sys.executable, "-I", "-S", supervise.__file__, supervise.json_from_charge(charge)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, cwd=workspace,
            env=environment, start_new_session=True,
        )  # fmt: skip
    client = peer.client(f"127.0.0.1:{port}")
    try:
        assert supervisor.stdout is not None  # Popen was given a pipe
        with supervisor.stdout as pipe:
            pid = int(pipe.readline() or b"0")
        _wait_until_it_answers(peer, supervisor, client, log)
        yield RunningPeer(client, pid)
    finally:
        client.close()
        _end(supervisor)
        supervise.remove_leftovers(charge)


def _wait_until_it_answers(
    peer: Peer, supervisor: subprocess.Popen[bytes], client: Client, log: Path
) -> None:
    deadline = time.monotonic() + _READY_DEADLINE_S
    while True:
        try:
            client(np.zeros((1, *ITEM), np.float16))
            return
        except BenchmarkError as error:
            ended = supervisor.poll() is not None
            if not ended and time.monotonic() < deadline:
                time.sleep(_LOOK_EVERY_S)
                continue
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            words = " | ".join(lines[-2:]) or "it said nothing"
            what = "ended" if ended else f"was silent for {_READY_DEADLINE_S:g} s"
            raise BenchmarkError(f"{peer.title} {what}: {words}") from error


def _end(supervisor: subprocess.Popen[bytes]) -> None:
    """End the peer, those of its processes too that have made sessions of their own."""
    import psutil

    try:
        below = psutil.Process(supervisor.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        below = []
    supervisor.terminate()
    try:
        supervisor.wait(20)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.wait()
    for process in below:
        try:
            process.kill()  # psutil compares start times, so a reused number is not killed
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(below, timeout=10)


def _free_ports() -> int:
    """A port that is free, and so is the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port

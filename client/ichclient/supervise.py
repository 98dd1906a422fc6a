"""A server's command line -> that server, watched: it never outlives the client that started it.

The client runs this file as a small process between itself and Triton, by its path and without
`site` (so it starts in a few hundredths of a second), hence the standard library alone. It asks
the kernel for every orphan among its descendants, so that Triton's Python stubs cannot escape.
It ends the server when the client asks (SIGTERM), when the client is gone however it ended, and
when the server itself ends; if the supervisor itself is killed, the kernel kills the server. It
then removes what a killed server leaves behind: shared-memory regions and the working folder.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import sys
import time
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_AWAITED = {signal.SIGTERM, signal.SIGCHLD}
_BLOCKED = {*_AWAITED, signal.SIGINT, signal.SIGHUP}
_LOOK_EVERY_S = 0.25
_KILL_DEADLINE_S = 10.0
_SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Charge:
    """What a supervisor is charged with."""

    parent_pid: int
    """The client; the server ends when it is no longer this process's parent."""
    command: tuple[str, ...]
    workspace: str
    """Folder of this server alone, removed at the end."""
    shm_prefix: str
    """Start of the names of this server's regions in /dev/shm, removed at the end."""
    stop_deadline_s: float
    """Time between SIGTERM and SIGKILL; with 0 the server is killed at once."""

    def __post_init__(self) -> None:
        """Refuse values that would remove or kill more than the server's own."""
        if not self.command or not self.workspace or not self.shm_prefix:
            raise ValueError("a charge needs a command, a workspace and a shared-memory prefix")
        if "/" in self.shm_prefix or self.parent_pid < 1 or not self.stop_deadline_s >= 0:
            raise ValueError(f"not a valid charge: {self}")


class Ending(Enum):
    """Why a server's time is over."""

    SERVER_ENDED = "the server ended by itself"
    STOP_ASKED = "the client asked"
    CLIENT_GONE = "the client is gone"


def json_from_charge(charge: Charge) -> str:
    """One line of JSON, the supervisor's only argument."""
    return json.dumps(asdict(charge))


def charge_from_json(text: str) -> Charge:
    """The inverse of `json_from_charge`."""
    values = json.loads(text)
    return Charge(**{**values, "command": tuple(values["command"])})


def remove_leftovers(charge: Charge) -> None:
    """Remove the working folder and shared memory of a server that has ended."""
    if _SHARED_MEMORY.is_dir():
        for region in _SHARED_MEMORY.iterdir():
            if region.name.startswith(charge.shm_prefix):
                region.unlink(missing_ok=True)
    shutil.rmtree(charge.workspace, ignore_errors=True)


def supervise(charge: Charge) -> int:
    """Start the server, print its process id, and watch it to its end; return an exit status."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    server_pid = None
    try:
        server_pid = _spawned(charge.command)
        os.write(sys.stdout.fileno(), b"%d\n" % server_pid)
        ending = _ending(server_pid, charge.parent_pid)
        if ending is Ending.STOP_ASKED and charge.stop_deadline_s > 0:
            _terminate(server_pid, charge)
        return 0 if ending is Ending.STOP_ASKED else 1
    finally:
        if server_pid is not None:
            _kill_all(server_pid)
        remove_leftovers(charge)


def _ending(server_pid: int, parent_pid: int) -> Ending:
    """Wait for the end of the server's time."""
    while True:
        if os.getppid() != parent_pid:
            return Ending.CLIENT_GONE
        received = signal.sigtimedwait(_AWAITED, _LOOK_EVERY_S)
        if received is not None and received.si_signo == signal.SIGTERM:
            return Ending.STOP_ASKED
        if not _runs(server_pid):
            return Ending.SERVER_ENDED


def _terminate(server_pid: int, charge: Charge) -> None:
    """Ask the server to end, and wait until it has, its deadline is over or the client is gone."""
    os.kill(server_pid, signal.SIGTERM)
    deadline = time.monotonic() + charge.stop_deadline_s
    while time.monotonic() < deadline and os.getppid() == charge.parent_pid:
        signal.sigtimedwait({signal.SIGCHLD}, _LOOK_EVERY_S)
        if not _runs(server_pid):
            return


def _kill_all(server_pid: int) -> None:
    """Kill the server's process group and wait for every one of its processes."""
    deadline = time.monotonic() + _KILL_DEADLINE_S
    while _children_left() and time.monotonic() < deadline:
        try:
            os.killpg(server_pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        signal.sigtimedwait({signal.SIGCHLD}, 0.02)


def _runs(server_pid: int) -> bool:
    """Whether the server itself still runs; a stub of it may outlive it."""
    _children_left()  # an ended process keeps its number until it is collected
    try:
        os.kill(server_pid, 0)
    except ProcessLookupError:
        return False
    return True


def _children_left() -> bool:
    """Collect the children that have ended, and say whether any still runs."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _spawned(command: tuple[str, ...]) -> int:
    """Start `command` in a process group of its own, tied to this process's life."""
    supervisor_pid = os.getpid()
    pid = os.fork()
    if pid:
        with contextlib.suppress(OSError):  # the child may have done it, or ended already
            os.setpgid(pid, pid)
        return pid
    try:
        os.setpgid(0, 0)
        _prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() == supervisor_pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, set())
            os.dup2(2, 1)
            os.execv(command[0], command)
    except BaseException as error:
        os.write(sys.stderr.fileno(), f"error: cannot start {command[0]}: {error}\n".encode())
    os._exit(127)


def _prctl(option: int, value: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value}) failed")


if __name__ == "__main__":
    sys.exit(supervise(charge_from_json(sys.argv[1])))

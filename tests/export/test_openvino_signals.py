"""A process that has run OpenVINO still takes signals, whichever thread frees the last engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SCRIPT = """
import gc, os, signal, sys, threading
from pathlib import Path
import numpy as np
from ichexport.engines import openvino_from_onnx

received = []
signal.signal(signal.SIGUSR1, lambda *_: received.append("taken"))
engines = [openvino_from_onnx(Path(sys.argv[1]))]
engines[0](np.load(sys.argv[2]))
other = threading.Thread(target=engines.clear)
other.start()
other.join()
gc.collect()
os.kill(os.getpid(), signal.SIGUSR1)
print(*received)
"""


def test_signals_are_taken_after_another_thread_freed_the_engine(
    small_graph: Path, small_hu: NDArray[np.float16], tmp_path: Path
) -> None:
    np.save(tmp_path / "hu.npy", small_hu)
    command = [sys.executable, "-c", SCRIPT, str(small_graph), str(tmp_path / "hu.npy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "taken\n"), done.stderr

"""The fused engine behind PyTriton: its Triton calls back into this process, over gRPC.

Requests are answered by the function that PyTriton binds; batching would wait for company and
copy, so it is off, and two instances of the function let two requests be under way.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray
from pytriton.decorators import sample
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

from benchmarks.peers.engine import Engine, settings_from_json
from benchmarks.peers.wire import ITEM, OUTPUTS

_MODEL = "fused"


def main(port: str, settings: str) -> None:
    """Serve gRPC on the loopback interface until the process is ended."""
    engine = Engine(settings_from_json(settings))

    @sample
    def infer(HU: NDArray[np.float16]) -> dict[str, NDArray[np.generic]]:  # noqa: N803
        return engine(HU)

    config = TritonConfig(
        grpc_address="127.0.0.1",
        grpc_port=int(port),
        allow_http=True,
        http_address="127.0.0.1",
        http_port=int(port) + 1,
        allow_metrics=False,
        log_verbose=0,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name=_MODEL,
            infer_func=[infer, infer],
            inputs=[Tensor(name="HU", dtype=np.float16, shape=(-1, *ITEM))],
            outputs=[
                Tensor(name=name, dtype=kind, shape=(-1, *shape))
                for name, (kind, shape) in OUTPUTS.items()
            ],
            config=ModelConfig(batching=False),
        )
        triton.serve()


if __name__ == "__main__":
    main(*sys.argv[1:])

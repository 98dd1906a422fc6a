"""The fused engine behind MLServer: V2 over gRPC, tensors as bytes.

Without parallel workers the model runs in the server's own process, which spares a copy between
processes; the engine works in a thread beside the event loop.
"""

import asyncio
import sys

import mlserver
import numpy as np
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelParameters
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.engine import Engine, settings_from_json
from benchmarks.peers.wire import OUTPUTS

_MODEL = "fused"


class Fused(mlserver.MLModel):
    """The engine as MLServer's model."""

    async def load(self) -> bool:
        """Load the engine."""
        self._engine = Engine(settings_from_json(self.settings.parameters.extra["engine"]))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer without holding the loop up."""
        hu = np.asarray(NumpyCodec.decode_input(payload.inputs[0]), np.float16)
        outputs = await asyncio.to_thread(self._engine, hu)
        tensors = [NumpyCodec.encode_output(name, outputs[name]) for name in OUTPUTS]
        return InferenceResponse(model_name=_MODEL, outputs=tensors)


async def _serve(port: int, settings: str) -> None:
    server = mlserver.MLServer(
        mlserver.Settings(
            host="127.0.0.1", grpc_port=port, http_port=port + 1, metrics_endpoint=None,
            parallel_workers=0, debug=False, grpc_max_message_length=64 * 2**20,
        )
    )  # fmt: skip
    model = mlserver.ModelSettings(
        name=_MODEL,
        implementation=Fused,
        parameters=ModelParameters(extra={"engine": settings}),
    )
    await server.start([model])


def main(port: str, settings: str) -> None:
    """Serve gRPC on the loopback interface until the process is ended."""
    asyncio.run(_serve(int(port), settings))


if __name__ == "__main__":
    main(*sys.argv[1:])

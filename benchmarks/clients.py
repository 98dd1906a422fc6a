"""A server's address -> a function of HU [N, S, R, C] that gives outputs by name.

Each is as lean as its protocol allows and safe to call from several threads: a request over HTTP
or through shared memory takes a connection or region that is free, or makes one, while gRPC's
client is made for many.
"""

from __future__ import annotations

import http.client
import queue
import secrets
from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkError
from benchmarks.peers.wire import ITEM, OUTPUTS, SLICE_BYTES, outputs_from_bytes

HU = NDArray[np.float16]
Outputs = Mapping[str, NDArray[np.generic]]
_T = TypeVar("_T")
_TIMEOUT_S = 60.0
_MOST_SLICES = 64


class Client(Protocol):
    """What a benchmark needs of a server."""

    def __call__(self, hu: HU) -> Outputs:
        """Answer one request; raises BenchmarkError where the server does not."""
        ...

    def close(self) -> None:
        """End every connection."""
        ...


class HttpBytes:
    """HU as a POST's body, outputs as the body of its answer (`peers/wire.py`)."""

    def __init__(self, address: str, path: str) -> None:
        self._address, self._path = address, path
        self._free: queue.SimpleQueue[http.client.HTTPConnection] = queue.SimpleQueue()

    def __call__(self, hu: HU) -> Outputs:
        """Send the slices and read their outputs."""
        return outputs_from_bytes(self._exchange(hu.tobytes(), {})[0])

    def close(self) -> None:
        """End all connections."""
        for connection in _emptied(self._free):
            connection.close()

    def _posted(self, body: bytes, headers: dict[str, str]) -> bytes:
        return self._exchange(body, headers)[0]

    def _exchange(self, body: bytes, headers: dict[str, str]) -> tuple[bytes, Any]:
        told = {"Content-Type": "application/octet-stream", **headers}
        try:
            connection = self._free.get_nowait()
        except queue.Empty:
            connection = http.client.HTTPConnection(self._address, timeout=_TIMEOUT_S)
        try:
            try:
                read, answer = self._sent(connection, body, told)
            except (ConnectionError, http.client.BadStatusLine):
                # Servers close connections that were idle for some seconds.
                connection.close()
                read, answer = self._sent(connection, body, told)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise BenchmarkError(f"{self._address} gave no answer ({error}).") from error
        finally:
            self._free.put(connection)
        if answer.status != 200:
            words = " ".join(read[:300].decode(errors="replace").split())
            raise BenchmarkError(f"{self._address} answered {answer.status}: {words}")
        return read, answer

    def _sent(
        self, connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str]
    ) -> tuple[bytes, Any]:
        connection.request("POST", self._path, body, headers)
        answer = connection.getresponse()
        return answer.read(), answer


class V2Http(HttpBytes):
    """The V2 protocol over HTTP with binary tensors, its messages made by tritonclient."""

    def __init__(self, address: str, model: str) -> None:
        super().__init__(address, f"/v2/models/{model}/infer")
        from tritonclient import http as triton

        self._triton = triton

    def __call__(self, hu: HU) -> Outputs:
        """Send the slices as a binary tensor and read binary tensors."""
        triton = self._triton
        tensor = triton.InferInput("HU", list(hu.shape), "FP16")
        tensor.set_data_from_numpy(hu)
        wanted = [triton.InferRequestedOutput(name) for name in OUTPUTS]
        client = triton.InferenceServerClient
        body, length = client.generate_request_body([tensor], outputs=wanted)
        read, answer = self._exchange(body, {"Inference-Header-Content-Length": str(length)})
        header = int(answer.headers["Inference-Header-Content-Length"])
        result = client.parse_response_body(read, header_length=header)
        return {name: result.as_numpy(name) for name in OUTPUTS}


class V2Grpc:
    """The V2 protocol over gRPC, as the client of the bundle speaks it."""

    def __init__(self, address: str, model: str) -> None:
        from tritonclient import grpc as triton

        self._triton, self._model = triton, model
        self._client = triton.InferenceServerClient(address)

    def __call__(self, hu: HU) -> Outputs:
        """Send the slices as raw bytes of a message and read those of its answer."""
        tensor = self._triton.InferInput("HU", list(hu.shape), "FP16")
        tensor.set_data_from_numpy(hu)
        wanted = [self._triton.InferRequestedOutput(name) for name in OUTPUTS]
        answer = self._answered([tensor], wanted)
        return {name: answer.as_numpy(name) for name in OUTPUTS}

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def _answered(self, inputs: list[Any], outputs: list[Any]) -> Any:
        from tritonclient.utils import InferenceServerException

        try:
            return self._client.infer(
                self._model, inputs, outputs=outputs, client_timeout=_TIMEOUT_S
            )
        except InferenceServerException as error:
            words = " ".join(str(error.message()).split())[:300]
            raise BenchmarkError(f"{self._model} did not answer: {words}") from error


class V2SharedMemory(V2Grpc):
    """The V2 protocol over gRPC with tensors in system shared memory."""

    def __init__(self, address: str, model: str) -> None:
        super().__init__(address, model)
        from tritonclient.utils import InferenceServerException, shared_memory

        self._memory = shared_memory
        self._free: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        try:
            self._client.get_system_shared_memory_status()
        except InferenceServerException as error:
            self.close()
            raise BenchmarkError(f"shared memory is closed there ({error.message()})") from error

    def __call__(self, hu: HU) -> Outputs:
        """Put the slices into a region and read the outputs from it."""
        try:
            region = self._free.get_nowait()
        except queue.Empty:
            region = self._new_region()
        try:
            return self._through(region, hu)
        finally:
            self._free.put(region)

    def close(self) -> None:
        """Give the regions back, then end the connection."""
        for name, handle in _emptied(self._free):
            self._client.unregister_system_shared_memory(name)
            self._memory.destroy_shared_memory_region(handle)
        super().close()

    def _through(self, region: tuple[str, Any], hu: HU) -> Outputs:
        name, handle = region
        self._memory.set_shared_memory_region(handle, [hu])
        tensor = self._triton.InferInput("HU", list(hu.shape), "FP16")
        tensor.set_shared_memory(name, hu.nbytes)
        wanted, places, start = [], {}, hu.nbytes
        for output, (kind, shape) in OUTPUTS.items():
            size = len(hu) * prod(shape) * np.dtype(kind).itemsize
            one = self._triton.InferRequestedOutput(output)
            one.set_shared_memory(name, size, offset=start)
            wanted.append(one)
            places[output] = (kind, [len(hu), *shape], start)
            start += size
        self._answered([tensor], wanted)
        read = self._memory.get_contents_as_numpy
        # Copied, since the region's next request writes into the same place.
        return {output: read(handle, *place).copy() for output, place in places.items()}

    def _new_region(self) -> tuple[str, Any]:
        size = _MOST_SLICES * (2 * prod(ITEM) + SLICE_BYTES)
        name = f"ich-benchmark-{secrets.token_hex(8)}"
        handle = self._memory.create_shared_memory_region(name, f"/{name}", size)
        self._client.register_system_shared_memory(name, f"/{name}", size)
        return name, handle


def _emptied(free: queue.SimpleQueue[_T]) -> Iterator[_T]:
    while True:
        try:
            yield free.get_nowait()
        except queue.Empty:
            return

"""An address -> whether a Triton server there says that it is ready to serve every model.

The question is the raw gRPC call of the KServe protocol: its request is empty and its answer is
the one field `ready`, so neither tritonclient nor its generated messages are needed.
"""

from __future__ import annotations

_SERVER_READY = "/inference.GRPCInferenceService/ServerReady"
# message ServerReadyResponse { bool ready = 1; }
_YES = b"\x08\x01"


def server_is_ready(url: str, *, timeout_s: float) -> bool:
    """Ask the server at `url` ("HOST:PORT") once; no answer in time counts as not ready."""
    import grpc

    # A proxy set for the web must not be asked for a server on this machine.
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(url, options=options) as channel:
        try:
            answer = channel.unary_unary(_SERVER_READY)(b"", timeout=timeout_s)
        except grpc.RpcError:
            return False
    return bool(answer == _YES)

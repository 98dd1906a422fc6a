"""An address -> whether a Triton server there says that it is ready to serve every model.

The question is the raw gRPC call of the KServe protocol: its request is empty and its answer is
the one field `ready`, so neither tritonclient nor its generated messages are needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ichclient.access import OPEN, ServerAccess
from ichclient.channel import channel_credentials, channel_options

if TYPE_CHECKING:
    import grpc

READY = "/inference.GRPCInferenceService/ServerReady"
LIVE = "/inference.GRPCInferenceService/ServerLive"
# message ServerReadyResponse { bool ready = 1; }, ServerLiveResponse { bool live = 1; }
_YES = b"\x08\x01"


def server_is_ready(url: str, *, timeout_s: float, access: ServerAccess = OPEN) -> bool:
    """Ask the server at `url` ("HOST:PORT") once; no answer in time counts as not ready."""
    import grpc

    options, credentials = channel_options(url, access), channel_credentials(access)
    channel = (
        grpc.insecure_channel(url, options=options)
        if credentials is None
        else grpc.secure_channel(url, credentials, options=options)
    )
    with channel:
        return says_yes(channel, READY, timeout_s=timeout_s, headers=access.headers)


def says_yes(
    channel: grpc.Channel, call: str, *, timeout_s: float, headers: Mapping[str, str] | None = None
) -> bool:
    """Ask READY or LIVE on a channel once; no answer in time is a no."""
    import grpc

    metadata = tuple((headers or {}).items())
    try:
        answer = channel.unary_unary(call)(b"", timeout=timeout_s, metadata=metadata)
    except grpc.RpcError:
        return False
    return bool(answer == _YES)

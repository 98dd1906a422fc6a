"""A server that asks its clients for a token: judging needs it, a probe does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from ichclient.flags import ServerSettings

pytestmark = pytest.mark.triton

TOKEN = {"triton-grpc-protocol-client": "for-clients"}
ADMIN = {"triton-grpc-protocol-admin": "for-operators"}


def test_judging_needs_the_client_s_token_and_the_operator_s_opens_nothing_of_it(
    tiny_repository: Path,
    tmp_path: Path,
    start_server: Callable[..., Any],
    client_of: Callable[..., InferenceServerClient],
) -> None:
    settings = ServerSettings(
        str(tiny_repository), client_token="for-clients", admin_token="for-operators"
    )
    tensor = InferInput("X", [1], "FP32")
    tensor.set_data_from_numpy(np.ones(1, np.float32))
    with start_server(settings, tmp_path) as server, client_of(server.url, None) as client:
        assert client.is_server_ready()
        for headers in (None, ADMIN):
            with pytest.raises(InferenceServerException, match=r"UNAVAILABLE.*is restricted"):
                client.infer("same", [tensor], headers=headers)
            with pytest.raises(InferenceServerException, match="is restricted"):
                client.get_model_config("same", headers=headers)
        assert client.infer("same", [tensor], headers=TOKEN).as_numpy("X") == 1
        assert client.get_model_config("same", headers=TOKEN).config.name == "same"
        with pytest.raises(InferenceServerException, match="is restricted"):
            client.get_model_repository_index(headers=TOKEN)
        client.get_model_repository_index(headers=ADMIN)

"""Every flag that hardens a server, on the real embedded Triton with the real bundle."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from ichclient.golden import Golden
from ichclient.probe import server_says

pytestmark = pytest.mark.triton

TOKEN = "a-token-of-these-tests"
SERVER_NAME = "ich-triton"
HEADER = {"triton-grpc-protocol-admin": TOKEN}
ClientOf = Callable[[str, Path | None], InferenceServerClient]


@pytest.fixture
def trusted(
    hardened: Any, certificates: Any, client_of: ClientOf
) -> Iterator[InferenceServerClient]:
    client = client_of(hardened.url, certificates.client)
    yield client
    client.close()


def test_a_study_is_judged_through_mutual_tls(
    trusted: InferenceServerClient, golden: Golden
) -> None:
    scores = scores_of(trusted, golden.hu)
    assert np.abs(scores - golden.score).max() < 0.02


def scores_of(client: InferenceServerClient, hu: NDArray[np.float16]) -> NDArray[np.float32]:
    tensor = InferInput("HU", list(hu.shape), "FP16")
    tensor.set_data_from_numpy(hu)
    answer = client.infer("ich_ensemble", [tensor], client_timeout=60)
    scores: NDArray[np.float32] = answer.as_numpy("SCORE")[:, 0]
    return scores


@pytest.mark.parametrize("who", ["stranger", "expired"])
def test_a_client_with_a_wrong_certificate_is_refused(
    hardened: Any, certificates: Any, client_of: ClientOf, who: str
) -> None:
    client = client_of(hardened.url, getattr(certificates, who))
    with pytest.raises(InferenceServerException, match="UNAVAILABLE"):
        client.is_server_live(client_timeout=5)
    client.close()


def test_a_client_in_the_clear_is_refused(hardened: Any, client_of: ClientOf) -> None:
    client = client_of(hardened.url, None)
    with pytest.raises(InferenceServerException, match=r"UNAVAILABLE|DEADLINE"):
        client.is_server_live(client_timeout=5)
    client.close()


RESTRICTED: dict[str, Callable[[InferenceServerClient, Any], Any]] = {
    "model-repository": lambda client, headers: client.get_model_repository_index(headers=headers),
    "statistics": lambda client, headers: client.get_inference_statistics(headers=headers),
    "trace": lambda client, headers: client.get_trace_settings(headers=headers),
    "logging": lambda client, headers: client.get_log_settings(headers=headers),
    "shared-memory": lambda client, headers: client.get_system_shared_memory_status(
        headers=headers
    ),
}


@pytest.mark.parametrize("protocol", RESTRICTED)
def test_a_restricted_call_needs_the_token(trusted: InferenceServerClient, protocol: str) -> None:
    call = RESTRICTED[protocol]
    for headers in (None, {"triton-grpc-protocol-admin": "another"}):
        with pytest.raises(InferenceServerException, match="is restricted"):
            call(trusted, headers)
    call(trusted, HEADER)


def test_nobody_loads_or_unloads_a_model(trusted: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="is restricted"):
        trusted.unload_model("ich_any")


def test_what_the_client_reads_is_open(trusted: InferenceServerClient) -> None:
    assert trusted.is_server_ready()
    assert trusted.get_server_metadata().version.startswith("2.51")
    assert trusted.get_model_config("ich_ensemble").config.parameters["members"].string_value


def test_metrics_are_on_their_own_port_alone(
    hardened: Any, trusted: InferenceServerClient, golden: Golden
) -> None:
    scores_of(trusted, golden.hu[:1])
    metrics = scraped(hardened)
    assert re.search(r'^nv_inference_count\{model="ich_ensemble",version="1"\} \d+', metrics, re.M)
    assert 'nv_inference_queue_summary_us{model="ich_any",version="1",quantile="0.99"}' in metrics


def scraped(hardened: Any) -> str:
    with urllib.request.urlopen(hardened.metrics_url, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def test_the_probe_answers_as_a_container_asks_it(hardened: Any, certificates: Any) -> None:
    command = [sys.executable, "-m", "ichclient.probe", "ready", hardened.url]
    shown = ["--tls", str(certificates.server), "--name", SERVER_NAME]
    assert subprocess.run([*command, *shown], check=False, capture_output=True).returncode == 0
    unshown = subprocess.run(
        [*command, "--timeout", "1"], check=False, capture_output=True, text=True
    )
    assert unshown.returncode == 1
    assert "is not ready" in unshown.stderr
    assert server_says("live", hardened.url, tls=certificates.client, name=SERVER_NAME)


def test_a_probe_without_its_files_names_them(hardened: Any, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "ichclient.probe",
        "live",
        hardened.url,
        "--tls",
        str(tmp_path),
    ]
    told = subprocess.run(command, check=False, capture_output=True, text=True)
    assert told.returncode == 1
    assert "ca.crt cannot be read" in told.stderr


def test_certificates_are_read_at_the_start_alone(
    hardened: Any, certificates: Any, client_of: ClientOf
) -> None:
    tls = Path(hardened.settings.tls.certificate).parent
    for name in ("tls.crt", "tls.key", "ca.crt"):
        (tls / name).write_text("rotated away\n")
    with client_of(hardened.url, certificates.client) as client:
        assert client.is_server_ready(client_timeout=10)

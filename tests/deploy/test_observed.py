"""Rules and dashboard against what the real server exposes; a real Prometheus reads both."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tritonclient.grpc import InferInput

from ichclient.access import ServerAccess
from ichclient.golden import Golden
from ichclient.transport import TritonTransport
from ichcore import SliceScores
from ichexport.production import ROUTINE

pytestmark = pytest.mark.triton

OF_A_GPU = {"nv_gpu_utilization", "nv_gpu_memory_used_bytes", "nv_gpu_memory_total_bytes"}
"""From Triton's documentation; an embedded server has no GPU to tell of."""

OURS_OR_TRITONS = r"\b(?:nv|ich_study|ich_reference)_\w+"


@pytest.fixture
def rules(checkout: Path) -> list[dict[str, Any]]:
    text = (checkout / "deploy" / "prometheus" / "rules.yaml").read_text(encoding="utf-8")
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


@pytest.fixture
def dashboard_expressions(checkout: Path) -> list[str]:
    path = checkout / "deploy" / "grafana" / "dashboards" / "ich-triton.json"
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


@pytest.fixture(scope="module")
def judged(hardened: Any, certificates: Any, client_of: Any, golden: Golden) -> Any:
    """The hardened server, after it has judged the golden slices."""
    client = client_of(hardened.url, certificates.client)
    tensor = InferInput("HU", list(golden.hu.shape), "FP16")
    tensor.set_data_from_numpy(golden.hu)
    client.infer("ich_ensemble", [tensor], client_timeout=60)
    client.close()
    return hardened


@pytest.fixture(scope="module")
def judge_studies(hardened: Any, certificates: Any, golden: Golden) -> Iterator[Any]:
    """Has the server judge studies whose slices all have one score."""
    tls = certificates.client
    access = ServerAccess(True, tls / "ca.crt", tls / "tls.crt", tls / "tls.key", "ich-triton")
    with TritonTransport(hardened.url, access=access) as transport:
        provenance = transport.infer(golden.hu[:1]).provenance[0]
        members = len(transport.metadata().member_names)

        def judge(score: float, studies: int) -> None:
            slices = SliceScores(
                score=np.full(30, score, dtype=np.float32),
                member_scores=np.full((30, members), score, dtype=np.float32),
                lesion_mm2=np.zeros(30, dtype=np.float32),
                brain_mm2=np.full(30, 9000, dtype=np.float32),
                position_mm=np.arange(30, dtype=np.float32) * np.float32(5),
                provenance=(provenance,) * 30,
            )
            for _ in range(studies):
                transport.study(slices)

        yield judge


def test_every_metric_that_is_asked_for_exists(
    judged: Any, rules: list[dict[str, Any]], dashboard_expressions: list[str]
) -> None:
    with urllib.request.urlopen(judged.metrics_url, timeout=10) as answer:
        exposed = set(re.findall(OURS_OR_TRITONS, answer.read().decode()))
    asked = " ".join([*(rule["expr"] for rule in rules), *dashboard_expressions])
    wanted = set(re.findall(OURS_OR_TRITONS, asked))
    assert len(wanted) > 15
    assert wanted - exposed == OF_A_GPU


def test_the_dashboard_asks_for_what_is_recorded(
    rules: list[dict[str, Any]], dashboard_expressions: list[str]
) -> None:
    recorded = {rule["record"] for rule in rules if "record" in rule}
    wanted = set(re.findall(r"\bich[:_]\w+[:\w]*", " ".join(dashboard_expressions)))
    models = {"ich_ensemble", "ich_fused", "ich_study"}
    assert wanted - models <= recorded


def test_every_alert_says_what_to_do(checkout: Path, rules: list[dict[str, Any]]) -> None:
    guide = (checkout / "docs" / "operations.md").read_text(encoding="utf-8")
    alerts = {rule["alert"] for rule in rules if "alert" in rule}
    assert {f"`{name}`" for name in alerts} <= set(re.findall(r"`Ich\w+`", guide))


def test_a_queue_is_nearly_full_at_four_fifths(rules: list[dict[str, Any]]) -> None:
    (alert,) = (rule for rule in rules if rule.get("alert") == "IchQueueNearlyFull")
    assert alert["expr"].endswith(f"> {ROUTINE.most_waiting * 4 // 5}")


def test_the_autoscaler_asks_for_a_recorded_metric(
    checkout: Path, rules: list[dict[str, Any]]
) -> None:
    hpa = yaml.safe_load((checkout / "deploy/kubernetes/base/hpa.yaml").read_text())
    name = hpa["spec"]["metrics"][0]["pods"]["metric"]["name"]
    adapter = yaml.safe_load((checkout / "deploy/prometheus/adapter.yaml").read_text())
    assert name in {rule.get("record") for rule in rules}
    assert adapter[0]["name"]["matches"] == name


def test_a_real_prometheus_scrapes_it_and_records(
    judged: Any,
    judge_studies: Callable[[float, int], None],
    checkout: Path,
    tmp_path: Path,
    free_port: Any,
) -> None:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("needs the program prometheus (Debian's package of that name)")
    config = yaml.safe_load((checkout / "deploy/prometheus/prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(checkout / "deploy/prometheus/rules.yaml")]
    target = urllib.parse.urlsplit(judged.metrics_url).netloc
    config["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    command = [
        program,
        f"--config.file={tmp_path}/prometheus.yaml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address={address}",
        "--log.level=error",
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        assert result_of('up{job="ich-triton"}', address, process) == 1
        wait = result_of("ich_queue_seconds_per_request", address, process)
        assert 0 <= wait < 60
        assert result_of('nv_inference_count{model="ich_ensemble"}', address, process) >= 8
        # The studies are counted from 0 on, so that even the first of them is a rise.
        assert result_of("ich_study_score_count", address, process) == 0
        judge_studies(0.02, 3)
        judge_studies(0.98, 1)
        rose = "changes(ich_study_score_count[1m]) > 0 and ich_study_score_count == 4"
        assert result_of(rose, address, process) > 0
        recorded = "abs(ich:score_share:7d{le='0.5'} - 0.75) < 0.01"
        assert result_of(recorded, address, process) < 0.01
        assert result_of("ich:positive_share:7d{operating_point='balanced'}", address, process) > 0
        assert 0 < result_of("ich:score_drift:7d", address, process) < 1
        assert result_of("ich:score_drift_by_chance:7d", address, process) > 0.5
    finally:
        process.terminate()
        process.wait(timeout=20)


def result_of(expression: str, address: str, process: subprocess.Popen[bytes]) -> float:
    """The first sample of an expression, as soon as there is one."""
    query = urllib.parse.urlencode({"query": expression})
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{address}/api/v1/query?{query}") as answer:
                samples = json.load(answer)["data"]["result"]
        except OSError:
            samples = []
        if samples:
            return float(samples[0]["value"][1])
        time.sleep(0.2)
    raise AssertionError(f"no sample of {expression}")

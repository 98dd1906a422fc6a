"""Images, compose and Kubernetes run the text that `ichclient server-command` writes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ichclient.container_command import CONTAINER_SETTINGS, container_command

KUBERNETES = Path("deploy/kubernetes")
COLLECTOR = "http://collector:4318/v1/traces"


@pytest.fixture
def loaded(checkout: Path) -> Any:
    """YAML of a file in the checkout."""
    return lambda path: yaml.safe_load((checkout / path).read_text(encoding="utf-8"))


def test_the_image_starts_the_production_server(checkout: Path) -> None:
    text = (checkout / "docker" / "server.Dockerfile").read_text(encoding="utf-8")
    server = text[text.index("AS server") : text.index("AS engines")].replace("\\\n", "")
    commands = re.findall(r"^CMD (\[.*\])$", server, flags=re.MULTILINE)
    assert [tuple(json.loads(command)) for command in commands] == [container_command()]


@pytest.mark.parametrize(
    ("file", "otlp_url"), [("compose.yaml", None), ("compose.traces.yaml", COLLECTOR)]
)
def test_compose_starts_both_servers_by_it(loaded: Any, file: str, otlp_url: str | None) -> None:
    services = loaded(f"docker/{file}")["services"]
    for service, config_name in (("server-cpu", "onnxruntime"), ("server-gpu", None)):
        text = [part.replace("$$", "$") for part in services[service]["command"]]
        assert tuple(text) == container_command(config_name, otlp_url=otlp_url)


@pytest.mark.parametrize(("file", "config_name"), [("base", None), ("overlays/cpu", "onnxruntime")])
def test_kubernetes_starts_its_pods_by_it(loaded: Any, file: str, config_name: str | None) -> None:
    deployment = loaded(KUBERNETES / file / "deployment.yaml")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert tuple(container["args"]) == container_command(config_name)


def test_kserve_starts_its_runtime_by_it(loaded: Any) -> None:
    runtime = loaded(KUBERNETES / "overlays/kserve/servingruntime.yaml")
    (container,) = runtime["spec"]["containers"]
    assert tuple(container["args"]) == container_command(model_repository="/mnt/models")


def test_nobody_else_writes_a_flag(checkout: Path) -> None:
    sources = [*checkout.glob("client/**/*.py"), *checkout.glob("export/**/*.py")]
    writers = {
        path.name
        for path in sources
        if re.search(
            r'"--(grpc|http|allow(?!-marking)|model|metrics)-', path.read_text(encoding="utf-8")
        )
    }
    # The command line of ichclient has options of the same names; container.py reads one.
    assert writers <= {"cli.py", "container.py"}


def test_a_pod_is_given_longer_to_end_than_its_server_takes(loaded: Any) -> None:
    pod = loaded(KUBERNETES / "base/deployment.yaml")["spec"]["template"]["spec"]
    asleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > asleep + CONTAINER_SETTINGS.exit_timeout_s
    service = loaded(KUBERNETES / "overlays/kserve/inferenceservice.yaml")
    assert service["spec"]["predictor"]["terminationGracePeriodSeconds"] > (
        asleep + CONTAINER_SETTINGS.exit_timeout_s
    )
    graces = {
        name: int(each["stop_grace_period"].removesuffix("s"))
        for name, each in loaded("docker/compose.yaml")["services"].items()
        if name.startswith("server")
    }
    assert graces
    assert min(graces.values()) > CONTAINER_SETTINGS.exit_timeout_s

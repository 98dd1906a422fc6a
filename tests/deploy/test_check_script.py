"""`make deploy-check` would notice: a pod that is softer, a skip that nobody allowed."""

from __future__ import annotations

import copy
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml


@pytest.fixture(scope="module")
def check(checkout: Path) -> ModuleType:
    """The script, loaded by its path; its tools are only imported by the checks that need them."""
    spec = importlib.util.spec_from_file_location("deploy_check", checkout / "deploy" / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pod(checkout: Path) -> dict[str, Any]:
    """The released pod."""
    path = checkout / "deploy" / "kubernetes" / "base" / "deployment.yaml"
    spec: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return spec["spec"]["template"]["spec"]


def test_the_released_pod_passes(check: ModuleType, pod: dict[str, Any]) -> None:
    check.hardened(pod)


SOFTER: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "may be root": lambda pod, box: pod["securityContext"].pop("runAsNonRoot"),
    "no seccomp profile": lambda pod, box: pod["securityContext"].pop("seccompProfile"),
    "token of the cluster": lambda pod, box: pod.pop("automountServiceAccountToken"),
    "gain privileges": lambda pod, box: box["securityContext"].pop("allowPrivilegeEscalation"),
    "keeps capabilities": lambda pod, box: box["securityContext"]["capabilities"].pop("drop"),
    "write to its root": lambda pod, box: box["securityContext"].pop("readOnlyRootFilesystem"),
    "nothing of its resources": lambda pod, box: box["resources"].pop("limits"),
}


@pytest.mark.parametrize("sentence", SOFTER)
def test_a_softer_pod_is_refused(check: ModuleType, pod: dict[str, Any], sentence: str) -> None:
    softer = copy.deepcopy(pod)
    SOFTER[sentence](softer, softer["containers"][0])
    with pytest.raises(check.Failed, match=sentence):
        check.hardened(softer)


def test_models_that_an_init_container_built_are_read_only(
    check: ModuleType, pod: dict[str, Any]
) -> None:
    built = copy.deepcopy(pod)
    built["initContainers"] = built["containers"]
    mount = {"name": "models", "mountPath": "/models"}
    built["containers"][0]["volumeMounts"].append(mount)
    with pytest.raises(check.Failed, match="write to its models"):
        check.hardened(built)
    mount["readOnly"] = True
    check.hardened(built)


def test_a_skip_that_nobody_allowed_is_no_pass(check: ModuleType) -> None:
    patterns = ["build the images: * container engine answers*"]
    allowed = check.Outcome("build the images", "skipped", "no container engine answers here", 0.0)
    other = check.Outcome("hadolint server.Dockerfile", "skipped", "no hadolint is here", 0.0)
    assert check.is_allowed(allowed, patterns)
    assert not check.is_allowed(other, patterns)


def test_a_tool_that_finds_something_is_a_failure(check: ModuleType) -> None:
    outcome = check.outcome_of("one", lambda: check.ran("sh", "-c", "echo found >&2; exit 3"))
    assert (outcome.state, outcome.reason) == ("failed", "found")
    absent = check.outcome_of("two", lambda: check.tool("no-such-tool-anywhere"))
    assert absent.state == "skipped"

"""Everything that can be held against its own tool without a container engine or a cluster.

    make deploy-check          # each check: passed, failed or skipped, and why

A failure, and a skip that `skips.txt` beside this file does not allow, end in exit status 1.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

DEPLOY = Path(__file__).resolve().parent
CHECKOUT = DEPLOY.parent
OVERLAYS = ("cpu", "gpu", "kserve")
KUBERNETES_VERSION = "1.37"
_TOO_LONG_S = 120.0


class Failed(Exception):
    """What a tool found wrong."""


class Skipped(Exception):
    """Why nothing was checked."""


@dataclass(frozen=True)
class Outcome:
    """One check: "passed", "failed" or "skipped", with its reason, and how long it took."""

    name: str
    state: str
    reason: str
    seconds: float


def checks() -> Iterator[tuple[str, Callable[[], str]]]:
    """Every check by name; each gives what it saw, or raises Failed or Skipped."""
    for path in sorted(CHECKOUT.glob("docker/*.Dockerfile")):
        yield f"hadolint {path.name}", lambda path=path: hadolint(path)
    yield "shell script build-engines.sh", shell_script
    for path in sorted(CHECKOUT.glob("docker/compose*.yaml")):
        yield f"compose {path.name}", lambda path=path: compose(path)
    for overlay in OVERLAYS:
        yield f"kustomize {overlay}", lambda overlay=overlay: kubernetes(overlay)
    yield "prometheus configuration", lambda: promtool("check", "config", "prometheus.yaml")
    yield "alert rules under test", lambda: promtool("test", "rules", "rules.test.yaml")
    yield "every alert is tested", every_alert_is_tested
    yield "expressions of the dashboard", dashboard
    yield "collector's configuration", collector
    yield "build the images", container_engine
    yield "start the compose file", container_engine


def hadolint(path: Path) -> str:
    """Lint a Dockerfile; every finding counts."""
    ran(tool("hadolint", beside_python=True), "--failure-threshold", "style", str(path))
    return "no finding"


def shell_script() -> str:
    """Parse the script that builds engines, as the shell of the image would."""
    ran("sh", "-n", str(CHECKOUT / "docker" / "build-engines.sh"))
    return "parsed"


def compose(path: Path) -> str:
    """Hold a compose file against the Compose specification, variables at their defaults."""
    import yaml
    from compose_spec import PyCompose

    text = re.sub(r"(?<!\$)\$\{\w+:-([^}]*)\}", r"\1", path.read_text(encoding="utf-8"))
    left = re.findall(r"(?<!\$)\$\{?\w+", text)
    if left:
        raise Failed(f"variables without a default: {', '.join(left)}")
    known = {key: value for key, value in yaml.safe_load(text).items() if key[:2] != "x-"}
    try:
        parsed = PyCompose.from_json(json.dumps(known))
        parsed.to_spec()
        if "volumes" in known:  # an override names what another file defines
            parsed.validate()
    except ValueError as error:
        raise Failed(str(error)) from error
    return f"services {', '.join(sorted(parsed.service_names()))}"


def kubernetes(overlay: str) -> str:
    """Render an overlay, and hold every object against its schema, unknown fields refused."""
    import yaml

    folder = DEPLOY / "kubernetes" / "overlays" / overlay
    rendered = ran(tool("kubectl", beside_python=True), "kustomize", str(folder))
    objects = [each for each in yaml.safe_load_all(rendered) if each is not None]
    for each in objects:
        valid(each)
    pods = [spec for each in objects for spec in pods_of(each)]
    for spec in pods:
        hardened(spec)
    kinds = sorted({each["kind"] for each in objects})
    return f"{len(objects)} objects valid ({', '.join(kinds)}), {len(pods)} pods hardened"


def valid(thing: dict[str, Any]) -> None:
    """Hold an object against Kubernetes' schema, or one of ours where it is another's."""
    import jsonschema
    import kubernetes_validate

    ours = DEPLOY / "schemas" / f"{thing['kind']}.json"
    name = f"{thing['kind']} {thing['metadata']['name']}"
    try:
        if ours.is_file():
            jsonschema.validate(thing, json.loads(ours.read_text(encoding="utf-8")))
        else:
            kubernetes_validate.validate(thing, KUBERNETES_VERSION, strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
        raise Failed(f"{name}: {error.message}") from error
    except kubernetes_validate.SchemaNotFoundError as error:
        raise Failed(f"{name}: no schema is known; add one to deploy/schemas") from error
    if thing["kind"] == "ServingRuntime":
        pod = {"containers": thing["spec"]["containers"], "volumes": thing["spec"]["volumes"]}
        metadata = {"name": "containers-of-the-runtime"}
        valid({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod})


def pods_of(thing: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Specs of the pods that an object makes; a ServingRuntime leaves users to its service."""
    if thing["kind"] in {"Deployment", "Job"}:
        yield thing["spec"]["template"]["spec"]
    if thing["kind"] == "ServingRuntime":
        user = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        yield {"securityContext": user, "automountServiceAccountToken": False, **thing["spec"]}


def hardened(pod: dict[str, Any]) -> None:
    """Refuse a pod that Kubernetes' restricted standard, or this project, would not have."""
    of_pod = pod.get("securityContext", {})
    if not of_pod.get("runAsNonRoot") or "seccompProfile" not in of_pod:
        raise Failed("a pod may be root, or has no seccomp profile")
    if pod.get("automountServiceAccountToken") is not False:
        raise Failed("a pod is given a token of the cluster")
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        name, context = container["name"], container.get("securityContext", {})
        if context.get("allowPrivilegeEscalation") is not False:
            raise Failed(f"container {name} may gain privileges")
        if context.get("capabilities", {}).get("drop") != ["ALL"]:
            raise Failed(f"container {name} keeps capabilities")
        if not context.get("readOnlyRootFilesystem"):
            raise Failed(f"container {name} may write to its root")
        if not {"requests", "limits"} <= container.get("resources", {}).keys():
            raise Failed(f"container {name} says nothing of its resources")
    mounted = {
        mount["mountPath"]: mount
        for container in pod["containers"]
        for mount in container.get("volumeMounts", ())
    }
    if (
        "/models" in mounted
        and pod.get("initContainers")
        and not mounted["/models"].get("readOnly")
    ):
        raise Failed("the server may write to its models")


def promtool(*arguments: str) -> str:
    """Run Prometheus' own checker in the folder of the rules."""
    program = tool("promtool")
    told = ran(program, *arguments, cwd=DEPLOY / "prometheus")
    return next((line.strip() for line in told.splitlines() if "SUCCESS" in line), "passed")


def every_alert_is_tested() -> str:
    """Refuse an alert that no test sees firing."""
    import yaml

    folder = DEPLOY / "prometheus"
    rules = yaml.safe_load((folder / "rules.yaml").read_text(encoding="utf-8"))
    tests = yaml.safe_load((folder / "rules.test.yaml").read_text(encoding="utf-8"))["tests"]
    alerts = {r["alert"] for g in rules["groups"] for r in g["rules"] if "alert" in r}
    seen = {
        each["alertname"]
        for test in tests
        for each in test.get("alert_rule_test", ())
        if each["exp_alerts"]
    }
    if alerts - seen:
        raise Failed(f"never seen firing: {', '.join(sorted(alerts - seen))}")
    return f"{len(alerts)} alerts"


def dashboard() -> str:
    """Let promtool parse every expression of the dashboard, as rules of a file of its own."""
    import yaml

    path = DEPLOY / "grafana" / "dashboards" / "ich-triton.json"
    panels = json.loads(path.read_text(encoding="utf-8"))["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    if len({panel["id"] for panel in panels}) != len(panels):
        raise Failed("two panels have one number")
    rules = [{"record": f"panel:{n}", "expr": text} for n, text in enumerate(expressions)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "panels.yaml"
        file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
        promtool("check", "rules", str(file))
    return f"{len(panels)} panels, {len(expressions)} expressions parsed"


def collector() -> str:
    """Ask the OpenTelemetry collector, where it is."""
    program = shutil.which("otelcol")
    if program is None:
        raise Skipped("no otelcol is here, and no registry that we use has it")
    ran(program, "validate", f"--config={DEPLOY / 'collector' / 'config.yaml'}")
    return "valid"


def container_engine() -> str:
    """Say that this needs what is not here; where it is, docs/operations.md has the commands."""
    for engine in ("docker", "podman"):
        program = shutil.which(engine)
        if (
            program is not None
            and subprocess.run([program, "info"], capture_output=True).returncode == 0
        ):
            raise Skipped("a container engine answers: follow docs/operations.md by hand")
    raise Skipped("no container engine answers here")


def tool(name: str, *, beside_python: bool = False) -> str:
    """Path of a program, of this environment first."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else None if beside_python else shutil.which(name)
    if found is None:
        raise Skipped(f"no {name} is here; see CONTRIBUTING.md")
    return found


def ran(*command: str, cwd: Path = CHECKOUT) -> str:
    """Output of a command that ended well."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=_TOO_LONG_S, check=False
    )
    if done.returncode != 0:
        raise Failed(" ".join((done.stdout + done.stderr).split()))
    return done.stdout


def outcome_of(name: str, check: Callable[[], str]) -> Outcome:
    """Run one check."""
    started = time.monotonic()
    try:
        state, reason = "passed", check()
    except Skipped as skip:
        state, reason = "skipped", str(skip)
    except (Failed, OSError, ValueError, ImportError, subprocess.SubprocessError) as error:
        state, reason = "failed", str(error)
    return Outcome(name, state, reason, time.monotonic() - started)


def is_allowed(outcome: Outcome, patterns: list[str]) -> bool:
    """Whether a skip stands in the list."""
    return any(fnmatchcase(f"{outcome.name}: {outcome.reason}", pattern) for pattern in patterns)


def main() -> int:
    """Print every outcome; 1 where one failed or was skipped without leave."""
    lines = (DEPLOY / "skips.txt").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda check: outcome_of(*check), checks()))
    bad = 0
    for each in outcomes:
        forbidden = each.state == "skipped" and not is_allowed(each, patterns)
        bad += forbidden or each.state == "failed"
        state = "skipped without leave" if forbidden else each.state
        sys.stdout.write(f"{state:<8} {each.name} ({each.seconds:.1f} s): {each.reason}\n")
    sys.stdout.write(f"{len(outcomes)} checks, {bad} of them bad.\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

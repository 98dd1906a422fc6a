"""What a server is to do -> the command line of the Triton version that is to do it.

The only place that knows a flag of `tritonserver`: the embedded server, the container images,
compose and Kubernetes all run what is written here, and a test holds them to it. Everything is
closed unless it is asked for: no model control, no completion of configs, no HTTP, no cloud
vendor's endpoints, and a token in front of every gRPC call that is not needed to judge a study.

Sources: `tritonserver --help` of 2.51 (a test reads it again), `command_line_parser.cc` and the
release notes for the newer flags.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from ichclient.errors import FlagRefused


class Version(NamedTuple):
    """Version of Triton, without its patch."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


EMBEDDED = Version(2, 51)
"""The binary in the wheel `nvidia-pytriton` (NGC 24.10)."""
CONTAINER = Version(2, 71)
"""NGC 26.07: the oldest that anybody else may reach, for the security fixes up to it."""

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"

TOKEN_PLACEHOLDER = "${ICH_ADMIN_TOKEN}"
CLIENT_TOKEN_PLACEHOLDER = "${ICH_CLIENT_TOKEN}"
"""These stand for tokens in published command lines; `ichclient.container` puts them in."""

OPEN_TO_CLIENTS = ("health", "metadata", "inference", "model-config")
"""What judging a study needs. A config carries grid, members and operating points, no secret."""
OPEN_TO_TOKENS = ("metadata", "inference", "model-config")
"""What a client's token opens, where one is asked for; health stays open for probes."""
CLOSED_TO_CLIENTS = ("shared-memory", "model-repository", "statistics", "trace", "logging")
"""What needs the token; together these are all protocols that Triton can restrict."""

_NAMES_OF_2_51 = """
    allow-cpu-metrics allow-gpu-metrics allow-grpc allow-http allow-metrics allow-sagemaker
    allow-vertex-ai backend-config backend-directory buffer-manager-thread-count
    cuda-memory-pool-byte-size disable-auto-complete-config exit-on-error exit-timeout-secs
    grpc-address grpc-http2-max-ping-strikes grpc-http2-max-pings-without-data
    grpc-http2-min-recv-ping-interval-without-data grpc-infer-allocation-pool-size
    grpc-infer-response-compression-level grpc-keepalive-permit-without-calls grpc-keepalive-time
    grpc-keepalive-timeout grpc-max-connection-age grpc-max-connection-age-grace grpc-port
    grpc-restricted-protocol grpc-root-cert grpc-server-cert grpc-server-key grpc-use-ssl
    grpc-use-ssl-mutual host-policy http-address http-port http-restricted-api http-thread-count
    id load-model log-error log-file log-format log-info log-verbose log-warning metrics-address
    metrics-config metrics-interval-ms metrics-port min-supported-compute-capability
    model-config-name model-control-mode model-load-gpu-limit model-load-retry-count
    model-load-thread-count model-repository pinned-memory-pool-byte-size rate-limit
    rate-limit-resource reuse-grpc-port reuse-http-port strict-readiness trace-config
"""
SINCE = {
    **dict.fromkeys(_NAMES_OF_2_51.split(), EMBEDDED),
    "http-max-input-size": Version(2, 59),
    "grpc-infer-thread-count": Version(2, 59),
    "grpc-max-response-pool-size": Version(2, 59),
    "allow-client-shm": Version(2, 68),
}
"""Flag -> the first known version that has it; flags that no target here needs are left out."""

WITHOUT_VALUE = frozenset({"disable-auto-complete-config"})


@dataclass(frozen=True)
class Tls:
    """PEM files for gRPC; with `client_ca` a client has to show a certificate of that authority."""

    certificate: str
    key: str
    client_ca: str | None = None


@dataclass(frozen=True)
class ServerSettings:
    """What a server is to do. Whatever is not named here is off."""

    model_repository: str
    model_config_name: str | None = None
    """Which `configs/NAME.pbtxt` is taken; None takes `config.pbtxt`, TensorRT in production."""
    models: tuple[str, ...] | None = None
    """Models to load, with their steps; None loads all, and lets nobody load or unload any."""
    address: str = EVERYWHERE
    grpc_port: int = 8001
    http_port: int | None = None
    metrics_port: int | None = None
    tls: Tls | None = None
    admin_token: str | None = None
    """Value of the header that opens `CLOSED_TO_CLIENTS`; None leaves them open."""
    client_token: str | None = None
    """Value of the header that opens `OPEN_TO_TOKENS`; None leaves them open."""
    exit_timeout_s: int = 5
    """How long requests under way are waited for after SIGTERM."""
    otlp_url: str | None = None
    """Where traces go (OTLP over HTTP) of the requests that carry a W3C context."""
    more: tuple[tuple[str, str], ...] = ()
    """Further flags by name; refused where the version has none of that name."""


def server_arguments(settings: ServerSettings, version: Version) -> tuple[str, ...]:
    """Arguments of `tritonserver` of that version.

    Raises FlagRefused for a flag that the version does not have, one that is given twice, a
    version that is older than is known here, and one that others could reach but must not.
    """
    _refuse_reachable(settings, version)
    flags = [
        ("model-repository", settings.model_repository),
        *_optional("model-config-name", settings.model_config_name),
        *_model_control(settings.models),
        ("disable-auto-complete-config", ""),
        ("strict-readiness", "true"),
        ("exit-on-error", "true"),
        ("exit-timeout-secs", str(settings.exit_timeout_s)),
        *_grpc(settings),
        *_http(settings),
        *_metrics(settings),
        ("allow-sagemaker", "false"),
        ("allow-vertex-ai", "false"),
        *_traces(settings.otlp_url),
    ]
    _refuse_twice(flags, settings.more)
    return tuple(_written(name, value, version) for name, value in (*flags, *settings.more))


def version_from_text(text: str) -> Version:
    """Version from "2.71" or "2.71.0"; raises FlagRefused for anything else."""
    match = re.fullmatch(r"(\d+)\.(\d+)(?:\.\d+)?", text)
    if match is None:
        raise FlagRefused(f"'{text}' is no version of Triton: give one as 2.71.")
    return Version(int(match[1]), int(match[2]))


def refuse_bad_token(token: str) -> None:
    """Raise FlagRefused for a token that the flag could not carry."""
    if not re.fullmatch(r"[A-Za-z0-9._~-]+", token):
        raise FlagRefused("A token is not empty, and made of letters, digits and . _ ~ - alone.")


def _refuse_reachable(settings: ServerSettings, version: Version) -> None:
    if version < EMBEDDED:
        raise FlagRefused(f"Flags of Triton {version} are not known; the oldest is {EMBEDDED}.")
    if settings.address != LOOPBACK and version < CONTAINER:
        raise FlagRefused(
            f"Triton {version} lacks security fixes and must not listen on {settings.address}: "
            f"bind it to {LOOPBACK}, or use {CONTAINER} (NGC 26.07) or later."
        )


def _refuse_twice(flags: list[tuple[str, str]], more: tuple[tuple[str, str], ...]) -> None:
    written = {name for name, _ in flags}
    for name, _ in more:
        if name in written and name not in {"backend-config", "metrics-config", "trace-config"}:
            raise FlagRefused(f"--{name} is written already: change the setting that writes it.")


def _written(name: str, value: str, version: Version) -> str:
    since = SINCE.get(name)
    if since is None:
        raise FlagRefused(f"Triton has no flag --{name} that is known here: see {__name__}.SINCE.")
    if version < since:
        raise FlagRefused(f"Triton {version} has no flag --{name}, which came with {since}.")
    return f"--{name}" if name in WITHOUT_VALUE else f"--{name}={value}"


def _optional(name: str, value: str | None) -> list[tuple[str, str]]:
    return [] if value is None else [(name, value)]


def _model_control(models: tuple[str, ...] | None) -> list[tuple[str, str]]:
    if models is None:
        return [("model-control-mode", "none")]
    return [("model-control-mode", "explicit"), *(("load-model", name) for name in models)]


def _grpc(settings: ServerSettings) -> list[tuple[str, str]]:
    flags = [
        ("allow-grpc", "true"),
        ("grpc-address", settings.address),
        ("grpc-port", str(settings.grpc_port)),
    ]
    if settings.tls is not None:
        flags += [
            ("grpc-use-ssl", "true"),
            ("grpc-server-cert", settings.tls.certificate),
            ("grpc-server-key", settings.tls.key),
        ]
        if settings.tls.client_ca is not None:
            flags += [
                ("grpc-use-ssl-mutual", "true"),
                ("grpc-root-cert", settings.tls.client_ca),
            ]
    return flags + [("grpc-restricted-protocol", text) for text in _restrictions(settings)]


def _restrictions(settings: ServerSettings) -> list[str]:
    """A gRPC client sends a token as `triton-grpc-protocol-admin`, an HTTP client as `admin`."""
    texts = []
    for protocols, key, token in (
        (CLOSED_TO_CLIENTS, "admin", settings.admin_token),
        (OPEN_TO_TOKENS, "client", settings.client_token),
    ):
        if token is None:
            continue
        if token not in (TOKEN_PLACEHOLDER, CLIENT_TOKEN_PLACEHOLDER):
            refuse_bad_token(token)
        texts.append(f"{','.join(protocols)}:{key}={token}")
    return texts


def _http(settings: ServerSettings) -> list[tuple[str, str]]:
    if settings.http_port is None:
        return [("allow-http", "false")]
    return [
        ("allow-http", "true"),
        ("http-address", settings.address),
        ("http-port", str(settings.http_port)),
        *(("http-restricted-api", text) for text in _restrictions(settings)),
    ]


def _metrics(settings: ServerSettings) -> list[tuple[str, str]]:
    if settings.metrics_port is None:
        return [("allow-metrics", "false")]
    return [
        ("allow-metrics", "true"),
        ("metrics-address", settings.address),
        ("metrics-port", str(settings.metrics_port)),
    ]


def _traces(otlp_url: str | None) -> list[tuple[str, str]]:
    if otlp_url is None:
        return []
    settings = (
        "mode=opentelemetry",
        "level=TIMESTAMPS",
        "rate=0",  # none but those that a client asked for
        f"opentelemetry,url={otlp_url}",
        "opentelemetry,resource=service.name=ich-triton",
    )
    return [("trace-config", setting) for setting in settings]

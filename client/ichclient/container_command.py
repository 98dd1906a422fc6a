"""The hardened server that others reach: one command line for images, compose and Kubernetes."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

from ichclient.errors import FlagRefused
from ichclient.flags import (
    CLIENT_TOKEN_PLACEHOLDER,
    CONTAINER,
    SINCE,
    TOKEN_PLACEHOLDER,
    WITHOUT_VALUE,
    ServerSettings,
    Tls,
    Version,
    server_arguments,
)

# A connection ends after this long, so that clients look up the servers again and balance.
_CONNECTION_AGE_MS = 300_000
_CONNECTION_GRACE_MS = 60_000

CONTAINER_SETTINGS = ServerSettings(
    model_repository="/models/model_repository",
    metrics_port=8002,
    tls=Tls("/tls/tls.crt", "/tls/tls.key", "/tls/ca.crt"),
    admin_token=TOKEN_PLACEHOLDER,
    exit_timeout_s=60,  # as long as a client waits for a request
    more=(
        ("allow-client-shm", "false"),
        ("grpc-infer-thread-count", "4"),
        ("grpc-max-response-pool-size", "8"),
        ("grpc-max-connection-age", str(_CONNECTION_AGE_MS)),
        ("grpc-max-connection-age-grace", str(_CONNECTION_GRACE_MS)),
        ("buffer-manager-thread-count", "2"),
        ("metrics-config", "summary_latencies=true"),
        ("log-format", "ISO8601"),
    ),
)
"""The server that others reach, as in docker/ and deploy/; TLS is that of a Kubernetes secret."""


def container_command(
    model_config_name: str | None = None,
    *,
    model_repository: str = CONTAINER_SETTINGS.model_repository,
    otlp_url: str | None = None,
) -> tuple[str, ...]:
    """Command of the NGC container; for the processor the config name is "onnxruntime"."""
    settings = replace(
        CONTAINER_SETTINGS,
        model_repository=model_repository,
        model_config_name=model_config_name,
        otlp_url=otlp_url,
    )
    return ("tritonserver", *server_arguments(settings, CONTAINER))


def command_as_asked(
    version: Version,
    *,
    model_repository: str | None = None,
    model_config_name: str | None = None,
    address: str | None = None,
    tls_cert: str | None = None,
    tls_key: str | None = None,
    client_ca: str | None = None,
    no_tls: bool = False,
    client_token: bool = False,
    otlp_url: str | None = None,
    more: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """The container's command with what differs from it, for a version that may be another.

    Flags of the container's that an older version lacks are left out; those asked for in `more`
    ("NAME=VALUE") are refused there.
    """
    usual = CONTAINER_SETTINGS
    kept = tuple((name, value) for name, value in usual.more if version >= SINCE[name])
    return (
        "tritonserver",
        *server_arguments(
            replace(
                usual,
                model_repository=model_repository or usual.model_repository,
                model_config_name=model_config_name,
                address=address or usual.address,
                tls=_tls_as_asked(tls_cert, tls_key, client_ca, no_tls),
                client_token=CLIENT_TOKEN_PLACEHOLDER if client_token else None,
                otlp_url=otlp_url,
                more=(*kept, *map(_name_and_value, more)),
            ),
            version,
        ),
    )


def shell_text(command: tuple[str, ...]) -> str:
    """One argument a line, to be pasted into a shell, which puts the token in."""
    return " \\\n  ".join(
        f'"{part}"' if "=${ICH_" in part else shlex.quote(part) for part in command
    )


def exec_text(command: tuple[str, ...]) -> str:
    """A JSON array, the exec form of a Dockerfile's CMD."""
    return json.dumps(command, indent=2)


def _tls_as_asked(
    certificate: str | None, key: str | None, client_ca: str | None, no_tls: bool
) -> Tls | None:
    if no_tls:
        if certificate or key or client_ca:
            raise FlagRefused("--no-tls and the files of TLS were given: choose one.")
        return None
    if certificate is None and key is None and client_ca is None:
        return CONTAINER_SETTINGS.tls
    if certificate is None or key is None:
        raise FlagRefused("TLS needs both --tls-cert and --tls-key.")
    return Tls(certificate, key, client_ca)


def _name_and_value(text: str) -> tuple[str, str]:
    name, equals, value = text.removeprefix("--").partition("=")
    if not equals and name not in WITHOUT_VALUE:
        raise FlagRefused(f"'{text}' names no value: give NAME=VALUE.")
    return name, value

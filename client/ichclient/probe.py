"""A server behind mutual TLS -> exit status 0 if it is ready (or live), 1 if not.

    python3 -m ichclient.probe ready 127.0.0.1:8001 --tls /tls --name ich-triton

For the probes of a container: the kubelet's own gRPC probe speaks no TLS. The files in the folder
are those of a Kubernetes secret: tls.crt, tls.key, ca.crt; `--name` is one that the certificate
is made out to, since nobody makes it out to the loopback address.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ichclient.readiness import LIVE, READY, says_yes

_CALLS = {"ready": READY, "live": LIVE}


def server_says(
    what: str, url: str, *, tls: Path | None = None, name: str | None = None, timeout_s: float = 3.0
) -> bool:
    """Ask the server at `url` whether it is "ready" or "live"; no answer in time is a no."""
    import grpc

    options: list[tuple[str, int | str]] = [("grpc.enable_http_proxy", 0)]
    if name is not None:
        options.append(("grpc.ssl_target_name_override", name))
    if tls is None:
        channel = grpc.insecure_channel(url, options=options)
    else:
        credentials = grpc.ssl_channel_credentials(
            root_certificates=(tls / "ca.crt").read_bytes(),
            private_key=(tls / "tls.key").read_bytes(),
            certificate_chain=(tls / "tls.crt").read_bytes(),
        )
        channel = grpc.secure_channel(url, credentials, options=options)
    with channel:
        return says_yes(channel, _CALLS[what], timeout_s=timeout_s)


def main() -> None:
    """Answer by exit status; a file that is absent is a no with its name."""
    parser = argparse.ArgumentParser(description="Ask a Triton server whether it is ready or live.")
    parser.add_argument("what", choices=tuple(_CALLS))
    parser.add_argument("url")
    parser.add_argument("--tls", type=Path, metavar="DIR")
    parser.add_argument("--name")
    parser.add_argument("--timeout", type=float, default=3.0, metavar="S")
    given = parser.parse_args()
    try:
        yes = server_says(
            given.what, given.url, tls=given.tls, name=given.name, timeout_s=given.timeout
        )
    except OSError as error:
        sys.exit(f"Error: {error.filename} cannot be read ({error.strerror}).")
    sys.exit(0 if yes else f"{given.url} is not {given.what}.")


if __name__ == "__main__":
    main()

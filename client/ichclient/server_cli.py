"""Options of every command that speaks to a server; the command gets them as one `ServerOptions`.

Heavy imports wait inside the functions, so that --help is quick.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ichclient.connect import ServerOptions, ServerStart

_F = TypeVar("_F", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path)


def _addresses(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> str | None:
    """All addresses joined by commas, however they were given; None where there is none."""
    addresses = [address for value in values for address in value.split(",")]
    for address in addresses:
        host, _colon, port = address.rpartition(":")
        if not host or "/" in address or not port.isdigit():
            raise click.BadParameter(
                "give HOST:PORT of a gRPC endpoint, for example 10.0.0.5:8001."
            )
    if len(set(addresses)) < len(addresses):
        raise click.BadParameter("one address is given twice.")
    return ",".join(addresses) or None


def server_options(command: _F) -> _F:
    """Add the options; stands below `told`, since what they say may be refused."""

    @functools.wraps(command)
    def run(
        *args: Any, url: str | None, repository: Path | None, golden: Path | None,
        model: str | None, timeout: float, prove: bool,
        tls: bool, server_ca: Path | None, server_cert: Path | None, server_key: Path | None,
        server_name: str | None, token_file: Path | None, token_header: str | None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        from ichclient.access import OPEN, TOKEN_HEADER, ServerAccess, token_from
        from ichclient.connect import ServerOptions

        given = (server_ca, server_cert, server_key, server_name, token_file, token_header)
        if url is None and (tls or any(value is not None for value in given)):
            raise click.UsageError("TLS and tokens are for a server elsewhere: add --url.")
        access = OPEN
        if url is not None:
            access = ServerAccess(
                tls, server_ca, server_cert, server_key, server_name,
                token_from(token_file, os.environ), token_header or TOKEN_HEADER,
            )  # fmt: skip
        options = ServerOptions(
            url=url, repository=repository, golden=golden, timeout_s=timeout, access=access,
            model=model, prove=prove,
        )  # fmt: skip
        return command(*args, server=options, **kwargs)

    for option in (
        click.option("--token-header", metavar="NAME",
                     help="Header of the token  [default: triton-grpc-protocol-client]"),
        click.option("--token-file", type=_FILE, metavar="FILE",
                     help="File with the token that the server asks for, instead of the "
                          "environment variable ICHCLIENT_TRITON_TOKEN."),
        click.option("--server-name", metavar="NAME",
                     help="Name in the server's certificate, where it is not the address."),
        click.option("--server-key", type=_FILE, metavar="FILE",
                     help="Key (PEM) of --server-cert."),
        click.option("--server-cert", type=_FILE, metavar="FILE",
                     help="This client's own certificate (PEM), where the server asks for one."),
        click.option("--server-ca", type=_FILE, metavar="FILE",
                     help="Certificates (PEM) to trust for the server, instead of the system's; "
                          "--ca is for a PACS."),
        click.option("--tls", is_flag=True, help="Speak TLS with the server at --url."),
        click.option("--timeout", type=click.FloatRange(min=0.1), default=60.0, metavar="S",
                     show_default=True, help="Seconds that one request may take."),
        click.option("--model", type=click.Choice(("ich_fused", "ich_ensemble")),
                     help="Who judges slices: the members as one engine, or each on its own; if "
                          "not given, the first where the server has it."),
        click.option("--prove", is_flag=True,
                     help="Prove the server at --url with all golden slices, even if you have "
                          "proven this start of it before."),
        click.option("--golden", type=_FILE, metavar="FILE",
                     help="Golden slices that prove the server, instead of the repository's."),
        click.option("--repository", type=_FILE, metavar="DIR",
                     help="Model repository, instead of the one that comes with ichclient."),
        click.option("--url", callback=_addresses, multiple=True, metavar="HOST:PORT",
                     help="Use the Triton server there (gRPC) instead of an embedded one; several "
                          "with one bundle judge in turn (repeat it, or a list with commas)."),
    ):  # fmt: skip
        run = option(run)
    return run  # type: ignore[return-value]


@contextmanager
def begun(options: ServerOptions, study: str) -> Iterator[ServerOptions | ServerStart]:
    """An embedded server starts now, while all that reads a study is still being imported.

    A server elsewhere runs, and for a folder that is not there none is started.
    """
    from ichclient.connect import server_start
    from ichclient.sources.address import address_from_text

    address = address_from_text(study)
    if options.url is not None or (isinstance(address, Path) and not address.exists()):
        yield options
        return
    with server_start(options) as start:
        yield start

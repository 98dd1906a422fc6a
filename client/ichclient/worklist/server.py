"""Sockets -> requests -> replies, in threads, until Ctrl-C.

Nothing of a request is logged. A client that is slow, sends too much or never ends holds a thread
for a while and nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import signal
import socket
import ssl
import threading
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from ichclient.audit.log import AuditLog
from ichclient.errors import BadAccess, PortInUse
from ichclient.station.folder import StationFolder
from ichclient.worklist.access import WorklistOptions, is_loopback
from ichclient.worklist.routes import Reply, Request, Worklist, sentence

MAX_BODY_BYTES = 4096
MAX_CONNECTIONS = 128
_PATIENCE_S = 20.0
_EVERY_REPLY = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class WorklistServer(ThreadingHTTPServer):
    """A work list at its address; bound when it is made, and closed with `server_close`."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        options: WorklistOptions,
        worklist: Worklist,
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Raises PortInUse and BadAccess where the address cannot be had."""
        self.worklist, self.say = worklist, say
        self._live: set[socket.socket] = set()
        self._of_live = threading.Lock()
        self._context = _context(options)
        try:
            self.address_family = socket.getaddrinfo(options.address, None)[0][0]
            super().__init__((options.address, options.port), _Handler)
        except OSError as error:
            where = f"{options.address}:{options.port}"
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(f"{where} is taken: name another port with --port.") from error
            raise BadAccess(f"{where} cannot be served ({error.strerror}).") from error

    def server_bind(self) -> None:
        """Bind, without asking anybody what this host is called."""
        TCPServer.server_bind(self)

    def get_request(self) -> tuple[Any, Any]:
        """Accept; a TLS handshake is made later, in the connection's own thread."""
        accepted, address = super().get_request()
        accepted.settimeout(_PATIENCE_S)
        if self._context is not None:
            accepted = self._context.wrap_socket(
                accepted, server_side=True, do_handshake_on_connect=False
            )
        return accepted, address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a thread, or hang up where there are too many."""
        with self._of_live:
            room = len(self._live) < MAX_CONNECTIONS
            if room:
                self._live.add(request)
        if room:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """A connection is over."""
        with self._of_live:
            self._live.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Stop listening, and hang up on everybody."""
        super().server_close()
        with self._of_live:
            for request in self._live:
                with contextlib.suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke off is no matter."""


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "ichclient"
    sys_version = ""
    server: WorklistServer

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        length, *more = self.headers.get_all("Content-Length", ["0"])
        known = not more and length.isascii() and length.isdigit()
        if "Transfer-Encoding" in self.headers or not known:
            self._refuse(411, "Say Content-Length.")
            return
        if len(length) > 9 or int(length) > MAX_BODY_BYTES:
            self._refuse(413, "That is too much.")
            return
        body = self.rfile.read(int(length))
        request = Request(
            method, self.path.partition("?")[0], self.headers, body, self.client_address[0]
        )
        try:
            reply = self.server.worklist.reply(request)
        except Exception:  # our own fault: said without a word of what was asked
            self.server.say(traceback.format_exc())
            reply = sentence(500, "The work list failed at this. Its terminal says why.")
        self._send(reply)

    def _refuse(self, status: int, text: str) -> None:
        self.close_connection = True
        self._send(sentence(status, text))

    def _send(self, reply: Reply) -> None:
        if self.request_version == "HTTP/0.9":  # also of what was no request at all
            self.request_version, self.close_connection = "HTTP/1.0", True
        self.send_response(reply.status)
        headers = {**_EVERY_REPLY, "Content-Security-Policy": reply.policy, **reply.headers}
        if reply.status not in (204, 304):
            headers |= {"Content-Type": reply.kind, "Content-Length": str(len(reply.body))}
        if self.close_connection:
            headers["Connection"] = "close"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and reply.status not in (204, 304):
            self.wfile.write(reply.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses, without a word of what was asked."""
        self.command = getattr(self, "command", None) or "GET"
        self._refuse(code, "This request cannot be understood.")

    def log_message(self, *_: Any) -> None:
        """Addresses and times of readers are nobody's business."""


def serve_worklist(
    folder: StationFolder, options: WorklistOptions, say: Callable[[str], object]
) -> None:
    """Serve the work list and say where, until Ctrl-C or SIGTERM, which is a good end.

    Raises PortInUse, BadAccess, StationError, AuditBroken.
    """
    worklist = Worklist(folder, options, AuditLog(folder.path), say=say)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with WorklistServer(options, worklist, say) as server:
        host = f"[{options.address}]" if ":" in options.address else options.address
        where = f"{options.scheme}://{host}:{server.server_address[1]}/"
        try:
            say(f"Work list at {where}  Ctrl-C ends it.")
            if not is_loopback(options.address) and options.scheme == "http":
                say(
                    "Warning: it crosses the network in the clear. Put a proxy with TLS in front, "
                    "or give --tls-cert and --tls-key."
                )
            server.serve_forever()
        except KeyboardInterrupt:
            say("Stopping.")


def _context(options: WorklistOptions) -> ssl.SSLContext | None:
    if options.certificate is None or options.key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # An empty password fails for a locked key, where none at all would ask the terminal.
        context.load_cert_chain(options.certificate, options.key, password="")
    except (OSError, ssl.SSLError) as error:
        raise BadAccess(
            f"{options.certificate} and {options.key} are no certificate with its key: give two "
            "PEM files that belong together, without a password."
        ) from error
    return context

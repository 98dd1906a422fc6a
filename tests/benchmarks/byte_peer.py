"""A peer of the standard library alone: the engine behind http.server, for the tests of peers."""

from __future__ import annotations

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from benchmarks.peers.engine import Engine, settings_from_json
from benchmarks.peers.wire import bytes_from_outputs, hu_from_bytes


def main(port: str, settings: str) -> None:
    engine = Engine(settings_from_json(settings))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            hu = hu_from_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                body, status = bytes_from_outputs(engine(hu)), 200
            except ValueError as error:
                body, status = str(error).encode(), 400
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    # Some frameworks give their workers sessions of their own.
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])

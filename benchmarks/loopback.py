"""Two sizes -> a round trip of that many bytes over plain TCP, to a process on this machine."""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def loopback(bytes_there: int, bytes_back: int) -> Iterator[Callable[[], None]]:
    """A function that sends `bytes_there` and waits for `bytes_back`; no gRPC, no protobuf."""
    listener = socket.create_server(("127.0.0.1", 0))
    process = multiprocessing.get_context("spawn").Process(
        target=_answer, args=(listener, bytes_there, bytes_back), daemon=True
    )
    process.start()
    try:
        listener.settimeout(60)
        with socket.create_connection(listener.getsockname(), timeout=60) as ours:
            listener.close()
            ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sent, room = bytes(bytes_there), bytearray(bytes_back)

            def exchange() -> None:
                ours.sendall(sent)
                _filled(ours, room)

            yield exchange
    finally:
        listener.close()
        process.join(5)
        process.kill()
        process.join()


def _answer(listener: socket.socket, bytes_there: int, bytes_back: int) -> None:
    room, answer = bytearray(bytes_there), bytes(bytes_back)
    theirs, _ = listener.accept()
    listener.close()
    with theirs:
        theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while True:
                _filled(theirs, room)
                theirs.sendall(answer)
        except (EOFError, OSError):
            return


def _filled(connection: socket.socket, room: bytearray) -> None:
    view, got = memoryview(room), 0
    while got < len(room):
        count = connection.recv_into(view[got:])
        if count == 0:
            raise EOFError
        got += count

"""Calls are repeated where nobody answered, and only there; a gRPC server of the test's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from ichclient.errors import ServerBusy, ServerError, ServerUnreachable
from ichclient.retry import NoAnswer, Retry
from ichclient.transport import TritonTransport


class Answers(grpc.GenericRpcHandler):
    """Ends every call with the same status, and counts the calls."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        self.calls = 0
        self._status = (code, details)

    def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(self._answer)

    def _answer(self, _: bytes, context: grpc.ServicerContext) -> bytes:
        self.calls += 1
        context.abort(*self._status)
        raise AssertionError("abort raises")


@pytest.fixture
def answering() -> Iterator[Callable[..., tuple[str, Answers]]]:
    """Start a server that answers every call with a status; give its address and handler."""
    servers = []

    def start(code: grpc.StatusCode, details: str) -> tuple[str, Answers]:
        handler = Answers(code, details)
        server = grpc.server(ThreadPoolExecutor(2), handlers=[handler])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}", handler

    yield start
    for server in servers:
        server.stop(None).wait()


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    ],
)
def test_no_answer_is_asked_again_and_then_told_with_the_address(
    answering: Callable[..., tuple[str, Answers]], code: grpc.StatusCode
) -> None:
    url, handler = answering(code, "gone")
    with (
        TritonTransport(url, deadline_s=1, retry_for_s=0.4) as transport,
        pytest.raises(ServerUnreachable, match=f"{url}.*gone"),
    ):
        transport.metadata()
    assert handler.calls >= 2
    assert transport.interruptions == handler.calls


def test_a_server_that_ends_is_asked_again(answering: Callable[..., tuple[str, Answers]]) -> None:
    # What a draining Triton says is held against a real one in tests/deploy/test_served_drain.py.
    url, handler = answering(grpc.StatusCode.NOT_FOUND, "model 'm' has no available versions")
    with (
        TritonTransport(url, deadline_s=1, retry_for_s=0.4) as transport,
        pytest.raises(ServerUnreachable, match="no available versions"),
    ):
        transport.metadata()
    assert handler.calls >= 2


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests"),
    ],
)
def test_a_full_server_is_asked_again_and_is_not_an_absent_one(
    answering: Callable[..., tuple[str, Answers]], code: grpc.StatusCode, details: str
) -> None:
    url, handler = answering(code, details)
    with (
        TritonTransport(url, deadline_s=1, retry_for_s=0.4) as transport,
        pytest.raises(ServerBusy, match=f"{url} was full.*{details}"),
    ):
        transport.metadata()
    assert handler.calls >= 2
    assert transport.interruptions == 0


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max"),
        (grpc.StatusCode.UNAUTHENTICATED, "no token"),
        (grpc.StatusCode.UNAVAILABLE, "This protocol is restricted, expecting header 'key'"),
        (grpc.StatusCode.INVALID_ARGUMENT, "unexpected shape for input 'HU'"),
        (grpc.StatusCode.NOT_FOUND, "unknown model"),
        (grpc.StatusCode.INTERNAL, "values that are not finite"),
    ],
)
def test_an_answer_with_a_reason_is_never_asked_again(
    answering: Callable[..., tuple[str, Answers]], code: grpc.StatusCode, details: str
) -> None:
    url, handler = answering(code, details)
    with TritonTransport(url, deadline_s=1, retry_for_s=5) as transport:
        with pytest.raises(ServerError, match=details) as caught:
            transport.metadata()
        assert not isinstance(caught.value, ServerUnreachable)
    assert handler.calls == 1


def test_an_address_where_nobody_listens_is_told_in_one_sentence() -> None:
    with (
        TritonTransport("127.0.0.1:9", retry_for_s=0.2) as transport,
        pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1:9 in \d\.\d s .*8001"),
    ):
        transport.metadata()


def test_a_call_that_fails_twice_ends_in_its_answer() -> None:
    tries = iter([NoAnswer("a"), NoAnswer("b"), None])

    def call() -> str:
        error = next(tries)
        if error is not None:
            raise error
        return "answer"

    retry = Retry(for_s=5)
    assert retry.answer(call, who="server") == "answer"
    assert retry.interruptions == 2


def test_closing_ends_a_call_that_waits_to_try_again() -> None:
    def call() -> None:
        raise NoAnswer("nobody")

    retry = Retry(for_s=600)
    threading.Timer(0.3, retry.end).start()
    started = time.monotonic()
    with pytest.raises(ServerUnreachable):
        retry.answer(call, who="server")
    assert time.monotonic() - started < 60

"""HU chunks -> a Triton server -> typed answers: the one seam to a server.

The only place that knows tritonclient. Everything else speaks to a `Transport`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ichclient.access import OPEN, TOKEN_VARIABLE, ServerAccess, refuse_bare_token
from ichclient.answers import (
    ChunkScores,
    ServerFacts,
    chunk_from_tensors,
    facts_from_parameters,
    study_from_tensors,
)
from ichclient.channel import channel_credentials, channel_options
from ichclient.errors import AccessRefused, ServerError
from ichclient.handshake import tls_failure
from ichclient.retry import NoAnswer, Retry, Shed
from ichclient.tracing import trace_headers
from ichcore import SliceScores, StudyScore
from ichcore.wire import (
    ENSEMBLE_MODEL,
    FUSED_MODEL,
    MAX_BATCH_SIZE,
    STUDY_MODEL,
    TensorSpec,
    hu_tensor,
    study_inputs,
)

if TYPE_CHECKING:
    from tritonclient.grpc import InferenceServerClient

_T = TypeVar("_T")

SLICE_MODELS = (FUSED_MODEL, ENSEMBLE_MODEL)
"""Who may judge slices: the same answer, and the first takes less time."""

DEADLINE_S = 60.0
RETRY_FOR_S = 30.0
# Nobody waits half a minute to learn that the address was mistyped.
_CONNECT_FOR_S = 3.0

_SAFE_TO_REPEAT = {
    "StatusCode.UNAVAILABLE",
    "StatusCode.DEADLINE_EXCEEDED",
    "StatusCode.CANCELLED",
}
# Triton says UNAVAILABLE of a protocol that its operator closed; trying again will not open it.
_CLOSED_TO_US = "is restricted"
# Triton's word for a queue that has a bound and reached it.
_FULL = "exceeds maximum queue size"
# gRPC has one status for a server without room and for a message that will never fit.
_TOO_LARGE = "larger than max"
# A server that ends, or a model that is being loaded again, says NOT_FOUND of a model that it has.
_AWAY = "has no available versions"
_NOT_ALLOWED = {"StatusCode.UNAUTHENTICATED", "StatusCode.PERMISSION_DENIED"}


class Transport(Protocol):
    """What the client needs of a server."""

    @property
    def interruptions(self) -> int:
        """How often a call had no answer and was sent again."""
        ...

    def metadata(self) -> ServerFacts:
        """What the server says of itself and its bundle."""
        ...

    def infer(self, chunk: NDArray[np.float16]) -> ChunkScores:
        """Judge HU [N, S, R, C]; safe to call from several threads."""
        ...

    def study(self, slices: SliceScores) -> StudyScore:
        """Apply the bundle's study rule to all slices of one series."""
        ...


class TritonTransport:
    """A Triton server behind gRPC; close it, or use it in a `with` block.

    `model`, one of `SLICE_MODELS`, judges slices; without one it is the first that the server has.

    Every call has a deadline, and is repeated for `retry_for_s` where nobody answered or the
    server was full. Raises ServerUnreachable or ServerBusy where the time ends, AccessRefused
    where the two do not accept each other, ServerError where the server answers with an error,
    and ServerRefused or a ContractError where its values break the contract. BadAccess says which
    file of `access` is unusable.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        access: ServerAccess = OPEN,
        deadline_s: float = DEADLINE_S,
        retry_for_s: float = RETRY_FOR_S,
    ) -> None:
        if not deadline_s > 0:
            raise ValueError(f"deadline_s must be above 0, not {deadline_s}")
        refuse_bare_token(url, access)
        self.url = url
        self._model = model
        self._access = access
        self._let_in = False
        self._deadline_s = deadline_s
        self._retry = Retry(retry_for_s)
        self._client = _client(url, access)

    def __enter__(self) -> TritonTransport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every call that is under way, and the connection."""
        self._retry.end()
        self._client.close()

    @property
    def interruptions(self) -> int:
        """How often a call had no answer and was sent again."""
        return self._retry.interruptions

    def metadata(self) -> ServerFacts:
        """What the server says of itself and its bundle; asked once."""
        return self._facts

    @functools.cached_property
    def _facts(self) -> ServerFacts:
        server = self._asked(self._client.get_server_metadata, for_s=_CONNECT_FOR_S)
        ask = functools.partial(self._client.get_model_config, self._slice_model)
        parameters = self._asked(ask, for_s=_CONNECT_FOR_S).config.parameters
        texts = {key: value.string_value for key, value in parameters.items()}
        return facts_from_parameters(server.version, texts)

    @functools.cached_property
    def _slice_model(self) -> str:
        """One for the life of the connection: slices of two must not meet in a study."""
        if self._model is not None:
            return self._model
        has = functools.partial(self._client.is_model_ready, FUSED_MODEL)
        return FUSED_MODEL if self._asked(has, for_s=_CONNECT_FOR_S) else ENSEMBLE_MODEL

    def infer(self, chunk: NDArray[np.float16]) -> ChunkScores:
        """Judge HU [N, S, R, C] with the ensemble, N at most 64."""
        facts = self.metadata()
        tensor = hu_tensor(facts.grid)
        if chunk.shape[1:] != tensor.shape or not 1 <= len(chunk) <= MAX_BATCH_SIZE:
            raise ValueError(f"a chunk of {list(chunk.shape)} is not [N, *{list(tensor.shape)}]")
        answer = self._inferred(self._slice_model, [(tensor, chunk)])
        return chunk_from_tensors(answer, facts, len(chunk))

    def study(self, slices: SliceScores) -> StudyScore:
        """Send all slices' scores to the study model."""
        facts = self.metadata()
        values: dict[str, NDArray[np.generic]] = {
            "SCORE": slices.score,
            "MEMBER_SCORES": slices.member_scores,
            "LESION_MM2": slices.lesion_mm2,
            "BRAIN_MM2": slices.brain_mm2,
            "POSITION_MM": slices.position_mm,
            "PROVENANCE": np.array([text.encode() for text in slices.provenance], dtype=object),
        }
        tensors = study_inputs(len(facts.member_names))
        answer = self._inferred(STUDY_MODEL, [(spec, values[spec.name]) for spec in tensors])
        return study_from_tensors(answer, facts, len(slices.score))

    def _inferred(
        self, model: str, inputs: list[tuple[TensorSpec, NDArray[np.generic]]]
    ) -> dict[str, NDArray[np.generic]]:
        """Tensors in, tensors out, of one model."""
        from tritonclient.grpc import InferInput

        sent = []
        for spec, values in inputs:
            tensor = InferInput(spec.name, list(values.shape), spec.data_type)
            tensor.set_data_from_numpy(values)
            sent.append(tensor)
        answer = self._asked(functools.partial(self._client.infer, model, sent))
        names = [output.name for output in answer.get_response().outputs]
        return {name: answer.as_numpy(name) for name in names}

    def _asked(self, call: Callable[..., _T], for_s: float | None = None) -> _T:
        """Make one call with a deadline, and again where that is safe."""

        def once() -> _T:
            with self._told():
                headers = {**self._access.headers, **trace_headers()}
                answer = call(client_timeout=self._deadline_s, headers=headers)
            self._let_in = True
            return answer

        return self._retry.answer(once, who=self.url, for_s=for_s)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn tritonclient's errors into ours: no answer, or an answer that is a reason."""
        from tritonclient.utils import InferenceServerException

        try:
            yield
        except InferenceServerException as error:
            status, message = error.status(), " ".join(str(error.message()).split())
            if _CLOSED_TO_US in message or status in _NOT_ALLOWED:
                told = _closed(self.url, self._access, _shortened(message))
                raise AccessRefused(told) from error
            if _is_full(status, message):
                raise Shed(_shortened(message)) from error
            if status in _SAFE_TO_REPEAT or _AWAY in message:
                self._refuse_strangers(error)
                raise NoAnswer(_shortened(message)) from error
            raise ServerError(
                f"The server at {self.url} refused the request: {_shortened(message)}"
            ) from error
        except ValueError as error:
            # gRPC raises this, and nothing of its own, on a channel closed meanwhile.
            if not self._retry.ended:
                raise
            raise NoAnswer("the connection was closed") from error

    def _refuse_strangers(self, error: Exception) -> None:
        """Say at once where the two will never speak; who was let in before is not asked again."""
        if not self._let_in and (failure := tls_failure(self.url, self._access)) is not None:
            raise AccessRefused(failure) from error


def _client(url: str, access: ServerAccess) -> InferenceServerClient:
    from tritonclient.grpc import InferenceServerClient

    return InferenceServerClient(
        url, creds=channel_credentials(access), channel_args=channel_options(url, access)
    )


def _is_full(status: str, message: str) -> bool:
    exhausted = status == "StatusCode.RESOURCE_EXHAUSTED" and _TOO_LARGE not in message
    return exhausted or _FULL in message.lower()


def _closed(url: str, access: ServerAccess, message: str) -> str:
    """What to do about a server that wants another token; `message` is its own word."""
    if access.token is None:
        advice = f"set {TOKEN_VARIABLE} or give --token-file"
    elif access.token_header not in message:
        advice = f"the token was sent as '{access.token_header}', so change --token-header"
    else:
        advice = "the token that was sent is not the right one"
    return f"The server at {url} is there, but closed to this client: {advice} ({message})."


def _shortened(message: str, longest: int = 400) -> str:
    """Errors of Python models carry their traceback; its end says what went wrong."""
    return message if len(message) <= longest else f"... {message[-longest:]}"

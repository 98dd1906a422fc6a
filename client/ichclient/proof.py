"""Golden slices and a server -> proof that it computes what this bundle computes.

A server can be wrong without any error: under numpy 2 the Python backend of Triton 2.51 was seen
to hand models other values than were sent. So no server is trusted before it has judged slices
whose scores are known.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable

import numpy as np

from ichclient.answers import ChunkScores, Float32
from ichclient.errors import ServerRefused
from ichclient.golden import Golden, spec_key
from ichclient.proven_starts import ProvenStarts
from ichclient.transport import Transport

_CHUNK_SLICES = 8
_DRAWN_SLICES = 2
"""Of a start that is known: an engine on the processor takes two at once."""


class Proof:
    """What servers have to judge as recorded, and in `starts` which of their starts did.

    With `known` two telling slices, drawn each time, are enough where all of them proved a start
    of a server before; a start that they prove now is kept there.
    """

    def __init__(self, golden: Golden, known: ProvenStarts | None = None) -> None:
        self.golden = golden
        self.starts: set[str] = set()
        self._known = known

    def refuse_untrue_server(self, transport: Transport) -> str:
        """Send the golden slices; gives the provenance that all answers carry.

        Raises ServerRefused where the answers differ from the record.
        """
        golden = self.golden
        grid = transport.metadata().grid
        if golden.hu.shape[1:] != (grid.slices_per_item, grid.rows, grid.columns):
            raise ServerRefused(_other_bundle("its grid differs from that of the golden slices"))
        answers: list[ChunkScores] = []
        places = list(range(len(golden.hu)))
        if self._known is not None and (drawn := _drawn(golden.telling())):
            places = [place for place in places if place not in drawn]
            answers.append(_true_answer(transport, golden.taken(drawn)))
            start = _only_start(answers)
            if start is not None and self._known.knows(self._digest(start, answers)):
                self.starts.add(start)
                return answers[0].provenance[0]
        for at in range(0, len(places), _CHUNK_SLICES):
            part = golden.taken(places[at : at + _CHUNK_SLICES])
            answers.append(_true_answer(transport, part))
        start = _only_start(answers)
        if start is not None:
            self.starts.add(start)
            if self._known is not None:
                self._known.add(self._digest(start, answers))
        return answers[0].provenance[0]

    def _digest(self, start: str, answers: list[ChunkScores]) -> str:
        text = f"{start} {answers[0].provenance[0]} {self.golden.sha256()}"
        return hashlib.sha256(text.encode()).hexdigest()


def _drawn(places: list[int]) -> list[int]:
    """A few of the places, so that nobody knows which."""
    return secrets.SystemRandom().sample(places, min(_DRAWN_SLICES, len(places)))


def _true_answer(transport: Transport, golden: Golden) -> ChunkScores:
    """What a server says of golden slices, held against what is recorded of them."""
    answer = transport.infer(golden.hu)
    keys = {spec_key(text) for text in answer.provenance}
    if keys != {golden.spec_key}:
        raise ServerRefused(
            _other_bundle(f"its scores carry {', '.join(sorted(keys))}, not {golden.spec_key}")
        )
    score, area_mm2 = golden.tolerances(int8=transport.metadata().int8)
    _refuse_difference("SCORE", answer.score, golden.score, score)
    _refuse_difference("MEMBER_SCORES", answer.member_scores, golden.member_scores, score)
    _refuse_difference("LESION_MM2", answer.lesion_mm2, golden.lesion_mm2, area_mm2)
    return answer


def _only_start(answers: Iterable[ChunkScores]) -> str | None:
    """The start that answered; None where the server does not say, or several did."""
    starts = {start for answer in answers for start in answer.starts}
    return starts.pop() if len(starts) == 1 else None


def _refuse_difference(tensor: str, found: Float32, recorded: Float32, tolerance: float) -> None:
    if found.shape != recorded.shape:
        raise ServerRefused(_other_bundle(f"its {tensor} is {list(found.shape)}"))
    largest = float(np.abs(found - recorded).max())
    if not largest <= tolerance:  # in this form NaN is refused too
        raise ServerRefused(
            f"The server alters values: {tensor} of the golden slices differs by up to "
            f"{largest:.4g}, and {tolerance:.4g} is allowed. Do not use it; see ichclient doctor."
        )


def _other_bundle(why: str) -> str:
    return f"The server runs another bundle ({why}): give its golden file with --golden FILE."

"""Studies of a station in every phase, on values and in a real station's folder."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from ichclient.audit.log import AuditLog
from ichclient.station.folder import StationFolder
from ichclient.station.schema import connection_to_write
from ichclient.station.state import Station
from ichclient.station.studies import Identity, Outcome, Phase, StationImage, StationStudy
from ichclient.worklist.access import WorklistOptions
from ichclient.worklist.routes import Worklist
from ichclient.worklist.server import WorklistServer

from ..conftest import Seen

POINTS = ("high_sensitivity", "balanced", "high_specificity")


def study_of(key: str, phase: Phase = Phase.JUDGED, **values: Any) -> StationStudy:
    """A study with one decision at both operating points, unless `decisions` are given."""
    word = values.pop("word", None)
    decisions: Mapping[str, str] = values.pop("decisions", dict.fromkeys(POINTS, word))
    given: dict[str, Any] = {
        "identity": Identity(f"1.9.{key}"), "received_at": 0.0, "last_image_at": 0.0, "images": 32,
        "generation": 1, "generation_at": 0.0, "waiting_at": None, "judging_generation": 1,
        "judged_generation": 1, "attempts": 1, "next_attempt_at": 0.0, "judged_at": None,
        "study_score": None, "lesion_volume_ml": None, "top_finding": None,
        "top_finding_score": None, "reason_code": None, "reason": None,
    }  # fmt: skip
    return StationStudy(
        key=key, phase=phase, decisions=decisions if word or decisions else {}, **given | values
    )


class Ward:
    """A station's folder that is filled with studies in any phase, without waiting for them."""

    def __init__(self, path: Path, now: float) -> None:
        self.folder, self.now = StationFolder.made(path), now
        self._images = 0

    def add(
        self, number: int, minutes: float, phase: Phase = Phase.JUDGED, *, images: int = 2,
        outcome: Outcome | None = None, code: str = "", reason: str = "", report: str | None = None,
        **who: str,
    ) -> str:  # fmt: skip
        """A study that came so many minutes ago and is in that phase now; gives its key."""
        key = key_of(number)
        at = self.now - minutes * 60
        identity = Identity(f"1.9.{number}", **who)
        with Station(self.folder) as station:
            for _ in range(images):
                self._images += 1
                file, uid = f"{self._images:032x}.dcm", f"1.2.{self._images}"
                image = StationImage(key, uid, file, 1, f"{self._images:064x}", at, "CT")
                station.received(image, identity)
            self._set(key, phase, at)
            if phase is Phase.JUDGED:
                assert outcome is not None
                station.judged(key, outcome, at + 5)
            elif phase is Phase.REFUSED:
                station.refused(key, code, reason, at + 3)
            elif phase is Phase.FAILED:
                station.failed(key, code, reason)
        if report is not None:
            folder = self.folder.result_of(key)
            folder.mkdir(parents=True)
            (folder / "report.html").write_text(report, encoding="utf-8")
        return key

    def _set(self, key: str, phase: Phase, at: float) -> None:
        """As `complete` and `begin` do, but for this study alone, whoever's turn it is."""
        if phase is Phase.RECEIVING:
            return
        now = Phase.WAITING if phase is Phase.WAITING else Phase.JUDGING
        with closing(connection_to_write(self.folder.database)) as connection:
            connection.execute(
                "UPDATE study SET phase = ?, waiting_at = ?, judging_generation = iif(? = "
                "'judging', generation, 0), attempts = 1 WHERE key = ?", (now, at, now, key),
            )  # fmt: skip


def key_of(number: int) -> str:
    return f"{number:020x}"


def outcome_of(score: float, *words: str, volume_ml: float | None = 0.0) -> Outcome:
    """A judgement with one decision for each operating point, or one for all."""
    given = words * len(POINTS) if len(words) == 1 else words
    return Outcome(score, dict(zip(POINTS, given, strict=True)), volume_ml, "subdural", score / 2)


@dataclass
class Served:
    """A work list that is served in this process."""

    port: int
    said: list[str]
    worklist: Worklist

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self, path: str, method: str = "GET", body: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one request; `_` in a header's name becomes `-`."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def send(self, content: bytes) -> bytes:
        """All that comes back for these very bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    return Ward(tmp_path / "station", time.time())


@pytest.fixture
def served(ward: Ward) -> Iterator[Callable[..., Served]]:
    """Serve the ward's work list with these options; `clock` gives its time."""
    with ExitStack() as stack:

        def serve(*, clock: Callable[[], float] = time.time, **given: Any) -> Served:
            Station(ward.folder).close()
            options = WorklistOptions(**{"port": 0, **given})
            said: list[str] = []
            audit = AuditLog(ward.folder.path)
            worklist = Worklist(ward.folder, options, audit, clock=clock, say=said.append)
            server = stack.enter_context(WorklistServer(options, worklist, said.append))
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return Served(server.server_address[1], said, worklist)

        yield serve


PATIENCE_MS = 30_000
NIGHT = {"PatientName": "DOE^JANE^Q", "PatientID": "P77", "StudyDate": "20261126"}
TOKEN = "a-token-of-many-letters"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def night(ward: Ward) -> Ward:
    """Studies in every phase."""
    ward.add(1, 12, outcome=outcome_of(0.84, "positive", volume_ml=12.4), report="<p>one</p>",
             AccessionNumber="ACC1", **NIGHT)  # fmt: skip
    ward.add(2, 74, outcome=outcome_of(0.04, "negative"), report="<p>two</p>",
             AccessionNumber="ACC2")  # fmt: skip
    ward.add(3, 37, Phase.REFUSED, code="gap", reason="Series 2 has a gap of 10.0 mm.")
    ward.add(4, 29, outcome=outcome_of(0.22, "indeterminate", volume_ml=None), report="<p>4</p>")
    ward.add(5, 20, Phase.FAILED, code="ServerUnreachable", reason="Nobody answers.")
    ward.add(6, 9, outcome=outcome_of(0.58, "positive", "negative", "negative"))
    ward.add(7, 3, Phase.JUDGING)
    ward.add(8, 2, Phase.WAITING)
    ward.add(9, 1, Phase.RECEIVING)
    return ward


@pytest.fixture
def opened(chromium: Any) -> Iterator[Callable[..., Seen]]:
    contexts = []

    def open_page(url: str, **options: Any) -> Seen:
        options.setdefault("viewport", {"width": 1280, "height": 900})
        contexts.append(chromium.new_context(**options))
        seen = Seen(contexts[-1].new_page())
        seen.page.set_default_timeout(PATIENCE_MS)
        seen.page.goto(url)
        return seen

    yield open_page
    for context in contexts:
        context.close()


def shown(page: Any) -> list[str]:
    """Keys of the studies that are to be seen, in their order."""
    found = page.evaluate(
        "[...document.querySelectorAll('.study')].filter((one) => one.checkVisibility())"
        ".map((one) => one.id.slice(6))"
    )
    return list(found)


def keys(*numbers: int) -> list[str]:
    return [key_of(number) for number in numbers]


def until(page: Any, wanted: list[str]) -> None:
    page.wait_for_function(
        "(wanted) => JSON.stringify([...document.querySelectorAll('.study')].filter("
        "(one) => one.checkVisibility()).map((one) => one.id.slice(6))) === wanted",
        arg=json.dumps(wanted, separators=(",", ":")),
    )


def logged_in(seen: Seen) -> Any:
    seen.page.fill("#token", TOKEN)
    seen.page.click("button")
    seen.page.wait_for_selector("#waiting")
    return seen.page


class Running:
    """A server that runs inside the block; gives its port."""

    def __init__(self, server: WorklistServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(0.02,))

    def __enter__(self) -> int:
        self._thread.start()
        return int(self._server.server_address[1])

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

"""Marks: who may mark a study as read, what it changes, and that it is noted."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from urllib.parse import urlencode

import pytest

from ichclient.audit.chain import LOG_FILE
from ichclient.audit.verify import verification_of_folder
from ichclient.worklist.marks import mark, marks_of
from ichclient.worklist.order import Rule

from .conftest import BEARER, TOKEN, Phase, Served, Ward, key_of, outcome_of

Serve = Callable[..., Served]
KEY = key_of(1)
WHO = {"PatientName": "DOE^JANE", "PatientID": "P77", "AccessionNumber": "ACC1",
       "StudyDate": "20261126", "StudyDescription": "CT HEAD SECRETARY"}  # fmt: skip


@pytest.fixture(autouse=True)
def _studies(ward: Ward) -> None:
    ward.add(1, 5, outcome=outcome_of(0.9, "positive", volume_ml=12.5), report="<p>R</p>", **WHO)
    ward.add(2, 90, outcome=outcome_of(0.1, "negative", volume_ml=None), **WHO)
    ward.add(3, 20, Phase.REFUSED, code="gap", reason="A gap of 10 mm.")
    ward.add(4, 1, Phase.RECEIVING, images=3)


def _audit(ward: Ward) -> list[str]:
    return (ward.folder.path / LOG_FILE).read_text().splitlines()


def test_marking_has_to_be_allowed(served: Serve, ward: Ward) -> None:
    server = served(token=TOKEN)
    assert server.ask(f"/studies/{KEY}/mark", "POST", "read=1", **BEARER)[0] == 403
    assert marks_of(ward.folder) == {}
    assert b"Mark read" not in server.ask("/", **BEARER)[2]


def test_a_mark_is_kept_and_noted_and_taken_back(served: Serve, ward: Ward) -> None:
    server = served(token=TOKEN, marking=True)
    assert b"Mark read" in server.ask("/", **BEARER)[2]
    path = f"/studies/{KEY}/mark"
    assert server.ask(path, "POST", "read=1", Accept="application/json", **BEARER)[0] == 204
    study = json.loads(server.ask(f"/api/studies/{KEY}", **BEARER)[2])
    assert (study["lane"], study["place"]) == ("read", None)
    assert study["read_at"] is not None
    status, headers, _ = server.ask(path, "POST", "read=0", **BEARER)
    assert (status, headers["Location"]) == (303, "/")
    assert json.loads(server.ask(f"/api/studies/{KEY}", **BEARER)[2])["lane"] == "positive"
    events = [json.loads(line) for line in _audit(ward)]
    assert [(one["event"], one["key"]) for one in events] == [
        ("marked_read", KEY),
        ("marked_unread", KEY),
    ]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"/studies/{KEY}/mark", "", 400),
        (f"/studies/{KEY}/mark", "read=2", 400),
        (f"/studies/{KEY}/mark", "read=1&" + "&".join(f"x{n}=1" for n in range(9)), 400),
        (f"/studies/{KEY}/mark", "read=\xff", 400),
        (f"/studies/{'f' * 20}/mark", "read=1", 404),
        (f"/studies/{KEY}/mark", "x" * 5000, 413),
    ],
)
def test_a_mark_that_is_none_changes_nothing(
    served: Serve, ward: Ward, path: str, body: str, status: int
) -> None:
    server = served(token=TOKEN, marking=True)
    assert server.ask(path, "POST", body, **BEARER)[0] == status
    assert marks_of(ward.folder) == {}


def test_another_site_cannot_mark_by_a_readers_cookie(served: Serve, ward: Ward) -> None:
    server = served(token=TOKEN, marking=True)
    own = {"Origin": f"http://127.0.0.1:{server.port}"}
    login = server.ask("/login", "POST", urlencode({"token": TOKEN}), **own)
    cookie = {"Cookie": login[1]["Set-Cookie"].partition(";")[0]}
    path = f"/studies/{KEY}/mark"
    assert server.ask(path, "POST", "read=1", **cookie)[0] == 403
    assert server.ask(path, "POST", "read=1", Origin="http://evil.example", **cookie)[0] == 403
    assert marks_of(ward.folder) == {}
    assert server.ask(path, "POST", "read=1", **cookie, **own)[0] == 303
    assert list(marks_of(ward.folder)) == [KEY]


def test_a_mark_that_cannot_be_noted_is_not_taken(served: Serve, ward: Ward) -> None:
    server = served(token=TOKEN, marking=True)
    server.ask(f"/studies/{KEY}/report", **BEARER)
    (ward.folder.path / LOG_FILE).write_text("not a log\n")
    status, _, body = server.ask(f"/studies/{KEY}/mark", "POST", "read=1", **BEARER)
    assert (status, b"audit verify" in body) == (503, True)
    assert marks_of(ward.folder) == {}
    assert server.ask(f"/studies/{KEY}/report", **BEARER)[0] == 200, "reading goes on"
    assert "audit verify" in server.said[-1]


def test_many_read_at_once_while_studies_come(served: Serve, ward: Ward) -> None:
    server = served(token=TOKEN, marking=True)
    answers: list[int] = []

    def read() -> None:
        for _ in range(10):
            answers.append(server.ask("/list", **BEARER)[0])
            answers.append(server.ask(f"/studies/{KEY}/mark", "POST", "read=1", **BEARER)[0])

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for number in range(10, 20):
        ward.add(number, 0, Phase.RECEIVING, images=1)
    for reader in readers:
        reader.join()
    assert set(answers) == {200, 303}
    assert verification_of_folder(ward.folder.path).ok


def test_where_nobody_marks_the_page_says_so(served: Serve, ward: Ward) -> None:
    server = served(rule=Rule(shown_s=3600.0))
    assert b"Nobody marks here" in server.ask("/")[2]
    lanes = {
        one["key"]: one["lane"] for one in json.loads(server.ask("/api/studies")[2])["studies"]
    }
    assert lanes[key_of(2)] == "earlier"
    mark(ward.folder, KEY, ward.now)
    assert b"Nobody marks here" not in server.ask("/")[2]
    lanes = {
        one["key"]: one["lane"] for one in json.loads(server.ask("/api/studies")[2])["studies"]
    }
    assert lanes[key_of(2)] == "overdue"


def lanes_of(server: Served) -> dict[str, str]:
    studies = json.loads(server.ask("/api/studies")[2])["studies"]
    return {one["key"]: one["lane"] for one in studies}

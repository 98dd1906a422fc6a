"""The work list over real sockets: what it says, to whom, and what it keeps to itself."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from html import unescape
from urllib.parse import urlencode

import pytest

from ichclient.audit.chain import LOG_FILE
from ichclient.audit.verify import verification_of_folder

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


def test_every_reply_keeps_to_itself(served: Serve) -> None:
    server = served()
    for path in ("/", "/list", "/api/studies", f"/studies/{KEY}/report", "/healthz", "/absent"):
        _, headers, _ = server.ask(path)
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Server"].strip() == "ichclient"
    policy = server.ask("/")[1]["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert (
        "sandbox allow-scripts"
        in server.ask(f"/studies/{KEY}/report")[1]["Content-Security-Policy"]
    )


def test_the_api_has_the_order_and_every_study(served: Serve) -> None:
    status, headers, body = served().ask("/api/studies")
    values = json.loads(body)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert "not a medical device" in values["disclaimer"]
    studies = values["studies"]
    assert [one["key"] for one in studies] == [key_of(n) for n in (1, 2, 3, 4)]
    assert [one["lane"] for one in studies] == ["positive", "overdue", "look", "coming"]
    first = studies[0]
    assert first["report"] == f"/studies/{KEY}/report"
    assert (first["study_score"], first["lesion_volume_ml"], first["place"]) == (0.9, 12.5, 1)
    assert (studies[2]["reason_code"], "reason" in studies[2]) == ("gap", False)
    assert studies[1]["report"] is None


def test_one_study_by_its_key(served: Serve) -> None:
    server = served()
    assert json.loads(server.ask(f"/api/studies/{KEY}")[2])["AccessionNumber"] == "ACC1"
    assert server.ask(f"/api/studies/{'f' * 20}")[0] == 404


@pytest.mark.parametrize("identity", [False, True])
def test_who_the_patient_is_stands_there_only_where_asked_for(
    served: Serve, identity: bool
) -> None:
    server = served(identity=identity)
    text = server.ask("/")[2] + server.ask("/api/studies")[2]
    assert b"ACC1" in text
    for word in (b"DOE", b"JANE", b"P77", b"SECRETARY", b"A gap of 10 mm."):
        assert (word in text) == identity


def test_what_did_not_change_is_not_sent_again(served: Serve, ward: Ward) -> None:
    server = served(clock=lambda: ward.now)
    for path in ("/list", "/api/studies", f"/api/studies/{KEY}"):
        tag = server.ask(path)[1]["ETag"]
        status, headers, body = server.ask(path, If_None_Match=tag)
        assert (status, headers["ETag"], body) == (304, tag, b"")
    tag = server.ask("/list")[1]["ETag"]
    assert f'data-tag="{tag}"' in unescape(server.ask("/")[2].decode())
    ward.add(5, 0, Phase.RECEIVING)
    assert server.ask("/list", If_None_Match=tag)[0] == 200


def test_head_has_no_body_and_unknown_methods_are_refused(served: Serve) -> None:
    server = served()
    status, headers, body = server.ask("/", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 1000
    assert server.ask("/", "PUT")[0] == 501
    own = {"Origin": f"http://127.0.0.1:{server.port}"}
    status, headers, _ = server.ask("/list", "POST", "", **own)
    assert (status, headers["Allow"]) == (405, "GET")


def test_a_page_of_another_name_is_refused(served: Serve) -> None:
    server = served(names=("ct.hospital",))
    assert server.ask("/", Host="evil.example")[0] == 421
    assert server.ask("/", Host="ct.hospital:8080")[0] == 200
    assert b"421" in server.send(b"GET / HTTP/1.0\r\n\r\n")


def test_without_the_token_nothing_is_told(served: Serve) -> None:
    server = served(token=TOKEN)
    for path in ("/list", "/api/studies", f"/api/studies/{KEY}", f"/studies/{KEY}/report"):
        status, headers, body = server.ask(path)
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
        assert b"ACC1" not in body
        assert server.ask(path, Authorization="Bearer wrong")[0] == 401
        assert server.ask(path, **BEARER)[0] == 200
    assert server.ask(f"/list?token={TOKEN}")[0] == 401
    status, _, body = server.ask("/", Accept="text/html")
    assert (status, b"<form" in body, b"ACC1" in body) == (401, True, False)
    assert server.ask("/healthz")[0] == 200


def test_the_login_form_gives_a_cookie(served: Serve, ward: Ward) -> None:
    server = served(token=TOKEN)
    own = {"Origin": f"http://127.0.0.1:{server.port}"}
    form = urlencode({"token": TOKEN})
    status, headers, _ = server.ask("/login", "POST", form, **own)
    assert (status, headers["Location"]) == (303, "/")
    cookie = headers["Set-Cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict"))
    held = cookie.partition(";")[0]
    assert server.ask("/", Cookie=held)[0] == 200
    again = served(token=TOKEN)
    assert again.ask("/", Cookie=held)[0] == 200, "a restart asks nobody to log in again"
    assert "Max-Age=0" in server.ask("/logout", "POST", "", Cookie=held, **own)[1]["Set-Cookie"]
    status, headers, body = server.ask("/login", "POST", "token=wrong", **own)
    assert (status, "Set-Cookie" in headers) == (403, False)
    assert b"not the token" in body
    assert server.ask("/login", "POST", form, Origin="http://evil.example")[0] == 403
    events = [json.loads(line)["event"] for line in _audit(ward)]
    assert events == ["login", "login_refused"]


def _audit(ward: Ward) -> list[str]:
    return (ward.folder.path / LOG_FILE).read_text().splitlines()


def test_who_looked_at_what_is_noted(served: Serve, ward: Ward) -> None:
    server = served()
    server.ask(f"/studies/{KEY}/report")
    server.ask("/list")
    (line,) = _audit(ward)
    values = json.loads(line)
    assert (values["event"], values["key"], values["file"], values["address"]) == (
        "viewed", KEY, "report.html", "127.0.0.1",
    )  # fmt: skip
    assert verification_of_folder(ward.folder.path).ok


def test_a_state_that_is_away_is_said_and_comes_back(served: Serve, ward: Ward) -> None:
    server = served()
    database = ward.folder.database
    database.rename(database.with_suffix(".away"))
    for path in ("/healthz", "/list", "/", "/api/studies"):
        assert server.ask(path)[0] == 503
    database.with_suffix(".away").rename(database)
    assert server.ask("/healthz")[0] == 200


def test_our_own_mistake_is_an_answer_and_is_told(
    served: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = served()
    monkeypatch.setattr("ichclient.worklist.routes.marks_of", lambda _: 1 / 0)
    status, _, body = server.ask("/list")
    assert (status, b"Zero" in body) == (500, False)
    assert "ZeroDivisionError" in server.said[0]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (
            b"POST /logout HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"411",
        ),
        (b"POST /logout HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n", b"411"),
        (b"POST /login HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 4\r\n\r\nGET ", b"411"),
        (b"POST /logout HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999\r\n\r\n", b"413"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"431"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
    ],
)
def test_too_much_is_refused(served: Serve, content: bytes, status: bytes) -> None:
    server = served()
    answer = server.send(content)
    assert answer.split()[1] == status
    assert b"no-store" in answer
    assert server.ask("/healthz")[0] == 200


def test_clients_that_say_nothing_hold_nobody_up(served: Serve) -> None:
    server = served()
    quiet = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
    try:
        assert server.ask("/healthz")[0] == 200
    finally:
        for one in quiet:
            one.close()

"""A request -> its reply: the page, its list, the JSON API, known files of a study, marks.

An address is compared as it came, never decoded or joined to a path; what does not fit is not
found. It holds keys of studies and no identity, and everything else of an address is ignored.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs

from ichclient.audit.log import AuditLog
from ichclient.errors import IchClientError, NothingFound
from ichclient.result import DISCLAIMER
from ichclient.station.folder import StationFolder
from ichclient.station.state import Station
from ichclient.worklist import page
from ichclient.worklist.access import (
    Headers,
    WorklistOptions,
    cookie_from_token,
    cookie_that_ends,
    has_bearer,
    has_session,
    is_known_host,
    is_own_origin,
    is_token,
)
from ichclient.worklist.files import HTML, KNOWN, REPORT, file_of_study, has_report
from ichclient.worklist.marks import mark, marks_of
from ichclient.worklist.order import Lane, Place, Rule, ordered
from ichclient.worklist.rows import Row, counts_of, row_from_place, values_from_place

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts"
)
"""Beside the report's own, narrower one: it is kept apart from the work list and its cookie."""
NOTHING_POLICY = "default-src 'none'; frame-ancestors 'none'"
_KEY = r"([0-9a-f]{20})"
_PAUSE_AFTER_A_WRONG_TOKEN_S = 0.5


@dataclass(frozen=True)
class Request:
    """What was asked; `path` is without its query, `headers` are found in any case."""

    method: str
    path: str
    headers: Headers
    body: bytes = b""
    peer: str = ""


@dataclass(frozen=True)
class Reply:
    """What goes back; headers that every reply has are added on the wire."""

    status: int
    body: bytes = b""
    kind: str = TEXT
    policy: str = NOTHING_POLICY
    headers: Mapping[str, str] = field(default_factory=dict)


def sentence(status: int, text: str, **headers: str) -> Reply:
    """A reply of one sentence."""
    return Reply(status, f"{text}\n".encode(), headers=headers)


class Worklist:
    """The work list of a station; threads may share it."""

    def __init__(
        self,
        folder: StationFolder,
        options: WorklistOptions,
        audit: AuditLog,
        *,
        clock: Callable[[], float] = time.time,
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._folder, self._options, self._audit = folder, options, audit
        self._clock, self._say = clock, say
        self._one_at_a_time = threading.Lock()
        self._routes: list[tuple[str, re.Pattern[str], Callable[..., Reply]]] = [
            ("GET", re.compile(r"/"), self._page),
            ("GET", re.compile(r"/list"), self._list),
            ("GET", re.compile(r"/api/studies"), self._studies),
            ("GET", re.compile(f"/api/studies/{_KEY}"), self._study),
            ("GET", re.compile(f"/studies/{_KEY}/([a-z_]+(?:\\.[a-z]+)?)"), self._file),
            ("POST", re.compile(f"/studies/{_KEY}/mark"), self._mark),
            ("POST", re.compile(r"/logout"), self._logout),
        ]

    def reply(self, request: Request) -> Reply:
        """Answer; an error of ours becomes a sentence."""
        if not is_known_host(request.headers.get("Host"), self._options.names):
            return sentence(421, "This server has another name: see --name of ichclient worklist.")
        try:
            if request.path == "/healthz" and request.method == "GET":
                return self._health()
            if request.path == "/login" and request.method == "POST":
                return self._login(request)
            return self._inside(request)
        except NothingFound as error:
            return sentence(404, str(error))
        except IchClientError as error:
            self._say(f"Error: {error}")
            return sentence(503, str(error))

    def _inside(self, request: Request) -> Reply:
        """What only those see who may."""
        token, bearer = self._options.token, has_bearer(request.headers, self._options.token)
        if token is not None and not (bearer or has_session(request.headers, token, self._clock())):
            return self._refusal(request)
        if request.method == "POST" and not bearer and not is_own_origin(request.headers):
            return sentence(403, "This request does not come from the work list's own page.")
        allowed = set()
        for method, pattern, route in self._routes:
            found = pattern.fullmatch(request.path)
            if found and method == request.method:
                return route(request, *found.groups())
            if found:
                allowed.add(method)
        if allowed:
            return sentence(405, "That cannot be done here.", Allow=", ".join(sorted(allowed)))
        return sentence(404, "There is nothing here.")

    def _refusal(self, request: Request) -> Reply:
        if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
            return self._door(401)
        challenge = {"WWW-Authenticate": "Bearer"}
        return sentence(401, "Give the token: Authorization: Bearer TOKEN.", **challenge)

    def _door(self, status: int, told: str = "") -> Reply:
        # Without an address of ours to come from, a browser would not tell that it is our form.
        headers = {"Referrer-Policy": "same-origin"}
        body = page.login_page(told).encode()
        return Reply(status, body, HTML, page.policy(), headers)

    def _login(self, request: Request) -> Reply:
        token = self._options.token
        if token is None:
            return Reply(303, headers={"Location": "/"})
        if not is_own_origin(request.headers):
            return sentence(403, "This request does not come from the work list's own page.")
        if not is_token(_form(request).get("token", ""), token):
            self._note("login_refused", address=request.peer)
            with self._one_at_a_time:
                time.sleep(_PAUSE_AFTER_A_WRONG_TOKEN_S)
            return self._door(403, "That is not the token.")
        self._note("login", address=request.peer)
        secure = self._options.scheme == "https"
        cookie = cookie_from_token(token, self._clock(), secure=secure)
        return Reply(303, headers={"Location": "/", "Set-Cookie": cookie})

    def _logout(self, _: Request) -> Reply:
        return Reply(303, headers={"Location": "/", "Set-Cookie": cookie_that_ends()})

    def _health(self) -> Reply:
        with Station.reading(self._folder) as station:
            station.study("")
        return Reply(200, b'{"status": "ok"}\n', JSON)

    def _page(self, request: Request) -> Reply:
        piece = self._piece()
        login = self._options.token is not None and not has_bearer(
            request.headers, self._options.token
        )
        whole = page.page_from_list(piece, _tag(piece.encode()), self._options, login=login)
        return Reply(200, whole.encode(), HTML, page.policy())

    def _list(self, request: Request) -> Reply:
        return _unless_known(request, Reply(200, self._piece().encode(), HTML))

    def _piece(self) -> str:
        now, options = self._clock(), self._options
        places, rule = self._places(now)
        rows = [
            row_from_place(
                place, number, now, rule, identity=options.identity,
                has_report=has_report(self._folder, place.study.key),
            )
            for number, place in enumerate(places, 1)
        ]  # fmt: skip
        lanes: dict[Lane, list[Row]] = {Lane.READ: [], Lane.EARLIER: []}
        waiting: list[Row] = []
        for place, row in zip(places, rows, strict=True):
            lanes.get(place.lane, waiting).append(row)
        return page.list_from_rows(
            page.Listing(waiting, lanes[Lane.EARLIER], lanes[Lane.READ], counts_of(places)),
            options,
            rule,
        )

    def _studies(self, request: Request) -> Reply:
        rule = self._options.rule
        values = {
            "version": 1,
            "disclaimer": DISCLAIMER,
            "longest_wait_min": rule.longest_wait_s / 60,
            "operating_point": rule.operating_point,
            "marking": self._options.marking,
            "studies": self._values(),
        }
        return _unless_known(request, _json(values))

    def _study(self, request: Request, key: str) -> Reply:
        for values in self._values():
            if values["key"] == key:
                return _unless_known(request, _json(values))
        return sentence(404, f"There is no study {key}.")

    def _values(self) -> list[dict[str, Any]]:
        return [
            values_from_place(
                place, number, identity=self._options.identity,
                has_report=has_report(self._folder, place.study.key),
            )
            for number, place in enumerate(self._places(self._clock())[0], 1)
        ]  # fmt: skip

    def _places(self, now: float) -> tuple[tuple[Place, ...], Rule]:
        """The order of this moment, and the rule by which it was made."""
        with Station.reading(self._folder) as station:
            studies = station.studies()
        marks = marks_of(self._folder)
        rule = replace(self._options.rule, marked=self._options.marking or bool(marks))
        return ordered(studies, marks, now, rule), rule

    def _file(self, request: Request, key: str, name: str) -> Reply:
        found = file_of_study(self._folder, key, name)
        if found is None:
            return sentence(404, "There is nothing here.")
        self._note("viewed", key=key, file=KNOWN[name][0], address=request.peer)
        content, kind = found
        return Reply(200, content, kind, REPORT_POLICY if name == REPORT else NOTHING_POLICY)

    def _mark(self, request: Request, key: str) -> Reply:
        if not self._options.marking:
            return sentence(403, "Studies are not marked here: see --allow-marking.")
        read = _form(request).get("read")
        if read not in ("0", "1"):
            return sentence(400, "Say read=1 or read=0.")
        event = "marked_read" if read == "1" else "marked_unread"
        mark(
            self._folder,
            key,
            self._clock() if read == "1" else None,
            first=lambda: self._audit.write(event, key=key, address=request.peer),
        )
        if JSON in request.headers.get("Accept", ""):
            return Reply(204)
        return Reply(303, headers={"Location": "/"})

    def _note(self, event: str, **facts: str) -> None:
        """Write to the audit log; a disk that is full keeps nobody from reading."""
        try:
            self._audit.write(event, **facts)
        except IchClientError as error:
            self._say(f"Error: {error}")


def _form(request: Request) -> dict[str, str]:
    """The fields of a form, each once; none where the body is no form."""
    try:
        fields = parse_qs(request.body.decode("ascii"), max_num_fields=4)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}


def _json(values: Any) -> Reply:
    return Reply(200, f"{json.dumps(values, indent=2, allow_nan=False)}\n".encode(), JSON)


def _tag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def _unless_known(request: Request, reply: Reply) -> Reply:
    """The reply with its entity tag, or 304 for who has the same already."""
    tag = _tag(reply.body)
    known = {one.strip() for one in request.headers.get("If-None-Match", "").split(",")}
    if tag in known:
        return Reply(304, headers={"ETag": tag})
    return Reply(reply.status, reply.body, reply.kind, reply.policy, {"ETag": tag})

"""Who may come in: hosts, origins, tokens and cookies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ichclient.errors import BadAccess
from ichclient.worklist.access import (
    COOKIE,
    SESSION_S,
    WorklistOptions,
    cookie_from_token,
    has_bearer,
    has_session,
    is_known_host,
    is_own_origin,
)

from .conftest import TOKEN

NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"address": "0.0.0.0"}, "give a token"),
        ({"address": "::"}, "give a token"),
        ({"address": "192.168.1.4"}, "TLS with --tls-cert"),
        ({"address": "reading-room"}, "give a token"),
        ({"marking": True}, "--allow-marking needs a token"),
        ({"token": "short"}, "openssl rand"),
        ({"certificate": Path("a")}, "give both"),
        ({"key": Path("a")}, "give both"),
    ],
)
def test_what_is_not_safe_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(BadAccess, match=told):
        WorklistOptions(**given)


def test_loopback_needs_no_token_and_no_token_shows_itself() -> None:
    for address in ("127.0.0.1", "127.8.0.1", "::1", "localhost"):
        WorklistOptions(address=address)
    assert TOKEN not in repr(WorklistOptions(address="0.0.0.0", token=TOKEN))


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "10.0.0.4", "Ours:8080"]
)
def test_our_own_hosts_are_known(host: str) -> None:
    assert is_known_host(host, ("ours",))


@pytest.mark.parametrize(
    "host", [None, "", "evil.example", "localhost.evil.example:8080", "127.0.0.1.evil", "ours.evil"]
)
def test_a_name_that_somebody_pointed_here_is_not(host: str | None) -> None:
    assert not is_known_host(host, ("ours",))


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({"Origin": "http://localhost:8080"}, True),
        ({"Origin": "https://localhost:8080"}, True),
        ({"Origin": "http://localhost:8081"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({}, False),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost:8080"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:8080"}, False),
    ],
)
def test_only_our_own_page_changes_anything(headers: dict[str, str], own: bool) -> None:
    assert is_own_origin({"Host": "localhost:8080", **headers}) == own


@pytest.mark.parametrize(
    ("value", "held"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer  {TOKEN} ", True),
        (f"Basic {TOKEN}", False),
        (TOKEN, False),
        (f"Bearer {TOKEN}x", False),
        ("Bearer ", False),
        ("Bearer \xff", False),
    ],
)
def test_the_token_is_in_its_header(value: str, held: bool) -> None:
    assert has_bearer({"Authorization": value}, TOKEN) == held
    assert not has_bearer({"Authorization": value}, None)


def test_a_cookie_holds_for_one_token_and_some_hours() -> None:
    cookie = cookie_from_token(TOKEN, NOW, secure=True)
    assert TOKEN not in cookie
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Secure", "Path=/"))
    assert "Secure" not in cookie_from_token(TOKEN, NOW, secure=False)
    headers = {"Cookie": f"other=1; {cookie.partition(';')[0]}"}
    assert has_session(headers, TOKEN, NOW + SESSION_S - 1)
    assert not has_session(headers, TOKEN, NOW + SESSION_S)
    assert not has_session(headers, TOKEN + "x", NOW)
    assert not has_session(headers, None, NOW)


@pytest.mark.parametrize(
    "value", ["", "1", "9999999999.", "9999999999.00", "9" * 30 + ".x", "\xb2.x", "-1.x", "."]
)
def test_a_cookie_that_somebody_made_up_does_not_hold(value: str) -> None:
    assert not has_session({"Cookie": f"{COOKIE}={value}"}, TOKEN, NOW)


def test_a_cookie_with_a_later_end_does_not_hold() -> None:
    name, _, value = cookie_from_token(TOKEN, NOW, secure=False).partition(";")[0].partition("=")
    until, _, signature = value.partition(".")
    assert not has_session({"Cookie": f"{name}={int(until) + 1}.{signature}"}, TOKEN, NOW)

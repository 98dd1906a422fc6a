"""A station's node and those who are unkind to it: nothing is lost, and nothing half is kept."""

from __future__ import annotations

import resource
import socket
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from ichclient.station.shelf import Room
from ichclient.station.state import Station

from .conftest import Node, association, listening_node, sent, told, until


def test_a_sender_that_stops_between_images_leaves_whole_ones(
    node: Node, files: list[Path]
) -> None:
    with association(node.port) as one:
        for file in files[:2]:
            assert one.send_c_store(dcmread(file)).Status == 0
        one.abort()
    until(lambda: told(node, "association_ended", "broken_off", "images=2"))
    assert len(node.kept) == 2
    assert node.half == []
    assert node.send(*files) == 0
    assert len(node.kept) == node.station.studies()[0].images == 4


def test_a_sender_that_stops_within_an_image_leaves_nothing_of_it(
    node: Node, files: list[Path]
) -> None:
    from pynetdicom.dimse_messages import C_STORE_RQ
    from pynetdicom.dimse_primitives import C_STORE
    from pynetdicom.dsutils import encode

    image = dcmread(files[0])
    with association(node.port) as one:
        request = C_STORE()
        request.MessageID, request.Priority = 1, 2
        request.AffectedSOPClassUID = image.SOPClassUID
        request.AffectedSOPInstanceUID = image.SOPInstanceUID
        request.DataSet = BytesIO(encode(image, True, True) or b"")
        message = C_STORE_RQ()
        message.primitive_to_message(request)
        fragments = list(message.encode_msg(one.accepted_contexts[0].context_id, 512))
        for fragment in fragments[: len(fragments) // 2]:
            one.dul.send_pdu(fragment)
        until(lambda: node.half)
        one.dul.socket.socket.shutdown(socket.SHUT_RDWR)
        until(lambda: not node.half)
    assert node.kept == []
    assert node.station.studies() == ()
    assert sent(node, files[0]) == [0]


def test_a_silent_sender_is_let_go(station: Station, files: list[Path]) -> None:
    with listening_node(station, silent_s=0.5) as node:
        with socket.create_connection(("127.0.0.1", node.port), timeout=30) as one:
            assert one.recv(1) == b""  # before an association
        with association(node.port) as other:
            assert other.send_c_store(dcmread(files[0])).Status == 0
            until(lambda: not other.is_established)  # after one image
    assert len(node.kept) == 1


def test_a_pdu_that_announces_gigabytes_is_not_read(node: Node) -> None:
    with socket.create_connection(("127.0.0.1", node.port), timeout=30) as one:
        one.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFFF) + b"x" * 1000)
        assert one.recv(100)[:1] in (b"", b"\x07")
    assert node.run("echoscu") == 0


def test_noise_ends_its_connection_alone(node: Node) -> None:
    for noise in (b"GET / HTTP/1.1\r\n\r\n", struct.pack(">BBL", 4, 0, 4) + b"\xff" * 4):
        with socket.create_connection(("127.0.0.1", node.port), timeout=30) as one:
            one.sendall(noise)
            one.shutdown(socket.SHUT_WR)
            while one.recv(100):
                pass
    assert node.run("echoscu") == 0


@pytest.mark.parametrize(
    "room", [Room(max_received=3000, keep_free=0), Room(keep_free=1 << 60)], ids=["most", "free"]
)
def test_a_full_station_has_its_senders_try_later(
    station: Station, files: list[Path], room: Room
) -> None:
    with listening_node(station, room) as node:
        statuses = sent(node, *files)
        until(lambda: told(node, "no_room"))
    taken = statuses.count(0)
    assert statuses == [0] * taken + [0xA700] * (4 - taken)
    assert taken == (2 if room.keep_free == 0 else 0)
    assert len(node.kept) == taken == sum(study.images for study in station.studies())
    assert node.half == []
    with listening_node(station) as node:  # when there is room again
        assert sent(node, *files) == [0] * 4
    assert len(node.kept) == 4


def test_a_disk_that_takes_no_more_has_its_senders_try_later(
    station: Station, node: Node, files: list[Path], make_slice: Callable[..., Any], tmp_path: Path
) -> None:
    big = np.zeros((2000, 2000), np.int16)
    make_slice(tmp_path / "big.dcm", big, Rows=2000, Columns=2000)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limit[1]))
    try:  # Python ignores SIGXFSZ: a write beyond the limit fails as on a full disk
        assert sent(node, tmp_path / "big.dcm", files[0]) == [0xA700, 0]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert told(node, "no_room", "The disk does not take it")
    assert len(node.kept) == 1
    assert node.half == []
    assert sent(node, tmp_path / "big.dcm") == [0]


def test_a_huge_image_and_a_huge_association_are_not_kept(
    station: Station, files: list[Path]
) -> None:
    with listening_node(station, Room(max_image=2000, keep_free=0)) as node:
        assert sent(node, *files[:2]) == [0xA700] * 2
    with listening_node(station, max_bytes=6000) as node:
        with association(node.port) as one:
            statuses: list[int] = []
            while "Status" in (answer := one.send_c_store(dcmread(files[len(statuses) % 4]))):
                statuses.append(int(answer.Status))
        assert statuses[:2] == [0, 0]
        assert set(statuses[2:]) == {0xA700}
        assert len(statuses) < 8  # at twice the limit it is broken off
    assert len(node.kept) == 2
    assert node.half == []


def test_more_associations_than_allowed_are_told_so(station: Station) -> None:
    with listening_node(station, max_associations=2) as node:
        with (
            association(node.port) as first,
            association(node.port) as second,
            association(node.port) as third,
        ):
            assert (first.is_established, second.is_established) == (True, True)
            assert third.is_rejected
        until(lambda: node.run("echoscu") == 0)

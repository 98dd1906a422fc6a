"""`infer --store-to` and `deliver`: what a user sees, and what the PACS gets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pydicom import dcmread

from ichclient.cli import main
from ichclient.delivery.folder import OUTBOX_FILE
from ichclient.delivery.outbox import opened_outbox
from ichclient.errors import DeliveryError, RefusedInput

pytest.importorskip("httpx")
pytest.importorskip("highdicom")
pytestmark = [
    pytest.mark.usefixtures("swept"),
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <s.*ocket fd:pytest.PytestUnraisableExceptionWarning"
    ),
]


def deliver(tmp_path: Path, *options: str) -> Result:
    asked = ["deliver", str(tmp_path / "out"), "--deliver-for", "0", *options]
    return CliRunner().invoke(main, asked)


def uids(out: Path) -> list[str]:
    return sorted(str(dcmread(file).SOPInstanceUID) for file in (out / "dicom").iterdir())


def test_objects_of_a_result_are_delivered_once(
    judge: Callable[..., Result], service: Any, tmp_path: Path
) -> None:
    answer = judge(service.target, "--json")
    assert answer.exit_code == 0, answer.stderr
    assert "study_score" in json.loads(answer.stdout)
    assert sorted(service.stored) == uids(tmp_path / "out")
    assert len(service.requests) == 1
    # The same result again, and a delivery that has nothing to do, send nothing.
    assert judge(service.target).exit_code == 0
    assert deliver(tmp_path).exit_code == 0
    assert len(service.requests) == 1


def test_a_changed_result_sends_its_new_instances(
    judge: Callable[..., Result], service: Any, fake_transport: Any, tmp_path: Path
) -> None:
    judge(service.target)
    first = set(service.stored)
    fake_transport.provenance = "spec:0123456789abcdef engines:0123456789abcdef"
    answer = judge(service.target)
    assert answer.exit_code == 0, answer.stderr
    second = set(uids(tmp_path / "out"))
    assert first.isdisjoint(second)
    assert set(service.stored) == first | second
    assert all(len(copies) == 1 for copies in service.stored.values())


def test_a_target_that_is_away_keeps_the_result_and_its_queue(
    judge: Callable[..., Result], service: Any, unused_port: int, tmp_path: Path
) -> None:
    away = f"stow:http://127.0.0.1:{unused_port}/dicom-web"
    answer = judge(away, "--store-to", service.target)
    assert answer.exit_code == DeliveryError.exit_code == 14
    out = tmp_path / "out"
    count = len(uids(out))
    assert f"The objects are written to {out}, and not all are delivered." in answer.stderr
    assert f"{count} objects still for {away}: no answer" in answer.stderr
    assert f"'ichclient deliver {out}' goes on" in answer.stderr
    assert answer.stderr.count(f"Waiting for {away}") == 1
    assert "study score" in answer.stderr
    assert (out / "result.json").is_file()
    assert len(service.stored) == count
    assert "DOE" not in answer.output + (out / OUTBOX_FILE).read_bytes().decode("latin-1")
    assert "MRN" not in answer.output + (out / OUTBOX_FILE).read_bytes().decode("latin-1")
    told = deliver(tmp_path, "--json")
    assert told.exit_code == 14
    states = {(row["target"], row["state"]) for row in json.loads(told.stdout)}
    assert states == {(away, "waiting"), (service.target, "sent")}


def test_a_target_that_comes_back_in_time_is_waited_for(
    judge: Callable[..., Result], service: Any
) -> None:
    refusing = threading.Event()

    def away(handler: Any) -> bool:
        if not refusing.is_set():
            handler.answer(503)
            refusing.set()
            return True
        return False

    service.answer_post = away
    answer = judge(service.target, "--deliver-for", "30")
    assert answer.exit_code == 0, answer.stderr
    assert "HTTP status 503" in answer.stderr
    assert all(len(copies) == 1 for copies in service.stored.values())


def test_a_refusal_names_the_object_and_waits_for_again(
    judge: Callable[..., Result], service: Any, tmp_path: Path
) -> None:
    def no_masks(handler: Any) -> bool:
        out = tmp_path / "out" / "dicom"
        refused = {str(dcmread(out / name).SOPInstanceUID) for name in ("report.dcm",)}
        handler.say(
            202,
            stored=[uid for uid in handler.uids if uid not in refused],
            failed={uid: 0x0122 for uid in handler.uids if uid in refused},
        )
        return True

    service.answer_post = no_masks
    answer = judge(service.target)
    assert answer.exit_code == 14
    told = f"dicom/report.dcm was refused by {service.target}: SOP class not supported (0x0122)."
    assert told in answer.stderr
    assert "--again tries again" in answer.stderr
    plain = deliver(tmp_path)
    assert plain.exit_code == 14
    assert told.rstrip(".") in plain.stdout
    assert len(service.requests) == 1
    service.answer_post = lambda _: False
    again = deliver(tmp_path, "--again")
    assert again.exit_code == 0, again.stderr
    assert [len(each) for each in service.requests][1:] == [1]


def test_the_report_of_a_refused_study_is_delivered(
    judge: Callable[..., Result], service: Any, make_series: Callable[..., Path], tmp_path: Path
) -> None:
    contrast = make_series(tmp_path / "contrast", ContrastBolusAgent="IOHEXOL")
    answer = judge(service.target, folder=contrast)
    assert answer.exit_code == RefusedInput.exit_code
    assert list(service.stored) == uids(tmp_path / "out")
    # With the target away the exit code is that of the refusal still.
    service.answer_post = lambda handler: handler.answer(503) or True
    flat = make_series(tmp_path / "flat", PixelSpacing=None)
    answer = judge(service.target, folder=flat)
    assert answer.exit_code == RefusedInput.exit_code
    assert "Warning: The objects are written" in answer.stderr
    assert "\nError: " in answer.stderr


def test_what_an_earlier_result_left_is_not_sent_for_a_study_without_a_report(
    judge: Callable[..., Result], service: Any, make_series: Callable[..., Path], tmp_path: Path
) -> None:
    service.answer_post = lambda handler: handler.answer(503) or True
    judge(service.target)
    requests = len(service.requests)
    make_series(tmp_path / "mixed" / "a", ContrastBolusAgent="IOHEXOL")
    make_series(
        tmp_path / "mixed" / "b", ContrastBolusAgent="IOHEXOL", StudyInstanceUID="1.2.99",
        SeriesInstanceUID="1.2.99.1",
    )  # fmt: skip
    assert judge(service.target, folder=tmp_path / "mixed").exit_code == RefusedInput.exit_code
    assert len(service.requests) == requests


def test_each_of_several_studies_is_delivered(
    judge: Callable[..., Result], service: Any, make_series: Callable[..., Path], tmp_path: Path
) -> None:
    service.answer_post = lambda handler: handler.answer(503) or True
    other = make_series(tmp_path / "other", StudyInstanceUID="1.2.4", SeriesInstanceUID="1.2.4.1")
    refused = make_series(
        tmp_path / "refused", StudyInstanceUID="1.2.5", SeriesInstanceUID="1.2.5.1",
        ContrastBolusAgent="IOHEXOL",
    )  # fmt: skip
    answer = judge(service.target, str(other))
    assert answer.exit_code == 14, answer.stderr
    # One that is refused gives its own exit code, and its report is delivered with the others.
    answer = judge(service.target, str(other), str(refused))
    assert answer.exit_code == RefusedInput.exit_code
    assert "Warning: The objects are written" in answer.stderr
    service.answer_post = lambda _: False
    assert deliver(tmp_path).exit_code == 0
    files = list((tmp_path / "out").glob("*/dicom/*.dcm"))
    assert len({file.parent for file in files}) == 3
    assert sorted(service.stored) == sorted(str(dcmread(file).SOPInstanceUID) for file in files)
    assert all(len(copies) == 1 for copies in service.stored.values())


def test_a_folder_without_a_queue_is_told(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    answer = deliver(tmp_path)
    assert answer.exit_code == 3
    assert "has no queue of deliveries" in answer.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_two_deliver_from_one_folder_one_after_the_other(
    judge: Callable[..., Result], service: Any, tmp_path: Path
) -> None:
    entered, leave = threading.Event(), threading.Event()

    def slow(_: Any) -> bool:
        entered.set()
        assert leave.wait(60)
        return False

    service.answer_post = slow
    answers: list[Result] = []
    first = threading.Thread(target=lambda: answers.append(judge(service.target)))
    first.start()
    assert entered.wait(60)
    second = deliver(tmp_path)
    assert second.exit_code == 14
    assert "Another process delivers" in second.stderr
    leave.set()
    first.join()
    assert answers[0].exit_code == 0, answers[0].stderr
    assert len(service.requests) == 1


def test_a_station_delivers_what_is_sent_again(
    service: Any, write_objects: Callable[..., list[Path]], tmp_path: Path
) -> None:
    """Its queue is a table of its own database; a station that runs is left to it."""
    folder = tmp_path / "out"
    with opened_outbox(_made(folder) / "station.sqlite3") as outbox:
        outbox.add(service.target, write_objects(folder / "dicom", "1.2.9.1"), "a key")
        outbox.refused(outbox.rows()[0], "no")
    assert deliver(tmp_path).exit_code == 14
    assert deliver(tmp_path, "--again").exit_code == 0
    assert service.requests == [["1.2.9.1"]]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder

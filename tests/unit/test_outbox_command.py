"""``qanat text`` alone, and of a text that is refused: what lies in the outbox is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qanat.apps.cli import services
from qanat.ground.errors import BadParameter
from qanat.services.conversation import RefusedByPeer
from qanat.users.services import UserServices
from service_support import House
from unit.test_closed_output import ALICE, SEALING, at_home


def send(body: str, *, as_json: bool = False) -> int:
    return services.run_text("bob", body, who=ALICE, sealing=SEALING, patience_s=0.0, as_json=as_json)


def outbox(*, as_json: bool) -> int:
    return services.run_outbox(who=ALICE, sealing=SEALING, patience_s=0.0, as_json=as_json)


def test_what_waits_is_told_with_its_recipient_and_can_be_taken_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with at_home(House(tmp_path / "data"), monkeypatch, services):
        assert send("one") == send("two") == 0
        capsys.readouterr()
        assert outbox(as_json=True) == 1
        printed, told = capsys.readouterr()
        found = json.loads(printed)
        assert (found["waiting"], [one["recipients"] for one in found["texts"]]) == (2, [["bob"], ["bob"]])
        assert told.startswith("2 texts wait\n  for bob since ")
        assert [one["begins"] for one in found["texts"]] == ["one", "two"]
        Path(found["texts"][0]["file"]).unlink()
        assert outbox(as_json=False) == 1
        assert capsys.readouterr().err.count("for bob since") == 1
        Path(found["texts"][1]["file"]).unlink()
        assert outbox(as_json=False) == 0
        assert capsys.readouterr().err == "nothing waits\n"


def test_a_text_that_is_refused_waits_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refused(*_: Any, **__: Any) -> int:
        raise RefusedByPeer("alice answers at the address of bob, and took nothing", remedy="ask bob")

    with at_home(House(tmp_path / "data"), monkeypatch, services):
        with monkeypatch.context() as patch:
            patch.setattr(UserServices, "deliver_waiting", refused)
            assert send("hello", as_json=True) == 1
            printed, told = capsys.readouterr()
        report = json.loads(printed)
        assert (report["delivered"], report["waiting"]) == ({}, ["bob"])
        assert report["refused"] == {
            "fault": "RefusedByPeer",
            "message": "alice answers at the address of bob, and took nothing",
            "remedy": "ask bob",
        }
        assert told.startswith("error (peer or line): alice answers at the address of bob, and took nothing\n")
        assert "waits for bob" in told
        assert "do not send it again" in told
        assert outbox(as_json=False) == 1
        assert send("another", as_json=True) == 0
        printed, told = capsys.readouterr()
        assert json.loads(printed)["refused"] is None, "bob is away, which is no fault"
        assert "do not send it again" not in told
        with pytest.raises(BadParameter, match="without a word"):
            send("  ")


def test_what_is_delivered_beside_a_text_that_is_refused_is_told_and_what_waits_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def first_goes(self: UserServices, **_: Any) -> int:
        first = self.mailbox.waiting()[0]
        self.mailbox.confirmed(first.text_id, first.waiting[0], utc_s=0.0)
        raise RefusedByPeer("alice answers at the address of bob, and took nothing")

    with at_home(House(tmp_path / "data"), monkeypatch, services):
        assert send("one") == send("two") == 0
        capsys.readouterr()
        monkeypatch.setattr(UserServices, "deliver_waiting", first_goes)
        assert outbox(as_json=True) == 1
        printed, told = capsys.readouterr()
        found = json.loads(printed)
        assert (found["delivered"], found["waiting"], found["refused"]["fault"]) == (1, 1, "RefusedByPeer")
        assert told.startswith("1 text delivered\nerror (peer or line): alice answers")
        assert "1 text waits\n  for bob since " in told

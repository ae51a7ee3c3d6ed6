"""Who is called by `qanat call`: each once, however often it is named; and what it tells at its end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from qanat.apps.cli import calls
from qanat.apps.cli.calls import run_call, say_call, say_conference
from qanat.apps.cli.service_options import Sealing, Who
from qanat.ground.errors import ChannelClosed
from qanat.services.call import CallReport, MediumReport
from qanat.services.ciphers import RecordKind
from qanat.services.conference import LEFT, Absence, ConferenceReport
from qanat.users.conferring import CLOSED, LOST
from qanat.users.hearing import Hearing
from qanat.users.services import UserServices
from qanat.users.speaking import CallMedia
from service_support import House
from unit.service_fakes import FakeClock


class Caller(UserServices):
    """Alice, who notes whom she calls, and finds nobody there."""

    called: tuple[str, ...] = ()

    async def call(self, recipient: str, *_: Any, **__: Any) -> Any:
        self.called = ("two", recipient)
        raise ChannelClosed("nobody answers")

    async def confer(self, recipients: Sequence[str], *_: Any, **__: Any) -> Any:
        self.called = ("conference", *recipients)
        raise ChannelClosed("nobody answers")


@pytest.mark.parametrize(
    ("recipients", "called", "told"),
    [
        (["bob"], ("two", "bob"), []),
        (["bob", "bob", "bob"], ("two", "bob"), ["bob is named more than once, and called once"]),
        (["board", "bob"], ("conference", "board", "bob"), ["bob is named more than once, and called once"]),
        (["board"], ("conference", "board"), []),
    ],
)
def test_who_is_named_twice_is_called_once_which_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    recipients: list[str],
    called: tuple[str, ...],
    told: list[str],
) -> None:
    house = House(tmp_path / "data", groups={"board": ("bob", "carol")})
    alice = Caller(house.user("alice").people, supply=house.user("alice").party.supply)
    monkeypatch.setattr(calls, "people_of", lambda _: alice.people)
    monkeypatch.setattr(calls, "UserServices", lambda _, **__: alice)
    with pytest.raises(ChannelClosed):
        run_call(
            recipients,
            who=Who("alice", None, None),
            sealing=Sealing("aes-128-gcm", 60.0, 0.0),
            media=CallMedia(),
            seconds_s=1.0,
            as_json=False,
        )
    assert alice.called == called
    assert capsys.readouterr().err.splitlines() == told
    asyncio.run(alice.close())


class Held(UserServices):
    """Alice, whose calls are held as somebody else says."""

    seen: Any = None

    async def call(self, *_: Any, **__: Any) -> Any:
        return self.seen

    async def confer(self, *_: Any, **__: Any) -> Any:
        return self.seen


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("recipients", [["bob"], ["bob", "carol"]])
@pytest.mark.parametrize(("figures", "status"), [({}, 0), ({"nothing_came": True}, 2), ({"silent_s": 9.0}, 2)])
def test_a_call_of_which_nothing_comes_any_more_is_no_success(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recipients: list[str],
    as_json: bool,
    figures: dict[str, Any],
    status: int,
) -> None:
    house = House(tmp_path / "data")
    alice = Held(house.user("alice").people, supply=house.user("alice").party.supply)
    alice.seen = report_of(**figures)
    if len(recipients) > 1:
        alice.seen = ConferenceReport("c" * 32, 9.0, 1, 2, 1, members=(alice.seen, report_of("carol")))
    monkeypatch.setattr(calls, "people_of", lambda _: alice.people)
    monkeypatch.setattr(calls, "UserServices", lambda _, **__: alice)
    sealing = Sealing("aes-128-gcm", 60.0, 0.0)
    who = Who("alice", None, None)
    held = run_call(recipients, who=who, sealing=sealing, media=CallMedia(), seconds_s=1.0, as_json=as_json)
    assert held == status
    asyncio.run(alice.close())


@pytest.mark.parametrize(
    ("num_keys", "told"),
    [(1, "let UDP through between the two"), (0, "of which no key came here: see that key can be had")],
)
def test_what_kept_a_call_from_coming_is_told(num_keys: int, told: str) -> None:
    words = list[str]()
    say_call(report_of(nothing_came=True, keys_received=num_keys), words.append)
    assert told in words[-1]


NOTHING = MediumReport(0, 0, 0, 0)


def report_of(peer: str = "bob", **others: Any) -> CallReport:
    """Return what one end saw of a call of two keys, in which nothing else happened."""
    figures: dict[str, Any] = {
        "duration_s": 3.0,
        "keys_sent": 1,
        "keys_received": 1,
        "datagrams_sent": 100,
        "datagrams_opened": 99,
        "datagrams_missing": 0,
        "refused": {},
        "delay_median_ms": 0.5,
        "delay_p99_ms": 1.0,
        "audio": NOTHING,
        "video": NOTHING,
        "losses_known": True,
    }
    return CallReport(peer=peer, **figures | others)


@pytest.mark.parametrize(
    ("silent_s", "opened", "is_told"),
    [(18.2, 99, True), (1.0, 99, False), (18.2, 0, False)],
    ids=["long", "short", "all"],
)
def test_that_nothing_came_in_the_last_seconds_is_told_beside_what_was_lost_before(
    silent_s: float, opened: int, is_told: bool
) -> None:
    """No datagram tells how many were lost after it. Of a call of which nothing came at all that is told."""
    told: list[str] = []
    say_call(report_of(silent_s=silent_s, datagrams_opened=opened), told.append)
    assert ("(0.0 %), and nothing at all in its last 18.2 s;" in told[0]) == is_told


def test_an_end_notes_since_when_nothing_has_come() -> None:
    clock = FakeClock()
    hearing = Hearing(clock, say=lambda _: None)
    clock.now_s += 7.0
    hearing.take(RecordKind.CONTROL, b'{"here": true}')
    clock.now_s += 5.0
    figures: dict[str, Any] = {"sent": Counter(), "num_missing": 0, "keys_sent": 1, "keys_received": 1}
    assert hearing.report("bob", **figures, recording=None).silent_s == 5.0


@pytest.mark.parametrize(
    ("num_lost", "told"),
    [
        (0, "0 datagrams lost on the way here (0.0 %)"),
        (1, "1 datagram lost on the way here (1.0 %)"),
        (1200, "1,200 datagrams lost on the way here (92.4 %)"),
    ],
)
def test_what_a_call_lost_is_counted_in_words_that_fit(num_lost: int, told: str) -> None:
    words = list[str]()
    say_call(report_of(datagrams_missing=num_lost), words.append)
    assert words[0].split("; ")[3] == told


def test_a_conference_of_which_nothing_came_tells_no_zero_of_what_it_cannot_know() -> None:
    words = list[str]()
    sent = MediumReport(4, 0, 0, 0)
    figures: dict[str, Any] = {"losses_known": False, "datagrams_opened": 0, "nothing_came": True, "audio": sent}
    say_conference(ConferenceReport("c" * 32, 9.0, 1, 2, 1, members=(report_of(**figures),)), words.append)
    assert words[0] == (
        "bob, in the conference for 3.0 s; audio: 4 frames sent, none came; video: 0 frames sent, none came; "
        "how many datagrams were lost on the way here is not known, as none came; 1 key out, 1 in; "
        "delay 0.5 ms (median), 1.0 ms (99 %)"
    )


def test_a_member_that_neither_hears_nor_is_heard_is_told_both() -> None:
    words = list[str]()
    figures: dict[str, Any] = {"nothing_came": True, "datagrams_opened": 0, "ended": "unheard", "unheard_s": 10.2}
    say_conference(ConferenceReport("c" * 32, 9.0, 1, 2, 1, members=(report_of(**figures),)), words.append)
    assert "nothing of the conference came from bob: let UDP through" in words[1]
    assert words[2].startswith("bob had heard nothing of this end for 10.2 s when the conference ended: let UDP")


@pytest.mark.parametrize(("reason", "dead"), [(LEFT, False), (LOST, True), (CLOSED, True), ("no answer", True)])
def test_a_conference_is_no_success_where_one_is_not_in_it_at_its_end_and_has_not_left(reason: str, dead: bool) -> None:
    absent = (Absence("carol", reason),)
    report = ConferenceReport("c" * 32, 9.0, 1, 2, 1, members=(report_of(), report_of("carol")), absent=absent)
    assert calls.is_dead(report) is dead


def test_a_conference_tells_who_is_meant_by_each_line_and_why_somebody_is_not_in_it() -> None:
    words = list[str]()
    absent = (
        Absence("carol", "nobody says where carol receives"),
        Absence("dan", LEFT),
        Absence("fay", LOST),
    )
    member = report_of(datagrams_missing=1, refused={"Altered": 2}, recording="meeting/bob.webm")
    report = ConferenceReport(
        "c" * 32,
        duration_s=9.0,
        rounds=1,
        keys_sent=2,
        tag_keys=1,
        members=(member,),
        absent=absent,
        refused={"Late": 3},
    )
    say_conference(report, words.append)
    first, *others = words
    assert first.startswith("bob, in the conference for 3.0 s; ")
    assert "; 1 datagram lost on the way here (1.0 %); " in first
    assert others == [
        "not accepted from bob: 2 Altered",
        "bob is recorded in meeting/bob.webm",
        "carol was not in the conference at its end: nobody says where carol receives",
        "dan was not in the conference at its end: it left",
        "fay was not in the conference at its end: nothing was heard of it any more",
        "conference of 9.0 s, 1 round; sealed here under 2 keys of all members, and 1 key of two for tags",
        "not accepted from who is no member: 3 Late",
    ]

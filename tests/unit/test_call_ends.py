"""How calls end: what is told where datagrams, or an end, fall silent, and what is counted of what was lost last."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from qanat.adapters.addresses import AddressBook
from qanat.apps.cli.calls import is_dead, say_call, say_conference
from qanat.ground.errors import ChannelClosed, FrameError
from qanat.services.call import CallReport, LastWord
from qanat.services.call_frames import Assembler, MediaFrame, Medium, cut_frame
from qanat.services.conference import ConferenceReport
from qanat.users import call_line, conferring, notices
from qanat.users.call_line import CallLine
from qanat.users.reception import Reception
from qanat.users.services import UserServices
from qanat.users.speaking import CallMedia
from service_support import House, Spy, until
from unit.service_fakes import FakeClock
from unit.test_call_command import report_of
from unit.test_calls import BadLine
from unit.test_conferences import Meeting

pytest.importorskip("av")

SOUND = CallMedia(video=None)
NOTHING = CallMedia(audio=None, video=None)


@dataclass
class Scene:
    """A call of alice to bob, through a spy, over lines that may come to lose all; what each end was told of it."""

    house: House
    lines: dict[str, BadLine] = field(default_factory=dict)
    notices: dict[str, list[str]] = field(default_factory=lambda: {"alice": [], "bob": []})
    came: list[CallReport] = field(default_factory=list)
    spy: Spy = field(default_factory=lambda: Spy(0))
    reception: Reception | None = None

    def user(self, name: str) -> UserServices:
        user = self.house.user(name)
        line = self.lines[name] = BadLine(0.0, random.Random(name))
        user.open_wire = line.open
        return user

    async def hold(
        self,
        happens: Callable[[Scene], Any],
        *,
        seconds_s: float,
        media: CallMedia = SOUND,
        bobs: CallMedia = SOUND,
    ) -> tuple[CallReport, CallReport]:
        """Return what alice and bob saw of a call in which ``happens`` is awaited once both hear each other."""
        async with AsyncExitStack() as stack:
            alice, bob = [await stack.enter_async_context(self.user(name)) for name in ("alice", "bob")]
            self.reception = Reception(bob, self.house.folder("bob"), media=bobs)
            self.reception._listeners = replace(
                self.reception._listeners, on_call=self.came.append, on_notice=self.notices["bob"].append
            )
            await stack.enter_async_context(self.reception)
            self.spy = await stack.enter_async_context(self.house.spied("bob"))
            calling = asyncio.create_task(
                alice.call("bob", media, seconds_s=seconds_s, say=self.notices["alice"].append)
            )
            await until(lambda: calling.done() or all(line.sent for line in self.lines.values()))
            await happens(self)
            report = await calling
            await until(lambda: bool(self.came))
        return report, self.came[0]


def told_of(report: CallReport) -> str:
    told: list[str] = []
    say_call(report, told.append)
    return "\n".join(told)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let silences be noticed soon."""
    for name, value in (("LOST_S", 1.5), ("SILENCE_TOLD_S", 0.4), ("ASK_EVERY_S", 0.2), ("LOOK_EVERY_S", 0.1)):
        monkeypatch.setattr(call_line, name, value)
    monkeypatch.setattr(call_line, "AGAIN_AFTER_S", 0.1)


async def nothing(_: Scene) -> None:
    """Let the call go on."""


def test_what_is_lost_after_the_last_datagram_that_came_is_counted_and_told(tmp_path: Path) -> None:
    """A cable is drawn out in mid-call: the last word, over another line, tells how many were sent."""

    async def cut(scene: Scene) -> None:
        await asyncio.sleep(0.5)
        scene.lines["alice"].loss = 1.0

    scene = Scene(House(tmp_path))
    at_alice, at_bob = asyncio.run(scene.hold(cut, seconds_s=7.0))
    assert at_bob.losses_known
    assert at_bob.datagrams_missing > 100
    assert at_bob.datagrams_opened + at_bob.datagrams_missing == at_alice.datagrams_sent
    assert at_bob.audio.received + at_bob.audio.lost == at_alice.audio.sent
    assert at_alice.datagrams_missing == 0
    assert all(one.audio.decoded == one.audio.received for one in (at_alice, at_bob)), "the last ones are shown too"
    assert at_alice.unheard_s == pytest.approx(at_bob.silent_s, abs=0.5)
    assert is_dead(at_bob)
    assert is_dead(at_alice), "who is not heard has to know it too"
    assert "bob had heard nothing of this end for" in told_of(at_alice)
    assert "nothing of the call came from alice any more: see that UDP" in told_of(at_bob)
    assert "not known" not in told_of(at_bob)
    assert scene.notices == {
        "alice": ["bob hears nothing of this end: let UDP through between the two; the call goes on"],
        "bob": [
            "no datagram comes from alice, though its line stands: let UDP through between the two; the call goes on"
        ],
    }


@pytest.mark.usefixtures("hasty")
def test_a_call_of_which_no_datagram_comes_goes_on_while_the_other_ends_line_says_that_it_is_there(
    tmp_path: Path,
) -> None:
    async def cut(scene: Scene) -> None:
        for line in scene.lines.values():
            line.loss = 1.0

    scene = Scene(House(tmp_path))
    reports = asyncio.run(scene.hold(cut, seconds_s=3.5))
    assert [report.ended for report in reports] == ["here", "there"]
    assert all(len(told) == 2 for told in scene.notices.values()), "each way once"
    assert all(map(is_dead, reports))


@pytest.mark.usefixtures("hasty")
def test_each_outage_of_a_call_is_told_and_its_end_too_at_both_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "STEADY_S", 0.3)
    monkeypatch.setattr(notices, "LONGEST_PAUSE_S", 0.25)

    async def come_and_go(scene: Scene) -> None:
        for num_told in (1, 3):
            scene.lines["alice"].loss = 1.0
            await until(lambda num=num_told: all(len(told) == num for told in scene.notices.values()))
            scene.lines["alice"].loss = 0.0
            await until(lambda num=num_told: all(len(told) == num + 1 for told in scene.notices.values()))

    scene = Scene(House(tmp_path))
    asyncio.run(asyncio.wait_for(scene.hold(come_and_go, seconds_s=12.0), 30.0))
    outage = [
        "bob hears nothing of this end: let UDP through between the two; the call goes on",
        "bob hears this end again",
    ]
    assert scene.notices["alice"] == 2 * outage
    outage = [
        "no datagram comes from alice, though its line stands: let UDP through between the two; the call goes on",
        "datagrams come from alice again",
    ]
    assert scene.notices["bob"] == 2 * outage


@pytest.mark.usefixtures("hasty")
def test_an_end_without_any_sign_of_life_ends_the_call_which_says_so(tmp_path: Path) -> None:
    async def cut(scene: Scene) -> None:
        scene.spy.is_held = True
        for line in scene.lines.values():
            line.loss = 1.0
        await until(lambda: bool(scene.came))

    reports = asyncio.run(Scene(House(tmp_path)).hold(cut, seconds_s=60.0))
    for report, peer in zip(reports, ("bob", "alice"), strict=True):
        assert report.ended == "silent"
        assert 1.5 < report.silent_s < 30
        assert not report.losses_known
        assert is_dead(report)
        assert f"no sign of life of {peer} for 10 s, neither a datagram nor a word on its line" in told_of(report)
        assert "is not known, as no last word told" in told_of(report)
        assert f"{peer} is silent: see that its program runs" in told_of(report)


@pytest.mark.usefixtures("hasty")
def test_an_end_that_was_taken_for_gone_hears_why_the_call_was_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a program that was stopped does when it goes on; it takes nobody else for gone."""
    speak = call_line.CallLine._speak

    async def dumb(line: call_line.CallLine) -> None:
        await (asyncio.Event().wait() if line._name == "bob" else speak(line))

    async def cut(scene: Scene) -> None:
        scene.lines["alice"].loss = 1.0

    monkeypatch.setattr(call_line.CallLine, "_speak", dumb)
    at_alice, at_bob = asyncio.run(Scene(House(tmp_path)).hold(cut, seconds_s=60.0))
    assert (at_alice.ended, at_bob.ended) == ("unheard", "silent")
    assert is_dead(at_alice)
    assert "ended by bob, which had no sign of life from here for 10 s" in told_of(at_alice)
    assert "this program stood still, or nothing of it got through" in told_of(at_alice)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("media", [(SOUND, NOTHING), (NOTHING, NOTHING)], ids=["one", "both"])
def test_who_sends_neither_sound_nor_pictures_is_not_taken_for_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, media: tuple[CallMedia, CallMedia]
) -> None:
    monkeypatch.setattr(call_line, "SILENCE_TOLD_S", 60.0)  # datagrams alone have to do
    monkeypatch.setattr(call_line, "LOST_S", 3.5)
    scene = Scene(House(tmp_path))
    reports = asyncio.run(scene.hold(nothing, seconds_s=5.0, media=media[1], bobs=media[0]))
    assert [report.ended for report in reports] == ["here", "there"]
    assert all(report.datagrams_opened >= 3 and not is_dead(report) for report in reports)
    assert scene.notices == {"alice": [], "bob": []}


def test_who_receives_no_more_is_kept_no_longer_than_two_seconds_by_an_end_that_does_not_answer(tmp_path: Path) -> None:
    async def close(scene: Scene) -> None:
        await asyncio.sleep(0.3)
        scene.spy.is_held = True
        began_s = time.monotonic()
        assert scene.reception is not None
        await scene.reception._end_calls()
        assert call_line.LAST_WORD_S - 0.1 < time.monotonic() - began_s < call_line.LAST_WORD_S + 1.5
        assert [report.ended for report in scene.came] == ["unanswered"]
        scene.spy.is_held = False

    at_alice, at_bob = asyncio.run(Scene(House(tmp_path)).hold(close, seconds_s=60.0))
    assert at_alice.ended == "there"
    assert at_alice.losses_known
    assert not at_bob.losses_known


@pytest.mark.usefixtures("hasty")
def test_who_ends_a_call_is_told_that_the_other_end_has_not_said_that_it_knows(tmp_path: Path) -> None:
    """The other was cut off too short a time before to be missed, so nothing else tells of it."""

    async def cut(scene: Scene) -> None:
        scene.spy.is_held = True
        for line in scene.lines.values():
            line.loss = 1.0

    scene = Scene(House(tmp_path))
    at_alice, at_bob = asyncio.run(scene.hold(cut, seconds_s=0.3))
    assert (at_alice.ended, at_bob.ended) == ("unanswered", "silent")
    assert is_dead(at_alice)
    assert "bob has not said that it knows of the end: it may not have heard it" in told_of(at_alice)
    assert not any("goes on" in words for words in scene.notices["alice"])


def test_who_hangs_up_before_anybody_answers_is_not_kept_waiting(tmp_path: Path) -> None:
    async def work() -> None:
        house, stop = House(tmp_path), asyncio.Event()
        with socket.create_server(("127.0.0.1", 0)) as mute:
            for name in ("bob", "carol"):
                AddressBook(house.data / "addresses").publish("services", name, mute.getsockname())
            async with house.user("alice") as alice:
                for call, told in (
                    (alice.call("bob", SOUND, stop=stop), "hung up before bob answered"),
                    (alice.confer(["bob", "carol"], SOUND, stop=stop), "hung up before anybody came"),
                ):
                    stop.clear()
                    calling = asyncio.create_task(call)  # type: ignore[arg-type]
                    await asyncio.sleep(0.3)
                    began_s = time.monotonic()
                    stop.set()
                    with pytest.raises(ChannelClosed, match=told):
                        await calling
                    assert time.monotonic() - began_s < 2.0

    asyncio.run(work())


def test_a_conference_of_which_nothing_comes_tells_so_of_each_member(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wall in between that lets TCP through and no UDP."""
    monkeypatch.setattr(conferring, "LOST_S", 60.0)
    meeting = Meeting(House(tmp_path / "data"), tmp_path, loss=1.0, refresh_s=60.0, media=SOUND)
    asyncio.run(meeting.hold("alice", ("bob", "carol"), seconds_s=4.0))
    for name, report in meeting.reports.items():
        others = sorted({"alice", "bob", "carol"} - {name})
        told: list[str] = []
        say_conference(report, told.append)
        for other in others:
            assert any(words.startswith(f"nothing of the conference came from {other}: let UDP") for words in told)
        # A report's members stand in the order in which they came, which is not always the same.
        assert sorted(one.peer for one in report.members if one.nothing_came) == others
        assert is_dead(report)


def test_a_member_that_leaves_at_the_end_of_its_reception_tells_what_it_saw(tmp_path: Path) -> None:
    meeting = Meeting(House(tmp_path / "data"), tmp_path, loss=0.0, refresh_s=60.0, media=SOUND)

    async def scene() -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(meeting.reception("bob"))
            alice = await stack.enter_async_context(meeting.user("alice"))
            async with meeting.reception("carol"):
                holding = asyncio.create_task(alice.confer(["bob", "carol"], SOUND, seconds_s=60.0))
                await until(lambda: "carol" in meeting.ends and meeting.has_heard("carol", "alice", "bob"))
            assert sorted(one.peer for one in meeting.reports["carol"].members) == ["alice", "bob"]
            await until(lambda: not meeting.ends["alice"]._members.keys() - {"urn:qanat:test:sae:bob"})
            await meeting.receptions["bob"]._end_calls()
            report = await holding
        assert {one.name: one.reason for one in report.absent} == {"bob": "it left", "carol": "it left"}
        assert not is_dead(report)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("figures", "dead"),
    [({}, False), ({"nothing_came": True}, True), ({"silent_s": 3.5}, True), ({"unheard_s": 3.5}, True)]
    + [({"silent_s": 3.5, "datagrams_opened": 0}, False)]
    + [
        ({"ended": ended}, ended not in ("here", "there"))
        for ended in ("here", "there", "unsaid", "silent", "unheard", "unanswered")
    ],
)
def test_a_call_that_did_not_get_through_to_its_end_is_dead(figures: dict[str, Any], dead: bool) -> None:
    report = report_of(**figures)
    assert is_dead(report) is dead
    held = {"conference": "c" * 32, "duration_s": 9.0, "rounds": 1, "keys_sent": 1, "tag_keys": 1}
    before = report_of(nothing_came=True)
    members = (before, report, report_of("carol"))
    if report.datagrams_opened or report.nothing_came:
        too_short = report_of(datagrams_opened=0)
        assert is_dead(ConferenceReport(members=(*members, too_short), **held)) is dead  # type: ignore[arg-type]


@pytest.mark.parametrize("ended", ["left", "lost", "broke", "gave_up"])
def test_that_another_went_is_no_fault_of_a_members_own_conference_and_one_of_its_callers(ended: str) -> None:
    held = {"conference": "c" * 32, "duration_s": 9.0, "rounds": 1, "keys_sent": 1, "tag_keys": 1}
    gone, there = report_of(ended=ended, silent_s=9.0, unheard_s=9.0), report_of("carol")
    for members, dead in (((gone, there), False), ((gone, report_of("carol", silent_s=9.0)), True)):
        assert is_dead(ConferenceReport(members=members, caller="carol", **held)) is dead  # type: ignore[arg-type]
        assert is_dead(ConferenceReport(members=members, **held))  # type: ignore[arg-type]


def test_a_last_word_is_read_as_it_was_said_and_others_are_refused() -> None:
    word = LastWord(1000, 50, 30, 1.5, lost=True)
    assert LastWord.parse(word.word()) == word
    for change in ({"datagrams": -1}, {"audio": 2**60}, {"video": "3"}, {"silent_s": -1.0}, {"lost": 1}):
        with pytest.raises(FrameError, match="last word"):
            LastWord.parse({**word.word(), **change})
    with pytest.raises(FrameError, match="last word"):
        LastWord.parse({"end": True})


def test_frames_that_waited_for_one_before_are_shown_at_the_end_and_the_others_are_lost() -> None:
    assembler = Assembler(Medium.AUDIO)
    sent = [MediaFrame(Medium.AUDIO, number, b"x", True, 20 * number, 7) for number in range(6)]
    shown = [frame for number in (0, 2, 3) for frame in assembler.add(cut_frame(sent[number])[0])]
    assert (shown, assembler.num_lost) == (sent[:1], 0)
    assert assembler.finish(6) == sent[2:4]
    assert (assembler.num_whole, assembler.num_lost) == (3, 3)
    assert assembler.add(cut_frame(sent[4])[0]) == []


def test_a_program_that_stood_still_itself_takes_nobody_for_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        now_s = 0.0

        def monotonic_s(self) -> float:
            return self.now_s

    class End:
        silent_s = 40.0

    clock = Clock()
    line = call_line.CallLine(None, End(), clock=clock, name="bob", say=lambda _: None)  # type: ignore[arg-type]
    looks: list[float] = []

    async def sleep(delay_s: float) -> None:
        looks.append(clock.now_s)
        clock.now_s += 40.0 if len(looks) == 5 else delay_s

    monkeypatch.setattr(call_line.asyncio, "sleep", sleep)
    asyncio.run(line._watch())
    assert looks[-1] == pytest.approx(40.0 + 4 * call_line.LOOK_EVERY_S + call_line.LOST_S, abs=1.0)


def test_words_that_waited_while_this_program_stood_still_do_not_say_that_it_is_not_heard() -> None:
    """Stopped for five seconds it finds two of them at once; one that comes later tells what goes on."""
    clock, told = FakeClock(), list[str]()
    line = CallLine(cast(Any, None), cast(Any, None), clock=clock, name="bob", say=told.append)
    for _ in range(2):
        line._heard({"silent": True})
    assert told == []
    clock.now_s += 2.0
    line._heard({"silent": True})
    assert told == ["bob hears nothing of this end: let UDP through between the two; the call goes on"]

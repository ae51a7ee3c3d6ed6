"""How conferences end: what each member tells the others last, and what is told where an end is killed or stands still.

Each figure of losses is that of the last words: what was sent to this end since it came, less what it opened.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from qanat.adapters.media import MediaSink
from qanat.apps.cli.calls import is_dead, say_conference
from qanat.services.call import CallReport
from qanat.services.call_frames import Assembler, MediaFrame, Medium, cut_frame
from qanat.services.ciphers import RecordKind
from qanat.services.conference import ConferenceReport
from qanat.users import attending, conference, conferring
from qanat.users.hearing import Hearing
from qanat.users.notices import Pulse
from qanat.users.speaking import CallMedia
from service_support import House, Spy, sae_of, until
from unit.service_fakes import FakeClock
from unit.test_call_command import report_of
from unit.test_conferences import Meeting

av: Any = pytest.importorskip("av")

SOUND = CallMedia(video=None)
THREE = ("alice", "bob", "carol")
Happens = Callable[[], Coroutine[Any, Any, None]]


def told_of(report: ConferenceReport) -> str:
    told: list[str] = []
    say_conference(report, told.append)
    return "\n".join(told)


def seen(meeting: Meeting, at: str, peer: str) -> CallReport:
    """Return what was seen of somebody at an end, when it was in the conference last."""
    return [one for one in meeting.reports[at].members if one.peer == peer][-1]


def check_losses(meeting: Meeting) -> None:
    """Check that each end knows all that was sent to it, and has lost what it did not open."""
    for at in meeting.reports:
        for peer in set(meeting.reports) - {at}:
            here, there = seen(meeting, at, peer), seen(meeting, peer, at)
            assert here.losses_known, (at, peer)
            assert here.datagrams_opened + here.datagrams_missing == there.datagrams_sent > 0, (at, peer)
            for medium in ("audio", "video"):
                one, other = getattr(here, medium), getattr(there, medium)
                assert one.received + one.lost == other.sent, (at, peer, medium)


async def holding(meeting: Meeting, happens: Happens, *, spied: tuple[str, ...]) -> None:
    """Hold a conference of three until ``happens`` is over and all have told what they saw."""
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        for name in THREE[1:]:
            await stack.enter_async_context(meeting.reception(name))
        spies.clear()
        for name in spied:
            spies[name] = await stack.enter_async_context(meeting.house.spied(name))
        alice = await stack.enter_async_context(meeting.user("alice"))
        told = meeting.notices.setdefault("alice", [])
        held = asyncio.create_task(alice.confer(THREE[1:], meeting.media, stop=stop, say=told.append))
        await happens()
        stop.set()
        meeting.reports["alice"] = await held
        await until(lambda: len(meeting.reports) == len(THREE))


spies: dict[str, Spy] = {}


def all_hear(meeting: Meeting) -> bool:
    return len(meeting.ends) == len(THREE) and all(meeting.has_heard(name, *(set(THREE) - {name})) for name in THREE)


def held(meeting: Meeting, happens: Happens, *, spied: tuple[str, ...] = ()) -> None:
    asyncio.run(asyncio.wait_for(holding(meeting, happens, spied=spied), 40.0))


def test_what_was_lost_before_the_first_datagram_and_after_the_last_is_counted_at_all_ends(tmp_path: Path) -> None:
    meeting = Meeting(House(tmp_path / "data"), tmp_path, loss=0.0, refresh_s=60.0)

    async def blocked_at_both_ends() -> None:
        await until(lambda: "bob" in meeting.lines and len(meeting.ends) == len(THREE))
        meeting.lines["bob"].loss = 1.0
        await until(lambda: meeting.has_heard("carol", "alice"))
        await asyncio.sleep(1.0)
        meeting.lines["bob"].loss = 0.0
        await until(lambda: all_hear(meeting))
        meeting.lines["carol"].loss = 1.0
        await asyncio.sleep(1.0)

    held(meeting, blocked_at_both_ends)
    check_losses(meeting)
    for at in ("alice", "carol"):
        assert seen(meeting, at, "bob").datagrams_missing > 20
    for at in ("alice", "bob"):
        assert seen(meeting, at, "carol").datagrams_missing > 20
    assert seen(meeting, "carol", "alice").datagrams_missing <= 5, (
        "of those that the line turns round the last may be lost"
    )
    assert "is not known" not in "".join(map(told_of, meeting.reports.values()))


def test_who_leaves_and_who_is_taken_out_and_comes_again_has_figures_from_when_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conferring, "TRY_AGAIN_S", 0.3)
    monkeypatch.setattr(conferring, "LOST_S", 1.5)
    meeting = Meeting(House(tmp_path / "data"), tmp_path, loss=0.0, refresh_s=60.0, media=SOUND)
    before: list[ConferenceReport] = []

    async def lost_and_back() -> None:
        await until(lambda: all_hear(meeting))
        meeting.lines["bob"].loss = 1.0
        await until(lambda: "bob" in meeting.reports)
        before.append(meeting.reports.pop("bob"))
        await asyncio.sleep(0.7)
        meeting.lines["bob"].loss = 0.0
        told = meeting.notices["alice"]
        await until(
            lambda: all_hear(meeting) and any("bob is in the conference again: it came " in one for one in told)
        )

    held(meeting, lost_and_back)
    check_losses(meeting)
    (first,) = before
    for at in ("alice", "carol"):
        of_bob, *_ = (one for one in meeting.reports[at].members if one.peer == "bob")
        at_bob = next(one for one in first.members if one.peer == at)
        assert of_bob.losses_known
        assert of_bob.datagrams_opened + of_bob.datagrams_missing == at_bob.datagrams_sent
        assert of_bob.datagrams_missing > 10, "bob was not heard any more"
        assert at_bob.losses_known
        assert at_bob.datagrams_missing <= 5


def test_members_are_told_that_the_caller_was_killed(tmp_path: Path) -> None:
    meeting = Meeting(House(tmp_path / "data"), tmp_path, loss=0.0, refresh_s=60.0, media=SOUND)

    async def scene() -> None:
        async with AsyncExitStack() as stack:
            for name in THREE[1:]:
                await stack.enter_async_context(meeting.reception(name))
            lines = AsyncExitStack()
            for name in THREE[1:]:
                await lines.enter_async_context(meeting.house.spied(name))
            alice = await stack.enter_async_context(meeting.user("alice"))
            calling = asyncio.create_task(alice.confer(THREE[1:], SOUND))
            await until(lambda: all_hear(meeting))
            await lines.aclose()
            await until(lambda: len(meeting.reports) == 2)
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)

    asyncio.run(asyncio.wait_for(scene(), 40.0))
    for name in THREE[1:]:
        report = meeting.reports[name]
        assert report.caller == "alice"
        assert seen(meeting, name, "alice").ended == "unsaid"
        assert is_dead(report)
        told = told_of(report)
        assert "the conference ended here: the line to alice closed without a last word" in told
        assert "how many before the first that came, and after the last, is not known, as no last word told" in told
        assert "the line to alice closed without a last word" in meeting.notices[name][-1]


def test_a_caller_that_gives_no_sign_of_life_is_taken_for_gone_by_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attending, "LOST_S", 2.0)
    monkeypatch.setattr(attending, "SILENCE_TOLD_S", 0.5)
    monkeypatch.setattr(conferring, "TRY_AGAIN_S", 60.0)
    meeting = Meeting(House(tmp_path / "data"), tmp_path, loss=0.0, refresh_s=60.0, media=SOUND)

    async def mute() -> None:
        await until(lambda: all_hear(meeting))
        meeting.lines["alice"].loss = 1.0
        await asyncio.sleep(3.0)
        assert not meeting.reports, "it answers on its line"
        for spy in spies.values():
            spy.is_held = True
        await until(lambda: len(meeting.reports) == 2)
        for spy in spies.values():
            spy.is_held = False
        await until(lambda: not meeting.ends["alice"]._members)

    held(meeting, mute, spied=("bob", "carol"))
    for name in THREE[1:]:
        report, of_alice = meeting.reports[name], seen(meeting, name, "alice")
        assert of_alice.ended == "silent"
        assert is_dead(report)
        assert "the conference ended here: no sign of life of alice for 10 s" in told_of(report)
        assert meeting.notices[name][-1].startswith("no sign of life of alice for 2 s, neither a datagram nor a word")
        at_alice = seen(meeting, "alice", name)
        assert at_alice.ended == "unheard"
        assert at_alice.unheard_s > 2.0
    report = meeting.reports["alice"]
    assert [one.reason for one in report.absent] == 2 * [conferring.HUNG_UP]
    assert is_dead(report)
    assert "left the conference, as it took this end for gone" in told_of(report)


def test_a_caller_that_stood_still_says_so_and_tells_all_that_it_saw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than its keys last: it seals nothing under them any more, and that is no want of keys."""
    meeting = Meeting(House(tmp_path / "data"), tmp_path, loss=0.0, refresh_s=60.0, media=SOUND)

    async def stop() -> None:
        await until(lambda: all_hear(meeting))
        end = meeting.ends["alice"]
        assert end._sealer is not None
        monkeypatch.setattr(end._sealer._keys, "_born_s", -1e6)  # its time is over, and no other is here
        end._pulse._looked_s -= 47.0
        await until(lambda: len(meeting.reports) == 2)

    held(meeting, stop)
    report = meeting.reports["alice"]
    assert meeting.notices["alice"][-1].startswith("this program stood still for 47 s")
    assert sorted(one.peer for one in report.members) == ["bob", "carol"]
    assert all(one.audio.decoded > 5 and one.losses_known for one in report.members)
    assert all(Path(one.recording or "").exists() for one in report.members)


def test_a_caller_that_nobody_hears_is_told_so_when_it_ends_the_conference(tmp_path: Path) -> None:
    meeting = Meeting(House(tmp_path / "data"), tmp_path, loss=0.0, refresh_s=60.0, media=SOUND)

    async def mute() -> None:
        await until(lambda: all_hear(meeting))
        meeting.lines["alice"].loss = 1.0
        await asyncio.sleep(3.6)

    held(meeting, mute)
    report = meeting.reports["alice"]
    assert all(3.0 < one.unheard_s < 6.0 for one in report.members)
    assert is_dead(report)
    for name in THREE[1:]:
        assert f"{name} had heard nothing of this end for 3." in told_of(report)
        assert all(one.unheard_s < 1.0 for one in meeting.reports[name].members)


def test_a_caller_that_ends_is_told_by_name_who_has_not_said_that_it_knows_of_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The member was cut off too short a time before to be missed, so nothing else tells of it."""
    monkeypatch.setattr(attending, "LOST_S", 3.0)
    monkeypatch.setattr(conference, "SILENCE_TOLD_S", 2.0)
    monkeypatch.setattr(conference, "LOOK_EVERY_S", 0.1)
    meeting = Meeting(House(tmp_path / "data"), tmp_path, loss=0.0, refresh_s=60.0, media=SOUND)

    async def cut() -> None:
        await until(lambda: all_hear(meeting))
        spies["bob"].is_held = True
        meeting.lines["bob"].loss = 1.0
        await asyncio.sleep(1.0)

    held(meeting, cut, spied=("bob",))
    report = meeting.reports["alice"]
    assert {one.peer: one.ended for one in report.members} == {"bob": "unanswered", "carol": ""}
    assert report.absent == ()
    assert is_dead(report)
    assert "bob has not said that it knows of the end: it may not have heard it; its losses are not known" in told_of(
        report
    )
    assert "carol has not said" not in told_of(report)
    assert not any("goes on" in words for words in meeting.notices["alice"])
    assert seen(meeting, "bob", "alice").ended == "silent"
    assert seen(meeting, "carol", "alice").ended == ""


def test_every_frame_that_came_whole_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last ones too, where decoding takes its time; and the first pictures of all to who comes later, as none is
    sent to it that builds on one before."""
    monkeypatch.setattr(conferring, "TRY_AGAIN_S", 0.3)
    take = MediaSink.take

    def slow(sink: MediaSink, *args: Any, **words: Any) -> bool:
        time.sleep(0.015)
        return take(sink, *args, **words)

    monkeypatch.setattr(MediaSink, "take", slow)
    meeting = Meeting(House(tmp_path / "data"), tmp_path, loss=0.0, refresh_s=60.0)

    async def scene() -> None:
        stop = asyncio.Event()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(meeting.reception("bob"))
            alice = await stack.enter_async_context(meeting.user("alice"))
            calling = asyncio.create_task(alice.confer(THREE[1:], meeting.media, stop=stop))
            await until(lambda: len(meeting.ends) == 2 and meeting.has_heard("bob", "alice"))
            await stack.enter_async_context(meeting.reception("carol"))
            await until(lambda: all_hear(meeting))
            stop.set()
            meeting.reports["alice"] = await calling
            await until(lambda: len(meeting.reports) == len(THREE))

    asyncio.run(asyncio.wait_for(scene(), 40.0))
    check_losses(meeting)
    for report in meeting.reports.values():
        for one in report.members:
            assert one.audio.decoded == one.audio.received, one
            assert one.video.decoded + one.video.lacking == one.video.received, one
            assert not one.video.lacking or one.video.lost, one


def test_what_came_is_shown_before_the_end_is_told() -> None:
    class Sink:
        def take(self, *_: object, **__: object) -> bool:
            return True

    async def scene() -> None:
        hearing = Hearing(FakeClock(), say=lambda _: None, begins_anywhere=True)
        for number in range(7, 11):
            frame = MediaFrame(Medium.AUDIO, number, b"x", True, 40 * number, 7)
            hearing._hear_part(cut_frame(frame)[0])
        showing = asyncio.create_task(hearing.show(Sink()))  # type: ignore[arg-type]
        await hearing.all_shown()
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
        assert hearing._decoded[Medium.AUDIO] == 4

    asyncio.run(scene())


def test_pictures_that_build_on_one_that_did_not_come_are_counted_and_told_as_such() -> None:
    class Sink:
        def take(self, *_: object, **__: object) -> bool:
            return True

    async def scene() -> CallReport:
        hearing = Hearing(FakeClock(), say=lambda _: None, begins_anywhere=True)
        for number, is_key in ((7, False), (8, True), (9, False)):
            frame = MediaFrame(Medium.VIDEO, number, b"x", is_key, 60 * number, 7)
            for content in cut_frame(frame):
                hearing.take(RecordKind.DATA, content)
        showing = asyncio.create_task(hearing.show(Sink()))  # type: ignore[arg-type]
        await hearing.all_shown()
        showing.cancel()
        figures: dict[str, Any] = {"sent": Counter(), "num_missing": 0, "keys_sent": 1, "keys_received": 1}
        return hearing.report("bob", **figures, recording=None)

    report = asyncio.run(scene())
    assert (report.video.received, report.video.decoded, report.video.lacking) == (3, 2, 1)
    told = told_of(ConferenceReport("c" * 32, 9.0, 1, 2, 1, members=(report,)))
    assert "2 of 3 shown (1 left out, as the one before was lost), 0 lost" in told


def test_who_is_told_to_end_while_a_member_is_dropped_still_tells_of_it(tmp_path: Path) -> None:
    meeting = Meeting(House(tmp_path / "data"), tmp_path, loss=0.0, refresh_s=60.0, media=SOUND)

    async def dropped() -> None:
        await until(lambda: all_hear(meeting))
        end = meeting.ends["alice"]
        dropping = asyncio.create_task(end.drop(sae_of("bob")))
        await until(lambda: not end.has(sae_of("bob")))
        dropping.cancel()
        await asyncio.gather(dropping, return_exceptions=True)

    held(meeting, dropped)
    assert Path(seen(meeting, "alice", "bob").recording or "").stat().st_size > 100


def test_frames_are_lost_by_how_many_were_sent_from_whichever_on() -> None:
    assembler = Assembler(Medium.AUDIO, begins_anywhere=True)
    sent = [MediaFrame(Medium.AUDIO, number, b"x", True, 20 * number, 7) for number in range(100, 110)]
    shown = [frame for place in (2, 3, 5) for frame in assembler.add(cut_frame(sent[place])[0])]
    assert shown == sent[2:4]
    assert assembler.finish_all(10) == sent[5:6]
    assert (assembler.num_whole, assembler.num_lost) == (3, 7)
    assert assembler.finish_all(10) == []
    assert (assembler.num_whole, assembler.num_lost) == (3, 7)


def test_a_caller_is_not_said_to_live_again_where_what_waited_is_its_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    class Over(Exception):
        pass

    class End:
        def has(self, _: str) -> bool:
            return False

    class Talk:
        peer = sae_of("alice")

        async def transmit(self, *_: object, **__: object) -> None:
            pass

    clock, told = FakeClock(), list[str]()
    attended: Any = attending._Attending(
        cast(Any, Talk()), cast(Any, End()), sae_of("bob"), clock=clock, name="alice", say=told.append
    )
    began_s, until_s = clock.now_s, 8.0

    async def sleep(delay_s: float) -> None:
        clock.now_s += delay_s
        if clock.now_s >= began_s + 7.0:  # a word is read, and the last one after it
            attended._alive_s = clock.now_s
        if clock.now_s >= began_s + until_s:
            raise Over

    monkeypatch.setattr(attending.asyncio, "sleep", sleep)
    with pytest.raises(Over):
        asyncio.run(attended._watch())
    assert told == ["no sign of life of alice for 5 s; after 10 s the conference ends here"]
    until_s = 10.0
    with pytest.raises(Over):
        asyncio.run(attended._watch())
    assert told[1:] == ["alice gives signs of life again; the conference goes on"]


def test_recordings_of_one_end_have_one_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes later is recorded from then on, in the time of all."""
    monkeypatch.setattr(conferring, "TRY_AGAIN_S", 0.3)
    meeting = Meeting(House(tmp_path / "data"), tmp_path, loss=0.0, refresh_s=60.0, media=SOUND)

    async def scene() -> None:
        stop, media = asyncio.Event(), CallMedia(video=None, record=tmp_path / "alice")
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(meeting.reception("bob"))
            alice = await stack.enter_async_context(meeting.user("alice"))
            calling = asyncio.create_task(alice.confer(THREE[1:], media, stop=stop))
            await until(lambda: len(meeting.ends) == 2 and meeting.has_heard("bob", "alice"))
            await asyncio.sleep(2.0)
            await stack.enter_async_context(meeting.reception("carol"))
            await until(lambda: all_hear(meeting))
            stop.set()
            meeting.reports["alice"] = await calling
            await until(lambda: len(meeting.reports) == len(THREE))

    asyncio.run(asyncio.wait_for(scene(), 40.0))
    for at, others in (("alice", "bob carol"), ("carol", "alice bob")):
        _, mix_end_s = times_of(meeting.reports[at].mix)
        times = {peer: times_of(seen(meeting, at, peer).recording) for peer in others.split()}
        assert all(abs(end_s - mix_end_s) < 0.8 for _, end_s in times.values()), (at, times, mix_end_s)
    came_s, _ = times_of(seen(meeting, "alice", "carol").recording)
    assert came_s > 2.0


def times_of(recording: str | None) -> tuple[float, float]:
    """Return when the first and the last piece of sound of a recording are due in it."""
    with av.open(recording) as file:
        due_s = [float(sound.time) for sound in file.decode(audio=0)]
    return due_s[0], due_s[-1]


def test_a_pulse_tells_for_how_long_this_program_stood_still() -> None:
    clock = FakeClock()
    pulse = Pulse(clock)
    began_s = clock.now_s
    clock.now_s += 1.0
    assert (pulse.beat(), pulse.longest_s) == (began_s, 0.0)
    clock.now_s += 47.0
    assert (pulse.beat(), pulse.longest_s) == (clock.now_s, 47.0)
    clock.now_s += 3.0
    assert (pulse.beat(), pulse.longest_s) == (clock.now_s, 47.0)


@pytest.mark.parametrize(
    ("figures", "caller", "told"),
    [
        ({"ended": "unsaid"}, "bob", "the conference ended here: the line to bob closed without a last word"),
        ({"ended": "silent"}, "bob", "bob is silent: see that its program runs, and the network in between"),
        ({"ended": "unheard", "unheard_s": 10.2}, "bob", "bob calls again while the conference lasts"),
        ({"ended": "unheard", "unheard_s": 10.2}, "", "and left the conference, as it took this end for gone"),
        ({"ended": "unanswered"}, "", "bob has not said that it knows of the end: it may not have heard it"),
        ({"losses_known": False}, "bob", "how many before the first that came, and after the last, is not known"),
    ],
    ids=["killed", "silent", "taken-out", "hung-up", "unanswered", "unknown"],
)
def test_what_became_of_a_member_is_told(figures: dict[str, Any], caller: str, told: str) -> None:
    report = ConferenceReport("c" * 32, 9.0, 1, 2, 1, members=(report_of(**figures),), caller=caller)
    assert told in told_of(report)
    assert is_dead(report) is bool(report.members[0].ended)

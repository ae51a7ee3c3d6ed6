"""What is told live of a conference: outages and their ends, who is lost or killed; and what its reports say of it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from qanat.apps.cli.calls import is_dead, say_conference
from qanat.services.conference import ConferenceReport
from qanat.users import conference, conferring, notices
from qanat.users.conferring import CLOSED
from qanat.users.notices import Flow, Notices
from qanat.users.speaking import CallMedia
from service_support import House, until
from unit.service_fakes import FakeClock
from unit.test_conferences import Meeting

pytest.importorskip("av")

SOUND = CallMedia(video=None)
SILENT = "no datagram comes from {} in the conference: let UDP through between the two; the conference goes on"
AGAIN = "datagrams come from {} in the conference again"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let silences be noticed soon, and ended soon."""
    monkeypatch.setattr(conference, "SILENCE_TOLD_S", 1.0)
    monkeypatch.setattr(conference, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(notices, "STEADY_S", 0.6)
    monkeypatch.setattr(notices, "LONGEST_PAUSE_S", 0.5)


def told_of(report: ConferenceReport) -> str:
    told: list[str] = []
    say_conference(report, told.append)
    return "\n".join(told)


def test_a_notice_is_told_once_until_it_is_over() -> None:
    told: list[str] = []
    said = Notices(told.append)
    said.over("bob", "never told")
    for _ in range(2):
        said.tell("bob", "gone")
        said.tell("bob", "gone for long")
        said.tell("carol", "gone too")
        said.over("bob", "back")
        said.over("bob", "back")
        said.over("carol")
    assert told == 2 * ["gone", "gone too", "back"]


def test_one_datagram_now_and_then_is_no_flow() -> None:
    clock = FakeClock()
    flow = Flow(clock)
    for silent_s in (0.0, 0.5, 1.0, 1.6, 0.0, 0.1, 0.1, 0.1):
        assert not flow.look(silent_s)
        clock.now_s += 0.5
    assert flow.look(0.1)
    assert not flow.look(notices.LONGEST_PAUSE_S + 0.1)


@pytest.mark.usefixtures("hasty")
def test_each_outage_of_a_conference_is_told_once_of_each_member_and_its_end_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conferring, "LOST_S", 60.0)
    meeting = Meeting(House(tmp_path / "data"), tmp_path, loss=0.0, refresh_s=60.0, media=SOUND)

    async def scene() -> None:
        holding = asyncio.create_task(meeting.hold("alice", ("bob", "carol"), seconds_s=90.0))
        await until(lambda: len(meeting.ends) == 3 and meeting.has_heard("alice", "bob", "carol"))
        await until(lambda: meeting.has_heard("bob", "alice", "carol") and meeting.has_heard("carol", "alice", "bob"))
        for num_told in (1, 3):
            for line in meeting.lines.values():
                line.loss = 1.0
            await until(lambda num=num_told: all(len(told) >= 2 * num for told in outages_at().values()))
            for line in meeting.lines.values():
                line.loss = 0.0
            await until(lambda num=num_told: all(len(told) >= 2 * num + 2 for told in outages_at().values()))
        for name in ("bob", "carol"):
            meeting.receptions[name].leave_conferences()
        await holding

    def outages_at() -> dict[str, list[str]]:
        return {name: [one for one in told if "datagram" in one] for name, told in meeting.notices.items()}

    asyncio.run(asyncio.wait_for(scene(), 40.0))
    for name, told in outages_at().items():
        for other in {"alice", "bob", "carol"} - {name}:
            assert [one for one in told if f"from {other} " in one] == 2 * [SILENT.format(other), AGAIN.format(other)]
    assert meeting.notices["alice"][:2] == ["bob is in the conference", "carol is in the conference"]
    assert not any(map(is_dead, meeting.reports.values()))


@pytest.mark.usefixtures("hasty")
def test_a_member_that_nobody_hears_is_told_so_and_neither_its_report_nor_the_callers_is_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conferring, "LOST_S", 2.0)
    monkeypatch.setattr(conferring, "TRY_AGAIN_S", 60.0)
    meeting = Meeting(House(tmp_path / "data"), tmp_path, loss=0.0, refresh_s=60.0, media=SOUND)

    async def scene() -> None:
        holding = asyncio.create_task(meeting.hold("alice", ("bob", "carol"), seconds_s=7.0))
        await until(lambda: len(meeting.ends) == 3 and meeting.has_heard("alice", "bob", "carol"))
        await until(lambda: meeting.has_heard("bob", "alice", "carol"))
        meeting.lines["bob"].loss = 1.0
        await holding

    asyncio.run(asyncio.wait_for(scene(), 40.0))
    at_alice, at_bob, at_carol = (meeting.reports[name] for name in ("alice", "bob", "carol"))
    (of_alice,) = [one for one in at_bob.members if one.peer == "alice"]
    assert of_alice.ended == "unheard"
    assert 2.0 < of_alice.unheard_s < 6.0
    assert is_dead(at_bob)
    assert "and took it out of the conference" in told_of(at_bob)
    assert "alice calls again while the conference lasts" in told_of(at_bob)
    assert "not known" not in told_of(at_bob)
    assert "it is not heard, let UDP through from here" in meeting.notices["bob"][-1]
    assert [one.name for one in at_alice.absent] == ["bob"]
    assert is_dead(at_alice)
    assert meeting.notices["alice"][-2:] == [
        SILENT.format("bob"),
        "bob is not in the conference any more: nothing was heard of it any more; it is called again",
    ]
    (of_bob,) = [one for one in at_carol.members if one.peer == "bob"]
    assert of_bob.silent_s > 1.5
    assert all(one.unheard_s < 1.0 for one in at_carol.members)
    assert {one.peer: one.ended for one in at_carol.members} == {"alice": "", "bob": "lost"}
    assert "bob is not in the conference any more: nothing was heard of it any more" in meeting.notices["carol"]
    assert "bob, in the conference for " in told_of(at_carol)
    assert " (nothing was heard of it any more); audio: " in told_of(at_carol)


def test_a_member_whose_program_is_killed_is_told_of_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conferring, "TRY_AGAIN_S", 60.0)
    meeting = Meeting(House(tmp_path / "data"), tmp_path, loss=0.0, refresh_s=60.0, media=SOUND)
    told: list[str] = []

    async def scene() -> ConferenceReport:
        async with AsyncExitStack() as stack:
            for name in ("bob", "carol"):
                await stack.enter_async_context(meeting.reception(name))
            alice = await stack.enter_async_context(meeting.user("alice"))
            stop = asyncio.Event()
            confer = alice.confer(["bob", "carol"], SOUND, stop=stop, say=told.append)
            holding = asyncio.create_task(confer)
            await until(lambda: "alice" in meeting.ends and meeting.has_heard("alice", "bob", "carol"))
            for task in meeting.receptions["bob"]._calls:  # its line closes without a last word
                task.cancel()
            await until(lambda: len(told) == 3)
            stop.set()
            return await holding

    report = asyncio.run(asyncio.wait_for(scene(), 40.0))
    assert told[2] == f"bob is not in the conference any more: {CLOSED}; it is called again"
    assert [one.name for one in report.absent] == ["bob"]
    assert is_dead(report)


def test_members_are_told_who_was_killed_came_again_and_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the caller who knows; the conference of the others is a good one."""
    monkeypatch.setattr(conferring, "TRY_AGAIN_S", 0.5)
    meeting = Meeting(House(tmp_path / "data"), tmp_path, loss=0.0, refresh_s=60.0, media=SOUND)

    async def scene() -> ConferenceReport:
        async with AsyncExitStack() as stack:
            for name in ("bob", "carol"):
                await stack.enter_async_context(meeting.reception(name))
            alice = await stack.enter_async_context(meeting.user("alice"))
            stop, told = asyncio.Event(), meeting.notices["carol"]
            holding = asyncio.create_task(alice.confer(["bob", "carol"], SOUND, stop=stop))
            await until(lambda: len(meeting.ends) == 3 and meeting.has_heard("carol", "alice", "bob"))
            for task in meeting.receptions["bob"]._calls:
                task.cancel()
            await until(lambda: "bob is in the conference again" in told and meeting.has_heard("carol", "bob"))
            meeting.receptions["bob"].leave_conferences()
            await until(lambda: told[-1] == "bob left the conference")
            stop.set()
            report = await holding
            await until(lambda: "carol" in meeting.reports)
            return report

    for report in (asyncio.run(asyncio.wait_for(scene(), 40.0)), meeting.reports["carol"]):
        assert [one.ended for one in report.members if one.peer == "bob"] == ["broke", "left"]
        assert f" ({CLOSED}); audio: " in told_of(report)
        assert " (it left); audio: " in told_of(report)
        assert not is_dead(report)
    assert meeting.notices["carol"] == [
        "bob is in the conference",
        f"bob is not in the conference any more: {CLOSED}",
        "bob is in the conference again",
        "bob left the conference",
    ]


@pytest.mark.usefixtures("hasty")
def test_members_are_told_that_one_who_was_lost_is_there_again_once_it_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conferring, "TRY_AGAIN_S", 0.3)
    monkeypatch.setattr(conferring, "LOST_S", 1.5)
    meeting = Meeting(House(tmp_path / "data"), tmp_path, loss=0.0, refresh_s=60.0, media=SOUND)

    async def scene() -> None:
        holding = asyncio.create_task(meeting.hold("alice", ("bob", "carol"), seconds_s=90.0))
        await until(lambda: len(meeting.ends) == 3 and meeting.has_heard("alice", "bob", "carol"))
        told = meeting.notices["carol"]
        meeting.lines["bob"].loss = 1.0
        await until(lambda: "bob is not in the conference any more: nothing was heard of it any more" in told)
        await asyncio.sleep(2.5)  # it answers each call, and is lost each time
        meeting.lines["bob"].loss = 0.0
        await until(lambda: "bob is in the conference again, and heard" in told)
        for name in ("bob", "carol"):
            meeting.receptions[name].leave_conferences()
        await holding

    asyncio.run(asyncio.wait_for(scene(), 40.0))
    assert [words for words in meeting.notices["carol"] if "datagram" not in words and "bob" in words][:3] == [
        "bob is in the conference",
        "bob is not in the conference any more: nothing was heard of it any more",
        "bob is in the conference again, and heard",
    ]


def test_frames_are_counted_as_sent_to_a_member_only_where_they_were_sent_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no key for the tags can be had nothing is sent to it."""
    take = conference.ConferenceEnd._take_tag_key

    async def without(end: conference.ConferenceEnd, sae: conference.SaeId) -> bytes:
        key_id = await take(end, sae)
        if sae.endswith(":carol") and (member := end._members.get(sae)) is not None:
            member.our_tag_key = None
        return key_id

    monkeypatch.setattr(conference.ConferenceEnd, "_take_tag_key", without)
    meeting = Meeting(House(tmp_path / "data"), tmp_path, loss=0.0, refresh_s=60.0, media=SOUND)
    asyncio.run(meeting.hold("alice", ("bob", "carol"), seconds_s=2.0))
    members = {one.peer: one for one in meeting.reports["alice"].members}
    assert members["bob"].audio.sent > 10
    assert members["bob"].audio.sent <= members["bob"].datagrams_sent
    assert (members["carol"].audio.sent, members["carol"].datagrams_sent) == (0, 0)

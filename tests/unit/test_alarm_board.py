"""Hysteresis of alarms: what flickers is told once, and its end once."""

from __future__ import annotations

import pytest

from qanat.adapters.system import SystemEntropy
from qanat.ground.alarm_board import AlarmBoard
from qanat.ground.alarms import ALARMS, Ends, code_of
from qanat.ground.errors import AuthenticationFailed, BlockUnknown, ChannelTimeout, QberTooHigh
from qanat.ground.events import Event, EventKind
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.tracing import EventRecorder

LINK = LinkId("a-b/1")


class Hand:
    """A clock that is set by hand."""

    now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    def utc_s(self) -> float:
        return self.now_s

    async def sleep_until(self, monotonic_s: float, /) -> None:
        self.now_s = monotonic_s


class Site:
    """A recorder, its clock, and what it told."""

    def __init__(self) -> None:
        self.clock = Hand()
        self.told: list[Event] = []
        self.recorder = EventRecorder(
            node=NodeId("a"), clock=self.clock, entropy=SystemEntropy(), sink=self.told.append
        )

    def at(self, now_s: float) -> EventRecorder:
        self.clock.now_s = now_s
        self.recorder.settle_alarms()
        return self.recorder

    @property
    def words(self) -> list[tuple[str, bool]]:
        return [(str(event.data["code"]), bool(event.data.get("cleared"))) for event in self.told]


def test_an_alarm_has_severity_remedy_and_name_from_the_table() -> None:
    site = Site()
    site.at(0.0).alarm("store-failed", "the disk is full")
    (event,) = site.told
    assert event.kind is EventKind.ALARM
    kind = ALARMS["store-failed"]
    assert (event.data["severity"], event.data["remedy"], event.data["etsi015"]) == ("critical", kind.remedy, "alarm")


def test_an_alarm_that_flickers_is_told_once_and_its_end_once() -> None:
    site = Site()
    for moment in range(10):
        site.at(float(moment)).alarm("reserve-low", "low", about=LINK)
        site.at(moment + 0.5).alarm_over("reserve-low", LINK)
    assert site.words == [("reserve-low", False)]
    site.at(20.0)
    assert site.words == [("reserve-low", False), ("reserve-low", True)]
    over = site.told[-1].data
    assert (over["times"], over["lasted_s"], over["text"]) == (10, 20.0, "over: low")
    site.at(30.0).alarm("reserve-low", "low again", about=LINK)
    assert site.words[-1] == ("reserve-low", False)


def test_the_end_of_an_alarm_has_the_fields_of_its_beginning() -> None:
    site = Site()
    site.at(0.0).alarm("link-failing", "it makes no key", about=LINK, link_id=LINK)
    site.at(1.0).alarm("node-silent", "b is silent", about="b", of_node="b")
    for code, about in (("link-failing", LINK), ("node-silent", "b")):
        site.recorder.alarm_over(code, about)
    site.at(20.0)
    raised, over = ({event.data["code"]: event.data for event in events} for events in (site.told[:2], site.told[2:]))
    for code, own in (("link-failing", "link_id"), ("node-silent", "of_node")):
        assert over[code].keys() - raised[code].keys() == {"cleared", "times", "lasted_s"}
        assert raised[code].keys() <= over[code].keys()
        assert raised[code][own] == over[code][own] == raised[code]["about"] == over[code]["about"]


def test_two_links_are_two_alarms() -> None:
    site = Site()
    site.at(0.0).alarm("reserve-low", "low", about="one")
    site.at(0.0).alarm("reserve-low", "low", about="other")
    site.at(0.0).alarm_over("reserve-low", "one")
    site.at(60.0)
    assert [cleared for _, cleared in site.words] == [False, False, True]


def test_what_passes_by_itself_is_told_at_the_second_time_only() -> None:
    site = Site()
    site.at(0.0).alarm("ChannelTimeout", "silence", about=LINK)
    site.at(1000.0).alarm("ChannelTimeout", "silence", about=LINK)
    assert site.words == []
    site.at(1100.0).alarm("ChannelTimeout", "silence", about=LINK)
    assert site.words == [("ChannelTimeout", False)]


def test_an_alarm_that_was_never_told_has_no_end_to_tell() -> None:
    site = Site()
    site.at(0.0).alarm("ChannelTimeout", "silence", about=LINK)
    site.at(1.0).block_made(LINK)
    site.at(5000.0)
    assert site.words == []


def test_a_block_ends_what_was_wrong_with_its_link_and_nothing_else() -> None:
    site = Site()
    site.at(0.0).alarm("QberTooHigh", "11 %", about=LINK)
    site.at(0.0).alarm("QberTooHigh", "11 %", about="other")
    site.at(0.0).alarm("reserve-low", "low", about=LINK)
    site.at(1.0).block_made(LINK)
    site.at(100.0)
    assert [event.data["about"] for event in site.told if event.data.get("cleared")] == [LINK]


def test_words_that_nobody_says_any_more_end_by_quiet() -> None:
    site = Site()
    site.at(0.0).alarm("odd-word", "x", about="b")
    site.at(59.0)
    assert site.words == [("odd-word", False)]
    site.at(61.0)
    assert site.words == [("odd-word", False), ("odd-word", True)]


def test_what_has_happened_has_no_end_and_is_told_again_when_it_happens_again() -> None:
    assert ALARMS["peer-epoch-went-back"].ends is Ends.NEVER
    site = Site()
    for moment in (0.0, 10.0, 5000.0):
        site.at(moment).alarm("peer-epoch-went-back", "old", about="b")
    site.at(50_000.0)
    assert site.words == [("peer-epoch-went-back", False)] * 2


def test_a_code_without_a_row_is_a_slip() -> None:
    with pytest.raises(KeyError):
        AlarmBoard().raised("no-such-code", "", "x", now_s=0.0)


def test_a_fault_has_the_code_of_the_nearest_class_with_a_row() -> None:
    assert code_of(QberTooHigh("x")) == "QberTooHigh"
    assert code_of(ChannelTimeout("x")) == "ChannelTimeout"
    assert code_of(AuthenticationFailed("x")) == "AuthenticationFailed"
    assert code_of(BlockUnknown("x")) == "QanatError"


def test_an_alarm_about_a_file_is_told_again_when_its_fault_is_another() -> None:
    board = AlarmBoard()
    assert board.raised("limits-kept", "", "no such application", now_s=0.0)
    assert not board.raised("limits-kept", "", "no such application", now_s=5.0)
    assert board.raised("limits-kept", "", "no TOML", now_s=10.0)
    assert board.raised("node-silent", "a", "a does not answer", now_s=10.0)
    assert not board.raised("node-silent", "a", "a does not answer, since 12:00", now_s=11.0), "its words may change"
    board.ended("limits-kept", "")
    assert [one.text for one in board.over(20.0)] == ["no TOML"]

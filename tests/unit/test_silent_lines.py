"""Which lines between sites a controller takes to be silent, by what both ends report, and which it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from qanat.control.lines import SilentLines
from qanat.ground.alarms import ALARMS
from qanat.ground.identifiers import NodeId
from qanat.key_management.wire import Announce, StockReport
from simulation.shared_network import shared_network
from unit.service_fakes import FakeClock

A, B, R = NodeId("aa"), NodeId("bb"), NodeId("r")
NETWORK = shared_network(["aa-r", "r-bb"], {"alice": "aa", "bob": "bb"}, None)
NONE: Mapping[NodeId, tuple[NodeId, ...]] = {}
BREAK = {A: (R,), R: (A,)}


class Told:
    """Hears alarms."""

    def __init__(self) -> None:
        self.alarms: list[tuple[str, str, str]] = []
        self.over: list[str] = []

    def alarm(self, code: str, text: str, remedy: str, *, about: str, **_: object) -> None:
        assert code in ALARMS
        self.alarms.append((about, text, remedy))

    def alarm_over(self, code: str, about: str) -> None:
        assert code in ALARMS
        self.over.append(about)

    @property
    def names(self) -> list[str]:
        return [about for about, *_ in self.alarms]


class Watch:
    """A controller's watch, which looks once a second; sites report each five seconds, one after the other."""

    def __init__(self, *, here: tuple[NodeId, ...] = ()) -> None:
        self.clock, self.told = FakeClock(), Told()
        self.asleep: set[NodeId] = set()
        self.opening: set[NodeId] = set()
        self.silent: set[NodeId] = set()
        self.lines = SilentLines(
            NETWORK,
            self.clock,
            cast(Any, self.told),
            is_awake=lambda node: node not in self.asleep,
            is_opening=lambda node: node in self.opening,
            may_hang=lambda node: node not in here,
        )
        self.second = 0

    def run(
        self, seconds: int, unreached: Mapping[NodeId, tuple[NodeId, ...]] = NONE, *, mute: tuple[NodeId, ...] = ()
    ) -> Told:
        """Let time pass in which all sites but the ``mute`` ones report whom they do not reach."""
        for _ in range(seconds):
            self.clock.now_s += 1.0
            self.second += 1
            for place, node in enumerate(NETWORK.nodes):
                if self.second % 5 == place and node not in mute:
                    self.lines.hear(node, Announce(1, 1, (), unreached.get(node, ())))
            self.lines.look(self.silent)
        return self.told


def test_a_line_that_both_ends_miss_is_told_once_by_name_and_over_when_both_are_content() -> None:
    watch = Watch()
    assert watch.run(30).alarms == []
    ((about, text, remedy),) = watch.run(60, BREAK).alarms
    assert about == "aa - r"
    assert "both say; both answer the controller" in text
    assert "link aa-r makes no key" in text
    assert "look at the network between aa and r" in remedy
    assert watch.lines.links == {"aa-r"}
    assert watch.told.over == []
    assert watch.run(6, {A: (R,)}).over == [], "one end misses it still"
    assert watch.run(6).over == ["aa - r"]
    assert watch.lines.links == frozenset()
    assert watch.told.names == ["aa - r"]


def test_a_certificate_that_has_ended_is_told_as_the_cause_where_its_site_says_so() -> None:
    watch = Watch()
    for _ in range(4):
        watch.run(5, {A: (R,)}, mute=(R,))
        watch.lines.hear(R, Announce(1, 1, (), (), "the certificate of r was revoked"))
    ((_, text, remedy),) = watch.told.alarms
    assert text.startswith("the certificate of r was revoked, so no line stands between aa and r")
    assert "qanat pki renew" in remedy


def test_two_ends_without_a_link_are_told_too_by_the_one_who_misses_the_other() -> None:
    ((about, text, _),) = Watch().run(20, {B: (A,)}).alarms
    assert about == "aa - bb"
    assert "as bb says" in text
    assert "No link joins them" in text


def test_one_report_is_no_alarm_nor_are_two_at_once() -> None:
    watch = Watch()
    watch.run(30)
    watch.run(5, BREAK)
    assert watch.run(30).alarms == []
    for _ in range(2):
        watch.lines.hear(A, Announce(1, 1, (), (R,)))
    assert watch.run(3, mute=(A,)).alarms == []


def test_a_site_that_does_not_speak_is_told_of_as_such_and_not_by_its_lines() -> None:
    watch = Watch()
    watch.run(30)
    missed = {A: (R,), B: (R,)}
    assert watch.run(15, missed, mute=(R,)).alarms == []
    watch.silent.add(R)
    assert watch.run(30, missed, mute=(R,)).alarms == []


def test_what_a_site_says_that_goes_on_begins_the_proof_anew() -> None:
    """Its peers have missed it for long, and do so for a moment more: until they have dialled it."""
    watch = Watch()
    watch.run(30)
    missed = {A: (R,), B: (R,)}
    watch.run(40, missed, mute=(R,))
    watch.lines.hear(R, StockReport(NETWORK.links[0].link_id, 5, 0))
    watch.run(5, missed)
    assert watch.run(30).alarms == []


def test_the_alarm_of_a_line_ends_when_a_site_does_not_answer_at_all() -> None:
    watch = Watch()
    assert watch.run(20, BREAK).names == ["aa - r"]
    watch.silent.add(R)
    assert watch.run(1, BREAK, mute=(R,)).over == ["aa - r"]
    assert watch.run(30, BREAK, mute=(R,)).names == ["aa - r"]


@pytest.mark.parametrize("excuse", ["asleep", "opening"])
def test_nobody_misses_a_site_that_sleeps_or_is_being_opened(excuse: str) -> None:
    watch = Watch()
    getattr(watch, excuse).add(R)
    assert watch.run(30, BREAK).alarms == []
    getattr(watch, excuse).discard(R)
    assert watch.run(30, BREAK).names == ["aa - r"]
    getattr(watch, excuse).add(R)
    assert watch.run(1).over == ["aa - r"]


def test_two_sites_of_this_very_process_have_no_network_between_them() -> None:
    assert Watch(here=(A, R)).run(30, BREAK).alarms == []
    assert Watch(here=(A,)).run(30, BREAK).names == ["aa - r"]


def test_a_name_that_is_none_of_the_network_is_passed_over() -> None:
    assert Watch().run(30, {A: (NodeId("nobody"), A)}).alarms == []


def test_a_controller_that_stood_still_waits_for_two_more_reports_and_ends_nothing_for_that() -> None:
    watch = Watch()
    watch.run(5, BREAK)
    watch.clock.now_s += 60.0
    watch.lines.look(())
    for node in (R, A):  # of the inbox
        watch.lines.hear(node, Announce(1, 1, (), BREAK[node]))
    assert watch.run(3, BREAK).alarms == []
    assert watch.run(20, BREAK).names == ["aa - r"]
    watch.clock.now_s += 60.0
    watch.lines.look(())
    assert watch.run(20, BREAK).over == []


def test_two_reports_at_once_of_which_one_lay_in_the_inbox_of_a_controller_that_stood_still_prove_nothing() -> None:
    watch = Watch()
    watch.run(30)
    watch.lines.hear(R, Announce(1, 1, ()))
    watch.lines.hear(A, Announce(1, 1, (), (R,)))
    watch.clock.now_s += 6.0
    watch.lines.hear(R, Announce(1, 1, ()))
    watch.lines.hear(A, Announce(1, 1, (), (R,)))
    watch.lines.look(())
    assert watch.told.alarms == []


def test_who_begins_to_rule_knows_of_it_by_what_it_has_heard_and_who_stands_down_ends_it() -> None:
    watch = Watch()
    watch.run(20, BREAK)
    watch.lines.hand_over()
    assert watch.told.over == ["aa - r"]
    assert watch.run(1, BREAK).names == ["aa - r"] * 2

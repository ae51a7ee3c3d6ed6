"""Whom a controller takes to be silent: who cannot be reached, and who says nothing though a line stands."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from qanat.control.settings import ControllerSettings
from qanat.control.silence import Silence
from qanat.ground.identifiers import NodeId
from qanat.ground.messages import Message
from simulation.shared_network import shared_network
from unit.service_fakes import FakeClock

A, B, R = NodeId("aa"), NodeId("bb"), NodeId("r")
NETWORK = shared_network(["aa-r", "r-bb"], {"alice": "aa", "bob": "bb"}, None)
SETTINGS = ControllerSettings()


class Lines:
    """A transport of which it is said to whom lines stand."""

    local = NodeId("controller")

    def __init__(self) -> None:
        self.up = {A, B, R}

    async def send(self, peer: NodeId, message: Message, /) -> None:
        raise NotImplementedError

    def inbox(self) -> AsyncIterator[tuple[NodeId, Message]]:
        raise NotImplementedError

    def is_reachable(self, peer: NodeId, /) -> bool:
        return peer in self.up

    def is_coming(self, peer: NodeId, /) -> bool:
        return False


class Watch:
    """A controller's watch, which looks once a second."""

    def __init__(self, *, asleep: frozenset[NodeId] = frozenset(), here: frozenset[NodeId] = frozenset()) -> None:
        self.clock, self.lines = FakeClock(), Lines()
        self.opening: set[NodeId] = set()
        self.silence = Silence(
            NETWORK,
            self.lines,
            self.clock,
            SETTINGS,
            is_awake=lambda node: node not in asleep,
            is_opening=lambda node: node in self.opening,
            may_hang=lambda node: node not in here,
        )

    def run(self, seconds: float, *, heard: frozenset[NodeId] | set[NodeId] = frozenset()) -> list[NodeId]:
        """Let time pass in which these nodes announce themselves each five seconds; return who is silent."""
        for second in range(int(seconds)):
            self.clock.now_s += 1.0
            for node in heard if second % 5 == 0 else ():
                self.silence.hear(node)
            self.silence.look()
        return sorted(self.silence.nodes)


def test_who_says_nothing_any_more_is_silent_though_its_line_stands_and_is_there_again_once_it_speaks() -> None:
    watch = Watch()
    assert watch.run(20, heard={A, B, R}) == []
    assert watch.run(SETTINGS.mute_after_s - 5, heard={A, B}) == []
    assert watch.run(7, heard={A, B}) == [R]
    assert watch.silence.on(((A, R, B),)) == R
    assert watch.run(1, heard={A, B, R}) == []


def test_who_never_spoke_or_sleeps_or_lives_in_this_very_process_is_not_mute() -> None:
    watch = Watch(asleep=frozenset({A}), here=frozenset({B}))
    assert watch.run(20, heard={A, B}) == []
    assert watch.run(60) == []


def test_who_was_away_and_is_back_has_its_time_to_speak() -> None:
    watch = Watch()
    watch.run(10, heard={A, B, R})
    watch.lines.up.discard(R)
    assert watch.run(20, heard={A, B}) == [R]
    watch.lines.up.add(R)
    assert watch.run(1, heard={A, B}) == []


@pytest.mark.parametrize("stood_s", [10.0, 3600.0])
def test_a_controller_that_stood_still_takes_nobody_to_be_mute_for_that(stood_s: float) -> None:
    watch = Watch()
    watch.run(10, heard={A, B, R})
    watch.clock.now_s += stood_s
    assert watch.run(5, heard={A, B, R}) == []


def test_who_waits_for_being_opened_is_not_silent_however_long_that_takes_and_is_if_it_could_not_be() -> None:
    watch = Watch(here=frozenset({R}))
    watch.lines.up.discard(R)
    watch.opening.add(R)
    assert watch.run(60, heard={A, B}) == []
    watch.opening.discard(R)
    assert watch.run(SETTINGS.silent_after_s, heard={A, B}) == []
    assert watch.run(2, heard={A, B}) == [R]

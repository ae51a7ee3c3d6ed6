"""An action that follows its causes soon, and of many at once together."""

from __future__ import annotations

from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

import pytest

from qanat.control.pacing import ACTING_SHARE, MOST_PAUSE_S, PAUSE_S, Pace
from qanat.ground.errors import QuantumLayerError
from qanat.ground.identifiers import Topic
from qanat.ground.randomness import SeededChance
from qanat.simulation.dice import Dice
from qanat.simulation.scheduler import Life, Scheduler, effect


class Desk:
    """A pace on a virtual clock, whose action takes some time."""

    def __init__(self, *, takes_s: float = 0.0) -> None:
        self.scheduler = Scheduler(Dice(SeededChance(1)), on_death=lambda _task, fault: self.died.append(fault))
        self.died: list[Exception] = []
        self.life = Life("desk")
        self.acted: list[float] = []
        self.takes_s = takes_s
        self.fails_once = False
        self.pace = Pace(self.act, clock=self, tasks=self, name="acts")

    def utc_s(self) -> float:
        return self.scheduler.now_s

    def monotonic_s(self) -> float:
        return self.scheduler.now_s

    async def sleep_until(self, monotonic_s: float, /) -> None:
        await effect(lambda task: self.scheduler.resume_after(max(0.0, monotonic_s - self.scheduler.now_s), task))

    def start(self, work: Coroutine[Any, Any, None], /, *, name: str) -> None:
        self.scheduler.spawn(work, self.life, name=name)

    async def together(self, *works: Coroutine[Any, Any, Any]) -> list[Any]:
        return [await work for work in works]

    async def wait(self, topic: Topic, /, *, until_monotonic_s: float) -> bool:
        raise NotImplementedError

    def notify(self, topic: Topic, /) -> None:
        raise NotImplementedError

    async def act(self) -> None:
        self.acted.append(self.scheduler.now_s)
        await self.sleep_until(self.scheduler.now_s + self.takes_s)
        if self.fails_once:
            self.fails_once = False
            raise QuantumLayerError("the first action fails")

    def causes(self, *at_s: float) -> list[float]:
        for when_s in at_s:
            self.scheduler.call_after(when_s, lambda: self.start(self.pace.soon(), name="cause"))
        self.scheduler.run_until(10.0)
        return self.acted


def test_a_cause_that_comes_by_itself_is_acted_on_at_once() -> None:
    assert Desk().causes(1.0, 2.0, 3.0) == [1.0, 2.0, 3.0]


def test_a_thousand_causes_at_once_are_acted_on_twice_and_the_last_one_too() -> None:
    assert Desk().causes(*[1.0] * 1000) == [1.0, 1.0 + PAUSE_S]


def test_after_each_action_there_is_a_pause_however_long_it_takes() -> None:
    acted = Desk(takes_s=0.5).causes(*[1.0 + 0.1 * number for number in range(10)])
    assert all(later - sooner >= 0.5 for sooner, later in pairwise(acted))
    assert acted[-1] >= 1.9, "no cause is without an action after it"


def test_actions_take_their_share_of_the_time_at_most() -> None:
    takes_s = 0.02
    acted = Desk(takes_s=takes_s).causes(*[1.0 + 0.001 * number for number in range(4000)])
    assert (len(acted) - 1) * takes_s == pytest.approx(ACTING_SHARE * (acted[-1] - acted[0]))


def test_a_cause_during_an_action_is_acted_on_after_it() -> None:
    assert Desk(takes_s=0.5).causes(1.0, 1.2, 1.3) == [1.0, 1.5 + MOST_PAUSE_S]


def test_a_cause_during_an_action_that_fails_is_acted_on_too() -> None:
    desk = Desk(takes_s=0.5)
    desk.fails_once = True
    assert desk.causes(1.0, 1.2, 3.0) == [1.0, 1.5 + MOST_PAUSE_S, 3.0]
    assert len(desk.died) == 1

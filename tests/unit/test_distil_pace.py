"""How many blocks are made side by side: as many as the line's delay asks for, and the delay is the least measured."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from qanat.apps.distil.in_flight import AT_WORK, ROUND_TRIPS, Pace, Progress
from qanat.apps.distil.run import NUM_ECHOES, _round_trip_s

AT_START = Progress(monotonic_s=0.0, waited_s=0.0, begun=1)
SMALL_BITS = 2**14


def pace_of(round_trip_s: float) -> Pace:
    return Pace(key_bits=SMALL_BITS, round_trip_s=round_trip_s, most=256, fixed=None)


class SlowAnswers:
    """A clock and a talk: each answer takes what is written down."""

    def __init__(self, *taken_s: float) -> None:
        self._taken_s = list(taken_s)
        self._now_s = 0.0

    def monotonic_s(self) -> float:
        return self._now_s

    async def say(self, *_: object) -> None: ...

    async def hear(self, *_: object) -> None:
        self._now_s += self._taken_s.pop(0)


@pytest.mark.parametrize("quick", range(NUM_ECHOES))
def test_one_answer_of_a_free_machine_is_enough_to_know_the_line(quick: int) -> None:
    taken_s = [0.008] * NUM_ECHOES
    taken_s[quick] = 0.0002
    answers: Any = SlowAnswers(*taken_s)
    setup: Any = SimpleNamespace(clock=answers)
    assert asyncio.run(_round_trip_s(setup, answers)) == pytest.approx(0.0002)


def test_on_loopback_few_small_blocks_are_in_flight() -> None:
    assert pace_of(0.0002).wanted(AT_START) <= AT_WORK + 4


def test_a_delay_that_was_measured_too_long_is_put_right_by_later_answers() -> None:
    pace = pace_of(0.008)
    assert pace.wanted(AT_START) > 100
    for taken_s in (0.020, 0.0003, 0.005):
        pace.note_answer(taken_s)
    assert pace.wanted(AT_START) <= AT_WORK + 6


def test_a_long_line_is_filled() -> None:
    """Never fewer than rate x round trip x round trips of a block."""
    pace = pace_of(0.020)
    pace.note_answer(0.021)
    assert pace.wanted(AT_START) == 256
    pace.note_end(AT_START, round_trips=ROUND_TRIPS)
    busy = Progress(monotonic_s=20.0, waited_s=10.0, begun=101)
    assert pace.wanted(busy) == AT_WORK + 34  # 100 blocks in 10 s of work, 3.4 s under way

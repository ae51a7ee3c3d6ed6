"""Whose turn it is to shake hands: two at a time, and nobody waits long for one that takes its time."""

from __future__ import annotations

import asyncio

import pytest

from qanat.adapters import handshakes
from qanat.adapters.handshakes import Turns


def test_so_many_at_a_time_have_a_turn_and_all_have_one_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakes, "TURN_S", 60.0)
    under_way: list[int] = []
    most: list[int] = []

    async def one(turns: Turns, number: int) -> None:
        async with turns.turn():
            under_way.append(number)
            most.append(len(under_way))
            await asyncio.sleep(0.001)
            under_way.remove(number)

    async def work() -> None:
        turns = Turns(at_once=3)
        await asyncio.gather(*(one(turns, number) for number in range(20)))

    asyncio.run(work())
    assert len(most) == 20
    assert max(most) == 3


def test_a_turn_gives_way_to_others_for_as_long_as_they_need_it_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakes, "LOOK_AGAIN_S", 0.0)

    async def work() -> None:
        looks: list[bool] = []

        def gives_way() -> bool:
            looks.append(len(looks) < 5)
            return looks[-1]

        turns = Turns(at_once=1, gives_way=gives_way)
        async with turns.turn():
            assert looks == [True] * 5 + [False]
        assert turns._free._value == 1
        monkeypatch.setattr(handshakes, "GIVE_WAY_S", 0.0)
        async with Turns(at_once=1, gives_way=lambda: True).turn():
            pass
        monkeypatch.setattr(handshakes, "GIVE_WAY_S", 60.0)
        for_ever = Turns(at_once=1, gives_way=lambda: True)
        waiting = asyncio.ensure_future(for_ever.turn().__aenter__())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert for_ever._free._value == 1, "who gives up waiting gives its turn back"

    asyncio.run(work())


def test_who_takes_long_or_fails_keeps_nobody_waiting_and_its_turn_is_given_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handshakes, "TURN_S", 0.01)

    async def work() -> None:
        turns, never, had = Turns(at_once=1), asyncio.Event(), asyncio.Event()

        async def slow() -> None:
            async with turns.turn():
                had.set()
                await never.wait()

        async def failing() -> None:
            async with turns.turn():
                raise OSError("refused")

        waiting = asyncio.create_task(slow())
        await had.wait()
        for _ in range(3):
            with pytest.raises(OSError, match="refused"):
                await asyncio.wait_for(failing(), 10)
        never.set()
        await waiting
        assert turns._free._value == 1, "no turn more than there were"

    asyncio.run(work())

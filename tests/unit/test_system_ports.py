"""The machine's clock, entropy and chance keep the promises of their ports."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from qanat.adapters.system import IdsAhead, SystemClock, SystemEntropy, system_chance
from qanat.ground.ports import Chance, Clock, Entropy


def test_sleep_until_never_returns_early() -> None:
    clock: Clock = SystemClock()

    async def sleep_some() -> None:
        for step in range(20):
            until = clock.monotonic_s() + 0.0007 * step
            await clock.sleep_until(until)
            assert clock.monotonic_s() >= until

    asyncio.run(sleep_some())


def test_sleep_until_a_moment_that_has_passed_returns() -> None:
    clock = SystemClock()
    asyncio.run(clock.sleep_until(clock.monotonic_s() - 100.0))
    assert clock.utc_s() > 1.5e9


def test_entropy_gives_what_was_asked_and_never_the_same() -> None:
    entropy: Entropy = SystemEntropy()
    drawn = {entropy.public_bytes(16) for _ in range(50)} | {entropy.secret_bytes(16).take() for _ in range(50)}
    assert len(drawn) == 100
    assert {len(one) for one in drawn} == {16}


def test_ids_drawn_ahead_are_never_given_twice_to_any_thread() -> None:
    entropy: Entropy = IdsAhead(SystemEntropy())
    with ThreadPoolExecutor(4) as threads:
        drawn = list(threads.map(lambda _: entropy.public_bytes(16), range(20_000)))
    assert len(set(drawn)) == 20_000
    assert {len(one) for one in drawn} == {16}
    assert len(entropy.public_bytes(5)) == 5
    assert len(entropy.secret_bytes(16).take()) == 16


def test_two_chances_of_the_system_differ_and_their_children_repeat() -> None:
    one: Chance = system_chance()
    assert one.seed_words() != system_chance().seed_words()
    assert one.child("link", 1).seed_words() == one.child("link", 1).seed_words()


def test_entropy_is_no_chance() -> None:
    with pytest.raises(AttributeError):
        SystemEntropy().seed_words()  # type: ignore[attr-defined]

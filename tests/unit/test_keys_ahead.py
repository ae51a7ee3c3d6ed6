"""Keys that a sender asks for together: as many as it will use, within the key manager's limit, and none kept."""

from __future__ import annotations

import asyncio

import pytest

from qanat.ground.identifiers import SaeId
from qanat.services.ciphers import Refresh, SenderKeys, StreamContext, StreamSealer, Suite
from unit.service_fakes import ALICE, BOB, FakeClock, FakeSupply, KeyStock


class Rig:
    """A sealer of AES-256 that takes a fresh key for every 1,000 bytes."""

    def __init__(self, refresh: Refresh, *, at_once: int, recipient: SaeId = BOB) -> None:
        self.supply = FakeSupply(KeyStock(), ALICE)
        self.supply.max_keys_per_request = at_once
        context = StreamContext(ALICE, recipient, "stream", Suite.AES_256_GCM, 60.0)
        keys = SenderKeys(self.supply, recipient, suite=context.suite, clock=FakeClock(), refresh=refresh)
        self.sealer = StreamSealer(context, keys)

    async def send(self, num_records: int, *, expected_bytes: int) -> None:
        await self.sealer.prepare(content_bytes=expected_bytes)
        for _ in range(num_records):
            await self.sealer.seal(bytes(1000))
        self.sealer.forget()


@pytest.mark.parametrize(
    ("at_once", "asked"), [(128, [7]), (3, [3, 3, 1]), (1, [1] * 7)], ids=["all", "three at a time", "one at a time"]
)
def test_keys_for_a_file_are_asked_together_within_the_key_managers_limit(at_once: int, asked: list[int]) -> None:
    rig = Rig(Refresh(every_bytes=1000), at_once=at_once)
    asyncio.run(rig.send(7, expected_bytes=7000))
    assert rig.supply.requests == asked
    assert rig.sealer.num_keys == len(set(rig.supply.stock.given)) == 7


def test_who_seals_more_than_it_said_goes_on_one_by_one() -> None:
    rig = Rig(Refresh(every_bytes=1000), at_once=128)
    asyncio.run(rig.send(5, expected_bytes=2500))
    assert rig.supply.requests == [3, 1, 1]


def test_keys_that_last_by_time_are_asked_one_by_one() -> None:
    rig = Rig(Refresh(), at_once=128)
    asyncio.run(rig.send(7, expected_bytes=7000))
    assert rig.supply.requests == [1]


def test_keys_that_were_asked_for_in_vain_are_wiped() -> None:
    rig = Rig(Refresh(every_bytes=1000), at_once=128)
    asyncio.run(rig.send(2, expected_bytes=9000))
    assert (rig.supply.requests, rig.sealer.num_keys) == ([9], 2)
    assert len(rig.supply.handed_out) == 9
    assert all("gone" in repr(key.secret) for key in rig.supply.handed_out)

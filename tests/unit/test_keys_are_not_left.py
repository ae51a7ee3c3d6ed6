"""Keys that were taken and are not used after all are destroyed, whatever came between."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from qanat.ground.errors import KeyManagementError, StoreFailed
from qanat.ground.identifiers import SaeId
from qanat.ground.keys import SecretKey
from qanat.services.ciphers import PadSealer, RecipientKeys, Suite
from qanat.services.ciphers.layout import key_id_bytes
from unit.service_fakes import ALICE, BOB, FakeClock, FakeSupply, KeyStock
from unit.test_service_ciphers import CONTEXT, PAD, StockedSupply


class FailingSupply(StockedSupply):
    """A supply whose second call fails; ``None`` is a call that never ends."""

    def __init__(self, fault: Exception | None) -> None:
        super().__init__(KeyStock(), ALICE, stocked_bits=2**24)
        self.fault = fault
        self.second = asyncio.Event()

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
        if not self.handed_out:
            return await super().get_keys(peer, count=min(count, 2), size_bits=size_bits)
        self.second.set()
        if self.fault is not None:
            raise self.fault
        await asyncio.Event().wait()
        return []

    async def get_status(self, peer: SaeId, /):  # type: ignore[no-untyped-def]
        return replace(await super().get_status(peer), max_keys_per_request=2)


def is_wiped(key: SecretKey) -> bool:
    with pytest.raises(ValueError, match="taken or wiped"):
        key.secret.reveal()
    return True


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_pad_that_was_taken_in_part_is_destroyed_whatever_ends_the_taking(is_cancelled: bool) -> None:
    async def work() -> None:
        supply = FailingSupply(None if is_cancelled else StoreFailed("the disk"))
        sealer = PadSealer(PAD, supply, clock=FakeClock())
        gathering = asyncio.create_task(sealer.gather(content_bytes=1000, num_records=1))
        await supply.second.wait()
        if is_cancelled:
            gathering.cancel()
        with pytest.raises(asyncio.CancelledError if is_cancelled else StoreFailed):
            await gathering
        assert sealer.is_over
        assert len(supply.handed_out) == 2
        assert all(map(is_wiped, supply.handed_out))

    asyncio.run(work())


def test_a_key_of_the_wrong_size_is_wiped() -> None:
    async def work() -> None:
        stock = KeyStock()
        (key,) = await FakeSupply(stock, ALICE).get_keys(BOB, count=1, size_bits=128)
        supply = FakeSupply(stock, BOB)
        context = replace(CONTEXT, suite=Suite.AES_256_GCM)
        with pytest.raises(KeyManagementError, match="has 128 bits"):
            await RecipientKeys(supply, context, clock=FakeClock()).cipher_of(key_id_bytes(key.key_id))
        assert is_wiped(supply.handed_out[0])

    asyncio.run(work())

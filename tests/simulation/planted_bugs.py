"""Key managers and stores with a bug each, to see that the witness of the simulated world notices."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from qanat.ground.errors import KeyManagementError, KeyShortage
from qanat.ground.events import EventKind
from qanat.ground.identifiers import KeyID, RequestId, SaeId
from qanat.ground.key_ids import KeyIds
from qanat.ground.keys import KeyBlock, PoolId, SecretBytes, SecretKey, Selection, SpentBits, Use
from qanat.ground.requirements import Repeatable
from qanat.key_management.doubts import Doubts
from qanat.key_management.hops import RelayHops
from qanat.key_management.intake import Intake
from qanat.key_management.manager import GivenKeys, KeyManager
from qanat.key_management.relay import RelayOrigin
from qanat.key_management.sealing import MESSAGE_KEY_BYTES, batch_check, key_batch
from qanat.key_management.wire import Relay, RelayDelivered
from qanat.simulation.memory_disk import Disk
from qanat.simulation.memory_store import MemoryKeyStore


class ForgetsSpends(MemoryKeyStore):
    """Has not really written its spends from the pools for sale: a crash brings those bits back."""

    def reopened(self) -> MemoryKeyStore:
        for block in self._disk.blocks.values():
            for pool, share in block.shares.items():
                if not pool.is_reserve:
                    share.spent = []
        return super().reopened()


class LosesBlocks(MemoryKeyStore):
    """Has not really written its last block: a crash loses it, although the peer was told that it is safe."""

    def reopened(self) -> MemoryKeyStore:
        last = next(reversed(self._disk.blocks.values()))
        if len(last.shares) > 1:  # not the initial key
            self._disk.blocks.popitem()
        return super().reopened()


class RepeatsSpends(MemoryKeyStore):
    """Takes a second spend of one request for a repetition of the first, and answers with the same bits."""

    def __init__(self, disk: Disk | None = None) -> None:
        super().__init__(disk)
        self._repeats: dict[Any, SpentBits] = {}

    async def spend(self, pool: PoolId, /, *, num_bits: int, use: Use, request_id: RequestId) -> SpentBits:
        key = (pool, num_bits, request_id)
        first = self._repeats.get(key) or await super().spend(pool, num_bits=num_bits, use=use, request_id=request_id)
        self._repeats[key] = SpentBits(first.pool, first.bits, SecretBytes(first.secret.reveal()))
        return first


class SellsTheReserve(MemoryKeyStore):
    """Pays from the authentication reserve when the pool is empty."""

    async def spend(self, pool: PoolId, /, *, num_bits: int, use: Use, request_id: RequestId) -> SpentBits:
        try:
            return await super().spend(pool, num_bits=num_bits, use=use, request_id=request_id)
        except KeyShortage:
            reserve = PoolId(pool.link_id, None)
            return await super().spend(reserve, num_bits=num_bits, use=use, request_id=request_id)


class AcknowledgesTooEarly(KeyManager):
    """Says that keys have arrived before they are durable."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self._conversation._hops = _EagerHops(self._context, self._vouching)


class _EagerHops(RelayHops):
    async def _keep(self, words: Sequence[Relay], shares: Sequence[SecretBytes]) -> str:
        check = batch_check(words, shares, key_batch(words, shares).secret)
        await self._context.courier.send(words[0].route[0], RelayDelivered(words[0].relay_id, check))
        return await super()._keep(words, shares)


class GivesTwice(KeyManager):
    """Answers a request with the keys of the one before when it is of the same kind."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self._last: dict[Any, GivenKeys] = {}

    async def get_keys(self, **wish: Any) -> GivenKeys:
        kind = (wish["master"], wish["slave"], wish["count"], wish["size_bits"])
        given = self._last.pop(kind, None) or await super().get_keys(**wish)
        self._last[kind] = given
        return given


class TellsKeys(KeyManager):
    """Writes a key into the log."""

    async def get_keys(self, **wish: Any) -> GivenKeys:
        given = await super().get_keys(**wish)
        spelled = given.keys[0].secret.reveal().hex()
        self._context.recorder.record(EventKind.ALARM, code="debug", text=f"gave {spelled}")
        return given


class ClaimsDevices(KeyManager):
    """Labels every key as made by devices."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self._context.routes.origin = lambda links: "device"  # type: ignore[method-assign]
        self._context.links.origin = lambda link_id: "device"  # type: ignore[method-assign]


def split_with_overlap(spent: SpentBits) -> tuple[bytes, bytes]:
    """The pad begins with the very bits of the message key."""
    bits = spent.secret.take()
    return bits[:MESSAGE_KEY_BYTES], bits[: len(bits) - MESSAGE_KEY_BYTES]


def split_with_constant_key(spent: SpentBits) -> tuple[bytes, bytes]:
    """Every tag is made under one key, known to all."""
    return bytes(MESSAGE_KEY_BYTES), spent.secret.take()[MESSAGE_KEY_BYTES:]


def protect_the_body_alone(word: Relay) -> bytes:
    """The tag leaves all fields open to alteration."""
    return b""


class KeepsTheUnconfirmed(MemoryKeyStore):
    """Leaves at a start what was in doubt when the last process ended."""

    async def void(self, selection: Selection, /) -> int:
        return 0 if selection.unconfirmed else await super().void(selection)


class VoidsTooMuch(MemoryKeyStore):
    """Voids at a start a block that counts along with those in doubt."""

    async def void(self, selection: Selection, /) -> int:
        if selection.unconfirmed:
            counted = [block_id for block_id, block in self._disk.blocks.items() if block.confirmed]
            selection = replace(selection, block_ids=frozenset(counted[-1:]))
        return await super().void(selection)


class GivesToAnyone(MemoryKeyStore):
    """Does not look at who asks for a key by its id."""

    async def supply_by_id(
        self,
        key_ids: Sequence[KeyID],
        /,
        *,
        sae: SaeId,
        master: SaeId | None = None,
        repeat: Repeatable | None = None,
    ) -> Sequence[SecretKey]:
        for key_id in key_ids:
            if key_id in self._disk.keys:
                self._disk.keys[key_id].entitled.add(sae)
        return await super().supply_by_id(key_ids, sae=sae, master=master, repeat=repeat)


class ForgetsNonces(MemoryKeyStore):
    """Takes a repeated call for a new one."""

    async def repeated(self, call: Repeatable, /) -> Sequence[SecretKey] | None:
        self._disk.answers.pop((call.sae, call.nonce), None)
        return None


def content_with_one_site(self: RelayOrigin, batches: Any) -> Any:
    """In place of RelayOrigin._undecided: one site that holds a batch stands for all."""
    waiting = [batch for batch in batches if self._carried[batch.relay_id].verdict is None]
    return waiting if len(waiting) == len(batches) else []


async def forget_doubt(self: Doubts, doubt: Any) -> None:
    """In place of Doubts._destroy: a batch in doubt stays where it is."""
    self._open.pop(doubt.relay_id, None)


async def void_here_alone(self: Doubts, doubt: Any) -> None:
    """In place of Doubts._destroy: the far end is not told."""
    if await self._void_here(KeyIds(doubt.ids_from, doubt.num_keys)):
        self._open.pop(doubt.relay_id, None)


async def keep_after_void(self: RelayHops, words: Sequence[Relay], shares: Sequence[SecretBytes]) -> str:
    """In place of RelayHops._keep: takes a batch in although its origin has given it up."""
    keys = key_batch(words, shares)
    await self._context.store.put_batch(keys, entitled=frozenset({words[0].slave}), confirmed=True)
    return batch_check(words, shares, keys.secret)


def never_differs(self: RelayOrigin, batch: Any) -> bool:
    """In place of RelayOrigin._differs: the ends do not compare what they hold."""
    return False


_hand_on = RelayHops._hand_on
_make_durable = Intake._make_durable


async def hand_on_and_keep(self: RelayHops, word: Relay, keys: SecretBytes) -> Any:
    """In place of RelayHops._hand_on: a relay node keeps what passes."""
    with contextlib.suppress(KeyManagementError):
        await keep_after_void(self, [word], [keys])
    return await _hand_on(self, word, keys)


async def confirm_alone(self: Intake, block: KeyBlock) -> str:
    """In place of Intake._make_durable: a block counts at once, whatever the peer has."""
    why = await _make_durable(self, block)
    if not why:
        await self._context.store.confirm(block.block_id)
    return why

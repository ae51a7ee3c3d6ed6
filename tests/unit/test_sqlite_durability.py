"""kill -9 in the middle of work: what was acknowledged is there, and nothing that was spent comes back."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.ground.errors import KeyNotFound, PadReused
from qanat.ground.identifiers import BlockId, KeyID, LinkId, NodeId, SaeId
from qanat.ground.keys import BitRange, BlockSlice, PoolId, SecretBytes, Use

WORKER = """
import asyncio, json, os, sys, uuid
from pathlib import Path
from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.ground.identifiers import BlockId, KeyID, LinkId, NodeId, OrderId, RequestId, SaeId, SaePair
from qanat.ground.keys import KeyBlock, PoolId, SecretBytes, SecretKey, Use

BOB = SaeId("bob")


def say(*what):
    os.write(1, json.dumps(what).encode() + b"\\n")


async def keys(store):
    while True:
        secret = os.urandom(32)
        key_id = KeyID(str(uuid.uuid4()))
        key = SecretKey(key_id, SaePair(SaeId("alice"), BOB), SecretBytes(secret), (), "twin", 0.0, 0)
        await store.put([key], entitled=frozenset({BOB}), confirmed=True)
        say("put", key_id, secret.hex())
        if secret[0] < 128:
            say("asking", key_id)
            await store.supply_by_id([key_id], sae=BOB)
            say("supplied", key_id)


async def bits(store):
    link, near, far = LinkId("link"), NodeId("near"), NodeId("far")
    while True:
        data = os.urandom(20_000)
        block_id = BlockId(str(uuid.uuid4()))
        block = KeyBlock(block_id, OrderId("o"), link, near, far, "twin", "p", 160_000, SecretBytes(data), 0, 0, 0)
        await store.add_block(block)
        say("added", block_id)
        await store.confirm(block_id)
        for _ in range(20):
            spent = await store.spend(PoolId(link, near), num_bits=2400, use=Use.RELAY, request_id=RequestId("r"))
            say("spent", spent.bits.to_json())


async def main():
    store = await SqliteKeyStore.open(Path(sys.argv[1]), master_key=SecretBytes(bytes(32)), writer=StoreWriter())
    say("epoch", await store.open_epoch())
    await asyncio.gather(*(keys(store) for _ in range(6)), *(bits(store) for _ in range(3)))


asyncio.run(main())
"""

POOL = PoolId(LinkId("link"), NodeId("near"))


class Witness:
    """What the worker acknowledged, over all its lives."""

    def __init__(self) -> None:
        self.epochs: list[int] = []
        self.put: dict[str, str] = {}
        self.asked: set[str] = set()
        self.supplied: set[str] = set()
        self.added: set[str] = set()
        self.slices: list[BlockSlice] = []

    def hear(self, words: list[Any]) -> None:
        match words:
            case ["epoch", int(epoch)]:
                self.epochs.append(epoch)
            case ["put", str(key_id), str(secret)]:
                self.put[key_id] = secret
            case ["asking", str(key_id)]:
                self.asked.add(key_id)
            case ["supplied", str(key_id)]:
                self.supplied.add(key_id)
            case ["added", str(block_id)]:
                self.added.add(block_id)
            case ["spent", rows]:
                self.slices.extend(BitRange.from_json(rows).slices)
            case _:
                raise AssertionError(words)


def live_and_die(path: Path, num_words: int) -> Iterator[list[Any]]:
    """Run the worker, yield what it says, and kill it (SIGKILL) once it has said ``num_words`` things."""
    with subprocess.Popen([sys.executable, "-c", WORKER, str(path)], stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        for count, line in enumerate(worker.stdout, start=1):
            if line.endswith(b"\n"):  # the last one may be cut
                yield json.loads(line)
            if count == num_words:
                worker.kill()
    assert worker.returncode == -9


async def examine(path: Path, witness: Witness) -> None:
    writer = StoreWriter()
    store = await SqliteKeyStore.open(path, master_key=SecretBytes(bytes(32)), writer=writer)
    for block_id in witness.added:
        await store.confirm(BlockId(block_id))
    for piece in witness.slices:
        with pytest.raises(PadReused):
            await store.spend_range(POOL, BitRange((piece,)), use=Use.RELAY)
    for key_id in witness.supplied:
        with pytest.raises(KeyNotFound):
            await store.supply_by_id([KeyID(key_id)], sae=SaeId("bob"))
    for key_id in set(witness.put) - witness.asked:
        (key,) = await store.supply_by_id([KeyID(key_id)], sae=SaeId("bob"))
        assert key.take().hex() == witness.put[key_id]
        witness.asked.add(key_id)
        witness.supplied.add(key_id)
    for level in (await store.levels()).values():
        spent_bits = sum(level.spent_bits.values())
        assert level.received_bits == level.unconfirmed_bits + level.available_bits + spent_bits + level.voided_bits
    await writer.close()


@pytest.mark.slow
def test_five_kills_lose_nothing_and_bring_nothing_back(tmp_path: Path) -> None:
    dice, witness, path = random.Random(9), Witness(), tmp_path / "keys.sqlite"
    for _ in range(5):
        for words in live_and_die(path, dice.randrange(50, 3000)):
            witness.hear(words)
        asyncio.run(examine(path, witness))
    assert witness.epochs == [1, 2, 3, 4, 5]
    assert len(witness.supplied) > 100
    pieces = sorted(witness.slices)
    assert len(pieces) > 100
    for one, other in itertools.pairwise(pieces):
        assert one.block_id != other.block_id or one.stop_bit <= other.start_bit, "bits were spent twice"

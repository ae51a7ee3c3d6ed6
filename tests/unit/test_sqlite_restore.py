"""Real files: a key store is put back from an older copy under two real key managers, and nothing is used twice."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import pytest

from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.ground.errors import KeyNotFound
from qanat.ground.events import Event, EventKind
from qanat.ground.identifiers import CONTROLLER, Epoch, LinkId, MessageId, NodeId
from qanat.ground.keys import KeyBlock, PoolId, SecretBytes, SecretKey
from qanat.ground.messages import Message
from qanat.ground.network import Application, Link, Network, Site
from qanat.ground.stock import NamedEpoch
from qanat.ground.tracing import EventRecorder
from qanat.key_management.codec import encode_word
from qanat.key_management.manager import KeyManager
from qanat.key_management.settings import KeyManagerSettings
from qanat.key_management.wire import RoutesPushed
from store_support import new_block

T = TypeVar("T")

NEAR, FAR = NodeId("suzhou"), NodeId("kunshan")
LINK = LinkId("suzhou-kunshan")
NETWORK = Network(
    format="qanat-network/1",
    name="pair",
    sites=tuple(Site(name=name, kind="user", latitude_deg=0, longitude_deg=0) for name in (NEAR, FAR)),
    links=(Link(name=LINK, transmitter=NEAR, receiver=FAR, system="s", loss_db=10, length_km=40),),
    applications=(Application(name="alice", site=NEAR), Application(name="bob", site=FAR)),
)
ALICE, BOB = NETWORK.saes
ROUTES = ((NEAR, FAR), (FAR, NEAR))
DICE = random.Random(7)


@dataclass
class Line:
    """Carries messages within this process; a node without a box is down."""

    local: NodeId
    boxes: dict[NodeId, asyncio.Queue[tuple[NodeId, Message]]]

    async def send(self, peer: NodeId, message: Message, /) -> None:
        if peer in self.boxes:
            self.boxes[peer].put_nowait((self.local, message))

    async def inbox(self) -> AsyncIterator[tuple[NodeId, Message]]:
        while True:
            yield await self.boxes[self.local].get()

    def is_reachable(self, peer: NodeId, /) -> bool:
        return peer in self.boxes

    def is_coming(self, peer: NodeId, /) -> bool:
        return False


@dataclass
class Life:
    """Both nodes, from one start to the next stop."""

    stores: dict[NodeId, SqliteKeyStore] = field(default_factory=dict)
    managers: dict[NodeId, KeyManager] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)


def store_of(folder: Path, node: NodeId) -> Path:
    return folder / node / "keys.sqlite"


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not happen within ten seconds")


def live(folder: Path, scene: Callable[[Life], Awaitable[T]], *, settings: KeyManagerSettings | None = None) -> T:
    async def run() -> T:
        async with AsyncExitStack() as stack:
            writer, life = StoreWriter(), Life()
            stack.push_async_callback(writer.close)
            boxes: dict[NodeId, asyncio.Queue[tuple[NodeId, Message]]] = {NEAR: asyncio.Queue(), FAR: asyncio.Queue()}
            for node in (NEAR, FAR):
                master_key = SecretBytes(bytes(32))
                life.stores[node] = await SqliteKeyStore.open(
                    store_of(folder, node), master_key=master_key, writer=writer
                )
            tasks = await stack.enter_async_context(AsyncioTasks())
            for node in (NEAR, FAR):
                manager = life.managers[node] = KeyManager(
                    node=node,
                    network=NETWORK,
                    store=life.stores[node],
                    transport=Line(node, boxes),
                    clock=SystemClock(),
                    tasks=tasks,
                    entropy=SystemEntropy(),
                    modules=(),
                    settings=settings,
                    recorder=EventRecorder(
                        node=node, clock=SystemClock(), entropy=SystemEntropy(), sink=life.events.append
                    ),
                )
                tasks.start(manager.run(), name=node)
                kind, fields = encode_word(RoutesPushed(1, 1, ROUTES, ROUTES, (LINK,)))
                boxes[node].put_nowait((CONTROLLER, Message(MessageId("m"), kind, Epoch(1), None, fields, b"")))
            await until(lambda: [event.kind for event in life.events].count(EventKind.NODE_STARTED) == 2)
            return await scene(life)

    return asyncio.run(run())


async def add_block(life: Life) -> KeyBlock:
    block = new_block(4000, dice=DICE)
    theirs = replace(block, local=FAR, peer=NEAR)
    for node, mine in ((NEAR, block), (FAR, theirs)):
        await life.stores[node].add_block(mine)
        await life.stores[node].confirm(block.block_id)
    return block


async def give(life: Life, count: int = 2) -> tuple[SecretKey, ...]:
    given = await life.managers[NEAR].get_keys(master=ALICE, slave=BOB, count=count, patience_s=5.0)
    return given.keys


async def begin(life: Life) -> tuple[SecretKey, ...]:
    """Fill the pools, and leave keys at bob's end that he has not fetched."""
    for _ in range(2):
        await add_block(life)
    return await give(life)


def put_back(folder: Path, node: NodeId, copy: Path) -> None:
    shutil.copy(copy, store_of(folder, node))


def restored(events: list[Event]) -> list[NodeId]:
    return [event.node for event in events if event.kind is EventKind.STORE_RESTORED]


@pytest.mark.parametrize("node", [NEAR, FAR])
def test_an_older_file_is_noticed_by_the_peers_memory_and_both_ends_start_afresh(tmp_path: Path, node: NodeId) -> None:
    first = live(tmp_path, begin)
    copy = tmp_path / "copy"
    shutil.copy(store_of(tmp_path, node), copy)
    ids = [key.key_id for key in first]

    async def fetch(life: Life) -> None:
        """What the copy does not know of: bob fetches his keys, and pads are spent."""
        fetched = await life.managers[FAR].get_keys_by_id(caller=BOB, master=ALICE, key_ids=ids)
        assert [key.take() for key in fetched] == [key.take() for key in first]
        await give(life)
        assert restored(life.events) == []

    live(tmp_path, fetch)
    put_back(tmp_path, node, copy)

    async def after(life: Life) -> None:
        with pytest.raises(KeyNotFound):
            await life.managers[FAR].get_keys_by_id(caller=BOB, master=ALICE, key_ids=ids)
        voiding = (EventKind.STORE_RESTORED, EventKind.KEYS_VOIDED)
        await until(lambda: {event.node for event in life.events if event.kind in voiding} == {NEAR, FAR})
        assert restored(life.events) == [node]
        for store in life.stores.values():
            levels = await store.levels()
            assert [levels[PoolId(LINK, sender)].available_bits for sender in (NEAR, FAR)] == [0, 0]
        await add_block(life)
        keys = await give(life)
        fetched = await life.managers[FAR].get_keys_by_id(
            caller=BOB, master=ALICE, key_ids=[key.key_id for key in keys]
        )
        assert [key.take() for key in fetched] == [key.take() for key in keys]

    live(tmp_path, after)

    async def later(life: Life) -> None:
        await give(life)
        assert restored(life.events) == [], "it is found out once"

    live(tmp_path, later)


def own_epoch_in(copies: Path, folder: Path) -> NamedEpoch:
    """Return the epoch and mark of a copied store; looked at in a copy of it, for SQLite writes while it reads."""
    shutil.copytree(copies, folder)
    with contextlib.closing(sqlite3.connect(folder / "keys.sqlite")) as connection:
        number, name = connection.execute("SELECT number, name FROM own_epoch ORDER BY number DESC").fetchone()
    return NamedEpoch(number, name)


@pytest.mark.parametrize("node", [NEAR, FAR])
def test_a_snapshot_of_a_running_store_is_noticed_when_it_is_put_back(tmp_path: Path, node: NodeId) -> None:
    """File and write-ahead log are copied while the store is open, and no start lies between that and the restore."""
    file, copies = store_of(tmp_path, node), tmp_path / "copies"
    copies.mkdir()

    async def scene(life: Life) -> None:
        keys = await begin(life)
        for path in file.parent.glob("keys.sqlite*"):
            shutil.copy(path, copies)
        copied = own_epoch_in(copies, tmp_path / "looked at")
        ids = [key.key_id for key in keys]
        await life.managers[FAR].get_keys_by_id(caller=BOB, master=ALICE, key_ids=ids)
        await give(life)
        other = life.stores[FAR if node == NEAR else NEAR]
        for _ in range(1000):
            known = await other.peer_epoch(node)
            if known is not None and not copied.has_lived_through(known):
                return
            await asyncio.sleep(0.01)
        pytest.fail("the peer remembers no mark that the copy lacks")

    live(tmp_path, scene, settings=KeyManagerSettings(mark_s=0.1, tick_s=0.1))
    for path in file.parent.glob("keys.sqlite*"):
        path.unlink()
    for path in copies.iterdir():
        shutil.copy(path, file.parent)

    async def after(life: Life) -> None:
        await until(lambda: restored(life.events) == [node])

    live(tmp_path, after)

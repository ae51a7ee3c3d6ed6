"""An initial key that is brought to a running site is taken in once, and a wrong one is told of once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from qanat.adapters.initial_keys import forget_initial_key, initial_key_path, write_initial_key
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.apps.initial_key_watch import PATIENCE_S, InitialKeyWatch
from qanat.apps.networks import load_network
from qanat.ground.errors import StoreFailed
from qanat.ground.events import Event
from qanat.ground.identifiers import BlockId, LinkId, NodeId
from qanat.ground.keys import KeyBlock
from qanat.ground.tracing import EventRecorder

NETWORK = load_network("three-nodes")
NODE, LINK = NodeId("suzhou"), LinkId("suzhou-kunshan")


@dataclass
class Store:
    """What taking an initial key asks of a store; it can be full."""

    added: list[BlockId] = field(default_factory=list)
    is_full: bool = False

    async def add_block(self, block: KeyBlock, /) -> None:
        if self.is_full:
            raise StoreFailed("the disk is full", remedy="make room")
        self.added.append(block.block_id)

    async def confirm(self, block_id: BlockId, /) -> None:
        assert block_id in self.added


@dataclass
class Hands(SystemClock):
    """A clock that is moved by hand."""

    now_s: float = 0.0

    def monotonic_s(self) -> float:
        return self.now_s


class Site:
    """The watch of a site whose folder both ends of its link share."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store, self.clock, self.events = folder, Store(), Hands(), list[Event]()
        (folder / "nodes").mkdir(parents=True)
        for end in NETWORK.link(LINK).ends:
            (folder / "nodes" / f"{end}.key").touch()
        recorder = self.recorder = EventRecorder(
            node=NODE, clock=self.clock, entropy=SystemEntropy(), sink=self.events.append
        )
        self.watch = InitialKeyWatch(
            NETWORK,
            NODE,
            folder,
            self.store,
            clock=self.clock,
            recorder=recorder,  # type: ignore[arg-type]
        )

    def bring(self) -> None:
        path = initial_key_path(self.folder, LINK)
        forget_initial_key(self.folder, LINK)
        write_initial_key(path, NETWORK.link(LINK), num_bits=8192, entropy=SystemEntropy(), utc_s=0.0)

    def look(self, *, after_s: float = 0.0) -> int:
        """Look once more; return how many keys were taken in until now."""
        self.clock.now_s += after_s
        asyncio.run(self.watch.look())
        return len(self.store.added)


def test_each_key_that_is_brought_is_taken_in_once(tmp_path: Path) -> None:
    site = Site(tmp_path)
    assert site.look() == 0
    site.bring()
    assert [site.look(), site.look()] == [1, 1]
    assert initial_key_path(tmp_path, LINK).exists(), "the other end reads the same copy"
    site.bring()
    assert [site.look(), site.look()] == [2, 2]
    assert len(set(site.store.added)) == 2
    assert site.events == []


def test_a_key_waits_for_a_store_that_cannot_write(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.bring()
    site.store.is_full = True
    assert site.look() == 0
    site.store.is_full = False
    assert site.look() == 1


def test_a_file_that_is_still_being_carried_is_no_alarm_and_one_that_stays_wrong_is_one(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.bring()
    path = initial_key_path(tmp_path, LINK)
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    assert site.look() == 0
    path.write_bytes(whole[:200])
    assert site.look(after_s=PATIENCE_S) == 0
    assert site.events == []
    assert site.look(after_s=PATIENCE_S) == 0
    assert site.look(after_s=PATIENCE_S) == 0
    (alarm,) = site.events
    assert alarm.data["code"] == "initial-key-refused"
    assert alarm.data["remedy"]
    path.write_bytes(whole)
    assert site.look() == 1


def test_a_file_that_is_wrong_and_is_taken_away_again_is_no_alarm_any_more_and_is_one_when_it_comes_back(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path)
    path = initial_key_path(tmp_path, LINK)
    for times in (1, 2):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a text")
        path.chmod(0o600)
        site.look()
        site.look(after_s=PATIENCE_S)
        path.unlink()
        site.look(after_s=60.0)
        site.clock.now_s += 60.0
        site.recorder.settle_alarms()
        told = [bool(event.data.get("cleared", False)) for event in site.events]
        assert told == [False, True] * times

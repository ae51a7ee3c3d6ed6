"""A fake wire under two whole parties of ``qanat distil``: it drops, repeats, reorders and flips what it carries.

The parties are the coroutines that the command runs; sockets and disks are stood in for.
"""

from __future__ import annotations

import types
from collections import Counter
from collections.abc import Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillation_support import SeededEntropy
from qanat.apps.distil.account import LinkAccount, LinkEnds
from qanat.apps.distil.run import run_party
from qanat.apps.distil.setup import Setup
from qanat.apps.distil.terms import Terms
from qanat.ground.errors import ChannelClosed, ChannelError, FrameError, QanatError
from qanat.ground.identifiers import BlockId, LinkId, NodeId, OrderId
from qanat.ground.keys import PRE_SHARED, KeyBlock, SecretBytes
from qanat.ground.numbered import MAX_INNER_BYTES, NumberedLine, read_resume
from qanat.protocols.decoy import DecoyProtocol, SecurityParameters
from qanat.quantum_layer.recorded import SiftedBits
from qanat.simulation.memory_store import MemoryKeyStore

NUM_BITS = 9000
BLOCK_BITS = 2**11
MOST_BREAKS = 5
"""Connections of one line; then it counts as lost."""
MOST_LINES = 4
LINK = LinkId("fake")


class MemoryAccount(LinkAccount):
    """An account whose progress outlives lines, and no disk."""

    def __init__(self, ends: LinkEnds, store: MemoryKeyStore) -> None:
        super().__init__(Path("nowhere"), ends, store)
        self._at = 0
        self._counted: list[str] = []

    def first_slot(self, record: str) -> int:
        return self._at

    def advance(self, record: str, slot: int) -> None:
        assert slot > self._at, "a place of the record was told before"
        self._at = slot

    def note_kept(self, block_id: BlockId) -> None:
        self._counted.append(block_id)

    def kept(self, block_ids: Sequence[str]) -> list[str]:
        return [one for one in block_ids if one in self._counted]


@dataclass
class MemoryKeys:
    """Key files by block id: unsure ones and kept ones."""

    doubtful: dict[str, bytes] = field(default_factory=dict)
    safe: dict[str, bytes] = field(default_factory=dict)

    folder = Path("nowhere")

    def num_of(self, record_digest: str) -> int:
        return len(self.safe)

    def unsure(self) -> list[BlockId]:
        return [BlockId(one) for one in self.doubtful]

    def kept(self, block_ids: list[str]) -> list[str]:
        return [one for one in block_ids if one in self.doubtful or one in self.safe]

    def write(self, key: Any, secret: bytes, *, first_slot: int, said: Any) -> None:
        self.doubtful[key.block_id] = secret

    def keep(self, block_id: str) -> str:
        if block_id in self.doubtful:
            self.safe[block_id] = self.doubtful.pop(block_id)
        return block_id

    def destroy(self, block_id: str) -> None:
        self.doubtful.pop(block_id, None)


class StillClock:
    def utc_s(self) -> float:
        return 0.0

    def monotonic_s(self) -> float:
        return 0.0


@types.coroutine
def give_way() -> Generator[None, None, None]:
    yield


class LineEnd:
    """A ClassicalChannel on one end of a numbered line; the wire below moves its frames."""

    max_frame_bytes = MAX_INNER_BYTES

    def __init__(self, name: str) -> None:
        self.line = NumberedLine(name)
        self.next_to_send = 0
        self.is_lost = False

    async def send(self, frame: bytes, /) -> None:
        if self.is_lost:
            raise ChannelClosed("the line is lost")
        self.line.keep(frame)

    async def receive(self, *, timeout_s: float) -> bytes:
        while (frame := self.line.take()) is None:
            if self.is_lost:
                raise ChannelClosed("the line is lost")
            await give_way()
        return frame

    async def close(self) -> None: ...


class Wire:
    """Carries frames both ways and spoils them; breaks the connection where a stream of bytes would not go on."""

    def __init__(self, ends: dict[str, LineEnd], dice: np.random.Generator, deeds: Counter[str]) -> None:
        self.ends, self.dice, self.deeds = ends, dice, deeds
        self.odds = {"drop": 0.01, "repeat": 0.03, "swap": 0.02, "flip": 0.004}
        self.scale = float(dice.choice((0.2, 1.0, 3.0)))
        self.breaks = 0

    def move(self) -> bool:
        """Carry what there is, spoilt; return whether anything arrived. A stream that stalls is broken."""
        moved = False
        for sender, receiver in (("alice", "bob"), ("bob", "alice")):
            for data in self._spoilt(self._outgoing(self.ends[sender])):
                try:
                    self.ends[receiver].line.hear(data)
                    moved = True
                except FrameError:
                    return self.reconnect()
        return moved

    def _outgoing(self, end: LineEnd) -> list[bytes]:
        frames = [end.line.acknowledgement()] if end.line.next_heard else []
        while (data := end.line.data(end.next_to_send)) is not None:
            frames.append(data)
            end.next_to_send += 1
        return frames

    def _spoilt(self, frames: list[bytes]) -> list[bytes]:
        arriving: list[bytes] = []
        for data in frames:
            deed = next((name for name, odds in self.odds.items() if self.dice.random() < self.scale * odds), "")
            self.deeds[deed] += bool(deed)
            if deed == "flip":
                place = int(self.dice.integers(len(data)))
                data = data[:place] + bytes([data[place] ^ 1 << int(self.dice.integers(8))]) + data[place + 1 :]
            if deed == "swap" and arriving:
                arriving.insert(-1, data)
            elif deed != "drop":
                arriving += [data, data] if deed == "repeat" else [data]
        return arriving

    def reconnect(self) -> bool:
        """Greet anew, as both ends of a broken connection do; False when the line is lost."""
        self.breaks += 1
        self.deeds["break"] += 1
        if self.breaks > MOST_BREAKS or any(end.is_lost for end in self.ends.values()):
            return self.lose()
        greetings = {name: end.line.greeting() for name, end in self.ends.items()}
        for name, other in (("alice", "bob"), ("bob", "alice")):
            end = self.ends[name]
            try:
                for data in self._spoilt([greetings[other]]) or [b""]:
                    _, number = read_resume(data)
                    end.line.resume(number)
                    end.next_to_send = number
                    break
            except ChannelClosed:
                return self.lose()
            except FrameError:
                return self.reconnect()
        return True

    def lose(self) -> bool:
        self.deeds["lost line"] += 1
        for end in self.ends.values():
            end.is_lost = True
        return True


@dataclass
class Trial:
    """Two parties that share a record with errors and a key, and nothing else."""

    seed: int
    deeds: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    """Blocks side by side; 0: one to four, by the seed."""

    def __post_init__(self) -> None:
        self.in_flight = self.in_flight or 1 + self.seed % 4
        self.dice = np.random.default_rng(self.seed)
        bits = self.dice.integers(0, 2, NUM_BITS, dtype=np.uint8)
        wrong = bits ^ (self.dice.random(NUM_BITS) < 0.01).astype(np.uint8)
        pads = self.dice.bytes(128 * 16)
        self.keys = {"alice": MemoryKeys(), "bob": MemoryKeys()}
        self.accounts = {name: account_of(name, pads) for name in self.keys}
        records = {"alice": SiftedBits(bits), "bob": SiftedBits(wrong)}
        self.setups = {name: self._setup(name, records[name]) for name in self.keys}

    def _setup(self, name: str, record: SiftedBits) -> Setup:
        security, protocol = SecurityParameters(), DecoyProtocol()
        terms = Terms(LINK, "sifted", BLOCK_BITS, protocol, security, 0.06, 0.9, NUM_BITS, 256)
        entropy = SeededEntropy(self.seed + len(name))
        keys: Any = self.keys[name]
        clock: Any = StillClock()
        role: Any = name
        return Setup(
            *(role, terms, record, "record", self.accounts[name], keys, entropy, clock, "a test"),
            tell=self._note,
            in_flight=self.in_flight,
        )

    def _note(self, text: str) -> None:
        """Count keys that a new line settled."""
        self.deeds["kept later"] += "has it too" in text
        self.deeds["destroyed later"] += "does not have it" in text

    def run(self) -> dict[str, QanatError | None]:
        """Let the parties talk over one line after another; returns how the last one ended for each."""
        faults: dict[str, QanatError | None] = {}
        for number in range(MOST_LINES):
            faults = self._run_line(f"{number:032x}")
            if not any(isinstance(fault, ChannelError) for fault in faults.values()):
                break
        return faults

    def _run_line(self, name: str) -> dict[str, QanatError | None]:
        ends = {party: LineEnd(name) for party in self.setups}
        wire = Wire(ends, self.dice, self.deeds)
        parties = {party: run_party(setup, ends[party]) for party, setup in self.setups.items()}
        faults: dict[str, QanatError | None] = {}
        while len(faults) < 2:
            for party, work in parties.items():
                if party not in faults and step(work, party, faults) and faults[party] is not None:
                    self.deeds[type(faults[party]).__name__] += 1
            if (not wire.move() and not wire.reconnect()) or gave_up(faults):
                wire.lose()
        return faults


def gave_up(faults: dict[str, QanatError | None]) -> bool:
    """Return whether one party has closed the line over the other's head."""
    return len(faults) == 1 and any(isinstance(fault, ChannelError) for fault in faults.values())


def step(work: Coroutine[Any, Any, None], party: str, faults: dict[str, QanatError | None]) -> bool:
    """Let a party go on until it waits; return whether it has ended."""
    try:
        work.send(None)
    except StopIteration:
        faults[party] = None
    except QanatError as fault:
        faults[party] = fault
    return party in faults


def account_of(name: str, pads: bytes) -> MemoryAccount:
    local, peer = (NodeId("a"), NodeId("b")) if name == "alice" else (NodeId("b"), NodeId("a"))
    store = MemoryKeyStore()
    role: Any = name
    block = KeyBlock(
        *(BlockId("initial"), OrderId("order"), LINK, local, peer, "twin", PRE_SHARED, 8 * len(pads)),
        bits=SecretBytes(pads),
        eps_sec=0.0,
        eps_cor=0.0,
        finished_utc_s=0.0,
    )
    for work in (store.open_epoch(), store.add_block(block), store.confirm(block.block_id)):
        with pytest.raises(StopIteration):
            work.send(None)
    return MemoryAccount(LinkEnds(LINK, local, peer, role), store)

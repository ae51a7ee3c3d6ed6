"""A wire that drops, repeats, reorders and flips, under two whole parties: lines, runs, sessions, accounts of pads.

Whatever it does, over every line that the parties make anew: no block is kept by both with different bits, no pad is
spent twice by a party, no place of a record is told in two sessions, and each party's account agrees with what its
sessions were given. The parties are the coroutines that ``qanat distil`` runs; sockets and disks are stood in for.
"""

from __future__ import annotations

import types
from collections import Counter
from collections.abc import Coroutine, Generator
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
from qanat.ground.errors import ChannelClosed, ChannelError, FrameError, PeerProtocolError, QanatError, QberTooHigh
from qanat.ground.framing import decode_frame
from qanat.ground.identifiers import BlockId, LinkId, NodeId, OrderId
from qanat.ground.keys import PRE_SHARED, KeyBlock, SecretBytes
from qanat.ground.lanes import Lanes
from qanat.ground.numbered import MAX_INNER_BYTES, LineKind, NumberedLine, read_resume
from qanat.postprocessing import bob as bob_session
from qanat.postprocessing.bob import BobSession
from qanat.postprocessing.party import Party
from qanat.postprocessing.verification import verification_hash
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

    def first_slot(self, record: str) -> int:
        return self._at

    def advance(self, record: str, slot: int) -> None:
        assert slot > self._at, "a place of the record was told before"
        self._at = slot


@dataclass
class MemoryKeys:
    """Key files by block id: unsure ones and kept ones."""

    doubtful: dict[str, bytes] = field(default_factory=dict)
    safe: dict[str, bytes] = field(default_factory=dict)

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
            if not wire.move() and not wire.reconnect():
                wire.lose()
        return faults


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


@pytest.fixture
def given_pads(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[bytes]]:
    """What pads each role's sessions were given, by value."""
    given: dict[str, list[bytes]] = {"AliceSession": [], "BobSession": []}
    open_pads = Party._open_pads

    def noting(self: Party, secret: SecretBytes) -> None:
        data = secret.reveal()
        given[type(self).__name__] += [data[at : at + 16] for at in range(0, len(data), 16)]
        open_pads(self, secret)

    monkeypatch.setattr(Party, "_open_pads", noting)
    return given


def run_trials(seeds: range, given: dict[str, list[bytes]]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for seed in seeds:
        for pads in given.values():
            pads.clear()
        trial = Trial(seed)
        trial.run()
        for pads in given.values():
            assert len(set(pads)) == len(pads), f"seed {seed}: a pad was given to two sessions"
        alice, bob = (keys.safe | keys.doubtful for keys in trial.keys.values())
        differing = [block for block in alice.keys() & bob.keys() if alice[block] != bob[block]]
        assert differing == [], f"seed {seed}: two different keys were accepted"
        totals += trial.deeds
        totals["keys"] += len(trial.keys["alice"].safe.keys() & trial.keys["bob"].safe.keys())
        totals["seeds without a key"] += not alice
    return totals


@pytest.mark.slow
def test_no_two_different_keys_and_no_pad_twice(given_pads: dict[str, list[bytes]]) -> None:
    totals = run_trials(range(300), given_pads)
    # the wire did its worst, and the parties made keys all the same: neither half of the test is empty
    assert min(totals[deed] for deed in ("drop", "repeat", "swap", "flip", "break", "lost line")) > 80
    assert totals["kept later"] > 0
    assert totals["keys"] > 300
    assert totals["AuthenticationFailed"] > 10


@pytest.mark.campaign
def test_no_two_different_keys_and_no_pad_twice_in_10_000_runs(given_pads: dict[str, list[bytes]]) -> None:
    totals = run_trials(range(1000, 11_000), given_pads)
    assert totals["keys"] > 10_000


@pytest.fixture
def still_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wire, "_spoilt", lambda self, frames: frames)


def places_of(trial: Trial, party: str) -> list[int]:
    return [block["first_slot"] for block in trial.setups[party].made.blocks]


@pytest.mark.usefixtures("still_wire")
@pytest.mark.parametrize("in_flight", [1, 2, 4])
def test_an_untouched_wire_brings_all_blocks_in_the_order_of_the_record(
    given_pads: dict[str, list[bytes]], in_flight: int
) -> None:
    trial = Trial(5, in_flight=in_flight)
    assert trial.run() == {"alice": None, "bob": None}
    assert trial.keys["alice"].safe == trial.keys["bob"].safe
    assert len(trial.keys["alice"].safe) == 3
    assert trial.deeds["break"] == 0
    assert places_of(trial, "alice") == places_of(trial, "bob") == sorted(places_of(trial, "bob"))
    assert len(given_pads["AliceSession"]) == 3 * 8, "pads of three sessions, and of none besides"


class LaneSpy:
    """Counts lanes that are open at one end at once, from the frames of sessions that it takes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most = 0
        hear = Lanes.hear

        async def noting(lanes: Lanes) -> Any:
            self.most = max(self.most, len(lanes))
            return await hear(lanes)

        monkeypatch.setattr(Lanes, "hear", noting)


@pytest.mark.usefixtures("still_wire")
@pytest.mark.parametrize(("in_flight", "most"), [(1, 1), (2, 2), (3, 3)])
def test_as_many_blocks_are_in_flight_as_were_agreed(
    monkeypatch: pytest.MonkeyPatch, in_flight: int, most: int
) -> None:
    spy = LaneSpy(monkeypatch)
    Trial(5, in_flight=in_flight).run()
    assert spy.most == most


@pytest.mark.usefixtures("still_wire")
def test_a_block_that_fails_its_verification_is_dropped_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def wrong_once(key: bytes, hash_key: bytes, *, num_bits: int) -> bytes:
        calls.append(key)
        told = verification_hash(key, hash_key, num_bits=num_bits)
        return told if len(calls) != 2 else bytes(len(told))

    monkeypatch.setattr(bob_session, "verification_hash", wrong_once)
    trial = Trial(5, in_flight=3)
    assert trial.run() == {"alice": None, "bob": None}
    assert len(trial.keys["alice"].safe) == 2
    assert trial.keys["alice"].safe == trial.keys["bob"].safe
    assert [len(setup.made.dropped) for setup in trial.setups.values()] == [1, 1]


@pytest.mark.usefixtures("still_wire")
def test_a_fault_that_ends_the_run_lets_the_blocks_in_flight_come_to_their_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check, calls = Party._check_qber, []

    def too_high_at_bob_in_the_second_block(self: Party) -> None:
        calls.append(self)
        if isinstance(self, BobSession) and sum(isinstance(one, BobSession) for one in calls) == 2:
            raise QberTooHigh("too many errors", remedy="look")
        check(self)

    monkeypatch.setattr(Party, "_check_qber", too_high_at_bob_in_the_second_block)
    trial = Trial(5, in_flight=3)
    faults = trial.run()
    assert {name: type(fault) for name, fault in faults.items()} == {"alice": QberTooHigh, "bob": QberTooHigh}
    assert trial.keys["alice"].safe == trial.keys["bob"].safe
    assert 1 <= len(trial.keys["alice"].safe) <= 2
    assert not trial.keys["alice"].doubtful


def test_the_kinds_of_the_line_are_those_of_the_format() -> None:
    assert {kind.name: int(kind) for kind in LineKind} == {
        "RESUME": 0x70,
        "DATA": 0x71,
        "ACK": 0x72,
        "BYE": 0x73,
        "PING": 0x75,
    }
    assert issubclass(FrameError, PeerProtocolError)
    assert decode_frame(NumberedLine("0" * 32).greeting()).kind == LineKind.RESUME

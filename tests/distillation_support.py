"""A link made of seeded arrays, seeded entropy, and a loop that carries frames: what distillation tests run on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qanat.ground.errors import QanatError
from qanat.ground.identifiers import OrderId
from qanat.ground.keys import SecretBytes
from qanat.postprocessing.alice import AliceSession
from qanat.postprocessing.bob import BobSession
from qanat.postprocessing.config import DistilledKey, SessionConfig
from qanat.postprocessing.records import Detections, Preparations
from qanat.protocols.decoy import DecoyCounts, DecoyProtocol, SecretLength, SecurityParameters


class SeededEntropy:
    """Reproducible "entropy", for tests only."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def secret_bytes(self, num_bytes: int, /) -> SecretBytes:
        return SecretBytes(self.public_bytes(num_bytes))

    def public_bytes(self, num_bytes: int, /) -> bytes:
        return self._generator.bytes(num_bytes)


class ArrayLink:
    """A link whose every chunk is drawn at once: ``events`` detections in ``slots`` pulses, errors at ``qber``.

    ``burst``: of every chunk, this share of consecutive events has half of its bits wrong.
    """

    def __init__(self, *, seed: int, qber: float, events: int = 4096, burst: float = 0.0) -> None:
        self._generator = np.random.default_rng(seed)
        self._qber, self._events, self._burst = qber, events, burst
        self._next_slot = 0
        self.slots: list[np.ndarray] = []
        self.prepared: list[Preparations] = []
        self.detected: list[Detections] = []

    def next_chunk(self) -> Detections:
        draw = self._generator
        num_slots = 500 * self._events + 17
        slots = np.unique(draw.integers(0, num_slots, self._events, dtype=np.uint64)) + np.uint64(self._next_slot)
        size = slots.size
        bits = draw.integers(0, 2, size, dtype=np.uint8)
        intensities = draw.choice(3, size, p=(0.94, 0.055, 0.005)).astype(np.uint8)
        p_wrong = np.where(intensities == 2, 0.5, self._qber)
        p_wrong[: int(self._burst * size)] = 0.5
        wrong = (draw.random(size) < p_wrong).astype(np.uint8)
        alice_bases, bob_bases = (draw.integers(0, 2, size, dtype=np.uint8) for _ in range(2))
        self.slots.append(slots)
        self.prepared.append(Preparations(alice_bases, bits, intensities))
        self.detected.append(Detections(self._next_slot, num_slots, slots, bob_bases, bits ^ wrong))
        self._next_slot += num_slots
        return self.detected[-1]

    def reveal(self, slots: np.ndarray, /) -> Preparations:
        """What Alice sent; also in slots that Bob never announced (an altered announcement), made up but fixed."""
        known = np.concatenate(self.slots)
        places = np.minimum(np.searchsorted(known, slots), known.size - 1)
        hit = known[places] == slots
        columns = []
        for name, modulus in (("bases", 2), ("bits", 2), ("intensities", 3)):
            column = np.concatenate([getattr(part, name) for part in self.prepared])[places]
            made_up = (slots * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(40)) % np.uint64(modulus)
            columns.append(np.where(hit, column, made_up.astype(np.uint8)))
        return Preparations(*columns)


def generous_proof(
    counts: DecoyCounts, protocol: DecoyProtocol, security: SecurityParameters, /, *, leaked_bits: int
) -> SecretLength:
    """A stand-in for the proof that gives small blocks a length too; falls with every error and every leaked bit."""
    key_bits = counts.rectilinear.key_bits + counts.diagonal.key_bits
    errors = sum(counts.rectilinear.errors) + sum(counts.diagonal.errors)
    return SecretLength(key_bits - leaked_bits - 2 * errors - 64, "stand-in", (0, 0), (0, 0), (0, 0), {})


def small_config(**changes: Any) -> SessionConfig:
    values: dict[str, Any] = {"frame_bits": 2**11, "block_bits": 2**13, "min_key_bits": 2**13, "qber_abort": 0.06}
    return SessionConfig(OrderId("order-1"), **{**values, **changes})


def make_parties(
    config: SessionConfig, link: ArrayLink, *, seed: int, proof: Any = generous_proof
) -> tuple[AliceSession, BobSession]:
    pads = np.random.default_rng(seed + 1).bytes(config.pad_bits // 8)
    alice = AliceSession(config, link, SecretBytes(pads), SeededEntropy(seed + 2), proof=proof)
    bob = BobSession(config, link, SecretBytes(pads), SeededEntropy(seed + 3), proof=proof)
    return alice, bob


Meddle = Callable[[str, int, bytes], Sequence[bytes]]
"""(sender, number of the frame in its direction, frame) -> frames that arrive instead."""


@dataclass
class Talk:
    """What happened between two parties: all frames as they were sent, and how each party ended."""

    sent: list[tuple[str, bytes]] = field(default_factory=list)
    faults: dict[str, QanatError] = field(default_factory=dict)
    keys: dict[str, DistilledKey] = field(default_factory=dict)


def converse(alice: AliceSession, bob: BobSession, *, meddle: Meddle | None = None) -> Talk:
    """Carry frames between the parties until nothing is under way; tell the peer when one dies."""
    talk = Talk()
    parties = {"alice": alice, "bob": bob}
    wire: deque[tuple[str, bytes]] = deque()
    counts = {"alice": 0, "bob": 0}

    def put(sender: str, frames: Sequence[bytes]) -> None:
        for frame in frames:
            talk.sent.append((sender, frame))
            arriving = [frame] if meddle is None else meddle(sender, counts[sender], frame)
            counts[sender] += 1
            wire.extend((sender, data) for data in arriving)

    for name, party in parties.items():
        put(name, party.start())
    while wire:
        sender, frame = wire.popleft()
        receiver = "bob" if sender == "alice" else "alice"
        if receiver in talk.faults:
            continue
        try:
            put(receiver, parties[receiver].receive(frame))
        except QanatError as fault:
            talk.faults[receiver] = fault
            put(receiver, parties[receiver].farewell())
    for name, party in parties.items():
        key = party.result()
        if key is not None:
            talk.keys[name] = key
    return talk

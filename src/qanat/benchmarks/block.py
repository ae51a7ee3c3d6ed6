"""One block, from detections to secret key, as the benchmarks of the whole chain distil it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from qanat.adapters.system import SystemEntropy
from qanat.ground.identifiers import OrderId
from qanat.ground.keys import SecretBytes
from qanat.postprocessing.alice import AliceSession
from qanat.postprocessing.bob import BobSession
from qanat.postprocessing.config import SessionConfig
from qanat.postprocessing.records import Detections, Preparations, SlotArray
from qanat.protocols.decoy import DecoyCounts, DecoyProtocol, SecretLength, SecurityParameters

BLOCK_BITS: Final = 2**18
OUTPUT_SHARE: Final = 0.4
"""Secret bits per reconciled bit: "around 0.4 n" (the paper's Methods, "Privacy amplification")."""
P_INTENSITIES: Final = (0.945, 0.0525, 0.0025)
"""Shares of signal, decoy and vacuum among clicks of a link of moderate loss."""


@dataclass(slots=True)
class RecordedLight:
    """Detections and preparations drawn beforehand; the source of both parties."""

    detections: Detections
    preparations: Preparations

    @classmethod
    def draw(cls, qber: float) -> RecordedLight:
        """Draw enough events for one block with the error rate ``qber``."""
        generator = np.random.default_rng(1)
        size = int(BLOCK_BITS / (0.5 * P_INTENSITIES[0] * 0.9) * 1.03)
        slots = np.cumsum(generator.geometric(1 / 400, size)).astype(np.uint64)
        bits, alice_bases, bob_bases = (generator.integers(0, 2, size, dtype=np.uint8) for _ in range(3))
        errors = (generator.random(size) < qber).astype(np.uint8)
        intensities = generator.choice(3, size, p=P_INTENSITIES).astype(np.uint8)
        return cls(
            Detections(0, int(slots[-1]) + 1, slots, bob_bases, bits ^ errors),
            Preparations(alice_bases, bits, intensities),
        )

    @property
    def num_events(self) -> int:
        return self.detections.slots.size

    def next_chunk(self) -> Detections:
        return self.detections

    def reveal(self, slots: SlotArray, /) -> Preparations:  # noqa: ARG002 - the one chunk there is
        return self.preparations


def set_length(
    counts: DecoyCounts, protocol: DecoyProtocol, security: SecurityParameters, /, *, leaked_bits: int
) -> SecretLength:
    """Return 0.4 n: no proof gives a length for one block alone, and speed does not depend on why it is what it is."""
    del counts, protocol, security, leaked_bits
    return SecretLength(int(OUTPUT_SHARE * BLOCK_BITS), "set for timing", (0, 0), (0, 0), (0, 0), {})


def distil_block(light: RecordedLight) -> None:
    """Distil one block from detections to secret key, both parties; raises ArithmeticError when their keys differ."""
    config = SessionConfig(OrderId("benchmark"), min_key_bits=BLOCK_BITS)
    pads = bytes(config.pad_bits // 8)
    entropy = SystemEntropy()
    alice = AliceSession(config, light, SecretBytes(pads), entropy, proof=set_length)
    bob = BobSession(config, light, SecretBytes(pads), entropy, proof=set_length)
    to_bob, to_alice = list(alice.start()), list(bob.start())
    while to_bob or to_alice:
        to_alice += [answer for frame in to_bob for answer in bob.receive(frame)]
        to_bob = [answer for frame in to_alice for answer in alice.receive(frame)]
        to_alice = []
    first, second = alice.result(), bob.result()
    if first is None or second is None or first.secret != second.secret:
        raise ArithmeticError("the benchmark's keys differ")

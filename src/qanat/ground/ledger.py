"""The ledger of a distillation session: what was said in clear and which pads it took. Part of every result."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from qanat.ground.constants import TAG_BITS
from qanat.ground.keys import BitRange


@dataclass(slots=True)
class Ledger:
    """Counts over all attempts of one session, both directions.

    ``leaked_bits`` by what told them (the method of error correction, as ``"cascade"``, and ``"verification"``); only
    error correction enters the secret length, verification is paid by ``eps_cor``. ``reply_bits`` bound what Bob's
    messages of error correction tell beyond Alice's; sessions whose parameters say so charge them too.
    ``estimation_bits`` are bits disclosed whole: they leave the key. ``tag_bits``: of each tag, and of its pad.
    """

    leaked_bits: Counter[str] = field(default_factory=Counter)
    reply_bits: int = 0
    estimation_bits: int = 0
    tag_bits: int = TAG_BITS
    tags_sent: int = 0
    tags_checked: int = 0
    pad_bits_spent: int = 0
    pad_bits_destroyed: int = 0
    pads: BitRange = field(default_factory=lambda: BitRange(()))

    def leak(self, what: str, num_bits: int) -> None:
        """Count bits that an eavesdropper heard."""
        if num_bits < 0:
            raise ValueError(f"a leak has zero bits or more, got {num_bits}")
        self.leaked_bits[what] += num_bits

    @property
    def total_leaked_bits(self) -> int:
        return self.leaked_bits.total()

"""Why an amplification block has its length: what a longer one would give, and how much longer its key would take.

Deviations grow as the square root of a block, so the share of the rate that the proof takes shrinks as the block grows,
while its light takes as many times longer, and both ends hold it in memory until then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from qanat.physics.systems import QKDSystem
from qanat.protocols.prediction import ExpectedRate, expected_rate
from qanat.protocols.proofs import DEFAULT_PROOF

LONGEST_BITS: Final = 100_000_000
"""A block that leaves a few per cent to gain, for comparison."""


@dataclass(frozen=True, slots=True)
class BlockTrade:
    """A block beside one of twice its length and a very long one."""

    chosen: ExpectedRate
    doubled: ExpectedRate
    longest: ExpectedRate

    def share(self, rate: ExpectedRate) -> float:
        """The rate over that of endless keys; 0 where these give none."""
        most = rate.secret_rate_asymptotic_bits_per_s
        return rate.secret_rate_bits_per_s / most if most > 0 else 0.0

    def words(self) -> str:
        """Say why, in one sentence."""
        chosen, doubled, longest = self.chosen, self.doubled, self.longest
        text = (
            f"{chosen.block_bits:,} verified bits: {chosen.block_time_s:,.0f} s of light for "
            f"{self.share(chosen):.0%} of an endless key's rate"
        )
        if self.share(longest) <= 0:
            return f"{text}; no block of up to {longest.block_bits:,} bits gives key"
        return (
            f"{text}; twice as long would give {self.share(doubled):.0%}, "
            f"{longest.block_bits:,} bits {self.share(longest):.0%} after {longest.block_time_s:,.0f} s"
        )


def block_trade(
    system: QKDSystem, *, loss_db: float, block_bits: int, f_ec: float = 1.1, proof: str = DEFAULT_PROOF
) -> BlockTrade:
    """Return what a block of ``block_bits`` verified bits trades on a link of ``loss_db`` (dB), by one of the proofs.

    Shares are always of an endless key of both bases, so that trades by different proofs can be compared.
    """
    lengths = (block_bits, 2 * block_bits, max(LONGEST_BITS, block_bits))
    return BlockTrade(
        *(expected_rate(system, loss_db=loss_db, block_bits=bits, f_ec=f_ec, proof=proof) for bits in lengths)
    )

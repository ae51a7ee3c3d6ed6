"""What a link can do, in the words of the right tower."""

from __future__ import annotations

from functools import lru_cache

from qanat.ground.identifiers import LinkId
from qanat.ground.orders import LinkCapability
from qanat.physics.systems import system_named
from qanat.protocols.prediction import ExpectedRate, expected_rate

AMPLIFICATION_BITS = 16 * 2**18
"""Verified bits of one amplification block: the least multiple of 2^18 above four million."""


@lru_cache(maxsize=256)
def link_forecast(system: str, *, loss_db: float) -> ExpectedRate:
    """Return the analytic forecast of a link; raises ConfigurationError for a system that does not exist."""
    return expected_rate(system_named(system), loss_db=loss_db, block_bits=AMPLIFICATION_BITS)


def expected_capability(link_id: LinkId, system: str, *, loss_db: float) -> LinkCapability:
    """Return a link's capability as its forecast has it."""
    forecast = link_forecast(system, loss_db=loss_db)
    return LinkCapability(
        link_id=link_id,
        expected_rate_bits_per_s=forecast.secret_rate_bits_per_s,
        block_time_s=forecast.block_time_s,
    )

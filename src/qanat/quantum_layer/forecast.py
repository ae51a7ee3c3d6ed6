"""What a link can do, in the words of the right tower, and how long its amplification blocks are to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from qanat.ground.identifiers import LinkId
from qanat.ground.orders import LinkCapability
from qanat.physics.analytic import link_model
from qanat.physics.systems import system_named
from qanat.postprocessing.reconciliation.efficiency import expected_paid_f_ec
from qanat.postprocessing.reconciliation.port import MethodName
from qanat.protocols.decoy import SIGNAL
from qanat.protocols.prediction import ExpectedRate, expected_rate

RECONCILIATION_BITS = 2**18
"""An amplification block is a whole number of these."""

LEAST_BLOCKS = 16
"""The least multiple of 2^18 above four million: shorter blocks save little time and cost much key."""

MOST_BLOCKS = 400
"""Above 10^8 bits a block gains a few per cent and needs gigabytes."""

GOOD_SHARE = 0.5
"""A block is long enough when the proof leaves it this share of the rate that endless keys would have."""


@lru_cache(maxsize=1024)
def method_forecast(
    system: str,
    *,
    loss_db: float,
    block_bits: int,
    reconciliation: MethodName = "cascade",
    charges_replies: bool = False,
) -> ExpectedRate:
    """Return the analytic forecast of a link whose errors are corrected by a method, in blocks of ``block_bits``.

    f is the method's at the error rate of the link (``reconciliation.efficiency``). Raises ConfigurationError for an
    unknown system.
    """
    found = system_named(system)
    qber = link_model(found, loss_db=loss_db).qber(SIGNAL)
    f_ec = expected_paid_f_ec(reconciliation, qber, charges_replies=charges_replies)
    return expected_rate(found, loss_db=loss_db, block_bits=block_bits, f_ec=f_ec)


@lru_cache(maxsize=1024)
def amplification_bits(
    system: str, *, loss_db: float, reconciliation: MethodName = "cascade", charges_replies: bool = False
) -> int:
    """Return how many verified bits are amplified at once on a link: the proof chooses.

    It is the least multiple of 2^18, from four million up, whose rate is at least GOOD_SHARE of the rate with keys of
    infinite length. Where no block of up to 10^8 bits is, the longest is taken if it gives any key, else the shortest:
    such a link gives none. Raises ConfigurationError for a system that does not exist.
    """

    def forecast(num_blocks: int) -> ExpectedRate:
        return method_forecast(
            system,
            loss_db=loss_db,
            block_bits=num_blocks * RECONCILIATION_BITS,
            reconciliation=reconciliation,
            charges_replies=charges_replies,
        )

    def is_good(num_blocks: int) -> bool:
        rate = forecast(num_blocks)
        return rate.secret_rate_bits_per_s >= GOOD_SHARE * rate.secret_rate_asymptotic_bits_per_s > 0

    if is_good(LEAST_BLOCKS):
        return LEAST_BLOCKS * RECONCILIATION_BITS
    if not is_good(MOST_BLOCKS):
        gives_key = forecast(MOST_BLOCKS).secret_bits_per_block > 0
        return (MOST_BLOCKS if gives_key else LEAST_BLOCKS) * RECONCILIATION_BITS
    return _least(is_good, LEAST_BLOCKS, MOST_BLOCKS) * RECONCILIATION_BITS


@lru_cache(maxsize=1024)
def short_block_bits(system: str, *, loss_db: float) -> int:
    """Return how many verified bits are amplified at once on a link, errors corrected by Cascade, where somebody waits
    for its first key.

    It is the least multiple of 2^18 whose rate is at least GOOD_SHARE of that of the block which the proof chooses
    (``amplification_bits``): so half of the key of one block is the most that it costs. Where the chosen block gives
    none, it is that one. Raises ConfigurationError for a system that does not exist.
    """
    chosen = amplification_bits(system, loss_db=loss_db)
    rate = method_forecast(system, loss_db=loss_db, block_bits=chosen).secret_rate_bits_per_s
    if rate <= 0:
        return chosen

    def is_good(num_blocks: int) -> bool:
        short = method_forecast(system, loss_db=loss_db, block_bits=num_blocks * RECONCILIATION_BITS)
        return short.secret_rate_bits_per_s >= GOOD_SHARE * rate

    return _least(is_good, 0, chosen // RECONCILIATION_BITS) * RECONCILIATION_BITS


def _least(is_good: Callable[[int], bool], low: int, high: int) -> int:
    """Return the least number above ``low`` that is good, as ``high`` and all from it on are."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_good(middle) else (middle, high)
    return high


@lru_cache(maxsize=1024)
def link_forecast(system: str, *, loss_db: float, pairs: int = 1) -> ExpectedRate:
    """Return the analytic forecast of a link at its own block, errors corrected by Cascade as links of a network do;
    raises ConfigurationError for an unknown system.

    pairs: of modules, side by side on one fibre, whose clicks make one block together: as many times the rate, and a
    block in as small a part of the time. ``loss_db`` is of each; what they cost each other beyond it is not counted
    (``quantum_layer.shared_fibre`` says how much that is).
    """
    one = method_forecast(system, loss_db=loss_db, block_bits=amplification_bits(system, loss_db=loss_db))
    return replace(
        one,
        sifted_rate_bits_per_s=pairs * one.sifted_rate_bits_per_s,
        verified_rate_bits_per_s=pairs * one.verified_rate_bits_per_s,
        secret_rate_bits_per_s=pairs * one.secret_rate_bits_per_s,
        secret_rate_asymptotic_bits_per_s=pairs * one.secret_rate_asymptotic_bits_per_s,
        block_time_s=one.block_time_s / pairs,
    )


def expected_capability(link_id: LinkId, system: str, *, loss_db: float, pairs: int = 1) -> LinkCapability:
    """Return a link's capability as its forecast has it."""
    forecast = link_forecast(system, loss_db=loss_db, pairs=pairs)
    return LinkCapability(
        link_id=link_id,
        expected_rate_bits_per_s=forecast.secret_rate_bits_per_s,
        block_time_s=forecast.block_time_s,
    )

"""How long a link's amplification blocks are: the proof chooses, and what it chose can be checked against it."""

from __future__ import annotations

import pytest

from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import LinkId
from qanat.physics.systems import BACKBONE_625
from qanat.protocols.prediction import ExpectedRate, expected_rate
from qanat.quantum_layer.forecast import (
    GOOD_SHARE,
    LEAST_BLOCKS,
    MOST_BLOCKS,
    RECONCILIATION_BITS,
    amplification_bits,
    expected_capability,
    link_forecast,
)

SYSTEM = BACKBONE_625.name


def at(loss_db: float, num_blocks: int) -> ExpectedRate:
    return expected_rate(BACKBONE_625, loss_db=loss_db, block_bits=num_blocks * RECONCILIATION_BITS)


def is_good(rate: ExpectedRate) -> bool:
    return rate.secret_rate_bits_per_s >= GOOD_SHARE * rate.secret_rate_asymptotic_bits_per_s


@pytest.mark.parametrize("loss_db", [0.0, 10.3, 16.0, 20.5, 30.0])
def test_four_million_bits_are_enough_for_every_span_of_the_backbone(loss_db: float) -> None:
    assert amplification_bits(SYSTEM, loss_db=loss_db) == LEAST_BLOCKS * RECONCILIATION_BITS
    assert LEAST_BLOCKS * RECONCILIATION_BITS >= 4_000_000 > (LEAST_BLOCKS - 1) * RECONCILIATION_BITS


@pytest.mark.parametrize("loss_db", [33.0, 34.5, 36.0])
def test_a_dark_link_gets_the_shortest_block_that_is_good(loss_db: float) -> None:
    num_blocks = amplification_bits(SYSTEM, loss_db=loss_db) // RECONCILIATION_BITS
    assert LEAST_BLOCKS < num_blocks < MOST_BLOCKS
    assert is_good(at(loss_db, num_blocks))
    assert not is_good(at(loss_db, num_blocks - 1))


def test_a_link_that_can_give_no_key_wastes_no_light_on_it() -> None:
    assert at(40.0, MOST_BLOCKS).secret_bits_per_block == 0
    assert amplification_bits(SYSTEM, loss_db=40.0) == LEAST_BLOCKS * RECONCILIATION_BITS


def test_the_capability_is_the_forecast_of_that_block() -> None:
    capability, forecast = expected_capability(LinkId("a-b"), SYSTEM, loss_db=34.0), link_forecast(SYSTEM, loss_db=34.0)
    assert forecast.block_bits == amplification_bits(SYSTEM, loss_db=34.0)
    assert capability.expected_rate_bits_per_s == forecast.secret_rate_bits_per_s
    assert capability.block_time_s == forecast.block_time_s


def test_an_unknown_system_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no QKD system"):
        amplification_bits("backbone-626", loss_db=10.0)

"""How long a link's amplification blocks are: the proof chooses, and what it chose can be checked against it."""

from __future__ import annotations

import math

import pytest

from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import LinkId
from qanat.ground.randomness import SeededChance
from qanat.physics.systems import BACKBONE_625
from qanat.postprocessing.reconciliation.efficiency import ERROR_RATES, MEASURED, expected_f_ec
from qanat.postprocessing.reconciliation.port import FrameShape, MethodName
from qanat.protocols.prediction import ExpectedRate
from qanat.quantum_layer.forecast import (
    GOOD_SHARE,
    LEAST_BLOCKS,
    MOST_BLOCKS,
    RECONCILIATION_BITS,
    amplification_bits,
    expected_capability,
    link_forecast,
    method_forecast,
    short_block_bits,
)
from qanat.quantum_layer.link_plan import LinkTask
from qanat.quantum_layer.link_run import LinkFigures, run_link
from qanat.simulation.entropy import SimulationEntropy
from reconciliation_support import Run, noisy_keys

SYSTEM = BACKBONE_625.name


def at(loss_db: float, num_blocks: int) -> ExpectedRate:
    return method_forecast(SYSTEM, loss_db=loss_db, block_bits=num_blocks * RECONCILIATION_BITS)


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


@pytest.mark.parametrize("loss_db", [0.0, 10.3, 20.5, 30.0, 34.5])
def test_a_short_block_is_the_shortest_that_costs_no_more_than_half_of_its_key(loss_db: float) -> None:
    num_blocks = short_block_bits(SYSTEM, loss_db=loss_db) // RECONCILIATION_BITS
    chosen = at(loss_db, amplification_bits(SYSTEM, loss_db=loss_db) // RECONCILIATION_BITS)
    assert at(loss_db, num_blocks).secret_rate_bits_per_s >= GOOD_SHARE * chosen.secret_rate_bits_per_s
    assert num_blocks == 1 or (
        at(loss_db, num_blocks - 1).secret_rate_bits_per_s < GOOD_SHARE * chosen.secret_rate_bits_per_s
    )


def test_short_blocks_of_the_backbone_take_a_fifth_of_the_light() -> None:
    for loss_db in (1.0, 10.3, 20.5):
        assert short_block_bits(SYSTEM, loss_db=loss_db) <= amplification_bits(SYSTEM, loss_db=loss_db) / 5


def test_a_link_that_can_give_no_key_is_asked_for_no_short_block() -> None:
    assert short_block_bits(SYSTEM, loss_db=40.0) == amplification_bits(SYSTEM, loss_db=40.0)


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


METHODS: tuple[MethodName, ...] = ("cascade", "winnow", "ldpc")


def run(method: MethodName, *, charges_replies: bool = False) -> LinkFigures:
    task = LinkTask(SYSTEM, 6.0, 1.6, reconciliation=method, charges_replies=charges_replies)
    chance = SeededChance(1)
    return run_link(task, chance=chance, entropy=SimulationEntropy(chance.child("entropy")))


@pytest.mark.slow
@pytest.mark.parametrize("charges_replies", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_the_forecast_of_each_method_is_what_the_light_gives(method: MethodName, charges_replies: bool) -> None:
    """One block of 10^6 bits, seed fixed: counts of decoys scatter by some per cent, and the block with them."""
    figures = run(method, charges_replies=charges_replies)
    assert figures.all_held
    assert figures.f_ec is not None
    assert figures.qber is not None
    assert figures.f_ec == pytest.approx(expected_f_ec(method, figures.qber), rel=0.03)
    forecast = method_forecast(
        SYSTEM,
        loss_db=6.0,
        block_bits=figures.block_bits,
        reconciliation=method,
        charges_replies=charges_replies,
    )
    share = figures.secret_bits / figures.key_bits
    assert share == pytest.approx(forecast.secret_bits_per_block / figures.block_bits, rel=0.05)
    told = figures.leaked_bits - figures.reply_bits * charges_replies
    assert figures.leaked_bits / told == pytest.approx(1 + charges_replies * (method != "ldpc"), rel=0.001)


@pytest.mark.parametrize("method", METHODS)
def test_the_table_of_methods_is_what_they_tell(method: MethodName) -> None:
    """Three rates, one key of 16 frames each, seed fixed: another key of the table's rates, within 3 %."""
    for place in (2, 6, 9):
        qber, shape = ERROR_RATES[place], FrameShape(16, 2**16)
        run = Run(method, *noisy_keys(place, shape, qber=qber), shape, qber)
        assert run.efficiency == pytest.approx(expected_f_ec(method, qber), rel=0.03)


def test_between_its_rates_the_table_is_interpolated_and_outside_it_is_flat() -> None:
    for method in METHODS:
        assert [expected_f_ec(method, qber) for qber in ERROR_RATES] == pytest.approx(MEASURED[method])
        assert expected_f_ec(method, 0.0) == MEASURED[method][0]
        assert expected_f_ec(method, 0.2) == MEASURED[method][-1]
    middle = math.sqrt(ERROR_RATES[1] * ERROR_RATES[2])
    assert expected_f_ec("ldpc", middle) == pytest.approx(sum(MEASURED["ldpc"][1:3]) / 2)
    with pytest.raises(ValueError, match="lies between"):
        expected_f_ec("ldpc", 0.6)


def test_a_method_that_tells_more_is_forecast_to_give_less_and_may_ask_for_longer_blocks() -> None:
    rates = [
        method_forecast(SYSTEM, loss_db=16.0, block_bits=2**22, reconciliation=method).secret_rate_bits_per_s
        for method in METHODS
    ]
    assert rates[0] > rates[2] > rates[1] > 0
    strict = method_forecast(SYSTEM, loss_db=16.0, block_bits=2**22, charges_replies=True).secret_rate_bits_per_s
    assert strict < rates[1]
    dark = [amplification_bits(SYSTEM, loss_db=35.0, reconciliation=method) for method in METHODS]
    assert dark[0] <= dark[2] <= dark[1]


def test_pairs_on_one_fibre_give_as_many_times_the_rate_of_one_in_equal_blocks() -> None:
    one = link_forecast(SYSTEM, loss_db=16.0)
    five = link_forecast(SYSTEM, loss_db=16.0, pairs=5)
    assert (five.block_bits, five.secret_bits_per_block, five.qber) == (
        one.block_bits,
        one.secret_bits_per_block,
        one.qber,
    )
    assert five.secret_rate_bits_per_s == pytest.approx(5 * one.secret_rate_bits_per_s)
    assert five.secret_rate_bits_per_s * five.block_time_s == pytest.approx(five.secret_bits_per_block, rel=0.01)
    capability = expected_capability(LinkId("a-b"), SYSTEM, loss_db=16.0, pairs=5)
    assert capability.expected_rate_bits_per_s == five.secret_rate_bits_per_s
    assert capability.block_time_s == pytest.approx(one.block_time_s / 5)

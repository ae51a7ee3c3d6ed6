"""The comparison with the paper: statements are judged as they are printed, and blocks are the least that pass."""

from __future__ import annotations

import pytest

from qanat.apps.report.comparison import (
    BLOCK_STEP_BITS,
    BLOCKS_BITS,
    STATEMENTS_4B,
    TABLE_1_RATE_BITS_PER_S,
    Span,
    Statement,
    Summary,
    compare,
    least_block_bits,
    rate_curve,
    secret_rate_bits_per_s,
    slow_spans,
)
from qanat.ground.errors import ConfigurationError
from qanat.physics.systems import BACKBONE_625
from qanat.protocols.prediction import expected_rate

SYSTEM = BACKBONE_625.name


def statement(kind: str) -> Statement:
    return next(one for one in STATEMENTS_4B if one.kind == kind)


@pytest.mark.parametrize(
    ("loss_db", "rate_bits_per_s"), [(20.5, 28.1e3), (20.5, 28.4e3), (20.0, 30e3), (10.3, 235.4e3)]
)
def test_the_block_found_passes_and_the_next_smaller_does_not(loss_db: float, rate_bits_per_s: float) -> None:
    block = least_block_bits(SYSTEM, loss_db, rate_bits_per_s=rate_bits_per_s)
    assert block is not None
    assert block % BLOCK_STEP_BITS == 0
    assert secret_rate_bits_per_s(SYSTEM, loss_db, block) > rate_bits_per_s
    assert secret_rate_bits_per_s(SYSTEM, loss_db, block - BLOCK_STEP_BITS) <= rate_bits_per_s


def test_a_span_that_passes_with_the_smallest_block_needs_no_larger_one() -> None:
    assert least_block_bits(SYSTEM, 10.3, rate_bits_per_s=28.1e3) == BLOCK_STEP_BITS


def test_no_block_passes_what_an_endless_key_does_not_reach() -> None:
    assert secret_rate_bits_per_s(SYSTEM, 22.0, None) < 28.1e3
    assert least_block_bits(SYSTEM, 22.0, rate_bits_per_s=28.1e3) is None


@pytest.mark.parametrize("loss_db", [10.3, 16.0, 20.5])
def test_rates_rise_with_the_block_and_end_below_the_endless_key(loss_db: float) -> None:
    blocks = [BLOCK_STEP_BITS * 2**power for power in range(14)]
    rates = [secret_rate_bits_per_s(SYSTEM, loss_db, block) for block in blocks]
    assert rates == sorted(rates)
    assert 0 < rates[0] < rates[-1] < secret_rate_bits_per_s(SYSTEM, loss_db, None)


def test_rates_fall_with_loss() -> None:
    for block in BLOCKS_BITS:
        curve = rate_curve(SYSTEM, block_bits=block, from_db=5, to_db=25)
        rates = [rate for _, rate in curve]
        assert len(rates) == 40
        assert rates == sorted(rates, reverse=True)


def test_a_curve_ends_where_there_is_no_key() -> None:
    curve = rate_curve(SYSTEM, block_bits=BLOCK_STEP_BITS, from_db=20, to_db=60)
    assert 0 < len(curve) < 40
    assert all(rate > 0 for _, rate in curve)


def test_the_rates_are_those_of_the_protocol() -> None:
    expected = expected_rate(BACKBONE_625, loss_db=16.0, block_bits=4_000_000)
    assert secret_rate_bits_per_s(SYSTEM, 16.0, 4_000_000) == expected.secret_rate_bits_per_s
    assert secret_rate_bits_per_s(SYSTEM, 16.0, None) == expected.secret_rate_asymptotic_bits_per_s


def test_an_unknown_system_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no QKD system 'of-somebody-else'"):
        compare([Span("a", "of-somebody-else", 16.0, 1e5)])


@pytest.mark.parametrize(
    ("kind", "rates_kbit_per_s", "holds"),
    [
        ("all above", (28.5, 300), True),
        ("all above", (28.4, 300), False),
        ("least", (28.1, 300), True),
        ("least", (28.09, 300), False),
        ("greatest", (28, 235.4), True),
        ("greatest", (28, 235.3), False),
        ("two thirds above", (60,) * 21 + (50,) * 10, True),
        ("two thirds above", (60,) * 20 + (50,) * 11, False),
        ("two thirds above", (60, 60, 40), False),
    ],
)
def test_a_statement_holds_to_the_letter(kind: str, rates_kbit_per_s: tuple[float, ...], holds: bool) -> None:
    assert statement(kind).judge([1e3 * rate for rate in rates_kbit_per_s]).holds is holds


def test_a_finding_says_how_many_links_meet_a_statement() -> None:
    finding = statement("all above").judge([20e3, 30e3, 40e3])
    assert (finding.text, finding.links) == ("least 20.0", "2 of 3 links")
    assert statement("two thirds above").judge([20e3, 60e3]).text == "1 of 2 links"


def test_the_papers_least_rates_stand_as_printed_though_they_differ() -> None:
    """Table 1 has 28.1 kbit/s as least rate; the caption of Fig. 4b says that all are above 28.4."""
    least, greatest = TABLE_1_RATE_BITS_PER_S.least, TABLE_1_RATE_BITS_PER_S.greatest
    assert least is not None
    assert greatest is not None
    judged = {one.source: one.judge([least, greatest]).holds for one in STATEMENTS_4B[:4]}
    assert judged == {
        "Fig. 4b, caption": False,
        "text on Fig. 4b": True,
        "Table 1": True,
        "Fig. 4b, Table 1": True,
    }


def test_a_row_judges_the_run_by_its_own_rates_and_the_formulas_by_loss() -> None:
    spans = [Span("low", SYSTEM, 10.3, 1.0), Span("high", SYSTEM, 20.5, 2.0)]
    row = next(row for row in compare(spans) if row.statement.kind == "least")
    assert row.run.text == "least 0.0"
    assert not row.run.holds
    assert len(row.predicted) == len(BLOCKS_BITS)
    assert [finding.holds for finding in row.predicted] == [False, False, True, True]


def test_slow_spans_are_those_at_or_below_the_bounds_slowest_first() -> None:
    spans = [Span("a", SYSTEM, 20.0, 28.4e3), Span("b", SYSTEM, 20.5, 26e3), Span("c", SYSTEM, 16.0, 70e3)]
    slow = slow_spans(spans, (28.1e3, 28.4e3))
    assert [one.span.name for one in slow] == ["b", "a"]
    first, second = slow[0].passes
    assert first is not None
    assert second is not None
    assert 9e6 < first[0] < second[0]
    assert first[1] == pytest.approx(first[0] / expected_rate(BACKBONE_625, loss_db=20.5).verified_rate_bits_per_s)


def test_ten_per_cent_more_loss_moves_the_block_that_is_needed() -> None:
    spans = [Span("as it is", SYSTEM, 19.0, 20e3), Span("perturbed", SYSTEM, 20.9, 20e3)]
    as_it_is, perturbed = slow_spans(spans, (28.1e3,))
    assert as_it_is.passes[0] is not None
    assert perturbed.passes[0] is not None
    assert perturbed.passes[0][0] > 2 * as_it_is.passes[0][0]


def test_a_summary_has_least_mean_and_greatest() -> None:
    assert Summary.of([3.0, 1.0, 2.0]) == Summary(1.0, 2.0, 3.0)

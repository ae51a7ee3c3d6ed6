"""The paper's statements on the backbone's rates (Nature 589, 214, Fig. 4 and Table 1) beside those of this network.

Nothing here is fitted. A statement holds or it does not, for the rates of a run and for those that the formulas give
the same links at other amplification blocks.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from qanat.apps.report import wording
from qanat.physics.systems import system_named
from qanat.protocols.prediction import ExpectedRate, expected_rate

BLOCK_STEP_BITS = 2**18
"""Blocks of error correction; amplification takes whole ones."""

MOST_BLOCK_BITS = 2**36
"""The largest block that ``least_block_bits`` tries."""

BLOCKS_BITS: tuple[int | None, ...] = (4_000_000, 16_000_000, 100_000_000, None)
"""Amplification blocks for which statements are judged by formula; None is a key without end."""

FORMULA_F_EC = 1.1
"""Bits told by error correction over the Shannon limit, in every rate that a formula gives here."""


@dataclass(frozen=True, slots=True)
class PaperRange:
    """Least, mean and greatest value of a column of the paper's Table 1; None where it prints none."""

    least: float | None
    mean: float | None
    greatest: float | None


TABLE_1_LOSS_DB = PaperRange(10.3, 16.0, 20.5)
TABLE_1_LENGTH_KM = PaperRange(None, 63.8, None)
TABLE_1_RATE_BITS_PER_S = PaperRange(28.1e3, 79.3e3, 235.4e3)


@dataclass(frozen=True, slots=True)
class Span:
    """A link as the comparison sees it; ``rate_bits_per_s`` is its secret rate in the run."""

    name: str
    system: str
    loss_db: float
    rate_bits_per_s: float


@dataclass(frozen=True, slots=True)
class Finding:
    """What rates say to a statement: the figure (kbit/s) in words, how many links meet it, and whether it holds."""

    text: str
    holds: bool
    links: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of the paper on a set of links. ``kind``: what is compared with ``bound_bits_per_s``.

    ``all above``: every rate is greater. ``least``, ``greatest``: that rate reaches the bound. ``two thirds above``:
    more than two thirds of the rates are greater.
    """

    text: str
    source: str
    kind: Literal["all above", "least", "greatest", "two thirds above"]
    bound_bits_per_s: float

    def judge(self, rates_bits_per_s: Sequence[float]) -> Finding:
        """Return whether the statement holds for these rates (bit/s, at least one)."""
        bound, num_links = self.bound_bits_per_s, len(rates_bits_per_s)
        least, greatest = min(rates_bits_per_s), max(rates_bits_per_s)
        num_above = sum(rate > bound for rate in rates_bits_per_s)
        if self.kind == "all above":
            return Finding(f"least {_kbit(least)}", least > bound, f"{num_above} of {num_links} links")
        if self.kind == "least":
            return Finding(f"least {_kbit(least)}", least >= bound)
        if self.kind == "greatest":
            return Finding(f"greatest {_kbit(greatest)}", greatest >= bound)
        return Finding(f"{num_above} of {num_links} links", 3 * num_above > 2 * num_links)


STATEMENTS_4B = (
    Statement("all 31 links: higher than 28.4 kbit/s", "Fig. 4b, caption", "all above", 28.4e3),
    Statement("all 31 links: much higher than 28 kbit/s", "text on Fig. 4b", "all above", 28.0e3),
    Statement("least rate 28.1 kbit/s", "Table 1", "least", 28.1e3),
    Statement("greatest rate 235.4 kbit/s", "Fig. 4b, Table 1", "greatest", 235.4e3),
    Statement("more than two thirds of the links: above 50.0 kbit/s", "Fig. 4b", "two thirds above", 50.0e3),
)
"""What the paper says of December 2017, as it prints it. It gives three figures for the least rate."""

STATEMENT_4A = Statement(
    "between two cities, the least rate of all links in between: generally more than 20 kbit/s",
    "text on Fig. 4a, year 2017",
    "all above",
    20.0e3,
)


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """A statement, what the run says to it, and what formulas say at each of ``BLOCKS_BITS``."""

    statement: Statement
    run: Finding
    predicted: tuple[Finding, ...]


def compare(spans: Sequence[Span], statements: Sequence[Statement] = STATEMENTS_4B) -> list[ComparisonRow]:
    """Return a row per statement for ``spans`` (at least one). Raises ConfigurationError on an unknown system."""
    run = [span.rate_bits_per_s for span in spans]
    columns = [[secret_rate_bits_per_s(s.system, s.loss_db, block) for s in spans] for block in BLOCKS_BITS]
    return [
        ComparisonRow(statement, statement.judge(run), tuple(statement.judge(column) for column in columns))
        for statement in statements
    ]


def secret_rate_bits_per_s(system: str, loss_db: float, block_bits: int | None) -> float:
    """Return the secret rate that formulas give; ``block_bits`` verified bits per block, None: a key without end."""
    if block_bits is None:
        return _expected(system, loss_db, BLOCK_STEP_BITS).secret_rate_asymptotic_bits_per_s
    return _expected(system, loss_db, block_bits).secret_rate_bits_per_s


@lru_cache(maxsize=4096)
def _expected(system: str, loss_db: float, block_bits: int) -> ExpectedRate:
    return expected_rate(system_named(system), loss_db=loss_db, block_bits=block_bits, f_ec=FORMULA_F_EC)


@lru_cache(maxsize=1024)
def least_block_bits(system: str, loss_db: float, *, rate_bits_per_s: float) -> int | None:
    """Return the least block, a multiple of 2^18 bits, whose secret rate is above ``rate_bits_per_s``.

    Returns None when no block up to 2^36 bits has it. The rate rises with the block, so halving finds the place.
    """
    if _passes(system, loss_db, MOST_BLOCK_BITS, rate_bits_per_s):
        below, above = 0, MOST_BLOCK_BITS // BLOCK_STEP_BITS
        while above - below > 1:
            middle = (below + above) // 2
            if _passes(system, loss_db, middle * BLOCK_STEP_BITS, rate_bits_per_s):
                above = middle
            else:
                below = middle
        return above * BLOCK_STEP_BITS
    return None


def _passes(system: str, loss_db: float, block_bits: int, rate_bits_per_s: float) -> bool:
    return secret_rate_bits_per_s(system, loss_db, block_bits) > rate_bits_per_s


@dataclass(frozen=True, slots=True)
class SlowSpan:
    """A span at or below a bound in the run. ``passes``: for each bound, the least block above it and the seconds of
    light that it needs; None when no block is enough."""

    span: Span
    endless_rate_bits_per_s: float
    passes: tuple[tuple[int, float] | None, ...]


def slow_spans(spans: Sequence[Span], bounds_bits_per_s: Sequence[float]) -> list[SlowSpan]:
    """Return the spans that the run has at or below the greatest bound, slowest first."""
    return [
        SlowSpan(
            span,
            secret_rate_bits_per_s(span.system, span.loss_db, None),
            tuple(_block_and_light(span, bound) for bound in bounds_bits_per_s),
        )
        for span in sorted(spans, key=lambda span: span.rate_bits_per_s)
        if span.rate_bits_per_s <= max(bounds_bits_per_s)
    ]


def _block_and_light(span: Span, bound_bits_per_s: float) -> tuple[int, float] | None:
    block = least_block_bits(span.system, span.loss_db, rate_bits_per_s=bound_bits_per_s)
    return None if block is None else (block, _expected(span.system, span.loss_db, block).block_time_s)


@dataclass(frozen=True, slots=True)
class Summary:
    """Least, mean and greatest of a quantity over some links."""

    least: float
    mean: float
    greatest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Return the summary of at least one value."""
        return cls(min(values), statistics.fmean(values), max(values))


def rate_curve(
    system: str, *, block_bits: int | None, from_db: float, to_db: float, num_points: int = 40
) -> list[tuple[float, float]]:
    """Return (loss in dB, secret rate in bit/s by formula) at evenly spaced losses where there is key."""
    step_db = (to_db - from_db) / (num_points - 1)
    losses_db = [round(from_db + number * step_db, 6) for number in range(num_points)]
    points = [(loss_db, secret_rate_bits_per_s(system, loss_db, block_bits)) for loss_db in losses_db if loss_db >= 0]
    return [(loss_db, rate) for loss_db, rate in points if rate > 0]


def _kbit(bits_per_s: float) -> str:
    return wording.kilobits_per_s(bits_per_s)

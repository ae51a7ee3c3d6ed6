"""How far the drawn gains and QBERs lie from the model, in standard errors: each one, and all of them together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from qanat.apps.pictures.svg import Sheet
from qanat.apps.report.charts import Axes, ticks
from qanat.apps.report.result import IntensitySample, LinkResult

EDGE_SIGMA = 5.0
"""What lies beyond is drawn at the edge, as an alarm."""

BIN_SIGMA = 0.5
FEWEST = 30
"""With fewer values than this a histogram says nothing."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """One drawn value: its distance from the model in its own standard errors."""

    link_id: str
    intensity: str
    quantity: Literal["gain", "QBER"]
    sigma: float


def deviations_of(sample: IntensitySample, link_id: str = "") -> list[Deviation]:
    """Return the deviations of a sample's gain and QBER; a value without a standard error has none."""
    found = []
    if sample.gain_sigma:
        found.append(Deviation(link_id, sample.name, "gain", (sample.gain - sample.gain_model) / sample.gain_sigma))
    if sample.qber is not None and sample.qber_model is not None and sample.qber_sigma:
        found.append(Deviation(link_id, sample.name, "QBER", (sample.qber - sample.qber_model) / sample.qber_sigma))
    return found


def all_deviations(links: Sequence[LinkResult]) -> list[Deviation]:
    """Return the deviations of all links, intensities and quantities."""
    return [one for link in links for sample in link.intensities for one in deviations_of(sample, link.link_id)]


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation of many deviations, with what chance allows them (one standard error each)."""

    count: int
    mean: float
    mean_error: float
    deviation: float
    deviation_error: float
    num_beyond_2: int
    expected_beyond_2: float
    furthest: Deviation


def spread_of(deviations: Sequence[Deviation]) -> Spread:
    """Return the spread of at least two deviations. Exact drawing gives mean 0 and deviation 1, within the errors."""
    values = [one.sigma for one in deviations]
    return Spread(
        count=len(values),
        mean=statistics.fmean(values),
        mean_error=1 / math.sqrt(len(values)),
        deviation=statistics.pstdev(values, 0.0),
        deviation_error=1 / math.sqrt(2 * len(values)),
        num_beyond_2=sum(abs(value) > 2 for value in values),
        expected_beyond_2=len(values) * math.erfc(math.sqrt(2)),
        furthest=max(deviations, key=lambda one: abs(one.sigma)),
    )


def expected_in_bin(low: float, high: float, count: int) -> float:
    """Return how many of ``count`` standard normal values are expected between ``low`` and ``high``."""
    return count * (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2


def draw_deviations(deviations: Sequence[Deviation]) -> str:
    """Return the histogram of all deviations with the normal curve, and below it a strip per kind of value."""
    kinds = list(dict.fromkeys((one.quantity, one.intensity) for one in sorted(deviations, key=lambda o: o.quantity)))
    row, top, height = 22.0, 26.0, 190.0
    sheet = Sheet(980, top + height + row * len(kinds) + 62, label="deviations from the model in standard errors")
    _draw_histogram(sheet, deviations, top=top, height=height)
    strips_top = top + height + 34
    axes = Axes(180, strips_top, 620, row * len(kinds), (-EDGE_SIGMA, EDGE_SIGMA), (0, 1))
    sheet.rectangle(axes.x(-2), strips_top, axes.x(2) - axes.x(-2), axes.height, "band")
    sheet.line(axes.x(0), strips_top, axes.x(0), strips_top + axes.height, "stroke axis")
    for number, kind in enumerate(kinds):
        y = strips_top + row * (number + 0.5)
        sheet.text(170, y + 4, f"{kind[0]}, {kind[1]}", "tiny", anchor="end")
        for one in deviations:
            if (one.quantity, one.intensity) == kind:
                inside = max(-EDGE_SIGMA, min(EDGE_SIGMA, one.sigma))
                sheet.circle(axes.x(inside), y, 3.4, "dot" if inside == one.sigma else "mark-alarm")
    sheet.text(490, sheet.height - 6, "distance from the model, standard errors", "tiny muted", anchor="middle")
    return sheet.render()


def _draw_histogram(sheet: Sheet, deviations: Sequence[Deviation], *, top: float, height: float) -> None:
    num_bins = round(2 * EDGE_SIGMA / BIN_SIGMA)
    counts = [0] * num_bins
    for one in deviations:
        counts[max(0, min(num_bins - 1, math.floor((one.sigma + EDGE_SIGMA) / BIN_SIGMA)))] += 1
    most = 1.15 * max(*counts, expected_in_bin(0, BIN_SIGMA, len(deviations)))
    axes = Axes(180, top, 620, height, (-EDGE_SIGMA, EDGE_SIGMA), (0, most))
    levels = [(value, f"{value:g}") for value in ticks(0, most, about=4)]
    axes.draw(sheet, x_ticks=ticks(-EDGE_SIGMA, EDGE_SIGMA, about=10), y_ticks=levels)
    sheet.text(180, top - 10, f"how many of {len(deviations)} values, in steps of {BIN_SIGMA:g}", "tiny strong")
    for number, count in enumerate(counts):
        x, end = (axes.x(-EDGE_SIGMA + BIN_SIGMA * place) for place in (number, number + 1))
        sheet.rectangle(x + 1, axes.y(count), end - x - 2, axes.y(0) - axes.y(count), "bar")
    curve = [-EDGE_SIGMA + 0.1 * step for step in range(round(20 * EDGE_SIGMA) + 1)]
    density = len(deviations) * BIN_SIGMA / math.sqrt(2 * math.pi)
    sheet.polyline([(axes.x(at), axes.y(density * math.exp(-at * at / 2))) for at in curve], "series c1")
    sheet.text(axes.x(1.35), axes.y(density * 0.55), "expected: normal, nothing fitted", "tiny")

"""Charts of a run: the life of the key, pools over time, rate against loss, deviations from the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qanat.apps.pictures.svg import Sheet, round_step
from qanat.apps.report import wording
from qanat.apps.report.result import LifeStage, PoolSample

NUM_COLOURS = 6
"""Series colours of the style sheet, ``c0`` to ``c5``; a seventh series begins again."""


def draw_life(stages: Sequence[LifeStage], *, title: str) -> str:
    """Return the cascade of a link's key: one bar per stage, and what was lost on the way to it."""
    row, head, name_x, bar_x, bar_width = 34.0, 8.0, 138.0, 150.0, 400.0
    sheet = Sheet(980, head + row * len(stages) + 4, label=f"what became of the bits of {title}")
    scale = bar_width / max(1, *(stage.num_bits for stage in stages))
    before = stages[0].num_bits if stages else 0
    for place, stage in enumerate(stages):
        y = head + row * place
        width, lost = stage.num_bits * scale, before - stage.num_bits
        sheet.text(name_x, y + 17, stage.name, "label", anchor="end")
        sheet.rectangle(bar_x, y + 3, bar_width, 20, "bar-track", round_by=2)
        if lost > 0:
            sheet.rectangle(bar_x + width, y + 3, lost * scale, 20, "bar-lost")
        sheet.rectangle(bar_x, y + 3, width, 20, "bar-secret" if place == len(stages) - 1 else "bar", round_by=2)
        sheet.text(bar_x + bar_width + 12, y + 12, f"{wording.count(stage.num_bits)} bits", "label mono")
        if lost > 0:
            sheet.text(
                bar_x + bar_width + 12, y + 25, f"− {wording.count(lost)}: {_shortened(stage.gone_to)}", "tiny muted"
            )
        before = stage.num_bits
    return sheet.render()


def _shortened(text: str, most: int = 62) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


@dataclass(frozen=True, slots=True)
class Axes:
    """A frame with linear x and linear or logarithmic y."""

    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    is_log: bool = False

    def x(self, value: float) -> float:
        low, high = self.x_range
        return self.left + self.width * (value - low) / (high - low)

    def y(self, value: float) -> float:
        low, high = self.y_range
        if self.is_log:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, low))
        return self.top + self.height * (1 - (value - low) / (high - low))

    def draw(self, sheet: Sheet, *, x_ticks: Sequence[float], y_ticks: Sequence[tuple[float, str]]) -> None:
        """Draw grid, ticks and frame."""
        for value, text in y_ticks:
            y = self.y(value)
            sheet.line(self.left, y, self.left + self.width, y, "stroke grid")
            sheet.text(self.left - 8, y + 4, text, "tiny muted", anchor="end")
        bottom = self.top + self.height
        for value in x_ticks:
            x = self.x(value)
            sheet.line(x, bottom, x, bottom + 5, "stroke axis")
            sheet.text(x, bottom + 18, f"{value:g}", "tiny muted", anchor="middle")
        sheet.line(self.left, bottom, self.left + self.width, bottom, "stroke axis")


def ticks(low: float, high: float, *, about: int) -> list[float]:
    """Return round values from ``low`` to ``high``."""
    step = round_step(max(high - low, 1e-9) / about)
    return [round(number * step, 9) for number in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]


def draw_pools(samples: Sequence[PoolSample]) -> str:
    """Return the pools' levels over time, in steps, each named at its right end."""
    start_s = min(sample.monotonic_s for sample in samples)
    span_s = max(1e-3, max(sample.monotonic_s for sample in samples) - start_s)
    top_bits = max(1.0, max(sample.num_bits for sample in samples) * 1.05)
    sheet = Sheet(980, 320, label="key in the pools over time")
    axes = Axes(70, 16, 640, 258, (0, span_s), (0, top_bits))
    axes.draw(
        sheet,
        x_ticks=ticks(0, span_s, about=8),
        y_ticks=[(value, wording.short_bits(value) if value else "0") for value in ticks(0, top_bits, about=5)],
    )
    sheet.text(axes.left + axes.width / 2, 314, "seconds since the first look", "tiny muted", anchor="middle")
    names = sorted({sample.pool for sample in samples})
    ends: list[tuple[float, str, int]] = []
    for place, name in enumerate(names):
        series = sorted((sample.monotonic_s, sample.num_bits) for sample in samples if sample.pool == name)
        points = [(axes.x(series[0][0] - start_s), axes.y(series[0][1]))]
        for moment_s, num_bits in series[1:]:
            x = axes.x(moment_s - start_s)
            points += [(x, points[-1][1]), (x, axes.y(num_bits))]
        points.append((axes.left + axes.width, points[-1][1]))
        sheet.polyline(points, f"series c{place % NUM_COLOURS}")
        ends.append((points[-1][1], name, place))
    _draw_names(sheet, ends, x=axes.left + axes.width)
    return sheet.render()


def _draw_names(sheet: Sheet, ends: Sequence[tuple[float, str, int]], *, x: float) -> None:
    """Name each series at its end; names that would touch are moved apart."""
    places: list[float] = []
    for y, _, _ in sorted(ends):
        places.append(max(y, places[-1] + 15) if places else y)
    overhang = max(0.0, places[-1] - 280)
    for (y, name, place), at in zip(sorted(ends), places, strict=True):
        label_y = at - overhang
        sheet.line(x, y, x + 14, label_y, f"stroke c{place % NUM_COLOURS}")
        sheet.text(x + 18, label_y + 4, name, "tiny")


@dataclass(frozen=True, slots=True)
class RatePoint:
    """A secret rate at a loss; ``series`` is ``paper``, ``drawn`` or ``model``."""

    series: str
    loss_db: float
    rate_bits_per_s: float


def draw_rates(points: Sequence[RatePoint]) -> str:
    """Return secret rate against loss, rate logarithmic."""
    rates = [point.rate_bits_per_s for point in points if point.rate_bits_per_s > 0]
    losses = [point.loss_db for point in points]
    low, high = 10 ** math.floor(math.log10(min(rates))), 10 ** math.ceil(math.log10(max(rates) * 1.01))
    sheet = Sheet(520, 330, label="secret rate against loss")
    axes = Axes(70, 26, 430, 250, (min(losses) - 1.5, max(losses) + 1.5), (low, high), is_log=True)
    marks = [
        (step * 10.0**power, f"{step * 10.0**power / 1e3:g}")
        for power in range(round(math.log10(low)), round(math.log10(high)) + 1)
        for step in (1, 2, 5)
        if low <= step * 10.0**power <= high
    ]
    axes.draw(sheet, x_ticks=ticks(*axes.x_range, about=8), y_ticks=marks)
    sheet.text(axes.left + axes.width / 2, 318, "loss of the fibre (dB)", "tiny muted", anchor="middle")
    sheet.text(axes.left - 8, 11, "kbit/s", "tiny muted", anchor="end")
    for point in points:
        if point.rate_bits_per_s > 0:
            _draw_mark(sheet, point.series, axes.x(point.loss_db), axes.y(point.rate_bits_per_s))
    for place, (series, text) in enumerate(
        (("paper", "paper, Table 1"), ("drawn", "this run, photon level"), ("model", "this model, same block"))
    ):
        if any(point.series == series for point in points):
            _draw_mark(sheet, series, 330, 40 + 18 * place)
            sheet.text(342, 44 + 18 * place, text, "tiny")
    return sheet.render()


def _draw_mark(sheet: Sheet, series: str, x: float, y: float) -> None:
    if series == "paper":
        sheet.polygon([(x, y - 7), (x + 7, y), (x, y + 7), (x - 7, y)], "mark-paper")
    elif series == "model":
        sheet.line(x - 8, y, x + 8, y, "mark-model")
    else:
        sheet.circle(x, y, 5, "mark-drawn")


def draw_deviation(deviation_sigma: float) -> str:
    """Return a small scale from -5 to 5 standard errors with a mark; beyond it the mark stands at the edge, red."""
    sheet = Sheet(150, 22, label=f"{deviation_sigma:+.1f} standard errors from the model")
    middle, per_sigma = 75.0, 14.0
    sheet.rectangle(middle - 2 * per_sigma, 4, 4 * per_sigma, 14, "band")
    sheet.line(middle - 5 * per_sigma, 11, middle + 5 * per_sigma, 11, "stroke grid")
    for tick in (-5, 0, 5):
        sheet.line(middle + tick * per_sigma, 5, middle + tick * per_sigma, 17, "stroke axis")
    inside = max(-5.0, min(5.0, deviation_sigma))
    sheet.circle(middle + inside * per_sigma, 11, 4, "mark-drawn" if inside == deviation_sigma else "mark-alarm")
    return sheet.render()

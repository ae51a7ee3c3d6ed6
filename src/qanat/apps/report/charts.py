"""Charts of a run: the life of the key, rate against loss, one deviation from the model; and the axes of all charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qanat.apps.pictures.svg import Sheet, round_step
from qanat.apps.report import wording
from qanat.apps.report.result import LifeStage


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


@dataclass(frozen=True, slots=True)
class RatePoint:
    """A secret rate at a loss; ``series`` is ``paper`` or ``drawn``."""

    series: str
    loss_db: float
    rate_bits_per_s: float


@dataclass(frozen=True, slots=True)
class RateCurve:
    """Secret rate over loss by formula: (dB, bit/s) in order of loss. ``style`` is ``solid`` or ``dashed``."""

    text: str
    style: str
    points: Sequence[tuple[float, float]]


def draw_rates(points: Sequence[RatePoint], curves: Sequence[RateCurve] = ()) -> str:
    """Return secret rate against loss, rate logarithmic; curves are clipped to the frame."""
    rates = [point.rate_bits_per_s for point in points if point.rate_bits_per_s > 0]
    losses = [point.loss_db for point in points]
    low, high = round_step(0.9 * min(rates)), 1 / round_step(1 / (1.2 * max(rates)))
    sheet = Sheet(520, 350, label="secret rate against loss")
    axes = Axes(62, 26, 446, 274, (min(losses) - 1, max(losses) + 1), (low, high), is_log=True)
    marks = [
        (step * 10.0**power, f"{step * 10.0**power / 1e3:g}")
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for step in (1, 2, 5)
        if low * 0.999 <= step * 10.0**power <= high * 1.001
    ]
    axes.draw(sheet, x_ticks=ticks(*axes.x_range, about=8), y_ticks=marks)
    sheet.text(axes.left + axes.width / 2, 342, "loss of the fibre (dB)", "tiny muted", anchor="middle")
    sheet.text(axes.left - 8, 11, "kbit/s", "tiny muted", anchor="end")
    for curve in curves:
        inside = [point for point in curve.points if low <= point[1] <= high]
        sheet.polyline([(axes.x(loss_db), axes.y(rate)) for loss_db, rate in inside], f"series curve {curve.style}")
    for point in points:
        if point.rate_bits_per_s > 0:
            draw_mark(sheet, point.series, axes.x(point.loss_db), axes.y(point.rate_bits_per_s))
    _draw_rates_legend(sheet, {point.series for point in points}, curves)
    return sheet.render()


def _draw_rates_legend(sheet: Sheet, series: set[str], curves: Sequence[RateCurve]) -> None:
    x, y = 300.0, 34.0
    for name, text in (("paper", "paper, Table 1"), ("drawn", "this run, photon level")):
        if name in series:
            draw_mark(sheet, name, x, y)
            sheet.text(x + 16, y + 4, text, "tiny halo-paper")
            y += 18
    for curve in curves:
        sheet.line(x - 10, y, x + 10, y, f"series curve {curve.style}")
        sheet.text(x + 16, y + 4, curve.text, "tiny halo-paper")
        y += 18


def draw_mark(sheet: Sheet, series: str, x: float, y: float) -> None:
    """Draw the mark of a series (``paper``, or ``drawn`` at photon level) about a point."""
    if series == "paper":
        sheet.polygon([(x, y - 7), (x + 7, y), (x, y + 7), (x - 7, y)], "mark-paper")
    else:
        sheet.circle(x, y, 4, "mark-drawn")


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

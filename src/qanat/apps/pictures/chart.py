"""Charts on a surface: a frame with axes, curves and marks, in SVG or PNG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from qanat.apps.pictures.surface import Surface
from qanat.apps.pictures.svg import round_step

SERIES = ("light", "user", "relay", "ink")
"""Words of colour for up to four series."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Axes of one chart: linear x, linear or logarithmic y."""

    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    is_log: bool = False

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return where a value stands on the surface; what is outside stands at the edge."""
        low, high = self.x_range
        across = min(max((x - low) / (high - low), 0.0), 1.0)
        low, high = self.y_range
        if self.is_log:
            low, high, y = math.log10(low), math.log10(high), math.log10(max(y, low))
        up = min(max((y - low) / (high - low), 0.0), 1.0)
        return self.left + self.width * across, self.top + self.height * (1 - up)

    def draw(self, surface: Surface, *, title: str, x_title: str, y_title: str, has_x_ticks: bool = True) -> None:
        """Draw title, grid, ticks and frame; without ticks on the x axis where it has names of its own."""
        bottom, right = self.top + self.height, self.left + self.width
        surface.text(self.left, self.top - 14, title, "label strong")
        for value in self._y_ticks():
            y = self.at(self.x_range[0], value)[1]
            surface.line(self.left, y, right, y, "stroke grid")
            surface.text(self.left - 8, y + 4, _figure(value), "tiny muted", anchor="end")
        for value in ticks(*self.x_range, about=max(3, round(self.width / 90))) if has_x_ticks else ():
            x = self.at(value, self.y_range[0])[0]
            surface.line(x, bottom, x, bottom + 5, "stroke ink")
            surface.text(x, bottom + 18, _figure(value), "tiny muted", anchor="middle")
        surface.line(self.left, bottom, right, bottom, "stroke ink")
        surface.text(self.left + self.width / 2, bottom + 36, x_title, "tiny muted", anchor="middle")
        surface.text(self.left - 54, self.top + self.height / 2, y_title, "tiny muted", anchor="middle", turned_deg=-90)

    def curve(self, surface: Surface, points: Sequence[tuple[float, float]], style: str) -> None:
        """Draw a line through points."""
        if len(points) > 1:
            surface.polyline([self.at(x, y) for x, y in points], style)

    def level(self, surface: Surface, value: float, text: str) -> None:
        """Draw a horizontal line with a word to it, such as a threshold."""
        (x1, y), (x2, _) = self.at(self.x_range[0], value), self.at(self.x_range[1], value)
        surface.line(x1, y, x2, y, "stroke link apart ink")
        surface.text(x1 + 6, y - 5, text, "tiny muted")

    def _y_ticks(self) -> list[float]:
        low, high = self.y_range
        if not self.is_log:
            return ticks(low, high, about=5)
        return [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]


def ticks(low: float, high: float, *, about: int) -> list[float]:
    """Return round values from ``low`` to ``high``."""
    step = round_step(max(high - low, 1e-12) / about)
    return [round(number * step, 12) for number in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]


def legend(surface: Surface, x: float, y: float, names: Sequence[str]) -> None:
    """Draw the names of series side by side, each with its colour."""
    for name, style in zip(names, SERIES, strict=False):
        surface.rectangle(x, y - 9, 10, 10, "fill light" if style == "light" else style)
        surface.text(x + 15, y, name, "tiny muted")
        x += 30 + 6.6 * len(name)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"

"""A sheet to draw on: the few SVG elements that the pictures need, escaped, with colours left to the style sheet."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import Literal

Anchor = Literal["start", "middle", "end"]


class Sheet:
    """An SVG picture of ``width`` x ``height`` user units; ``label`` says in words what it shows."""

    def __init__(self, width: float, height: float, *, label: str) -> None:
        self.width = width
        self.height = height
        self._label = label
        self._elements: list[str] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str) -> None:
        self._add("line", style, x1=x1, y1=y1, x2=x2, y2=y2)

    def rectangle(self, x: float, y: float, width: float, height: float, style: str, *, round_by: float = 0) -> None:
        self._add("rect", style, x=x, y=y, width=max(0.0, width), height=max(0.0, height), rx=round_by)

    def circle(self, x: float, y: float, radius: float, style: str) -> None:
        self._add("circle", style, cx=x, cy=y, r=radius)

    def polyline(self, points: Iterable[tuple[float, float]], style: str) -> None:
        self._add("polyline", style, points=_points(points))

    def polygon(self, points: Iterable[tuple[float, float]], style: str) -> None:
        self._add("polygon", style, points=_points(points))

    def path(self, commands: str, style: str) -> None:
        self._add("path", style, d=commands)

    def text(
        self, x: float, y: float, text: str, style: str = "", *, anchor: Anchor = "start", turned_deg: float = 0
    ) -> None:
        """Text with its base line at ``y``, turned clockwise about (x, y)."""
        attributes = f'x="{_number(x)}" y="{_number(y)}" text-anchor="{anchor}"'
        if turned_deg:
            attributes += f' transform="rotate({_number(turned_deg)} {_number(x)} {_number(y)})"'
        self._elements.append(f'<text {attributes} class="{escape(style)}">{escape(text)}</text>')

    def arrow(self, x1: float, y1: float, x2: float, y2: float, style: str, *, head: float = 7) -> None:
        """A straight arrow with a filled head at its second end."""
        length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
        along_x, along_y = (x2 - x1) / length, (y2 - y1) / length
        foot_x, foot_y = x2 - head * along_x, y2 - head * along_y
        self.line(x1, y1, foot_x, foot_y, f"stroke {style}")
        half = 0.45 * head
        self.polygon(
            [
                (x2, y2),
                (foot_x - half * along_y, foot_y + half * along_x),
                (foot_x + half * along_y, foot_y - half * along_x),
            ],
            f"fill {style}",
        )

    def render(self) -> str:
        """Return the picture as an element that stands in an HTML page."""
        box = f'viewBox="0 0 {_number(self.width)} {_number(self.height)}"'
        return f'<svg {box} role="img" aria-label="{escape(self._label)}">{"".join(self._elements)}</svg>'

    def _add(self, name: str, style: str, **attributes: float | str) -> None:
        spelled = " ".join(
            f'{key}="{escape(value) if isinstance(value, str) else _number(value)}"'
            for key, value in attributes.items()
        )
        self._elements.append(f'<{name} class="{escape(style)}" {spelled}/>')


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _points(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in points)


def round_step(value: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is at most ``value`` (above zero)."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(float(f"{step * power:.6g}") for step in (5, 2, 1) if step * power <= value * (1 + 1e-9))

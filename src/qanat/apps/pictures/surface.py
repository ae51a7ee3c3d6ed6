"""What a picture is drawn on: the few elements that all of ours need, whatever becomes of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal, Protocol

Anchor = Literal["start", "middle", "end"]


class Surface(Protocol):
    """A sheet of ``width`` x ``height`` units, from the top left. A style is words, such as ``"label strong"``.

    ``tip`` is what a reader with a mouse sees on pointing at the element; paper leaves it out.
    """

    width: float
    height: float

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str, *, tip: str = "") -> None: ...

    def rectangle(
        self, x: float, y: float, width: float, height: float, style: str, *, round_by: float = 0
    ) -> None: ...

    def circle(self, x: float, y: float, radius: float, style: str, *, tip: str = "") -> None: ...

    def polyline(self, points: Iterable[tuple[float, float]], style: str) -> None: ...

    def polygon(self, points: Iterable[tuple[float, float]], style: str, *, tip: str = "") -> None: ...

    def text(
        self, x: float, y: float, text: str, style: str = "", *, anchor: Anchor = "start", turned_deg: float = 0
    ) -> None: ...


def draw_arrow(surface: Surface, x1: float, y1: float, x2: float, y2: float, style: str, *, head: float = 7) -> None:
    """Draw a straight arrow with a filled head at its second end; the ends differ."""
    length = math.hypot(x2 - x1, y2 - y1)
    along_x, along_y = (x2 - x1) / length, (y2 - y1) / length
    foot_x, foot_y = x2 - head * along_x, y2 - head * along_y
    surface.line(x1, y1, foot_x, foot_y, f"stroke {style}")
    half = 0.45 * head
    surface.polygon(
        [
            (x2, y2),
            (foot_x - half * along_y, foot_y + half * along_x),
            (foot_x + half * along_y, foot_y - half * along_x),
        ],
        f"fill {style}",
    )


class Shifted:
    """A part of a sheet with its own top left at (left, top) of another. It is a Surface; nothing is cut off."""

    def __init__(self, surface: Surface, left: float, top: float) -> None:
        self.width = surface.width - left
        self.height = surface.height - top
        self._surface, self._left, self._top = surface, left, top

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str, *, tip: str = "") -> None:
        x1, x2, y1, y2 = x1 + self._left, x2 + self._left, y1 + self._top, y2 + self._top
        self._surface.line(x1, y1, x2, y2, style, tip=tip)

    def rectangle(self, x: float, y: float, width: float, height: float, style: str, *, round_by: float = 0) -> None:
        self._surface.rectangle(x + self._left, y + self._top, width, height, style, round_by=round_by)

    def circle(self, x: float, y: float, radius: float, style: str, *, tip: str = "") -> None:
        self._surface.circle(x + self._left, y + self._top, radius, style, tip=tip)

    def polyline(self, points: Iterable[tuple[float, float]], style: str) -> None:
        self._surface.polyline(self._moved(points), style)

    def polygon(self, points: Iterable[tuple[float, float]], style: str, *, tip: str = "") -> None:
        self._surface.polygon(self._moved(points), style, tip=tip)

    def text(
        self, x: float, y: float, text: str, style: str = "", *, anchor: Anchor = "start", turned_deg: float = 0
    ) -> None:
        self._surface.text(x + self._left, y + self._top, text, style, anchor=anchor, turned_deg=turned_deg)

    def _moved(self, points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(x + self._left, y + self._top) for x, y in points]

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

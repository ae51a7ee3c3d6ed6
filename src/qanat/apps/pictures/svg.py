"""A sheet to draw on: the few SVG elements that the pictures need, escaped, with colours left to the style sheet."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

from qanat.apps.pictures.surface import Anchor, draw_arrow


class Sheet:
    """An SVG picture of ``width`` x ``height`` user units; ``label`` says in words what it shows.

    ``kind`` is a word for style sheets; ``style_sheet`` travels inside the picture. It is a Surface.
    """

    def __init__(self, width: float, height: float, *, label: str, kind: str = "", style_sheet: str = "") -> None:
        self.width = width
        self.height = height
        self._label = label
        self._kind = kind
        self._style_sheet = style_sheet
        self._elements: list[str] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str, *, tip: str = "") -> None:
        self._add("line", style, tip, x1=x1, y1=y1, x2=x2, y2=y2)

    def rectangle(self, x: float, y: float, width: float, height: float, style: str, *, round_by: float = 0) -> None:
        self._add("rect", style, "", x=x, y=y, width=max(0.0, width), height=max(0.0, height), rx=round_by)

    def circle(self, x: float, y: float, radius: float, style: str, *, tip: str = "") -> None:
        self._add("circle", style, tip, cx=x, cy=y, r=radius)

    def polyline(self, points: Iterable[tuple[float, float]], style: str) -> None:
        self._add("polyline", style, "", points=_points(points))

    def polygon(self, points: Iterable[tuple[float, float]], style: str, *, tip: str = "") -> None:
        self._add("polygon", style, tip, points=_points(points))

    def path(self, commands: str, style: str) -> None:
        self._add("path", style, "", d=commands)

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
        draw_arrow(self, x1, y1, x2, y2, style, head=head)

    def render(self) -> str:
        """Return the picture as an element that stands in an HTML page."""
        return self._render("")

    def render_file(self) -> str:
        """Return the picture as the text of an SVG file: it names its language, has a size and a white ground."""
        size = f'xmlns="http://www.w3.org/2000/svg" width="{_number(self.width)}" height="{_number(self.height)}" '
        ground = f'<rect width="{_number(self.width)}" height="{_number(self.height)}" fill="#ffffff"/>'
        return self._render(size, ground) + "\n"

    def _render(self, attributes: str, ground: str = "") -> str:
        if self._kind:
            attributes = f'class="{escape(self._kind)}" {attributes}'
        sheet = f"<style>{escape(self._style_sheet, quote=False)}</style>" if self._style_sheet else ""
        box = f'viewBox="0 0 {_number(self.width)} {_number(self.height)}"'
        head = f'<svg {attributes}{box} role="img" aria-label="{escape(self._label)}">'
        return f"{head}{sheet}{ground}{''.join(self._elements)}</svg>"

    def _add(self, name: str, style: str, tip: str, **attributes: float | str) -> None:
        spelled = " ".join(
            f'{key}="{escape(value) if isinstance(value, str) else _number(value)}"'
            for key, value in attributes.items()
        )
        end = f"><title>{escape(tip)}</title></{name}>" if tip else "/>"
        self._elements.append(f'<{name} class="{escape(style)}" {spelled}{end}')


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _points(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in points)


def round_step(value: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is at most ``value`` (above zero)."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(float(f"{step * power:.6g}") for step in (5, 2, 1) if step * power <= value * (1 + 1e-9))

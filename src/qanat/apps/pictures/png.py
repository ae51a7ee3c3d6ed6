"""A sheet that becomes a PNG file: the same elements as in SVG, drawn by Pillow with the font that it carries along."""

from __future__ import annotations

import io
import math
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageColor, ImageDraw, ImageFont

from qanat.apps.pictures.styles import Style, colour, style_of
from qanat.apps.pictures.surface import Anchor

DOTS_PER_UNIT = 2
"""Pixels of the file per unit of the sheet."""
FINER = 2
"""Everything is drawn so many times finer and then averaged: Pillow draws without shades at edges."""
SCALE = DOTS_PER_UNIT * FINER
BOLDER = 0.016
"""The font has one weight; strong text gets an outline of this share of its size."""


@dataclass(frozen=True, slots=True)
class _Letters:
    """A text, how it is written, and where it hangs at its point; ``outline`` in pixels."""

    text: str
    font: ImageFont.FreeTypeFont
    fill: str | None
    outline: int
    anchor: Anchor

    def write(self, draw: ImageDraw.ImageDraw, x: float, y: float) -> None:
        at = {"start": "ls", "middle": "ms", "end": "rs"}[self.anchor]
        draw.text(
            (x, y),
            self.text,
            fill=self.fill,
            font=self.font,
            anchor=at,
            stroke_width=self.outline,
            stroke_fill=self.fill,
        )


class PngSheet:
    """A Surface whose ``render`` gives a PNG file on a white ground."""

    def __init__(self, width: float, height: float) -> None:
        self.width = width
        self.height = height
        self._image = Image.new("RGB", (round(width * SCALE), round(height * SCALE)), "#ffffff")
        self._draw = ImageDraw.Draw(self._image)

    def line(self, x1: float, y1: float, x2: float, y2: float, style: str, *, tip: str = "") -> None:
        """Draw a line; a dashed one in pieces. No kind of element here shows its tip."""
        del tip
        look = style_of(style)
        dash = look.dash or 0.0
        length = math.hypot(x2 - x1, y2 - y1)
        if not dash or not length:
            self.polyline([(x1, y1), (x2, y2)], style)
            return
        for number in range(math.ceil(length / (2 * dash))):
            start, stop = 2 * dash * number / length, min(1.0, (2 * number + 1) * dash / length)
            ends = [(x1 + share * (x2 - x1), y1 + share * (y2 - y1)) for share in (start, stop)]
            self.polyline(ends, style)

    def rectangle(self, x: float, y: float, width: float, height: float, style: str, *, round_by: float = 0) -> None:
        look = style_of(style)
        box = _scaled([(x, y), (x + max(0.0, width), y + max(0.0, height))])
        self._draw.rounded_rectangle(
            box, round_by * SCALE, fill=colour(look.fill), outline=colour(look.stroke), width=_width(look)
        )

    def circle(self, x: float, y: float, radius: float, style: str, *, tip: str = "") -> None:
        """Draw a circle; its line stands half inside and half outside, as SVG has it."""
        del tip
        look = style_of(style)
        if outline := colour(look.stroke):
            self._disc(x, y, radius + (look.width or 0) / 2, outline)
            radius -= (look.width or 0) / 2
        if fill := colour(look.fill):
            self._disc(x, y, radius, fill)

    def _disc(self, x: float, y: float, radius: float, fill: str) -> None:
        self._draw.ellipse(_scaled([(x - radius, y - radius), (x + radius, y + radius)]), fill=fill)

    def polyline(self, points: Iterable[tuple[float, float]], style: str) -> None:
        look = style_of(style)
        if ink := colour(look.stroke):
            self._draw.line(_scaled(points), fill=ink, width=_width(look), joint="curve")

    def polygon(self, points: Iterable[tuple[float, float]], style: str, *, tip: str = "") -> None:
        del tip
        corners = list(points)
        look = style_of(style)
        if (fill := colour(look.fill)) and look.opacity is None:
            self._draw.polygon(_scaled(corners), fill=fill)
        elif fill and look.opacity is not None:
            mixing = ImageDraw.Draw(self._image, "RGBA")
            mixing.polygon(_scaled(corners), fill=(*ImageColor.getrgb(fill)[:3], round(255 * look.opacity)))
        if colour(look.stroke):
            self.polyline([*corners, *corners[:2]], style)

    def text(
        self, x: float, y: float, text: str, style: str = "", *, anchor: Anchor = "start", turned_deg: float = 0
    ) -> None:
        """Text with its base line at ``y``, turned clockwise about (x, y); letters the font lacks are replaced."""
        look = style_of(style)
        size = (look.size or 16) * SCALE
        bolder = round(size * BOLDER) if look.bold else 0
        rim = round((look.width or 0) * SCALE / 2) if look.halo else 0
        passes = [(colour(look.fill), bolder)]
        if rim and (halo := colour(look.stroke)):
            passes.insert(0, (halo, rim + bolder))
        for fill, stroke in passes:
            letters = _Letters(drawable(text), _font(round(size)), fill, stroke, anchor)
            if turned_deg:
                self._turned(x * SCALE, y * SCALE, letters, turned_deg)
            else:
                letters.write(self._draw, x * SCALE, y * SCALE)

    def _turned(self, x: float, y: float, letters: _Letters, turned_deg: float) -> None:
        """Write on a square of its own about (x, y), turn it, and lay it down."""
        length = letters.font.getlength(letters.text) / (2 if letters.anchor == "middle" else 1)
        reach = math.ceil(length + 2 * letters.font.size)
        square = Image.new("RGBA", (2 * reach, 2 * reach), (255, 255, 255, 0))
        letters.write(ImageDraw.Draw(square), reach, reach)
        turned = square.rotate(-turned_deg, Image.Resampling.BICUBIC, center=(reach, reach))
        self._image.paste(turned, (round(x) - reach, round(y) - reach), turned)

    def render(self) -> bytes:
        """Return the picture as the bytes of a PNG file."""
        size = (round(self.width * DOTS_PER_UNIT), round(self.height * DOTS_PER_UNIT))
        file = io.BytesIO()
        self._image.resize(size, Image.Resampling.BOX).save(file, format="PNG", optimize=True)
        return file.getvalue()


def can_draw(text: str) -> bool:
    """Return whether the font has every letter of a text, with or without its accents."""
    return "?" not in drawable(text.replace("?", ""))


def drawable(text: str) -> str:
    """Return a text in letters that the font has: accents fall away, what is left without a letter becomes ``?``."""
    return "".join(_drawable_letter(letter) for letter in text)


@cache
def _drawable_letter(letter: str) -> str:
    plain = {"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{NO-BREAK SPACE}": " "}.get(letter, letter)
    for candidate in (plain, unicodedata.normalize("NFKD", plain)[:1]):
        if candidate == " " or _mask(candidate) != _mask("\N{REPLACEMENT CHARACTER}"):
            return candidate
    return "?"


def _mask(letter: str) -> bytes:
    mask = _font(24).getmask(letter)
    return bytes(mask) + repr(mask.size).encode()


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow is built without FreeType"
    return font


def _scaled(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x * SCALE, y * SCALE) for x, y in points]


def _width(look: Style) -> int:
    return max(1, round((look.width or 0) * SCALE))

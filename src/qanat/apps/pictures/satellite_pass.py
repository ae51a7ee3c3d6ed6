"""The picture of a pass: elevation and range, loss, sifted rate and error rate over the time of the pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qanat.apps.pictures.chart import Frame, legend
from qanat.apps.pictures.png import PngSheet
from qanat.apps.pictures.styles import sheet_alone
from qanat.apps.pictures.surface import Surface
from qanat.apps.pictures.svg import Sheet
from qanat.ground.constants import QBER_ABORT
from qanat.orbits.downlink import LinkBudget
from qanat.orbits.pass_light import PassLight

Floats = NDArray[np.float64]
Point = tuple[float, float]

WIDTH, HEIGHT = 900.0, 970.0
LEFT, INNER_WIDTH, PANEL = 84.0, 780.0, 120.0
TOPS: Final = (84.0, 264.0, 444.0, 624.0, 804.0)


def draw_pass(
    budget: LinkBudget, light: PassLight, *, title: str, as_png: bool, drawn_qber: Sequence[Point] = ()
) -> bytes:
    """Return the picture as the bytes of an SVG or PNG file.

    drawn_qber: error rates of a run at photon level, with the seconds since the pass began.
    """
    surface: Sheet | PngSheet
    if as_png:
        surface = PngSheet(WIDTH, HEIGHT)
    else:
        surface = Sheet(WIDTH, HEIGHT, label=title, kind="map", style_sheet=sheet_alone())
    surface.text(LEFT - 60, 30, title, "strong")
    track = budget.track
    since_s = track.utc_s - track.utc_s[0]
    seen = budget.is_tracked
    _panel(surface, 0, since_s, track.elevation_deg, title="Elevation", unit="degrees", low=0.0, high=90.0)
    _panel(surface, 1, since_s, track.range_km, title="Range", unit="km")
    _losses(surface, since_s, budget)
    _rate(surface, since_s, np.where(seen, light.sifted_rate_bits_per_s, np.nan))
    _qber(surface, since_s, light.qber_by_step, drawn_qber)
    return surface.render() if isinstance(surface, PngSheet) else surface.render_file().encode()


def _panel(
    surface: Surface,
    place: int,
    since_s: Floats,
    values: Floats,
    *,
    title: str,
    unit: str,
    low: float | None = None,
    high: float | None = None,
) -> None:
    span = float(np.ptp(values)) or 1.0
    bounds = (float(values.min()) - 0.05 * span, float(values.max()) + 0.05 * span)
    frame = _frame(place, since_s, (bounds[0] if low is None else low, bounds[1] if high is None else high))
    frame.draw(surface, title=title, x_title="", y_title=unit)
    _curves(surface, frame, since_s, values, "curve-light")


def _losses(surface: Surface, since_s: Floats, budget: LinkBudget) -> None:
    """The total and the three terms that change or are large."""
    curves = {
        "total": budget.total_db,
        "geometry": budget.terms_db["geometry"],
        "atmosphere": budget.terms_db["atmosphere"],
    }
    frame = _frame(2, since_s, (0.0, 1.08 * max(float(curve.max()) for curve in curves.values())))
    frame.draw(surface, title="Loss", x_title="", y_title="dB")
    for curve, style in zip(curves.values(), ("light", "user", "relay"), strict=True):
        _curves(surface, frame, since_s, curve, f"curve-{style}")
    legend(surface, LEFT + 420, TOPS[2] - 14, list(curves))


def _rate(surface: Surface, since_s: Floats, rate: Floats) -> None:
    rate = rate / 1e3
    known = rate[np.isfinite(rate) & (rate > 0)]
    least, most = (float(known.min()), float(known.max())) if known.size else (1.0, 10.0)
    bounds = (10.0 ** math.floor(math.log10(least)), 10.0 ** math.ceil(math.log10(most) + 1e-9))
    frame = _frame(3, since_s, bounds, is_log=True)
    frame.draw(surface, title="Sifted rate", x_title="", y_title="kbit/s")
    _curves(surface, frame, since_s, np.where(rate > 0, rate, np.nan), "curve-light")


def _qber(surface: Surface, since_s: Floats, qber: Floats, drawn: Sequence[Point]) -> None:
    most = 1.1 * max(QBER_ABORT, float(np.nanmax(qber)) if np.isfinite(qber).any() else 0.0)
    frame = _frame(4, since_s, (0.0, 100 * most))
    frame.draw(surface, title="Error rate of the sifted bits", x_title="time since the pass began, s", y_title="%")
    frame.level(surface, 100 * QBER_ABORT, "abort, of a whole block")
    for second, value in drawn:
        surface.circle(*frame.at(second, 100 * value), 1.2, "user")
    _curves(surface, frame, since_s, 100 * qber, "curve-light")


def _frame(place: int, since_s: Floats, bounds: Point, *, is_log: bool = False) -> Frame:
    end_s = max(float(since_s[-1]), 1.0)
    return Frame(LEFT, TOPS[place], INNER_WIDTH, PANEL, (0.0, end_s), bounds, is_log)


def _curves(surface: Surface, frame: Frame, since_s: Floats, values: Floats, style: str) -> None:
    """Draw a curve, cut where there is no value."""
    piece: list[Point] = []
    for second, value in zip(since_s.tolist(), values.tolist(), strict=True):
        if math.isfinite(value):
            piece.append((second, value))
            continue
        frame.curve(surface, piece, style)
        piece = []
    frame.curve(surface, piece, style)

"""The paper's Fig. 3 as the model has it: sifted rate and error rate over the distance, near and far."""

from __future__ import annotations

from typing import Final

import numpy as np

from qanat.apps.pictures.chart import Frame
from qanat.apps.pictures.styles import sheet_alone
from qanat.apps.pictures.surface import Surface
from qanat.apps.pictures.svg import Sheet
from qanat.orbits.circular import altitude_at
from qanat.orbits.nature2021 import (
    ALTITUDE_KM,
    FAR_QBER,
    FAR_RATE_BITS_PER_S,
    FARTHEST_DEG,
    FARTHEST_KM,
    NEAREST_KM,
    PEAKS_KBIT_PER_S,
    PaperPass,
)

WIDTH, HEIGHT = 900.0, 700.0
LEFTS: Final = (84.0, 540.0)
INNER_WIDTH, INNER_HEIGHT = 330.0, 220.0
TOPS: Final = (106.0, 426.0)


def draw_figure_3(near: PaperPass, far: PaperPass) -> str:
    """Return the text of an SVG file: columns a and c, rows rate and error rate. Dots are what the paper prints."""
    title = "Fig. 3 of Nature 589, 214 (2021), by the fitted link; dots: figures that the paper prints"
    sheet = Sheet(WIDTH, HEIGHT, label=title, kind="map", style_sheet=sheet_alone())
    sheet.text(LEFTS[0] - 60, 34, title, "strong")
    far_km = altitude_at(range_km=FARTHEST_KM, elevation_deg=FARTHEST_DEG)
    sheet.text(
        LEFTS[0] - 60,
        54,
        f"curves: a, a circle {ALTITUDE_KM:g} km high; c, of {far_km:.0f} km, 5.0 degrees up at 2,043 km as printed",
        "small",
    )
    peaks = [(NEAREST_KM, rate) for rate in PEAKS_KBIT_PER_S.values()]
    rates, errors = [(FARTHEST_KM, FAR_RATE_BITS_PER_S / 1e3)], [(FARTHEST_KM, 100 * FAR_QBER)]
    _column(sheet, 0, near, "a: biased bases, 200 MHz", rate_marks=peaks, qber_marks=[])
    _column(sheet, 1, far, "c: standard, 100 MHz", rate_marks=rates, qber_marks=errors)
    return sheet.render_file()


def _column(
    surface: Surface,
    place: int,
    one: PaperPass,
    name: str,
    *,
    rate_marks: list[tuple[float, float]],
    qber_marks: list[tuple[float, float]],
) -> None:
    order = np.argsort(one.budget.track.range_km)
    distance = one.budget.track.range_km[order]
    rows = (
        ("sifted rate", "kbit/s", one.light.sifted_rate_bits_per_s[order] / 1e3, rate_marks),
        ("QBER", "%", 100 * one.light.qber_by_step[order], qber_marks),
    )
    for top, (what, unit, values, marks) in zip(TOPS, rows, strict=True):
        most = 1.1 * max([float(values.max()), *(value for _, value in marks)])
        bounds = (float(distance.min()), float(distance.max()))
        frame = Frame(LEFTS[place], top, INNER_WIDTH, INNER_HEIGHT, bounds, (0.0, most))
        frame.draw(surface, title=f"{name}: {what}", x_title="distance, km", y_title=unit)
        frame.curve(surface, list(zip(distance.tolist(), values.tolist(), strict=True)), "curve-light")
        for x, y in marks:
            surface.circle(*frame.at(x, y), 4, "stroke ink")

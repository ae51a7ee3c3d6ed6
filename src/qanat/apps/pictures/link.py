"""The picture of a link's run: error rate and detections over the link's time, with its stops and its thresholds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from qanat.apps.pictures.chart import Frame
from qanat.apps.pictures.png import PngSheet
from qanat.apps.pictures.styles import sheet_alone
from qanat.apps.pictures.surface import Surface
from qanat.apps.pictures.svg import Sheet
from qanat.ground.constants import QBER_ABORT
from qanat.quantum_layer.calibration.upkeep import LOST_ABOVE
from qanat.quantum_layer.link_run import LinkFigures
from qanat.quantum_layer.link_upkeep import Stop

WIDTH, HEIGHT = 900.0, 590.0
LEFT, INNER_WIDTH = 84.0, 780.0
QBER_TOP, QBER_HEIGHT = 92.0, 240.0
CLICKS_TOP, CLICKS_HEIGHT = 412.0, 110.0
STYLES: Final = {"polarization": "user", "delay": "relay"}
WORDS: Final = {"polarization": "polarization feedback", "delay": "delay scan and feedback"}
Point = tuple[float, float]


def draw_link(figures: LinkFigures, *, title: str, as_png: bool) -> bytes:
    """Return the picture as the bytes of an SVG or PNG file."""
    surface: Sheet | PngSheet
    if as_png:
        surface = PngSheet(WIDTH, HEIGHT)
    else:
        surface = Sheet(WIDTH, HEIGHT, label=title, kind="map", style_sheet=sheet_alone())
    surface.text(LEFT - 60, 28, title, "strong")
    stops = figures.optics.stops if figures.optics else ()
    clock = _LinkClock(stops)
    end_s = clock.link_time_s(figures.step_s * len(figures.qber_curve))
    _draw_qber(surface, figures, clock, end_s)
    _draw_clicks(surface, figures, clock, end_s)
    _draw_stops(surface, stops, end_s)
    return surface.render() if isinstance(surface, PngSheet) else surface.render_file().encode()


class _LinkClock:
    """From seconds of light to seconds since the first light."""

    def __init__(self, stops: Sequence[Stop]) -> None:
        self._lights_s = [stop.light_s for stop in stops]
        self._stopped_s = [0.0, *accumulate(stop.duration_s for stop in stops)]

    def num_stops(self, light_s: float) -> int:
        return bisect_right(self._lights_s, light_s)

    def link_time_s(self, light_s: float) -> float:
        return light_s + self._stopped_s[self.num_stops(light_s)]

    def curves(self, values: Sequence[float | None], step_s: float) -> list[list[Point]]:
        """Return the points of a curve, cut where the link stopped; a point stands in the middle of its step."""
        pieces: list[list[Point]] = [[] for _ in self._stopped_s]
        for number, value in enumerate(values):
            light_s = (number + 0.5) * step_s
            if value is not None:
                pieces[self.num_stops(light_s)].append((self.link_time_s(light_s), value))
        return pieces


def _draw_qber(surface: Surface, figures: LinkFigures, clock: _LinkClock, end_s: float) -> None:
    known = [qber for qber in figures.qber_curve if qber is not None]
    most = max(1.15 * QBER_ABORT, 1.1 * max(known, default=0.0))
    frame = Frame(LEFT, QBER_TOP, INNER_WIDTH, QBER_HEIGHT, (0, end_s), (0, 100 * most))
    frame.draw(
        surface,
        title=f"Error rate of the sifted signal, per {figures.step_s:g} s of light",
        x_title="link time since the first light, s",
        y_title="QBER, %",
    )
    frame.level(surface, 100 * QBER_ABORT, "abort")
    frame.level(surface, 100 * LOST_ABOVE, "100:1 (optics alone)")
    for piece in clock.curves(figures.qber_curve, figures.step_s):
        percents = [(time_s, 100 * qber) for time_s, qber in piece]
        _draw_piece(surface, frame, percents)
    for alarm in figures.alarms:
        if alarm.light_s is not None:
            _draw_alarm(surface, frame, clock.link_time_s(alarm.light_s), alarm.code)


def _draw_alarm(surface: Surface, frame: Frame, link_time_s: float, code: str) -> None:
    x, bottom = frame.at(link_time_s, frame.y_range[0])
    surface.line(x, frame.top, x, bottom, "stroke ink")
    is_late = x > frame.left + 0.7 * frame.width
    where = x - 6 if is_late else x + 6
    surface.text(where, frame.top + 12, f"alarm {code}", "tiny", anchor="end" if is_late else "start")


def _draw_clicks(surface: Surface, figures: LinkFigures, clock: _LinkClock, end_s: float) -> None:
    most = 1.1 * max(max(figures.clicks_curve) / 1000, 1e-3)
    frame = Frame(LEFT, CLICKS_TOP, INNER_WIDTH, CLICKS_HEIGHT, (0, end_s), (0, most))
    frame.draw(surface, title="Detections", x_title="link time since the first light, s", y_title="1,000 per s")
    for piece in clock.curves(figures.clicks_curve, figures.step_s):
        _draw_piece(surface, frame, [(time_s, clicks / 1000) for time_s, clicks in piece])


def _draw_piece(surface: Surface, frame: Frame, points: Sequence[Point]) -> None:
    frame.curve(surface, points, "curve-light")
    if len(points) == 1:
        surface.circle(*frame.at(*points[0]), 2, "fill light")


def _draw_stops(surface: Surface, stops: Sequence[Stop], end_s: float) -> None:
    """Mark on the time axis when the link stopped, and say why."""
    frame = Frame(LEFT, QBER_TOP, INNER_WIDTH, QBER_HEIGHT, (0, end_s), (0, 1))
    for stop in stops:
        x1, bottom = frame.at(stop.link_time_s, 0)
        x2 = frame.at(stop.link_time_s + stop.duration_s, 0)[0]
        surface.rectangle(x1, bottom - 10, max(2.0, x2 - x1), 10, STYLES[stop.reason])
    x = LEFT + 440
    for reason in sorted({stop.reason for stop in stops}, reverse=True):
        surface.rectangle(x, QBER_TOP - 23, 10, 10, STYLES[reason])
        surface.text(x + 15, QBER_TOP - 14, WORDS[reason], "tiny muted")
        x += 180

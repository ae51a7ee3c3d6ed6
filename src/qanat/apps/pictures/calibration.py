"""The pictures of a calibration: delay curves, convergence of the feedback, arrival times; and the link under drift."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from qanat.apps.pictures.chart import SERIES, Frame, legend
from qanat.apps.pictures.png import PngSheet
from qanat.apps.pictures.styles import sheet_alone
from qanat.apps.pictures.surface import Surface
from qanat.apps.pictures.svg import Sheet
from qanat.quantum_layer.calibration.feedback import TARGET_RATIO
from qanat.quantum_layer.calibration.results import Calibration, DelayScan, Feedback, Synchronization, Watch
from qanat.quantum_layer.calibration.upkeep import LOST_ABOVE

WIDTH, PANEL, HEAD = 900.0, 290.0, 46.0
LEFT, TOP, INNER_WIDTH, INNER_HEIGHT = 84.0, 44.0, 780.0, 180.0
NAMES = ("H", "V", "+", "-")
MOST_RATIO = 2000.0
BINS_AROUND = 6


def draw_calibration(found: Calibration, watched: Watch | None, *, title: str, as_png: bool) -> bytes:
    """Return the pictures of one calibration below each other, as the bytes of an SVG or PNG file."""
    height = HEAD + PANEL * (4 if watched else 3)
    surface: Sheet | PngSheet
    if as_png:
        surface = PngSheet(WIDTH, height)
    else:
        surface = Sheet(WIDTH, height, label=title, kind="map", style_sheet=sheet_alone())
    surface.text(LEFT - 60, 28, title, "strong")
    _draw_delays(surface, HEAD, found.delay)
    _draw_feedback(surface, HEAD + PANEL, found.feedback)
    _draw_arrivals(surface, HEAD + 2 * PANEL, found.synchronization)
    if watched:
        _draw_watch(surface, HEAD + 3 * PANEL, watched)
    return surface.render() if isinstance(surface, PngSheet) else surface.render_file().encode()


def _frame(top: float, x_range: tuple[float, float], y_range: tuple[float, float], *, is_log: bool = False) -> Frame:
    return Frame(LEFT, top + TOP, INNER_WIDTH, INNER_HEIGHT, x_range, y_range, is_log)


def _draw_delays(surface: Surface, top: float, scan: DelayScan) -> None:
    places = [float(step * scan.step_ps) for step in range(len(scan.counts))]
    frame = _frame(top, (0, places[-1] + scan.step_ps), (0, 1.08 * float(scan.counts.max())))
    frame.draw(
        surface,
        title="Delay scan, 100 ms per step",
        x_title="delay of the gate, ps (dots: what is set)",
        y_title="clicks",
    )
    for detector, style in enumerate(SERIES):
        counts = scan.counts[:, detector].tolist()
        frame.curve(surface, list(zip(places, counts, strict=True)), f"curve-{style}")
        delay_ps = scan.delays_ps[detector]
        surface.circle(*frame.at(delay_ps, counts[round(delay_ps / scan.step_ps)]), 4, _fill(style))
    legend(surface, LEFT + 410, top + TOP - 14, [f"detector {name}" for name in NAMES])


def _draw_feedback(surface: Surface, top: float, feedback: Feedback) -> None:
    points = feedback.points
    begin_s = points[0].elapsed_s
    frame = _frame(top, (0, points[-1].elapsed_s - begin_s + 0.05), (0.1, MOST_RATIO), is_log=True)
    frame.draw(
        surface,
        title="Polarization feedback, one dot per window",
        x_title="time since the first window, s",
        y_title="right : wrong port",
    )
    frame.level(surface, TARGET_RATIO, "100:1")
    for before, after in pairwise(points):
        if before.state == after.state:
            ends = [(one.elapsed_s - begin_s, one.ratio) for one in (before, after)]
            frame.curve(surface, ends, "curve-grid")
    for point in points:
        style = SERIES[NAMES.index(point.state)]
        surface.circle(*frame.at(point.elapsed_s - begin_s, point.ratio), 3.2, _fill(style))
    legend(surface, LEFT + 410, top + TOP - 14, [f"state {name}" for name in NAMES])


def _draw_arrivals(surface: Surface, top: float, found: Synchronization) -> None:
    reach = BINS_AROUND + 0.5
    frame = _frame(top, (-reach, reach), (0, 1.1 * float(found.histograms.max())))
    frame.draw(
        surface,
        title=f"Synchronization, bins of {found.bin_ps} ps",
        x_title="arrival time at 100 kHz, in bins from the most frequent one, which is the correction",
        y_title="clicks per bin",
    )
    for detector, style in enumerate(SERIES):
        counts = found.histograms[detector]
        around = np.roll(counts, BINS_AROUND - int(counts.argmax()))[: 2 * BINS_AROUND + 1].tolist()
        for place, count in enumerate(around):
            x, y = frame.at(place - BINS_AROUND - 0.4 + 0.2 * detector, count)
            surface.rectangle(x, y, 0.2 * INNER_WIDTH / (2 * reach), top + TOP + INNER_HEIGHT - y, _fill(style))
    corrections = [f"{name} {ps / 1e3:,.2f} ns" for name, ps in zip(NAMES, found.corrections_ps, strict=True)]
    legend(surface, LEFT + 350, top + TOP - 14, corrections)


def _draw_watch(surface: Surface, top: float, watched: Watch) -> None:
    most = max(1.15 * watched.abort_above, 1.1 * float(watched.qber.max()))
    frame = _frame(top, (0, float(watched.elapsed_s[-1])), (0, 100 * most))
    frame.draw(
        surface,
        title="The link under drift: error rate of the last second",
        x_title="time, s (marks below: the link stopped for feedback)",
        y_title="QBER, %",
    )
    frame.level(surface, 100 * watched.abort_above, "abort")
    frame.level(surface, 100 * LOST_ABOVE, "100:1")
    curve = list(zip(watched.elapsed_s.tolist(), (100 * watched.qber).tolist(), strict=True))
    breaks = [0, *(sum(t <= stop for t, _ in curve) for _, stop in watched.feedbacks), len(curve)]
    for start, stop in pairwise(breaks):
        frame.curve(surface, curve[start:stop], "curve-light")
    for start_s, stop_s in watched.feedbacks:
        x1, x2 = frame.at(start_s, 0)[0], frame.at(stop_s, 0)[0]
        surface.rectangle(x1, top + TOP + INNER_HEIGHT - 8, max(2.0, x2 - x1), 8, "user")
    if watched.aborted_at_s is not None:
        x, y = frame.at(*curve[-1])
        surface.circle(x, y, 4, "fill light")
        surface.text(x - 8, y - 6, f"aborted at {watched.aborted_at_s:.0f} s", "tiny", anchor="end")


def _fill(style: str) -> str:
    return "fill light" if style == "light" else style

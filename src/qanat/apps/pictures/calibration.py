"""The pictures of a calibration: delay curves, convergence of the feedback, arrival times; and the link under drift."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

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
    match scan.method:
        case "crest":
            _draw_crests(surface, top, scan)
        case "plateau":
            _draw_plateaus(surface, top, scan)
        case "no gate":
            _draw_no_gate(surface, top, scan)
    legend(surface, LEFT + 410, top + TOP - 14, [f"detector {name}" for name in NAMES])


def _draw_crests(surface: Surface, top: float, scan: DelayScan) -> None:
    frame = _frame(top, (0, scan.period_ps), (0, 1.08 * float(scan.counts.max())))
    frame.draw(
        surface,
        title="Delay scan, 100 ms per step",
        x_title="delay of the gate, ps (dots: what is set)",
        y_title="clicks",
    )
    for detector, style in enumerate(SERIES):
        curve = zip((scan.steps[:, detector] * scan.step_ps).tolist(), scan.counts[:, detector].tolist(), strict=True)
        frame.curve(surface, list(curve), f"curve-{style}")
        delay_ps = scan.delays_ps[detector]
        surface.circle(*frame.at(delay_ps, scan.counts[round(delay_ps / scan.step_ps), detector]), 4, _fill(style))


def _draw_plateaus(surface: Surface, top: float, scan: DelayScan) -> None:
    """Each detector's own plateau, from what is set; coarse steps are small dots where they fall."""
    apart_ps = _from_what_is_set(scan)
    reach_ps = float(np.abs(apart_ps[scan.num_coarse :]).max())
    frame = _frame(top, (-reach_ps, reach_ps), (0, 1.12 * float(scan.counts.max())))
    coarse_ps = float((scan.steps[1, 0] - scan.steps[0, 0]) * scan.step_ps)
    frame.draw(
        surface,
        title="Delay scan, 100 ms per step",
        x_title="delay of the gate from the middle, which is set, ps "
        f"(dots: highest count; small: scan of {scan.period_ps / 1e3:g} ns by {coarse_ps:g} ps)",
        y_title="clicks",
    )
    for detector, style in enumerate(SERIES):
        points = list(zip(apart_ps[:, detector].tolist(), scan.counts[:, detector].tolist(), strict=True))
        frame.curve(surface, points[scan.num_coarse :], f"curve-{style}")
        for x, y in points[: scan.num_coarse]:
            if abs(x) <= reach_ps:
                surface.circle(*frame.at(x, y), 2.2, _fill(style))
        surface.circle(*frame.at(*points[int(scan.counts[:, detector].argmax())]), 4, _fill(style))


def _from_what_is_set(scan: DelayScan) -> NDArray[np.float64]:
    """Return how far each window's gate stood from what is set, the short way round, ps; shape (windows, 4)."""
    apart_ps = scan.steps * scan.step_ps - np.array(scan.delays_ps)
    return np.asarray((apart_ps + scan.period_ps / 2) % scan.period_ps - scan.period_ps / 2)


def _draw_no_gate(surface: Surface, top: float, scan: DelayScan) -> None:
    thousands = (scan.counts[0] / 1e3).tolist()
    frame = _frame(top, (0, len(NAMES)), (0, 1.15 * max(thousands)))
    frame.draw(
        surface,
        title="No delay scan: the detectors run freely",
        x_title="detector, in one window of 100 ms with random states",
        y_title="clicks, thousands",
        has_x_ticks=False,
    )
    for detector, style in enumerate(SERIES):
        x, y = frame.at(detector + 0.35, thousands[detector])
        width, bottom = 0.3 * INNER_WIDTH / len(NAMES), top + TOP + INNER_HEIGHT
        surface.rectangle(x, y, width, bottom - y, _fill(style))
        surface.text(x + width / 2, bottom + 18, NAMES[detector], "tiny muted", anchor="middle")


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

"""Where the time of a run went, by the events of its requests: a partition of the whole run, nothing left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qanat.apps.pictures.svg import Sheet
from qanat.apps.report import wording
from qanat.apps.report.result import DemoResult
from qanat.apps.report.steps_picture import Request

BEFORE = "before the first request: key managers, doors and workers come up"
ASKING = "request and order (steps 1 to 7)"
MAKING = "key is made from photons and stored (step 8)"
GIVING = "keys are relayed and given (step 4)"
SENDING = "encoding and delivery (steps 9, 10)"
BETWEEN = "between requests"
AFTER = "after the last delivery, until the network is down"
PHASES = (BEFORE, ASKING, MAKING, GIVING, SENDING, BETWEEN, AFTER)

PHASE_OF_STEP = {8: MAKING, 4: GIVING, 9: SENDING, 10: SENDING}
"""To which phase the time belongs that ends with a step; all other steps are asking."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the run, in seconds since its beginning."""

    phase: str
    begin_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        return self.end_s - self.begin_s


def stretches_of(result: DemoResult, requests: Sequence[Request]) -> list[Stretch]:
    """Return the parts of the run in order; they touch, and cover all of ``duration_s``. None without a request."""
    if not requests:
        return []
    first = min((request.steps[0] for request in requests), key=lambda event: event.monotonic_s)
    # Durations come from the monotonic clock; the wall clock only says how long after the start the first request was.
    offset_s = first.monotonic_s - (first.utc_s - result.started_utc_s)
    stretches: list[Stretch] = []
    now_s = 0.0
    for request in sorted(requests, key=lambda request: request.steps[0].monotonic_s):
        for number, event in enumerate(request.steps):
            phase = PHASE_OF_STEP.get(event.step or 0, ASKING) if number else (BETWEEN if stretches else BEFORE)
            until_s = min(result.duration_s, max(now_s, event.monotonic_s - offset_s))
            stretches.append(Stretch(phase, now_s, until_s))
            now_s = until_s
    stretches.append(Stretch(AFTER, now_s, max(now_s, result.duration_s)))
    return [stretch for stretch in stretches if stretch.length_s > 0]


def total_of_phases(stretches: Sequence[Stretch]) -> list[tuple[str, float]]:
    """Return each phase that took time, with its seconds, in the order of ``PHASES``."""
    totals = {phase: sum(one.length_s for one in stretches if one.phase == phase) for phase in PHASES}
    return [(phase, total_s) for phase, total_s in totals.items() if total_s > 0]


def draw_wall_time(stretches: Sequence[Stretch]) -> str:
    """Return the run as one bar from start to end, and how long each kind of work took of it."""
    totals = total_of_phases(stretches)
    whole_s = sum(total_s for _, total_s in totals)
    row = 24.0
    sheet = Sheet(980, 62 + row * len(totals), label="where the time of the run went")
    scale = 960 / whole_s
    for stretch in stretches:
        style = f"p{PHASES.index(stretch.phase)}"
        sheet.rectangle(10 + scale * stretch.begin_s, 8, scale * stretch.length_s, 30, style)
    for number, (phase, total_s) in enumerate(totals):
        y = 66 + row * number
        sheet.rectangle(10, y - 12, 16, 14, f"p{PHASES.index(phase)}", round_by=1.5)
        sheet.text(36, y, phase, "label")
        sheet.text(560, y, wording.seconds(total_s), "label strong mono", anchor="end")
        sheet.text(630, y, wording.percent(total_s / whole_s, digits=1), "label mono", anchor="end")
        sheet.rectangle(650, y - 11, 320 * total_s / whole_s, 12, f"p{PHASES.index(phase)}", round_by=1.5)
    return sheet.render()

"""The ten steps of the paper's Fig. 2 as a sequence diagram, drawn from the events of one request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qanat.apps.pictures.svg import Sheet
from qanat.apps.report import wording
from qanat.ground.events import STEP_TEXTS, Event, EventKind, chain

LANES = (
    "application A",
    "key manager",
    "router",
    "quantum system server",
    "quantum control",
    "quantum layer",
    "application B",
)
LANE_OF_STEP: dict[int, tuple[str, str]] = {
    1: ("application A", "application A"),
    2: ("application A", "key manager"),
    3: ("application A", "router"),
    4: ("key manager", "application A"),
    5: ("key manager", "quantum system server"),
    6: ("quantum system server", "quantum control"),
    7: ("quantum control", "quantum layer"),
    8: ("quantum layer", "key manager"),
    9: ("application A", "application A"),
    10: ("application A", "application B"),
}
"""Who speaks to whom in each step (Nature 589, 214, caption of Fig. 2)."""

WIDTH = 980.0
HEAD = 62.0
ROW = 40.0
TIME_X = 430.0
FIRST_LANE_X = 478.0
LANE_GAP = 76.0


class Request(NamedTuple):
    """One delivered transmission: its ten steps, or fewer when the keys were in stock."""

    steps: list[Event]

    @property
    def numbers(self) -> list[int]:
        return [event.step or 0 for event in self.steps]


def delivered_requests(events: Sequence[Event]) -> list[Request]:
    """Return the chain of steps of every delivery, from the request to it, in the order of delivery.

    Raises KeyError when a delivery's causes are not among ``events``: then the record is torn.
    """
    deliveries = [event for event in events if event.kind is EventKind.MESSAGE_DELIVERED]
    return [Request([event for event in chain(events, last.id) if event.step]) for last in deliveries]


def draw_steps(request: Request) -> str:
    """Return the sequence diagram of one request, one row per step, times counted from the first."""
    steps = request.steps
    sheet = Sheet(WIDTH, HEAD + ROW * len(steps) + 14, label="sequence of the steps " + _numbers(request))
    lanes = {name: FIRST_LANE_X + LANE_GAP * place for place, name in enumerate(LANES)}
    for name, x in lanes.items():
        _draw_lane_head(sheet, name, x)
        sheet.line(x, HEAD - 12, x, sheet.height - 6, "stroke lane")
    _draw_generation(sheet, request, lanes["quantum layer"])
    for row, event in enumerate(steps):
        y = HEAD + ROW * (row + 0.5)
        if row % 2 == 0:
            sheet.rectangle(0, y - ROW / 2, TIME_X + 12, ROW, "stripe")
        _draw_step(sheet, event, y, since_s=event.monotonic_s - steps[0].monotonic_s)
        _draw_message(sheet, event, y, lanes)
    return sheet.render()


def _numbers(request: Request) -> str:
    return ", ".join(map(str, request.numbers))


def _draw_lane_head(sheet: Sheet, name: str, x: float) -> None:
    lines = name.split()
    for place, line in enumerate(lines):
        sheet.text(x, HEAD - 18 - 14 * (len(lines) - 1 - place), line, "tiny strong", anchor="middle")


def _draw_step(sheet: Sheet, event: Event, y: float, *, since_s: float) -> None:
    sheet.circle(16, y, 11, "badge")
    sheet.text(16, y + 4, str(event.step), "badge-text", anchor="middle")
    sheet.text(36, y - 1, STEP_TEXTS[event.step or 0], "label")
    sheet.text(36, y + 13, f"{event.kind.value}, {event.node}{_extent(event)}", "tiny muted")
    sheet.text(TIME_X, y + 13, f"+{wording.seconds(since_s)}", "tiny mono", anchor="end")


def _extent(event: Event) -> str:
    """Return how much a step was about, where its event says so: nodes of a route, links, keys."""
    route, links, num_keys = (event.data.get(name) for name in ("route", "links", "num_keys"))
    if isinstance(num_keys, int):
        return f", {wording.keys(num_keys)}"
    for items, noun in ((links, "link"), (route, "node")):
        if isinstance(items, Sequence) and not isinstance(items, str):
            return f", {len(items)} {noun}{'s' if len(items) != 1 else ''}"
    return ""


def _draw_message(sheet: Sheet, event: Event, y: float, lanes: dict[str, float]) -> None:
    source, target = (lanes[name] for name in LANE_OF_STEP[event.step or 0])
    if source == target:
        sheet.path(f"M {source} {y - 9} h 20 v 18 h -13", "stroke message no-fill")
        sheet.polygon([(source, y + 9), (source + 8, y + 5), (source + 8, y + 13)], "fill message")
    else:
        sheet.arrow(source, y, target, y, "message", head=8)
    sheet.circle(source, y if source != target else y - 9, 2.6, "fill message")


def _draw_generation(sheet: Sheet, request: Request, x: float) -> None:
    """A bar on the quantum layer's lane while key is made."""
    rows = {event.kind: row for row, event in enumerate(request.steps)}
    begin, end = rows.get(EventKind.GENERATION_ORDERED), rows.get(EventKind.KEY_STORED)
    if begin is None or end is None:
        return
    top, bottom = HEAD + ROW * (begin + 0.5), HEAD + ROW * (end + 0.5)
    took_s = request.steps[end].monotonic_s - request.steps[begin].monotonic_s
    sheet.rectangle(x - 5, top, 10, bottom - top, "light-fill", round_by=3)
    sheet.text(x + 12, (top + bottom) / 2 - 2, "computed in", "tiny")
    sheet.text(x + 12, (top + bottom) / 2 + 12, wording.seconds(took_s), "tiny strong")

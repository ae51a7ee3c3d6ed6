"""Where the names on a crowded map go: beside their marks, over no other name, no mark, and no line if it can be."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qanat.apps.pictures.geography import Box, Point
from qanat.apps.pictures.surface import Anchor

LETTER_WIDTH = 0.56
"""Mean width of a letter as a share of its size; wide fonts such as DejaVu Sans need a little more, most need less."""
HEIGHT = 1.15
DIRECTIONS_DEG = (0, 180, -35, 35, -145, 145, -90, 90, -62, 62, -118, 118)
"""Where a name may stand, seen from its mark, the best first; clockwise from the east."""
REACHES = (0.0, 13.0, 27.0, 43.0, 60.0)
"""Distances from the edge of a mark, in units of the sheet; beyond the first a thin line leads to the name."""
NEIGHBOURHOOD = 260.0
ROUNDS = 3
MOST_LABELS = 400

COST_OF_LINK = 6.0
COST_OF_REACH = 0.9
COST_OF_DIRECTION = 0.12
COST_OF_LEADER_CROSSING = 6.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A site's mark and the name that it would like."""

    x: float
    y: float
    radius: float
    text: str
    size: float

    @property
    def box(self) -> Box:
        return Box(self.x - self.radius, self.y - self.radius, self.x + self.radius, self.y + self.radius)


@dataclass(frozen=True, slots=True)
class Label:
    """A name with its place: base line at (x, y), the room that it takes, and the line that leads to it, if any."""

    text: str
    x: float
    y: float
    anchor: Anchor
    box: Box
    leader: tuple[Point, Point] | None


@dataclass(frozen=True, slots=True)
class _Around:
    """What a name may not or had better not cover."""

    marks: tuple[Box, ...]
    lines: tuple[tuple[Point, Point], ...]


def place_labels(
    marks: Sequence[Mark],
    lines: Sequence[tuple[Point, Point]],
    room: Box,
    wanted: Sequence[bool] | None = None,
    *,
    first: Sequence[bool] | None = None,
) -> list[Label | None]:
    """Return a label for each mark, or nothing where none fits without covering another name or a mark.

    lines: links, which names avoid where they can. room: where names may stand. wanted: which marks shall have one; all
    unless said. first: which are placed before all others. Every name is placed in turn, the most hemmed in first, and
    then again with the others standing, a few times.
    """
    chosen = [k for k in range(len(marks)) if wanted is None or wanted[k]]
    if len(chosen) > MOST_LABELS:
        return [None] * len(marks)
    arounds = [_around(mark, marks, lines) for mark in marks]
    labels: list[Label | None] = [None] * len(marks)
    late = [False] * len(marks) if first is None else [not one for one in first]
    order = sorted(chosen, key=lambda k: (late[k], -len(arounds[k].marks), -len(arounds[k].lines), k))
    for _ in range(ROUNDS):
        for k in order:
            labels[k] = None
            labels[k] = _best(marks[k], arounds[k], [label for label in labels if label], room)
    return labels


def _around(mark: Mark, marks: Sequence[Mark], lines: Sequence[tuple[Point, Point]]) -> _Around:
    near = Box(mark.x - NEIGHBOURHOOD, mark.y - NEIGHBOURHOOD, mark.x + NEIGHBOURHOOD, mark.y + NEIGHBOURHOOD)
    return _Around(
        marks=tuple(other.box for other in marks if other is not mark and other.box.overlaps(near)),
        lines=tuple(line for line in lines if _bounds(line).overlaps(near)),
    )


def _bounds(line: tuple[Point, Point]) -> Box:
    (x1, y1), (x2, y2) = line
    return Box(min(x1, x2) - 1, min(y1, y2) - 1, max(x1, x2) + 1, max(y1, y2) + 1)


def _best(mark: Mark, around: _Around, others: Sequence[Label], room: Box) -> Label | None:
    """Return the cheapest label that covers no name and no mark."""
    best: Label | None = None
    least = math.inf
    for cost, label in _candidates(mark):
        if cost >= least:
            continue
        if not room.holds(label.box) or any(label.box.overlaps(other.box) for other in others):
            continue
        if any(label.box.overlaps(box) for box in around.marks) or label.box.overlaps(mark.box):
            continue
        cost += COST_OF_LINK * sum(_meets(line, label.box) for line in around.lines)
        cost += COST_OF_LEADER_CROSSING * sum(
            _meets(other.leader, label.box) for other in others if other.leader is not None
        )
        if label.leader is not None:
            boxes = (*around.marks, *(other.box for other in others))
            cost += COST_OF_LEADER_CROSSING * sum(_meets(label.leader, box) for box in boxes)
            cost += COST_OF_LINK / 2 * sum(_cross(label.leader, line) for line in around.lines)
        if cost < least:
            best, least = label, cost
    return best


def _candidates(mark: Mark) -> Iterator[tuple[float, Label]]:
    """Yield (cost, label), the places close to the mark first."""
    width, height = LETTER_WIDTH * mark.size * len(mark.text), HEIGHT * mark.size
    for step, reach in enumerate(REACHES):
        for rank, direction_deg in enumerate(DIRECTIONS_DEG):
            east, south = math.cos(math.radians(direction_deg)), math.sin(math.radians(direction_deg))
            distance = mark.radius + 4 + reach
            x, y = mark.x + distance * east, mark.y + distance * south
            anchor: Anchor = "middle" if abs(east) < 0.2 else "start" if east > 0 else "end"
            left = x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
            top = y - height / 2 + south * height / 2
            box = Box(left, top, left + width, top + height)
            edge = (mark.x + mark.radius * east, mark.y + mark.radius * south)
            leader = (edge, (x, y)) if step else None
            label = Label(mark.text, x, top + 0.8 * height, anchor, box, leader)
            yield COST_OF_REACH * step + COST_OF_DIRECTION * rank, label


def _meets(line: tuple[Point, Point], box: Box) -> bool:
    """Return whether a straight piece passes through a box (Liang and Barsky, 1984)."""
    (x, y), (x2, y2) = line
    dx, dy = x2 - x, y2 - y
    first, last = 0.0, 1.0
    for step, room in ((-dx, x - box.low_x), (dx, box.high_x - x), (-dy, y - box.low_y), (dy, box.high_y - y)):
        if step == 0:
            if room < 0:
                return False
        elif step < 0:
            first = max(first, room / step)
        else:
            last = min(last, room / step)
    return first < last


def _cross(one: tuple[Point, Point], other: tuple[Point, Point]) -> bool:
    """Return whether two straight pieces cross, touching at the ends not counted."""
    sides = [
        (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0])
        for (a, b), ends in ((one, other), (other, one))
        for point in ends
    ]
    return sides[0] * sides[1] < 0 and sides[2] * sides[3] < 0

"""Make src/qanat/apps/pictures/land.json, the land outlines of the maps, from Natural Earth.

Natural Earth (https://www.naturalearthdata.com) is in the public domain. Its files come as TopoJSON in the npm package
world-atlas 2.0.2 (Natural Earth 4.1.0). In an empty folder:

    npm pack world-atlas@2.0.2
    tar xzf world-atlas-2.0.2.tgz
    python tools/land_outlines.py package

Only land is taken: no border between states stands in the result. The whole world comes from the 1:50m outlines, the
surroundings of the packaged networks from the 1:10m ones. A ring is written as whole numbers of a unit of degrees: its
first point (longitude, latitude), then the steps from point to point. A ring across the 180th meridian is counted on
beyond it. Rings of water lie inside land (an inland sea);
``off_by_deg`` is how far a simplified line may run beside Natural Earth's own.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

Point: TypeAlias = tuple[float, float]
Ring: TypeAlias = list[Point]
Box: TypeAlias = tuple[float, float, float, float]
"""West, south, east, north in degrees; for the world one turn more each way, so that nothing is cut."""

TARGET = Path(__file__).parents[1] / "src" / "qanat" / "apps" / "pictures" / "land.json"
AREAS: tuple[tuple[str, str, Box, float, float, float], ...] = (
    # name, file, box, unit (degrees), most that a point may be off (degrees), least ring kept (square degrees)
    ("the world", "land-50m.json", (-540, -90, 540, 90), 0.01, 0.05, 0.015),
    ("east China", "land-10m.json", (109, 26, 127, 43), 0.004, 0.005, 0.0008),
)


def main(folder: str) -> None:
    """Read the package that was unpacked to ``folder`` and write the outlines."""
    areas = [_area(Path(folder), *area) for area in AREAS]
    land = {
        "what": "Land outlines without borders; each ring: first longitude and latitude, then steps, in units",
        "origin": "Natural Earth 4.1.0 (naturalearthdata.com), by way of the npm package world-atlas 2.0.2",
        "licence": "public domain",
        "made_by": "tools/land_outlines.py",
        "areas": areas,
    }
    TARGET.write_text(json.dumps(land, indent=0) + "\n", encoding="utf-8")


def _area(
    folder: Path, name: str, file: str, box: Box, unit_deg: float, tolerance_deg: float, least_area: float
) -> dict[str, Any]:
    rings: dict[str, list[str]] = {"land": [], "water": []}
    for kind, ring in _rings(json.loads((folder / file).read_text(encoding="utf-8"))):
        kept = _simplified(_clipped(ring, box), tolerance_deg)
        if len(kept) >= 4 and abs(_area_of(kept)) >= least_area:
            rings[kind].append(_written(kept, unit_deg))
    return {"name": name, "box_deg": box, "unit_deg": unit_deg, "off_by_deg": tolerance_deg, **rings}


def _rings(topology: dict[str, Any]) -> Iterable[tuple[str, Ring]]:
    """Yield every ring of a TopoJSON file as land or, inside land, water; first and last point are the same."""
    (scale_x, scale_y), (left, low) = topology["transform"]["scale"], topology["transform"]["translate"]
    arcs: list[Ring] = []
    for arc in topology["arcs"]:
        x = y = 0
        arcs.append([])
        for step_x, step_y in arc:
            x, y = x + step_x, y + step_y
            arcs[-1].append((left + scale_x * x, low + scale_y * y))
    for shape in topology["objects"]["land"]["geometries"]:
        for polygon in shape["arcs"]:
            for place, numbers in enumerate(polygon):
                pieces = [arcs[number] if number >= 0 else arcs[~number][::-1] for number in numbers]
                ring = pieces[0] + [point for piece in pieces[1:] for point in piece[1:]]
                yield "water" if place else "land", _counted_on(ring)


def _counted_on(ring: Ring) -> Ring:
    """Count longitudes on beyond 180 degrees where a ring crosses that meridian; close one around a pole over it."""
    x, points = ring[0][0], []
    for next_x, y in ring:
        x += (next_x - x + 180) % 360 - 180
        points.append((x, y))
    if abs(points[-1][0] - points[0][0]) > 180:
        pole = math.copysign(90.0, points[0][1])
        points += [(points[-1][0], pole), (points[0][0], pole), points[0]]
    middle = (min(x for x, _ in points) + max(x for x, _ in points)) / 2
    turn = 360 * math.floor((middle + 180) / 360)
    return [(x - turn, y) for x, y in points]


def _clipped(ring: Ring, box: Box) -> Ring:
    """Cut a ring to a box, side by side (Sutherland and Hodgman, 1974)."""
    for axis, sign, limit in ((0, 1, box[0]), (1, 1, box[1]), (0, -1, box[2]), (1, -1, box[3])):
        cut: Ring = []
        for one, other in pairwise(ring):
            inside = [sign * (point[axis] - limit) >= 0 for point in (one, other)]
            if inside[0] != inside[1]:
                share = (limit - one[axis]) / (other[axis] - one[axis])
                cut.append((one[0] + share * (other[0] - one[0]), one[1] + share * (other[1] - one[1])))
            if inside[1]:
                cut.append(other)
        ring = [*cut, cut[0]] if cut else []
    return ring


def _simplified(ring: Ring, tolerance: float) -> Ring:
    """Leave out points within ``tolerance`` of the line without them (Ramer, 1972; Douglas and Peucker, 1973)."""
    if len(ring) < 4:
        return []
    far = max(range(len(ring)), key=lambda place: math.dist(ring[place], ring[0]))
    return _simplified_line(ring[: far + 1], tolerance)[:-1] + _simplified_line(ring[far:], tolerance)


def _simplified_line(line: Sequence[Point], tolerance: float) -> Ring:
    keep = {0, len(line) - 1}
    stack = [(0, len(line) - 1)]
    while stack:
        first, last = stack.pop()
        if last - first < 2:
            continue
        off, place = max((_off(line[k], line[first], line[last]), k) for k in range(first + 1, last))
        if off > tolerance:
            keep.add(place)
            stack += [(first, place), (place, last)]
    return [line[place] for place in sorted(keep)]


def _off(point: Point, start: Point, stop: Point) -> float:
    """Return a point's distance from a straight piece, in degrees of latitude; those of longitude are shortened."""
    shrink = max(0.1, math.cos(math.radians(point[1])))  # at a pole all longitudes would be one
    px, py = (point[0] - start[0]) * shrink, point[1] - start[1]
    dx, dy = (stop[0] - start[0]) * shrink, stop[1] - start[1]
    length = dx * dx + dy * dy
    share = min(1.0, max(0.0, (px * dx + py * dy) / length)) if length else 0.0
    return math.hypot(px - share * dx, py - share * dy)


def _area_of(ring: Ring) -> float:
    return sum(one[0] * other[1] - other[0] * one[1] for one, other in pairwise(ring)) / 2


def _written(ring: Ring, unit: float) -> str:
    """Return a ring without its last point, which is its first."""
    whole = [(round(x / unit), round(y / unit)) for x, y in ring[:-1]]
    steps = [(x1 - x0, y1 - y0) for (x0, y0), (x1, y1) in pairwise(whole)]
    return " ".join(f"{x} {y}" for x, y in [whole[0], *(step for step in steps if step != (0, 0))])


if __name__ == "__main__":
    main(sys.argv[1])

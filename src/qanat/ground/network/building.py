"""Networks of regular and of random shape, for plans and tests: line, ring, star, tree, grid, random geometric."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TypeAlias

from qanat.ground.errors import ConfigurationError
from qanat.ground.network.description import Application, Network, Site
from qanat.ground.network.links import Link

Point: TypeAlias = tuple[float, float]
"""East and north, in lengths of a link."""
Edge: TypeAlias = tuple[int, int]

MOST_NODES = 10_000
DETOUR = 1.3
"""Fibre over the straight way."""
LOSS_DB_PER_KM = 0.25
"""The mean of the backbone's spans in the paper: 16.0 dB over 63.8 km (Nature 589, 214, Table 1)."""
MIDDLE = (35.0, 105.0)
"""Degrees north and east of the middle of what is built."""
WIDEST_KM = 2000.0
"""Larger shapes are drawn smaller than their fibre is long, so that they fit on the globe."""
KM_PER_DEG = 111.195
GROWTH = 1.05


@dataclass(frozen=True, slots=True)
class Shape:
    """Places of nodes and the links between them; ``lengths``: of each link, in lengths of the longest."""

    points: Sequence[Point]
    edges: Sequence[Edge]
    lengths: Sequence[float] | None = None


def build_network(
    kind: str,
    *,
    num_nodes: int,
    link_km: float = 50.0,
    system: str = "backbone-625",
    seed: int = 1,
) -> Network:
    """Return a network of ``num_nodes`` sites in a shape of that kind.

    link_km: fibre of each link, of the random geometric shape's longest; its loss is 0.25 dB per km. Sites with one
    link are users, all others trusted relays; two applications stand far apart. seed: of the random shape alone.
    Raises ConfigurationError for a kind that does not exist and for numbers that make no network of it.
    """
    if kind not in SHAPES:
        raise ConfigurationError(f"no shape {kind!r}", remedy=f"use one of: {', '.join(SHAPES)}")
    least, shape_of = SHAPES[kind]
    if not least <= num_nodes <= MOST_NODES:
        raise ConfigurationError(f"a {kind} of {num_nodes} nodes", remedy=f"give {least} to {MOST_NODES} nodes")
    if not 0.1 <= link_km <= 400:
        raise ConfigurationError(f"links of {link_km:g} km", remedy="give 0.1 to 400 km: more has over 100 dB")
    shape = shape_of(num_nodes, seed)
    return _network(f"{kind}-{num_nodes}", shape, link_km, system)


def _line(num: int, _seed: int) -> Shape:
    """A line laid in rows to and fro, as wide as high."""
    across = math.ceil(math.sqrt(num))
    points = []
    for k in range(num):
        row, column = divmod(k, across)
        points.append((float(column if row % 2 == 0 else across - 1 - column), float(-row)))
    return Shape(points, list(pairwise(range(num))))


def _ring(num: int, _seed: int) -> Shape:
    return Shape(_circle(num, 0.5 / math.sin(math.pi / num)), [(k, (k + 1) % num) for k in range(num)])


def _star(num: int, _seed: int) -> Shape:
    return Shape([(0.0, 0.0), *_circle(num - 1, 1.0)], [(0, k) for k in range(1, num)])


def _circle(num: int, radius: float) -> list[Point]:
    turns = [2 * math.pi * k / num for k in range(num)]
    return [(radius * math.sin(turn), radius * math.cos(turn)) for turn in turns]


def _tree(num: int, _seed: int) -> Shape:
    """Two links down from every node, filled level by level."""
    points = []
    for k in range(num):
        level = (k + 1).bit_length() - 1
        share = (k + 1 - 2**level + 0.5) / 2**level
        points.append((2 * share - 1, -0.7 * level))
    return Shape(points, [((k - 1) // 2, k) for k in range(1, num)])


def _grid(num: int, _seed: int) -> Shape:
    """Rows of the same length, the last one perhaps shorter."""
    across = math.ceil(math.sqrt(num))
    edges = [(k, k + 1) for k in range(num - 1) if (k + 1) % across]
    edges += [(k, k + across) for k in range(num - across)]
    return Shape([(float(k % across), float(-(k // across))) for k in range(num)], edges)


def _random_geometric(num: int, seed: int) -> Shape:
    """Points drawn evenly in a square, joined where they are near: at about the least distance that joins all."""
    points = [_drawn(seed, k) for k in range(num)]
    reach = 0.9 * math.sqrt(math.log(num) / (math.pi * num))  # where such graphs begin to hang together
    while len(_joined(num, edges := _near(points, reach))) < num:
        reach *= GROWTH
    lengths = [math.dist(points[one], points[other]) / reach for one, other in edges]
    return Shape([(x / reach, y / reach) for x, y in points], edges, lengths)


def _drawn(seed: int, number: int) -> Point:
    """Return a point of the unit square that follows from the seed: the same everywhere and always."""
    digest = hashlib.sha256(f"random geometric {seed} {number}".encode()).digest()
    return int.from_bytes(digest[:7]) / 2**56, int.from_bytes(digest[7:14]) / 2**56


def _near(points: Sequence[Point], reach: float) -> list[Edge]:
    """Return the pairs that are at most ``reach`` apart; cells of that size keep the search short."""
    cells: dict[tuple[int, int], list[int]] = {}
    for k, (x, y) in enumerate(points):
        cells.setdefault((int(x / reach), int(y / reach)), []).append(k)
    edges = []
    for (column, row), members in cells.items():
        around = [
            other
            for across, along in product((-1, 0, 1), repeat=2)
            for other in cells.get((column + across, row + along), ())
        ]
        edges += [
            (k, other)
            for k in members
            for other in around
            if k < other and math.dist(points[k], points[other]) <= reach
        ]
    return sorted(edges)


def _joined(num: int, edges: Sequence[Edge]) -> set[int]:
    """Return what hangs together with node 0."""
    beside: list[list[int]] = [[] for _ in range(num)]
    for one, other in edges:
        beside[one].append(other)
        beside[other].append(one)
    reached, frontier = {0}, [0]
    while frontier:
        for other in beside[frontier.pop()]:
            if other not in reached:
                reached.add(other)
                frontier.append(other)
    return reached


SHAPES: Mapping[str, tuple[int, Callable[[int, int], Shape]]] = {
    "line": (2, _line),
    "ring": (3, _ring),
    "star": (3, _star),
    "tree": (3, _tree),
    "grid": (4, _grid),
    "random-geometric": (4, _random_geometric),
}
"""Kind -> the least number of nodes, and what makes the shape of a number of nodes and a seed."""


def _network(name: str, shape: Shape, link_km: float, system: str) -> Network:
    num_links = [0] * len(shape.points)
    for edge in shape.edges:
        for end in edge:
            num_links[end] += 1
    digits = len(str(len(shape.points)))
    names = [f"n{k + 1:0{digits}}" for k in range(len(shape.points))]
    places = _places(shape, link_km)
    sites = tuple(
        Site(
            name=names[k],
            kind="relay" if num_links[k] > 1 else "user",
            latitude_deg=latitude,
            longitude_deg=longitude,
            assumed=True,
        )
        for k, (latitude, longitude) in enumerate(places)
    )
    lengths = shape.lengths or [1.0] * len(shape.edges)
    links = tuple(
        _link(names[one], names[other], max(0.01, round(link_km * length, 2)), system)
        for (one, other), length in zip(shape.edges, lengths, strict=True)
    )
    far = _farthest(shape)
    applications = (Application(name="alice", site=names[far[0]]), Application(name="bob", site=names[far[1]]))
    return Network(format="qanat-network/1", name=name, sites=sites, links=links, applications=applications)


def _link(one: str, other: str, length_km: float, system: str) -> Link:
    loss_db = round(LOSS_DB_PER_KM * length_km, 2)
    return Link(
        name=f"{one}-{other}",
        transmitter=one,
        receiver=other,
        system=system,
        loss_db=loss_db,
        length_km=length_km,
        assumed=True,
    )


def _places(shape: Shape, link_km: float) -> list[tuple[float, float]]:
    """Return degrees north and east, so that no fibre is shorter than its way."""
    xs, ys = zip(*shape.points, strict=True)
    longest = max(math.dist(shape.points[one], shape.points[other]) for one, other in shape.edges)
    unit_km = min(link_km / DETOUR / longest, WIDEST_KM / max(max(xs) - min(xs), max(ys) - min(ys), 1e-9))
    middle_x, middle_y = (max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2
    across = KM_PER_DEG * math.cos(math.radians(MIDDLE[0]))
    return [
        (
            round(MIDDLE[0] + (y - middle_y) * unit_km / KM_PER_DEG, 6),
            round(MIDDLE[1] + (x - middle_x) * unit_km / across, 6),
        )
        for x, y in shape.points
    ]


def _farthest(shape: Shape) -> tuple[int, int]:
    """Return two nodes with the most links between them, from the first node: out to the farthest, and from there."""
    beside: list[list[int]] = [[] for _ in shape.points]
    for one, other in shape.edges:
        beside[one].append(other)
        beside[other].append(one)

    def last_from(start: int) -> int:
        order, reached = [start], {start}
        for here in order:
            for other in beside[here]:
                if other not in reached:
                    reached.add(other)
                    order.append(other)
        return order[-1]

    one = last_from(0)
    return one, last_from(one)

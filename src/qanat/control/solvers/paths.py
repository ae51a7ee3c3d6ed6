"""Paths of demands: the shortest under prices of the links, and those that are in use, as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from qanat.control.graph import Route, RouteGraph
from qanat.control.sharing import Demand
from qanat.control.solvers.arrays import Floats, Ints
from qanat.control.solvers.searching import Search


class Market:
    """A graph's usable links as rows, and the demands that go over them."""

    def __init__(self, graph: RouteGraph, demands: Sequence[Demand]) -> None:
        """Raises UnknownNode for a demand of a stranger."""
        self._graph = graph
        self._ends = np.array([(graph.number_of(one.source), graph.number_of(one.target)) for one in demands])
        self._rows = [place for place in range(len(graph.links)) if _is_usable(graph, place)]
        self._ends_of_row = [tuple(graph.number[end] for end in graph.links[place].ends) for place in self._rows]
        self.capacity = np.array([graph.width[place] for place in self._rows])
        self._searches: list[Search] = []
        groups: dict[bytes, list[int]] = {}
        self._is_joined = np.zeros(len(demands), dtype=bool)
        for place, demand in enumerate(demands):
            start, end = self._ends[place]
            if graph.may_end(demand.policy, start, end):
                groups.setdefault(bytes(graph.passes(demand.policy, start)), []).append(place)
        for passes, members in groups.items():
            ends = [(int(start), int(end)) for start, end in self._ends[members]]
            self._searches.append(Search(graph, self._rows, passes, np.array(members), ends))

    def shortest(self, prices: Floats) -> Floats:
        """Return the length of each demand's shortest path; infinity where there is none. prices: positive, by row."""
        lengths = np.full(len(self._ends), np.inf)
        for search in self._searches:
            lengths[search.members] = search.run(prices)
        return lengths

    def paths(self, wanted: NDArray[np.bool_]) -> tuple[Ints, list[Ints]]:
        """Return demands among ``wanted`` and the rows of the shortest path of each, as ``shortest`` found it last."""
        found = [search.traced(wanted) for search in self._searches]
        demands = np.concatenate([members for members, _ in found]) if found else np.zeros(0, dtype=np.int64)
        return demands, [rows for _, paths in found for rows in paths]

    def by_link(self, values: Floats) -> Iterator[tuple[int, float]]:
        """Yield the number in the graph of each row's link with its value."""
        return zip(self._rows, values.tolist(), strict=True)

    def route(self, demand: int, rows: Ints) -> Route:
        """Return the sites of a path, from the demand's source on."""
        here = int(self._ends[demand, 0])
        route = [here]
        for row in rows:
            one, other = self._ends_of_row[row]
            here = other if here == one else one
            route.append(here)
        return tuple(self._graph.nodes[place] for place in route)


def _is_usable(graph: RouteGraph, link: int) -> bool:
    ends = (graph.number[end] for end in graph.links[link].ends)
    return bool(graph.link_is_up[link]) and graph.width[link] > 0 and all(graph.node_is_up[end] for end in ends)


class Paths:
    """The paths that carry something, of all demands. ``demand``: by path."""

    def __init__(self, num_rows: int, num_demands: int) -> None:
        self.num_rows, self.num_demands = num_rows, num_demands
        self.demand: Ints = np.zeros(0, dtype=np.int64)
        self.rows: list[Ints] = []
        self._keys: list[tuple[int, bytes]] = []
        self._known: set[tuple[int, bytes]] = set()
        self._lengths: Ints = np.zeros(0, dtype=np.int64)
        self._flat: Ints = np.zeros(0, dtype=np.int64)
        self._steps: Ints = np.zeros(0, dtype=np.int64)

    def add(self, demands: Ints, paths: Sequence[Ints]) -> Ints:
        """Take up the paths that are new, and return their demands."""
        fresh, before = [], len(self.rows)
        for demand, rows in zip(demands.tolist(), paths, strict=True):
            key = (demand, rows.tobytes())
            if key not in self._known:
                self._known.add(key)
                self._keys.append(key)
                self.rows.append(rows)
                fresh.append(demand)
        self.demand = np.concatenate([self.demand, np.array(fresh, dtype=np.int64)])
        lengths = np.array([len(rows) for rows in self.rows[before:]], dtype=np.int64)
        self._arrange(np.concatenate([self._lengths, lengths]), np.concatenate([self._flat, *self.rows[before:]]))
        return np.array(fresh, dtype=np.int64)

    def keep(self, is_kept: NDArray[np.bool_]) -> None:
        """Forget the other paths."""
        if is_kept.all():
            return
        kept = is_kept.tolist()
        self.rows = list(compress(self.rows, kept))
        self._keys = list(compress(self._keys, kept))
        self._known = set(self._keys)
        self.demand = self.demand[is_kept]
        self._arrange(self._lengths[is_kept], self._flat[is_kept[self._steps]])

    def _arrange(self, lengths: Ints, flat: Ints) -> None:
        """Have the paths as arrays. lengths: by path. flat: their steps, one path after the other."""
        self._lengths, self._flat = lengths, flat
        self._starts = np.concatenate([[0], np.cumsum(self._lengths)])
        self._steps = np.repeat(np.arange(len(self.rows)), self._lengths)
        self.num_paths = np.bincount(self.demand, minlength=self.num_demands)

    def loads(self, flows: Floats) -> Floats:
        """Return what each link carries."""
        return np.asarray(np.bincount(self._flat, flows[self._steps], self.num_rows), dtype=np.float64)

    def totals(self, flows: Floats) -> Floats:
        """Return what each demand gets."""
        return np.asarray(np.bincount(self.demand, flows, self.num_demands), dtype=np.float64)

    def along(self, prices: Floats) -> Floats:
        """Return the sum of the prices along each path."""
        return np.asarray(np.add.reduceat(prices[self._flat], self._starts[:-1]))

    def least_along(self, values: Floats) -> Floats:
        """Return the least of the values along each path."""
        return np.asarray(np.minimum.reduceat(values[self._flat], self._starts[:-1]))

    def crossings(self, scale: Floats) -> csc_array:
        """Return the matrix of links by paths, with ``scale`` of the path where it takes the link."""
        data = np.repeat(scale, self._lengths)
        return csc_array((data, self._flat, self._starts), shape=(self.num_rows, len(self.rows)))

    def steps(self) -> tuple[Ints, Ints]:
        """Return every step of every path: the link it takes, and which path it belongs to."""
        return self._flat, self._steps

    def by_demand(self, scale: Floats) -> csc_array:
        """Return the matrix of links by demands, with the sum of ``scale`` over the demand's paths on the link."""
        columns = np.repeat(self.demand, self._lengths)
        shape = (self.num_rows, self.num_demands)
        return csc_array((np.repeat(scale, self._lengths), (self._flat, columns)), shape=shape)


@dataclass(frozen=True, slots=True)
class Flows:
    """Paths of a market and what each carries, in bit/s; the objective and its bound."""

    market: Market
    paths: Paths
    flows: Floats
    value: float
    bound: float

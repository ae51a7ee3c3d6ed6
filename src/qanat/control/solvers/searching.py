"""Shortest paths of many demands under prices of the links, through the sites that pass keys on.

Users outnumber relays, and pass nothing on. So only the ways between relays are searched, from each relay at which a
demand may enter; a demand takes the best of its few ways in, through and out, and of a link right to its other end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from qanat.control.graph import RouteGraph
from qanat.control.solvers.arrays import Floats, Ints

NO_ROW = -1
"""Of a demand that begins, or ends, at a relay: it enters, or leaves, over no link."""


class Search:
    """The demands that may pass the same sites. ``members``: by place here, their numbers."""

    def __init__(
        self,
        graph: RouteGraph,
        rows: Sequence[int],
        passes: Sequence[int],
        members: Ints,
        ends: Sequence[tuple[int, int]],
    ) -> None:
        """rows: the numbers of the links that may be used. passes: by site. ends: by member, two numbers of sites."""
        self.members = members
        self._relays = [site for site, passed in enumerate(passes) if passed]
        self._place = {site: place for place, site in enumerate(self._relays)}
        self._row = {link: row for row, link in enumerate(rows)}
        ways = [(member, *way) for member, pair in enumerate(ends) for way in self._ways(graph, *pair)]
        table = np.array(ways, dtype=np.int64).reshape(-1, 5)
        self._of_member, self._first, self._last = table[:, 0], table[:, 1], table[:, 4]
        self._begins = np.searchsorted(self._of_member, np.arange(len(members)))
        self._starts, self._start_place = np.unique(table[:, 2], return_inverse=True)
        self._stops = table[:, 3]
        self._lay_out(graph)
        self._lengths: Floats = np.zeros(0)
        self._before: NDArray[np.int32] = np.zeros((0, 0), dtype=np.int32)

    @property
    def _nowhere(self) -> tuple[int, int]:
        """Two vertices without links: from the first to itself is no way at all, and to the second there is none."""
        return len(self._relays), len(self._relays) + 1

    def _ways(self, graph: RouteGraph, source: int, target: int) -> Iterator[tuple[int, int, int, int]]:
        """Yield the first row, the relays where a demand enters and leaves, and the last row."""
        here, nowhere = self._nowhere
        yield NO_ROW, here, nowhere, NO_ROW  # so that each demand has one
        entries, exits = (list(self._doors(graph, site)) for site in (source, target))
        yield from ((first, enter, leave, last) for first, enter in entries for last, leave in exits)
        if source not in self._place and target not in self._place:
            direct = [self._row[link] for peer, link in graph.hops[source] if peer == target and link in self._row]
            yield from ((row, here, here, NO_ROW) for row in direct)

    def _doors(self, graph: RouteGraph, site: int) -> Iterator[tuple[int, int]]:
        """Yield the relays next to a site, which may be itself, and the row by which each is reached."""
        if site in self._place:
            yield NO_ROW, self._place[site]
            return
        for peer, link in graph.hops[site]:
            if peer in self._place and link in self._row:
                yield self._row[link], self._place[peer]

    def _lay_out(self, graph: RouteGraph) -> None:
        arcs = sorted(
            (self._place[here], self._place[there], self._row[link])
            for here in self._relays
            for there, link in graph.hops[here]
            if there in self._place and link in self._row
        )
        table, size = np.array(arcs, dtype=np.int64).reshape(-1, 3), len(self._relays) + 2
        self._row_of_arc, self._arc_keys = table[:, 2], table[:, 0] * size + table[:, 1]
        begins = np.searchsorted(table[:, 0], np.arange(size + 1))
        self._matrix = csr_array(
            (np.zeros(len(table)), table[:, 1].astype(np.int32), begins.astype(np.int32)), shape=(size, size)
        )

    def run(self, prices: Floats) -> Floats:
        """Return the length of each member's shortest path; infinity where there is none. prices: positive, by row."""
        self._matrix.data = prices[self._row_of_arc]
        between, self._before = dijkstra(self._matrix, indices=self._starts, return_predecessors=True)
        known = np.append(prices, 0.0)  # where NO_ROW points to
        self._lengths = known[self._first] + between[self._start_place, self._stops] + known[self._last]
        return np.asarray(np.minimum.reduceat(self._lengths, self._begins))

    def traced(self, wanted: NDArray[np.bool_]) -> tuple[Ints, list[Ints]]:
        """Return those of ``wanted`` (by demand) who have a path, and the rows of each one's shortest as ``run`` found
        it last, all traced side by side from their ends back."""
        best = np.minimum.reduceat(self._lengths, self._begins)
        is_best = (self._lengths == best[self._of_member]) & (wanted[self.members] & np.isfinite(best))[self._of_member]
        ways = np.flatnonzero(is_best)
        chosen, first = np.unique(self._of_member[ways], return_index=True)
        ways = ways[first]
        at, starts, size = self._stops[ways].copy(), self._start_place[ways], self._matrix.shape[0]
        steps: list[Ints] = [self._last[ways]]
        under_way = np.flatnonzero(at != self._starts[starts])
        while under_way.size:
            before = self._before[starts[under_way], at[under_way]].astype(np.int64)
            rows = np.full(len(ways), NO_ROW, dtype=np.int64)
            rows[under_way] = self._row_of_arc[np.searchsorted(self._arc_keys, before * size + at[under_way])]
            steps.append(rows)
            at[under_way] = before
            under_way = under_way[before != self._starts[starts[under_way]]]
        steps.append(self._first[ways])
        table = np.array(steps[::-1]).T
        return self.members[chosen], [path[path != NO_ROW] for path in table]

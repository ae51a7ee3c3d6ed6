"""What is out of order in the network now, as its controller sees it: routes keep away from it while others are there.

A way over a part that fails is not struck out: its pools may hold key still, and it may be the only one.
"""

from __future__ import annotations

from collections.abc import Iterable

from qanat.control.graph import RouteGraph
from qanat.control.survival import Outage, RoutedPair, Survivor
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network

NARROWED = 1e-6
"""What the width of a link that fails is multiplied by: any other way is wider."""


class Outages:
    """The failures of one network."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._now: frozenset[Outage] = frozenset()
        self._whole: RouteGraph | None = None

    def become(self, now: Iterable[Outage]) -> tuple[frozenset[Outage], frozenset[Outage]]:
        """Take note of all outages of this moment; return those that are new, and those that are over."""
        before, self._now = self._now, frozenset(now)
        return self._now - before, before - self._now

    @property
    def links(self) -> frozenset[LinkId]:
        """The links that no way should go over: those that fail, and all of a site that is lost."""
        lost = {outage.node for outage in self._now if outage.node is not None}
        failing = {outage.link_id for outage in self._now if outage.link_id is not None}
        return frozenset(
            link.link_id for link in self._network.links if link.link_id in failing or not lost.isdisjoint(link.ends)
        )

    def narrow(self, graph: RouteGraph) -> None:
        """Make the links that fail the last choice in a graph whose widths are those of whole links."""
        for link_id in self.links:
            if (place := graph.link_number.get(link_id)) is not None:
                graph.set_link(link_id, width=graph.width[place] * NARROWED)

    def remedy(self, source: NodeId, target: NodeId) -> str:
        """Return what to mend, where nothing joins two sites now but ways over parts that fail; else nothing."""
        if not self._now:
            return ""
        graph = self._whole = self._whole or RouteGraph.of_keys(self._network)
        survivor = Survivor(graph, {"": RoutedPair(source, target)})
        for outage in self._now:
            survivor.fail(outage)
        cut_off = survivor.cut_off.get("")
        for outage in self._now:
            survivor.mend(outage)
        return "" if cut_off is None else cut_off.reason

"""What is out of order in the network now, as its controller sees it: routes keep away from it while others are there.

A way over a part that fails is not struck out: its pools may hold key still, and it may be the only one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from qanat.control.books import Books, LinkBook, renewal
from qanat.control.graph import RouteGraph
from qanat.control.lines import SilentLines
from qanat.control.survival import Fault, Outage, RoutedPair, Survivor
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network
from qanat.ground.tracing import EventRecorder
from qanat.key_management.wire import GenerationFailed, GenerationRequest, RouteChoices

NARROWED = 1e-6
"""What the width of a link that fails is multiplied by: any other way is wider."""
AVOIDED_S = 30.0
"""Routes keep away from a link that has failed until it makes key again, or for so long: it rests for a second or two
at first, and with each of its tries all tables of a large network would be out of date twice."""


class Outages:
    """The failures of one network, told as alarms. A link fails after ``tries`` failed orders in a row, while it rests
    from them: after that it is tried again.

    Routes keep away from it a little longer, but from no link that is its site's only one: they have no choice there.
    """

    def __init__(
        self, network: Network, books: Books, recorder: EventRecorder, *, tries: int, lines: SilentLines | None = None
    ) -> None:
        """``lines``: watches the lines between sites; nobody does without."""
        self._network = network
        self._books = books
        self._recorder = recorder
        self._tries = tries
        self._lines = lines
        self._now: frozenset[Outage] = frozenset()
        self._away: frozenset[LinkId] = frozenset()
        self._whole: RouteGraph | None = None
        self._only_links = _only_links(network)
        self._failed_s: dict[LinkId, float] = {}
        self._avoided: frozenset[LinkId] = frozenset()

    def look(self, silent: Iterable[NodeId], *, now_s: float) -> bool:
        """Take note of what is out now; return whether that has changed, so that routes are to be looked for anew."""
        was_away, self._away = self._away, self._books.away_links
        for link_id in self._away - was_away:
            self._tell_away(link_id)
        for link_id in was_away - self._away:
            self._recorder.alarm_over("module-away", link_id)
        lost = [Outage(Fault.NODE_LOST, node=node) for node in silent]
        if self._lines is not None:
            self._lines.look([outage.node for outage in lost if outage.node is not None])
        failing = self._books.failing_links(tries=self._tries, now_s=now_s)
        avoided_before, lost_before = self._avoided, self.lost_nodes
        self._avoid(failing, now_s=now_s)
        before, self._now = self._now, frozenset((*lost, *(Outage(Fault.LINK_DOWN, link_id=one) for one in failing)))
        for outage in self._now - before:
            self._tell(outage)
        for outage in before - self._now:
            if outage.node is not None:
                self._recorder.alarm_over("node-silent", outage.node)
        return (self._avoided, self.lost_nodes, self._away) != (avoided_before, lost_before, was_away)

    def hand_over(self) -> None:
        """Another controller rules and tells what is out; this one tells all anew, should it rule again."""
        for outage in self._now:
            if outage.node is not None:
                self._recorder.alarm_over("node-silent", outage.node)
            elif outage.link_id is not None:
                self._recorder.alarm_over("link-failing", outage.link_id)
        for link_id in self._away:
            self._recorder.alarm_over("module-away", link_id)
        if self._lines is not None:
            self._lines.hand_over()
        self._now, self._away = frozenset(), frozenset()

    def _avoid(self, failing: Iterable[LinkId], *, now_s: float) -> None:
        self._failed_s |= dict.fromkeys(failing, now_s)
        self._failed_s = {link: at_s for link, at_s in self._failed_s.items() if now_s < at_s + AVOIDED_S}
        cut = self._lines.links if self._lines is not None else frozenset()
        self._avoided = (cut | self._failed_s.keys()) - self._only_links

    @property
    def away_links(self) -> tuple[LinkId, ...]:
        """The links of which a module did not answer at the last look."""
        return tuple(sorted(self._away))

    @property
    def lost_nodes(self) -> tuple[NodeId, ...]:
        """The sites that did not answer at the last look."""
        return tuple(sorted(outage.node for outage in self._now if outage.node is not None))

    def order_succeeded(self, link_id: LinkId) -> None:
        """A link has made what it was ordered to: nothing is wrong with it."""
        self._failed_s.pop(link_id, None)
        self._recorder.alarm_over("link-failing", link_id)

    def has_out(self, link_id: LinkId, ends: tuple[NodeId, NodeId]) -> bool:
        """Return whether a link fails now, or ends at a lost site."""
        return any(outage.link_id == link_id or outage.node in ends for outage in self._now)

    def narrow(self, graph: RouteGraph) -> None:
        """Make the links that fail, and all of a lost site, the last choice in a graph with whole links' widths."""
        for link_id in self.links_out(graph):
            graph.set_link(link_id, width=graph.width[graph.link_number[link_id]] * NARROWED)

    def links_out(self, graph: RouteGraph) -> frozenset[LinkId]:
        """Return the links that routes keep away from, since they fail, and all of lost sites."""
        lost = set(self.lost_nodes)
        if not lost and not self._avoided:
            return frozenset()
        is_out = (link for link in graph.links if link.link_id in self._avoided or not lost.isdisjoint(link.ends))
        return frozenset(link.link_id for link in is_out)

    def goes_round(
        self, word: GenerationRequest, choices: Iterable[RouteChoices], graph: RouteGraph, *, now_s: float
    ) -> bool:
        """Return whether a demand for one way could be met by another one, none of whose links rests from a failure."""
        if len(word.routes) != 1:
            return False
        links: Mapping[LinkId, LinkBook] = self._books.links
        ways = (way for row in choices if row.target == word.target for way in (*row.disjoint, *row.detours))
        return any(
            not any(links[one].is_failing(now_s, tries=1) for one in graph.links_along(way))
            for way in ways
            if way not in word.routes
        )

    def with_remedy(self, word: GenerationRequest, failed: GenerationFailed) -> GenerationFailed:
        """Add to a failure what would have to be mended, where nothing joins its ends but ways over parts that fail."""
        if not self._now:
            return failed
        graph = self._whole = self._whole or RouteGraph.of_keys(self._network)
        survivor = Survivor(graph, {"": RoutedPair(word.source, word.target)})
        for outage in self._now:
            survivor.fail(outage)
        cut_off = survivor.cut_off.get("")
        for outage in self._now:
            survivor.mend(outage)
        if cut_off is None:
            return failed
        return replace(failed, remedy="; ".join(text for text in (failed.remedy, cut_off.reason) if text))

    def _tell(self, outage: Outage) -> None:
        if outage.node is not None:
            self._tell_lost(outage.node)
        elif outage.link_id is not None and outage.link_id not in self._away:
            link_id, fault = outage.link_id, self._books.links[outage.link_id].last_fault
            assert fault is not None, "a link that fails has said why"
            text = f"link {link_id} makes no key: {fault.text}"
            self._recorder.alarm("link-failing", text, fault.remedy, about=link_id, link_id=link_id)

    def _tell_lost(self, node: NodeId) -> None:
        """Tell that a site does not answer, and why, where it has said that with its last word."""
        text, remedy = f"{node} does not answer the controller", ""
        books = [self._books.links[link.link_id] for link in self._network.links_of(node)]
        if ended := next((words for book in books if (words := book.certificates_ended.get(node))), ""):
            text, remedy = f"{ended}, so {text}", renewal(node)
        self._recorder.alarm("node-silent", text, remedy, about=node, of_node=node)

    def _tell_away(self, link_id: LinkId) -> None:
        fault = self._books.links[link_id].fault
        assert fault is not None, "a link whose module is away has that as its fault"
        text = f"link {link_id} makes no key: {fault.text}"
        self._recorder.alarm("module-away", text, fault.remedy, about=link_id, link_id=link_id)


def _only_links(network: Network) -> frozenset[LinkId]:
    """Return the links over which all keys of the site at one end go."""
    graph = RouteGraph.of_keys(network)
    only = [hops[0][1] for hops in graph.hops if len(hops) == 1]
    return frozenset(graph.links[number].link_id for number in only)

"""A network as planning reckons with it: what each link can give, and what links have in common.

A fibre with its devices gives its rate all the time. A link through a switch gives its rate while the switch joins its
two ports: a port, and a trunk, serves one link at a time, and the links at it share its time. Each of these is a limit,
of which one bit/s over a link takes a part; together nobody can take more than the whole of any limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from typing import Literal

from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Link, Network
from qanat.planning.direct import links_for
from qanat.quantum_layer.forecast import link_forecast

DWELL_S = 60.0
"""So long a switch is taken to stay on a pair before it turns: next to it, the 20 ms of a turn are nothing."""
MOST_TRIPLES = 500
"""Of so many sets of three ports of a group at most it is demanded that only one link at a time joins them."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What cannot be used by more than its whole.

    ``link``: the rate of a link; ``port`` and ``trunk``: the time of one; ``ports``: the time of several, of which only
    every two are joined at once, so that one of an odd number is always left over.
    """

    kind: Literal["link", "port", "trunk", "ports"]
    name: str


@dataclass(frozen=True, slots=True)
class Carrier:
    """A link that can give key. ``uses``: limit -> the part of it that 1 bit/s takes."""

    link_id: LinkId
    ends: tuple[NodeId, NodeId]
    rate_bits_per_s: float
    uses: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Limited:
    """A network's links with what limits them. ``relays``: sites that pass keys on; all others are ends."""

    nodes: tuple[NodeId, ...]
    relays: frozenset[NodeId]
    carriers: tuple[Carrier, ...]
    limits: tuple[Limit, ...]


def switch_of(network: Network, site: str) -> str:
    """Return the switch that a site has its port on; empty for a site without a port."""
    return next((switch.name for switch in network.switches if any(port.site == site for port in switch.ports)), "")


def link_rates(network: Network, *, counts_pairs: bool = True) -> dict[LinkId, float]:
    """Return the forecast of each link in bit/s, of all its pairs of modules together or of one alone; 0 for links of
    satellites, which give what their passes do (``planning.pass_rates``).

    ``loss_db`` of a network file is what each pair sees, multiplexers included. A twin with a disturbance is taken
    without it. Raises ConfigurationError for an unknown system.
    """
    return {
        link.link_id: link_forecast(link.system, loss_db=link.loss_db).secret_rate_bits_per_s
        * (link.pairs if counts_pairs else 1)
        if link.makes_key_on_order
        else 0.0
        for link in network.links
    }


def limited(network: Network, rates_bits_per_s: Mapping[LinkId, float], *, ends: Iterable[NodeId] = ()) -> Limited:
    """Return the links that give key, with what limits them; of several between two sites the first, as in the relay.
    ``ends``: of a pair that keys are wanted for; only links that the policies of both let their keys pass.

    What is said of ports is exact for up to three that keys go through, and for more an upper bound, near to what a
    schedule of the switch can reach.
    """
    limits: dict[Limit, int] = {}
    pair = tuple(ends)
    links = [link for link in links_for(network, pair) if rates_bits_per_s[link.link_id] > 0]
    relays = frozenset(site.node for site in network.sites if site.kind == "relay")
    together = _odd_sets([link for link in links if link.through], relays.union(pair))
    carriers = []
    for link in links:
        rate = rates_bits_per_s[link.link_id] * _duty(network, link)
        uses = {
            limits.setdefault(limit, len(limits)): 1 / (rate * at_once)
            for limit, at_once in _limits_of(network, link, together)
        }
        carriers.append(Carrier(link.link_id, link.ends, rate, uses))
    return Limited(network.nodes, relays, tuple(carriers), tuple(limits))


def _duty(network: Network, link: Link) -> float:
    """Return the part of the time in which light passes: all switches on the way turn together, the slowest counts."""
    turns = [network.switches_by_name[name].reconfiguration_s for name in link.through]
    return max(0.0, 1 - max(turns) / DWELL_S) if turns else 1.0


def _limits_of(network: Network, link: Link, odd_sets: Sequence[frozenset[NodeId]]) -> Iterator[tuple[Limit, int]]:
    """Yield what a link takes a part of, with how many such links can run at once."""
    if not link.through:
        yield Limit("link", link.name), 1
    for kept in sorted(network.kept_by(link)):
        kind, _, name = kept.partition(" ")
        yield Limit("port" if kind == "port" else "trunk", name), 1
    for ports in odd_sets:
        if ports.issuperset(link.ends) and link.through:
            yield Limit("ports", ", ".join(sorted(ports))), len(ports) // 2


def _odd_sets(switched: Sequence[Link], passing: frozenset[NodeId]) -> list[frozenset[NodeId]]:
    """Return sets of an odd number of ports, of which one is left over at any time: all that hang together, and every
    three that keys may go through."""
    sets = [ports for ports in _groups(switched) if len(ports) % 2]
    for ports in _groups(switched):
        triples = combinations(sorted(ports & passing), 3)
        sets += [frozenset(triple) for triple in islice(triples, MOST_TRIPLES)]
    return list(dict.fromkeys(sets))


def _groups(switched: Iterable[Link]) -> list[frozenset[NodeId]]:
    """Return the sites behind switches that links join, group by group."""
    groups: list[set[NodeId]] = []
    for link in switched:
        meeting = [group for group in groups if not group.isdisjoint(link.ends)]
        groups = [group for group in groups if group not in meeting]
        groups.append(set(link.ends).union(*meeting))
    return [frozenset(group) for group in groups]

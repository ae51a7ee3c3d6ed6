"""Who can have keys with whom, and what of that is lost when a relay, a link or a switch is.

Keys pass trusted relays only. Two users can have keys when they hang on relays that hang together, or when one link
joins them; users of direct keys only by the second. Where a site would have its keys pass no more than certain sites,
only these count for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Link, Network
from qanat.ground.network.satellites import downlink_name
from qanat.planning.allowed import Allowed, allowed_between, choosy

Kind: TypeAlias = Literal["site", "link", "switch"]

MOST_SITES_TRIED = 1000
"""In networks of more sites it is not tried what the loss of each part would cost."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a network that may be lost."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Loss:
    """What the loss of a part costs: so many pairs of other places have no way any more; ``alone``: places that can
    have keys with nobody then, the lost one excepted."""

    part: Part
    pairs_lost: int
    alone: tuple[NodeId, ...]


def places(network: Network) -> tuple[NodeId, ...]:
    """Return where keys are wanted: the sites of users, and others that have applications."""
    with_application = {app.site for app in network.applications}
    return tuple(site.node for site in network.sites if site.kind == "user" or site.name in with_application)


_Join: TypeAlias = tuple[LinkId, NodeId, NodeId]
"""A link and its ends; where one of them is a user and the other a relay, the user first."""


class Reach:
    """Which places can have keys with which, over the links that give any."""

    def __init__(self, network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> None:
        self.places = places(network)
        self._network = network
        self._bit = {node: 1 << place for place, node in enumerate(self.places)}
        self._relays = frozenset(site.node for site in network.sites if site.kind == "relay")
        direct_only = {site.node for site in network.sites if site.direct_keys_only}
        self._choosy = choosy(network).intersection(self.places)
        self._through: list[_Join] = []
        self._access: list[_Join] = []
        self._direct: list[_Join] = []
        self._going: dict[Part, set[LinkId]] = {}
        for link in network.relayed_links:
            if rates_bits_per_s[link.link_id] <= 0:
                continue
            one, other = sorted(link.ends, key=self._relays.__contains__)
            join = (link.link_id, one, other)
            if one in self._relays:
                self._through.append(join)
            elif other in self._relays and one not in direct_only:
                self._access.append(join)
            knows = link.kind == "announced" and not direct_only.isdisjoint(link.ends)  # the satellite knows the key
            if one in self._bit and other in self._bit and not knows:
                self._direct.append(join)
            for part in parts_of(link):
                self._going.setdefault(part, set()).add(link.link_id)

    def masks(self, lost: Part | None = None) -> dict[NodeId, int]:
        """Return, by place, the places that it reaches, as bits in their order; without a lost part."""
        found = self._masks(lost, None)
        among: dict[Allowed, dict[NodeId, int]] = {}
        for one in self._choosy.intersection(found):
            for other in found:
                allowed = allowed_between(self._network, one, other) if one != other else None
                if allowed is None:
                    continue
                if allowed not in among:
                    among[allowed] = self._masks(lost, allowed)
                reached = among[allowed][one] & self._bit[other]
                found[one] = found[one] & ~self._bit[other] | reached
                found[other] = found[other] & ~self._bit[one] | (self._bit[one] if reached else 0)
        return found

    def _masks(self, lost: Part | None, allowed: Allowed | None) -> dict[NodeId, int]:
        """Return what ``masks`` does when keys of all pairs may go where ``allowed`` says."""
        gone = self._going.get(lost, set()) if lost is not None else set()
        if allowed is not None:
            gone = gone | self._forbidden(allowed)
        group = _groups(self._relays, [join for join in self._through if join[0] not in gone])
        around = {node: {group[node]} if node in group else set() for node in self.places}
        for link_id, user, relay in self._access:
            if link_id not in gone:
                around[user].add(group[relay])
        members: dict[NodeId, int] = {}
        for node, groups in around.items():
            for one in groups:
                members[one] = members.get(one, 0) | self._bit[node]
        reached = dict.fromkeys(self.places, 0)
        for link_id, here, there in self._direct:
            if link_id not in gone:
                reached[here] |= self._bit[there]
                reached[there] |= self._bit[here]
        for node, groups in around.items():
            for one in groups:
                reached[node] |= members[one]
        site = lost.name if lost is not None and lost.kind == "site" else None
        return {node: bits & ~self._bit[node] for node, bits in reached.items() if node != site}

    def _forbidden(self, allowed: Allowed) -> set[LinkId]:
        """Return the links that lead where keys may not go."""
        regions = self._network.regions
        joins = (*self._through, *self._access, *self._direct)
        return {link_id for link_id, *ends in joins if not all(allowed.has(end, regions) for end in ends)}

    def pairs(self) -> int:
        """Return how many pairs of places can have keys."""
        return sum(bits.bit_count() for bits in self.masks().values()) // 2

    def unreachable(self) -> int:
        """Return how many pairs of places cannot."""
        return len(self.places) * (len(self.places) - 1) // 2 - self.pairs()

    def alone(self) -> tuple[NodeId, ...]:
        """Return the places that can have keys with nobody."""
        return tuple(node for node, bits in self.masks().items() if not bits)

    def losses(self, parts: Iterable[Part]) -> Iterator[Loss]:
        """Yield what the loss of each part costs."""
        whole = self.masks()
        for part in parts:
            left = self.masks(part)
            gone = self._bit.get(NodeId(part.name), 0) if part.kind == "site" else 0
            lost = sum((whole[node] & ~bits & ~gone).bit_count() for node, bits in left.items()) // 2
            alone = tuple(node for node, bits in left.items() if whole[node] and not bits)
            yield Loss(part, lost, alone)

    def weakest(self) -> tuple[Loss, ...] | None:
        """Return the relays, links and switches whose loss parts others, the worst first; None in a network of more
        than ``MOST_SITES_TRIED`` sites."""
        if len(self._network.sites) > MOST_SITES_TRIED:
            return None
        found = [loss for loss in self.losses(single_parts(self._network)) if loss.pairs_lost]
        order = {"site": 0, "switch": 1, "link": 2}
        return tuple(sorted(found, key=lambda loss: (-loss.pairs_lost, order[loss.part.kind], loss.part.name)))


def single_parts(network: Network) -> list[Part]:
    """Return the relays, satellites, links through no switch, downlinks and switches of a network."""
    return [
        *(Part("site", site.name) for site in network.sites if site.kind != "user"),
        *(Part("link", link.name) for link in network.described_links),
        *(Part("link", one.name) for one in network.downlinks),
        *(Part("switch", switch.name) for switch in network.switches),
    ]


def parts_of(link: Link) -> list[Part]:
    """Return the parts with any of which a link is gone: what a satellite announces, with it and with its downlinks."""
    parts: list[Part] = [*(Part("site", end) for end in link.ends), Part("link", link.name)]
    parts += [Part("switch", switch) for switch in link.through]
    if link.kind == "announced":
        parts.append(Part("site", link.satellite))
        parts += [Part("link", downlink_name(link.satellite, end)) for end in link.ends]
    return parts


def _groups(relays: Iterable[NodeId], joins: Sequence[_Join]) -> dict[NodeId, NodeId]:
    """Return, by relay, one relay that stands for all that hang together with it."""
    above = {node: node for node in relays}

    def top(node: NodeId) -> NodeId:
        while above[node] != node:
            above[node] = above[above[node]]
            node = above[node]
        return node

    for _, one, other in joins:
        above[top(one)] = top(other)
    return {node: top(node) for node in above}

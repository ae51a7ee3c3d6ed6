"""The way that keys took through the network, hop by hop, and the link that bounds what it can carry."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from qanat.apps.report.comparison import Span
from qanat.apps.report.result import DemoResult, LinkResult, PassResult
from qanat.ground.authentication import forgery_probability
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Link, Network

BACKBONE = "backbone"
"""The heading under which a network file counts the spans that stand beside the paper's backbone."""

MOST_RELAY_BYTES = 4 * 2**20
"""The longest message between two nodes (adapters.tls_transport)."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One link of a key's way, from the place where the key came in to the place where it went out.

    ``result`` is None for a link that made no key in this run, and for a satellite's, which has ``in_pass`` where it
    has had a pass.
    """

    start: str
    stop: str
    link: Link
    result: LinkResult | None
    in_pass: PassResult | None = None

    @property
    def is_downlink(self) -> bool:
        return self.link.kind == "downlink"

    @property
    def is_backbone(self) -> bool:
        return self.link.counted_as == BACKBONE


def place_name(network: Network, node: str) -> str:
    """Return a site's title, without what it says in brackets unless another site is called the same without it."""
    titles = {site.name: site.title or site.name for site in network.sites}
    title = titles.get(node, node)
    short = title.split(" (")[0]
    others = [other.split(" (")[0] for name, other in titles.items() if name != node]
    return title if short in others and short != title else short


def hops_of_key(result: DemoResult) -> list[Hop]:
    """Return the hops of the first transfer's keys; none when nothing was sent or its way is not known."""
    route = next((transfer.key_route for transfer in result.transfers if len(transfer.key_route) > 1), ())
    found = {link.link_id: link for link in result.links}
    passes = {one.link_id: one for one in (() if result.space is None else result.space.passes)}
    hops = []
    for one, other in pairwise(route):
        link = result.network.link_between(NodeId(one), NodeId(other))
        names = place_name(result.network, one), place_name(result.network, other)
        hops.append(Hop(*names, link, found.get(link.link_id), passes.get(link.link_id)))
    return hops


def bounding_link(hops: Sequence[Hop]) -> LinkResult | None:
    """Return the link with the least secret rate on the way; None unless every hop's rate is known."""
    results = [hop.result for hop in hops if hop.result is not None]
    if not results or len(results) < len(hops):
        return None
    return min(results, key=lambda link: link.secret_rate_bits_per_s)


def eps_of_key(hops: Sequence[Hop]) -> float | None:
    """Return the bound on the probability that a key over these hops is not perfect, relay included.

    It rests on the blocks that the links made in the run, each of which may fail, and on one tag per hop (ground.
    authentication), whose message is at most MOST_RELAY_BYTES long. None where a link has made no key.
    """
    results = [hop.result for hop in hops if hop.result is not None]
    if not results or len(results) < len(hops):
        return None
    blocks = sum(result.eps_total * result.keys_checked for result in results)
    return blocks + len(hops) * forgery_probability(num_bytes=MOST_RELAY_BYTES)


def in_order(links: Sequence[LinkResult], hops: Sequence[Hop]) -> list[LinkResult]:
    """Return the links in the order of the key's way, then the others as they come."""
    place = {hop.link.name: number for number, hop in enumerate(hops)}
    return sorted(links, key=lambda link: place.get(link.link_id, len(place)))


def backbone_links(result: DemoResult) -> list[LinkResult]:
    """Return the links with key that the network counts as backbone."""
    counted = {link.name for link in result.network.links if link.counted_as == BACKBONE}
    return [link for link in result.links if link.link_id in counted]


def spans_of(links: Sequence[LinkResult]) -> list[Span]:
    """Return what the comparison with the paper needs to know of links."""
    return [Span(link.link_id, link.system, link.loss_db, link.secret_rate_bits_per_s) for link in links]


def telling_links(
    links: Sequence[LinkResult], bounding: LinkResult | None, *, backbone: Collection[str] = ()
) -> list[LinkResult]:
    """Return the links whose details are worth showing unasked: least loss, greatest loss, and the bounding one.

    ``backbone``: ids of the links among which least and greatest are looked for; all when there are none. A network of
    three links or fewer is shown whole.
    """
    if len(links) <= 3:
        return list(links)
    among = [link for link in links if link.link_id in backbone] or links
    chosen = [min(among, key=lambda link: link.loss_db), max(among, key=lambda link: link.loss_db)]
    if bounding is not None:
        chosen.append(bounding)
    names = {link.link_id for link in chosen}
    return [link for link in links if link.link_id in names]

"""What-if: networks without a part, and with more spans. Each function returns another network and changes none.

What is returned may hang together no more; who asks wants to know what that costs. Lines for messages are left out:
plans are of keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from qanat.ground.errors import ConfigurationError, RequestError, UnknownNode
from qanat.ground.identifiers import MAX_ID_CHARACTERS, LinkId, NodeId
from qanat.ground.network import Link, Network, Site
from qanat.ground.network.building import LOSS_DB_PER_KM
from qanat.ground.network.extracts import extract_of
from qanat.ground.network.links import MOST_PAIRS
from qanat.ground.network.names import nearest
from qanat.planning.reach import Part
from qanat.quantum_layer.forecast import link_forecast

MOST_LOSS_DB = 100.0
MOST_RELAYS = 200
"""Relays of one chain."""


# --- less ---


def part_named(network: Network, text: str) -> Part:
    """Return the site, link or switch of a name; ``site:NAME``, ``link:NAME`` and ``switch:NAME`` say which of them.

    Raises UnknownNode with the nearest names; RequestError for a name of several parts, and for a link through
    switches, which is lost with a port or a switch only.
    """
    kind, _, name = text.rpartition(":")
    known: dict[str, Mapping[str, Part]] = {
        "site": {site.name: Part("site", site.name) for site in network.sites},
        "link": {link.name: Part("link", link.name) for link in network.links},
        "switch": {switch.name: Part("switch", switch.name) for switch in network.switches},
    }
    if kind and kind not in known:
        raise RequestError(f"{text!r} names no kind of part", remedy="write site:NAME, link:NAME or switch:NAME")
    looked = [known[kind]] if kind else list(known.values())
    found = [parts[name] for parts in looked if name in parts]
    if not found:
        names = [one for parts in looked for one in parts]
        raise UnknownNode(f"no {kind or 'site, link or switch'} {name!r} in this network", remedy=nearest(name, names))
    if len(found) > 1:
        raise RequestError(
            f"{name!r} is the name of a {' and of a '.join(part.kind for part in found)}",
            remedy=f"write {' or '.join(f'{part.kind}:{part.name}' for part in found)}",
        )
    if found[0].kind == "link" and (through := network.link(LinkId(name)).through):
        raise RequestError(
            f"link {name!r} goes through switches, so it cannot be lost alone",
            remedy=f"take away a switch ({', '.join(through)}) or an end of it",
        )
    return found[0]


def without(network: Network, parts: Iterable[Part]) -> Network:
    """Return a network without some parts: with a site go its links, ports and applications, with a switch its trunks,
    and with a link those beside it, also through switches: they stay idle when it fails.

    Raises RequestError when fewer than two sites would be left.
    """
    lost = frozenset(parts)
    gone = {kind: {part.name for part in lost if part.kind == kind} for kind in ("site", "link", "switch")}
    idle = _beside(network, gone["link"])
    nodes = {site.node for site in network.sites if site.name not in gone["site"]}
    if len(nodes) < 2:
        raise RequestError("without these, fewer than two sites are left", remedy="take fewer parts away")
    left = extract_of(network, nodes, but_links=gone["link"], but_switches=gone["switch"])
    # links through switches follow from ports, which are still there, so they cannot be left out of an extract
    return left.model_copy(update={"links": tuple(link for link in left.links if link.name not in idle)})


def _beside(network: Network, names: set[str]) -> set[str]:
    """Return the links that join the same sites as links of some names, where keys go over these."""
    joined = {frozenset(link.ends) for link in network.relayed_links if link.name in names}
    return {link.name for link in network.links if frozenset(link.ends) in joined}


# --- more ---


def with_span(
    network: Network, one: NodeId, other: NodeId, *, loss_db: float, system: str = "backbone-625", pairs: int = 1
) -> Network:
    """Return a network with one link more between two of its sites; its length is that of fibre of 0.25 dB per km.

    Raises UnknownNode; ConfigurationError for figures of no link; RequestError where neither end can detect the other's
    light, or a fibre joins the two already: keys would go over that one alone.
    """
    _check_span(loss_db=loss_db, system=system, pairs=pairs)
    _refuse_beside(network, network.site(one), network.site(other))
    link = _span(network, network.site(one), network.site(other), loss_db=loss_db, system=system, pairs=pairs)
    return _with(network, sites=(), links=(link,))


def with_chain(
    network: Network,
    one: NodeId,
    other: NodeId,
    *,
    num_relays: int,
    loss_db: float,
    system: str = "backbone-625",
    pairs: int = 1,
) -> Network:
    """Return a network with a chain of new trusted relays between two of its sites, all spans alike.

    The relays are named ``new-1`` and so on and stand on the straight way. Raises as ``with_span`` does.
    """
    _check_span(loss_db=loss_db, system=system, pairs=pairs)
    if not 1 <= num_relays <= MOST_RELAYS:
        raise ConfigurationError(
            f"a chain of {num_relays} relays", remedy=f"give 1 to {MOST_RELAYS} relays, or add a span without any"
        )
    ends = network.site(one), network.site(other)
    taken = {site.name for site in network.sites}
    names = (name for number in range(1, 2 * MOST_RELAYS + len(taken)) if (name := f"new-{number}") not in taken)
    relays = [
        Site(
            name=name,
            kind="relay",
            latitude_deg=_between(ends[0].latitude_deg, ends[1].latitude_deg, place, num_relays),
            longitude_deg=_between(ends[0].longitude_deg, ends[1].longitude_deg, place, num_relays),
            assumed=True,
        )
        for place, name in zip(range(1, num_relays + 1), names, strict=False)
    ]
    whole = [ends[0], *relays, ends[1]]
    links = [
        _span(network, here, there, loss_db=loss_db, system=system, pairs=pairs) for here, there in pairwise(whole)
    ]
    return _with(network, sites=relays, links=links)


def _between(start: float, end: float, place: int, num_relays: int) -> float:
    return round(start + (end - start) * place / (num_relays + 1), 6)


def _check_span(*, loss_db: float, system: str, pairs: int) -> None:
    if not 0 <= loss_db <= MOST_LOSS_DB:
        raise ConfigurationError(f"a span of {loss_db:g} dB", remedy=f"give 0 to {MOST_LOSS_DB:g} dB")
    if not 1 <= pairs <= MOST_PAIRS:
        raise ConfigurationError(f"{pairs} pairs of modules on a fibre", remedy=f"give 1 to {MOST_PAIRS} pairs")
    link_forecast(system, loss_db=loss_db)  # a system that does not exist is told here


def _refuse_beside(network: Network, one: Site, other: Site) -> None:
    for link in network.described_links:
        if set(link.ends) == {one.node, other.node}:
            raise RequestError(
                f"link {link.name!r} joins {one.name!r} and {other.name!r} already, and keys would go over it alone",
                remedy=f"give {link.name!r} more 'pairs' in the network file, or another loss",
            )


def _span(network: Network, one: Site, other: Site, *, loss_db: float, system: str, pairs: int) -> Link:
    sender, detector = (one, other) if other.equipment != "transmitter" else (other, one)
    if detector.equipment == "transmitter" or sender.equipment == "receiver":
        raise RequestError(
            f"{one.name!r} and {other.name!r} are both {one.equipment}s: no light of one can be detected at the other",
            remedy="join one of them to a relay, which has both",
        )
    if one is other:
        raise RequestError(f"a span from {one.name!r} to itself", remedy="name two sites")
    taken = {link.name for link in network.links}
    name = next(name for name in _names(f"{one.name}-{other.name}") if name not in taken)
    return Link(
        name=name,
        transmitter=sender.name,
        receiver=detector.name,
        system=system,
        loss_db=loss_db,
        length_km=min(1000.0, max(0.01, round(loss_db / LOSS_DB_PER_KM, 2))),
        pairs=pairs,
        assumed=True,
    )


def _names(name: str) -> Iterator[str]:
    """Yield a name and others like it, short enough for an identifier."""
    short = name[: MAX_ID_CHARACTERS - 8].rstrip("._-")
    yield name if len(name) <= MAX_ID_CHARACTERS else short
    yield from (f"{short}.{number}" for number in range(2, 10_000))


def _with(network: Network, *, sites: Sequence[Site], links: Sequence[Link]) -> Network:
    whole = without(network, ())
    return Network(
        format=whole.format,
        name=whole.name,
        title=whole.title,
        sites=(*whole.sites, *sites),
        links=(*whole.described_links, *links),
        switches=whole.switches,
        trunks=whole.trunks,
        applications=whole.applications,
    )

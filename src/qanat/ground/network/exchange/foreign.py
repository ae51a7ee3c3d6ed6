"""Making a network of a graph that knows less than ours: names, kinds, places and losses are filled in by rule."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import ValidationError

from qanat.ground.errors import NetworkFileError
from qanat.ground.network.contradictions import contradictions
from qanat.ground.network.description import Network, Site, great_circle_km
from qanat.ground.network.links import Link
from qanat.ground.network.wording import worded

DETOUR = 1.3
LOSS_DB_PER_KM = 0.25
"""For fibres without a loss: the mean of the backbone's spans in the paper (Nature 589, 214, Table 1)."""
DEFAULT_KM = 50.0
"""For fibres without a length, where places do not give one."""
MIDDLE = (35.0, 105.0)
"""Degrees north and east about which sites without a place are put."""
_ODD = re.compile(r"[^a-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Node:
    """A node as another program names it; ``place``: degrees north and east; ``kind``: user, relay, or not said."""

    key: str
    title: str
    place: tuple[float, float] | None
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Fibre:
    """A fibre from one node to another, by their keys; ``db_per_km``: where no ``loss_db`` of the whole is said."""

    sender: str
    detector: str
    length_km: float | None
    loss_db: float | None
    system: str = ""
    name: str = ""
    db_per_km: float | None = None


def network_of(nodes: Sequence[Node], fibres: Sequence[Fibre], *, name: str, system: str, source: str) -> Network:
    """Return a network of a foreign graph, checked as one from a file; raises NetworkFileError.

    Names are brought into our letters; a node with several links is a relay unless it says otherwise; nodes without a
    place are put on a small circle. Whatever is filled in is marked as assumed.
    """
    names = _names(nodes, source)
    degree = Counter(end for fibre in fibres for end in {fibre.sender, fibre.detector})
    for fibre in fibres:
        for end in (fibre.sender, fibre.detector):
            if end not in names:
                raise NetworkFileError(
                    f"a link ends at {end!r}, no node", source=source, line=None, remedy="add the node"
                )
    places = _places(nodes, fibres)
    with faults_told(source):
        sites = {
            node.key: Site(
                name=names[node.key],
                title=node.title if node.title != names[node.key] else "",
                kind="user" if (node.kind or ("user" if degree[node.key] < 2 else "relay")) == "user" else "relay",
                latitude_deg=places[node.key][0],
                longitude_deg=places[node.key][1],
                assumed=node.place is None,
            )
            for node in nodes
        }
        links = _links(fibres, sites, system)
        network = Network(
            format="qanat-network/1", name=_name(name) or "imported", sites=tuple(sites.values()), links=links
        )
    return without_contradiction(network, source)


@contextmanager
def faults_told(source: str) -> Iterator[None]:
    """Turn what a description is refused for into a NetworkFileError with its remedy."""
    try:
        yield
    except ValidationError as fault:
        faults = fault.errors(include_url=False)
        told = [(".".join(map(str, one["loc"])) or "the network", *worded(one, faults, Network)) for one in faults]
        raise NetworkFileError.of_all(
            [NetworkFileError(f"{at}: {what}", source=source, line=None, remedy=remedy) for at, what, remedy in told]
        ) from None


def without_contradiction(network: Network, source: str) -> Network:
    """Return the network; raises NetworkFileError for one that contradicts itself."""
    if faults := [
        NetworkFileError(message, source=source, line=None, remedy=remedy)
        for message, _, remedy in contradictions(network)
    ]:
        raise NetworkFileError.of_all(faults)
    return network


def _links(fibres: Sequence[Fibre], sites: Mapping[str, Site], system: str) -> tuple[Link, ...]:
    taken: Counter[str] = Counter()
    links = []
    for fibre in fibres:
        sender, detector = sites[fibre.sender], sites[fibre.detector]
        length_km = fibre.length_km
        if length_km is None:
            least_km = DEFAULT_KM if sender.assumed or detector.assumed else 0.01
            length_km = max(least_km, round(DETOUR * great_circle_km(sender, detector), 3))
        db_per_km = LOSS_DB_PER_KM if fibre.db_per_km is None else fibre.db_per_km
        wanted = _name(fibre.name) or f"{sender.name}-{detector.name}"
        taken[wanted] += 1
        links.append(
            Link(
                name=wanted if taken[wanted] == 1 else f"{wanted}-{taken[wanted]}",
                transmitter=sender.name,
                receiver=detector.name,
                system=fibre.system or system,
                loss_db=round(db_per_km * length_km, 3) if fibre.loss_db is None else fibre.loss_db,
                length_km=length_km,
                assumed=fibre.length_km is None or (fibre.loss_db is None and fibre.db_per_km is None),
            )
        )
    return tuple(links)


def _names(nodes: Sequence[Node], source: str) -> dict[str, str]:
    names: dict[str, str] = {}
    first: dict[str, str] = {}
    for node in nodes:
        name = _name(node.key) or _name(node.title)
        if not name:
            raise NetworkFileError(
                f"node {node.key!r} has no name that can be written in a-z, 0-9, '.', '_', '-'",
                source=source,
                line=None,
                remedy="give it such a name",
            )
        if name in first:
            raise NetworkFileError(
                f"the nodes {first[name]!r} and {node.key!r} would both be called {name!r}",
                source=source,
                line=None,
                remedy="rename one of them",
            )
        first[name] = node.key
        names[node.key] = name
    return names


def _name(text: str) -> str:
    """Return a text in the letters of names; empty where nothing is left."""
    return _ODD.sub("-", text.lower()).strip("._-")[:48].rstrip("._-")


def _places(nodes: Sequence[Node], fibres: Sequence[Fibre]) -> dict[str, tuple[float, float]]:
    """Return places. A node that has none stands in the middle of those it is joined to; where these have none either,
    on a circle across which every fibre reaches."""
    placed = {node.key: node.place for node in nodes if node.place is not None}
    joined: dict[str, list[str]] = {node.key: [] for node in nodes}
    for fibre in fibres:
        joined[fibre.sender].append(fibre.detector)
        joined[fibre.detector].append(fibre.sender)
    without = [node.key for node in nodes if node.place is None]
    while found := {key: _middle(known) for key in without if (known := _known(joined[key], placed))}:
        placed |= found
        without = [key for key in without if key not in placed]
    shortest_km = min((fibre.length_km or DEFAULT_KM for fibre in fibres), default=DEFAULT_KM)
    radius_deg = shortest_km / DETOUR / 2 / 111.195
    across = math.cos(math.radians(MIDDLE[0]))
    for number, key in enumerate(without):
        turn = 2 * math.pi * number / len(without)
        placed[key] = (
            round(MIDDLE[0] + radius_deg * math.cos(turn), 6),
            round(MIDDLE[1] + radius_deg * math.sin(turn) / across, 6),
        )
    return placed


def _known(keys: Sequence[str], placed: Mapping[str, tuple[float, float]]) -> list[tuple[float, float]]:
    return [placed[key] for key in keys if key in placed]


def _middle(places: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the mean of places, none more than half way round the Earth from the first."""
    first_east = places[0][1]
    north = sum(place[0] for place in places) / len(places)
    east = first_east + sum((place[1] - first_east + 180) % 360 - 180 for place in places) / len(places)
    return round(north, 6), round((east + 180) % 360 - 180, 6)

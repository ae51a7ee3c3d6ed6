"""What stands in the way of a network whose fields are right one by one: names, references, ways, islands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TypeVar

from qanat.ground.identifiers import CONTROLLER, MAX_ID_CHARACTERS, STANDBY, urn
from qanat.ground.network.description import Network
from qanat.ground.network.names import nearest
from qanat.ground.network.wiring import Contradiction, too_short, wiring_faults

H = TypeVar("H", bound=Hashable)
TAKEN_NAMES: Mapping[str, str] = {
    CONTROLLER: "the network's controller",
    STANDBY: "the controller that takes over from the first",
    **dict.fromkeys(
        ("addresses", "events.jsonl", "lock", "master.key", "network", "pki", "service.json", "twins"),
        "something else in a data folder, where each site has a folder of its own",
    ),
}
"""What no site may be called, and why."""


def _rival_satellites(network: Network) -> Iterator[Contradiction]:
    """Yield each satellite that would join two stations which another one joins: keys go over one link between them."""
    stations: dict[str, dict[str, None]] = {}
    for place, one in enumerate(network.downlinks):
        own = stations.setdefault(one.satellite, {})
        own[one.station] = None
        for other, theirs in stations.items():
            shared = [name for name in own if name in theirs]
            if other != one.satellite and len(shared) > 1:
                pair = " and ".join(map(repr, shared[:2]))
                yield (
                    f"satellites {other!r} and {one.satellite!r} both join stations {pair}: between two sites keys go"
                    " over one link alone",
                    ("downlinks", place),
                    "leave one of these downlinks out; `qanat plan satellites` plans with several over the same ones",
                )
                return


def contradictions(network: Network) -> Iterator[Contradiction]:
    """Yield what no single field shows. Where a name stands twice, that alone: which of the two is meant elsewhere is
    not known, and often the name that one of them should have is missing there."""
    taken_twice = list(_names_used_twice(network))
    yield from taken_twice
    yield from _ids_that_do_not_fit(network)
    if not taken_twice:
        yield from _between_parts(network)


def _names_used_twice(network: Network) -> Iterator[Contradiction]:
    for field, names in (
        ("sites", [site.name for site in network.sites]),
        ("links", [link.name for link in network.described_links]),
        ("switches", [switch.name for switch in network.switches]),
        ("trunks", [trunk.name for trunk in network.trunks]),
        ("routers", [router.name for router in network.routers]),
        ("classical_links", [line.name for line in network.classical_links]),
        ("applications", [app.name for app in network.applications]),
    ):
        for name, place in _repeated(names):
            yield f"the name {name!r} is used twice", (field, place, "name"), "names are unique among their kind"


def _between_parts(network: Network) -> Iterator[Contradiction]:
    """Yield what parts say of each other that does not hold, where each name is of one part."""
    yield from _links_without_ends(network)
    yield from wiring_faults(network)
    through = {link.name for link in network.links if link.through}
    for place, link in enumerate(network.described_links):
        if link.name in through:
            yield (
                f"{link.name!r} is the name of a link through switches",
                ("links", place),
                "give this one another name",
            )
    known = {site.name for site in network.sites}
    for place, app in enumerate(network.applications):
        if app.site not in known:
            yield (
                f"application {app.name!r} is at {app.site!r}, no site",
                ("applications", place),
                nearest(app.site, known),
            )
    yield from _rival_satellites(network)
    yield from _unprepared(network)
    yield from _stock_of_nobody(network)
    yield from _shares_of_nobody(network)
    if not network.links:
        yield "a network has at least one link, and this one has none", ("links",), "describe another link here"
    else:
        linked = _linked(network)
        for place, site in enumerate(network.sites):
            if site.name not in linked:
                yield f"no link leads to {site.name}", ("sites", place), "join every site to the network by a link"


def _links_without_ends(network: Network) -> Iterator[Contradiction]:
    sites = {site.name: site for site in network.sites}
    for place, link in enumerate(network.described_links):
        unknown = False
        for field, end in (("transmitter", link.transmitter), ("receiver", link.receiver)):
            if end not in sites:
                unknown = True
                yield f"link {link.name!r} ends at {end!r}, no site", ("links", place, field), nearest(end, sites)
        if not unknown and "satellite" not in {sites[end].kind for end in link.ends}:
            ends = (sites[end] for end in link.ends)
            if fault := too_short(f"link {link.name!r}", link.length_km, *ends):
                yield fault[0], ("links", place, "length_km"), fault[1]


def _ids_that_do_not_fit(network: Network) -> Iterator[Contradiction]:
    """Yield, as ``_contradictions`` does, names that are taken, or that make an id too long."""
    excess = len(urn(network.name, "kme", CONTROLLER)) - MAX_ID_CHARACTERS
    if excess > 0:
        yield (
            f"the name has {len(network.name)} characters, too many for the ids that are made of it",
            ("name",),
            f"use at most {len(network.name) - excess}",
        )
    for place, site in enumerate(network.sites):
        if site.name in TAKEN_NAMES:
            yield (
                f"{site.name!r} is the name of {TAKEN_NAMES[site.name]}",
                ("sites", place, "name"),
                "give the site another name",
            )
    named = [("sites", "kme", [site.name for site in network.sites])]
    named.append(("applications", "sae", [app.name for app in network.applications]))
    for field, kind, names in named:
        for place, name in enumerate(names):
            excess = len(urn(network.name, kind, name)) - MAX_ID_CHARACTERS
            if excess > 0:
                yield (
                    f"the id {urn(network.name, kind, name)} would have more than {MAX_ID_CHARACTERS} characters",
                    (field, place, "name"),
                    f"shorten this name, or the network's, by {excess}",
                )


def _unprepared(network: Network) -> Iterator[Contradiction]:
    """Yield, as ``_contradictions`` does, what stands in the way of preparing keys."""
    sites = {app.name: app.site for app in network.applications}
    for place, keys in enumerate(network.prepared_keys):
        for field, name in (("master", keys.master), ("slave", keys.slave)):
            if name not in sites:
                yield (
                    f"keys are prepared for {name!r}, no application",
                    ("prepared_keys", place, field),
                    nearest(name, sites),
                )
        if keys.master != keys.slave and keys.master in sites and sites[keys.master] == sites.get(keys.slave):
            yield (
                f"keys are prepared for {keys.master!r} and {keys.slave!r}, which are both at {sites[keys.master]!r}",
                ("prepared_keys", place),
                "leave this out: one site's key manager makes their keys at once",
            )
        if keys.master == keys.slave:
            yield (
                f"keys are prepared for {keys.master!r} with itself",
                ("prepared_keys", place, "slave"),
                "name two applications",
            )
    wanted = [(keys.master, keys.slave, keys.size_bits) for keys in network.prepared_keys]
    for (master, slave, size_bits), place in _repeated(wanted):
        yield (
            f"keys of {size_bits} bits are prepared twice for {master!r} and {slave!r}",
            ("prepared_keys", place),
            "add the two counts",
        )


def _stock_of_nobody(network: Network) -> Iterator[Contradiction]:
    """Yield, as ``_contradictions`` does, rules for the stock of no application, and rules given twice."""
    known = {app.name for app in network.applications}
    for place, rule in enumerate(network.stock.pairs):
        for field, name in (("master", rule.master), ("slave", rule.slave)):
            if name not in known:
                yield f"there is no application {name!r}", ("stock", "pairs", place, field), nearest(name, known)
    for (master, slave), place in _repeated([(rule.master, rule.slave) for rule in network.stock.pairs]):
        yield (
            f"the stock of {master!r} and {slave!r} has two rules",
            ("stock", "pairs", place),
            "keep one of them",
        )


def _shares_of_nobody(network: Network) -> Iterator[Contradiction]:
    """Yield, as ``_contradictions`` does, shares of no application, of one site alone, and shares given twice."""
    pairs = network.sharing.pairs if network.sharing is not None else ()
    sites = {app.name: app.site for app in network.applications}
    for place, pair in enumerate(pairs):
        for field, name in (("master", pair.master), ("slave", pair.slave)):
            if name not in sites:
                yield f"there is no application {name!r}", ("sharing", "pairs", place, field), nearest(name, sites)
        if pair.master in sites and sites[pair.master] == sites.get(pair.slave):
            yield (
                f"{pair.master!r} and {pair.slave!r} are both at {sites[pair.master]!r} and share no link",
                ("sharing", "pairs", place),
                "name applications of two sites",
            )
    for (master, slave), place in _repeated([(pair.master, pair.slave) for pair in pairs]):
        yield (
            f"{master!r} with {slave!r} is given a share twice",
            ("sharing", "pairs", place),
            "keep one of the two",
        )


def _repeated(names: Sequence[H]) -> Iterator[tuple[H, int]]:
    for name, count in Counter(names).items():
        if count > 1:
            yield name, names.index(name, names.index(name) + 1)


def _linked(network: Network) -> set[str]:
    """Return the sites that a link ends at, and ground stations that could meet one of these through satellites."""
    linked = {str(end) for link in network.links for end in link.ends}
    stations = {site.name for site in network.sites if site.ground_station}
    return linked | stations if linked & stations else linked

"""What cannot be wired as it is described: modules at links' ends, ports of switches, trunks, routers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TypeAlias

from qanat.ground.network.description import Network, Placed, great_circle_km
from qanat.ground.network.names import nearest

Contradiction: TypeAlias = tuple[str, tuple[str | int, ...], str]
"""Message, path in the file, remedy."""
LEAST_SHARE_OF_WAY = 0.99
"""Coordinates are rounded: fibre may be shorter than the way by so much."""


def wiring_faults(network: Network) -> Iterator[Contradiction]:
    """Yield what is wrong with modules, switches and routers."""
    yield from _ends_without_modules(network)
    yield from _ports(network)
    yield from _trunks(network)
    yield from _full_switches(network)
    yield from _direct_users(network)
    yield from _wary_sites(network)
    yield from _routers(network)
    yield from _downlinks(network)


def too_short(what: str, length_km: float, one: Placed, other: Placed) -> tuple[str, str] | None:
    """Return (message, remedy) where a fibre is shorter than the way between its ends, else None."""
    way_km = great_circle_km(one, other)
    if length_km >= LEAST_SHARE_OF_WAY * way_km:
        return None
    return (
        f"{what} has {length_km:g} km of fibre for a way of {way_km:.1f} km",
        "look at the length and at the coordinates of both sites",
    )


def _ends_without_modules(network: Network) -> Iterator[Contradiction]:
    equipment = {site.name: site.equipment for site in network.sites}
    for place, link in enumerate(network.described_links):
        for field, end, lacking in (
            ("transmitter", link.transmitter, "receiver"),
            ("receiver", link.receiver, "transmitter"),
        ):
            if equipment.get(end) == lacking:
                yield (
                    f"link {link.name!r} needs a {field} at {end!r}, which has a {lacking} only",
                    ("links", place, field),
                    f"turn the link round, or give {end!r} 'equipment: both'",
                )


def _ports(network: Network) -> Iterator[Contradiction]:
    sites = {site.name: site for site in network.sites}
    taken: dict[str, str] = {}
    for place, switch in enumerate(network.switches):
        for number, port in enumerate(switch.ports):
            path = ("switches", place, "ports", number)
            if port.site not in sites:
                yield f"a port of {switch.name!r} leads to {port.site!r}, no site", path, nearest(port.site, sites)
            elif fault := too_short(
                f"the port of {port.site!r} on {switch.name!r}", port.length_km, switch, sites[port.site]
            ):
                yield fault[0], path, fault[1]
            if port.site in taken:
                yield (
                    f"{port.site!r} hangs on a port of {taken[port.site]!r} and on one of {switch.name!r}",
                    path,
                    "a site has one port in the network; describe a second module as a site of its own",
                )
            taken[port.site] = switch.name


def _trunks(network: Network) -> Iterator[Contradiction]:
    switches = network.switches_by_name
    for place, trunk in enumerate(network.trunks):
        unknown = [name for name in trunk.switches if name not in switches]
        for name in unknown:
            remedy = nearest(name, switches) if switches else "describe it under 'switches', or take the trunk out"
            yield f"trunk {trunk.name!r} ends at {name!r}, no switch", ("trunks", place), remedy
        if not unknown:
            ends = (switches[name] for name in trunk.switches)
            if fault := too_short(f"trunk {trunk.name!r}", trunk.length_km, *ends):
                yield fault[0], ("trunks", place), fault[1]


def _full_switches(network: Network) -> Iterator[Contradiction]:
    trunks = Counter(name for trunk in network.trunks for name in trunk.switches)
    for place, switch in enumerate(network.switches):
        needed = len(switch.ports) + trunks[switch.name]
        if needed > switch.num_ports:
            yield (
                f"switch {switch.name!r} has {switch.num_ports} ports, and {len(switch.ports)} sites and "
                f"{trunks[switch.name]} trunk{'' if trunks[switch.name] == 1 else 's'} need {needed}",
                ("switches", place),
                f"move {needed - switch.num_ports} of the sites to another switch, joined to this one by a trunk",
            )


def _direct_users(network: Network) -> Iterator[Contradiction]:
    """Users of direct keys only need a link to somebody who uses keys himself."""
    for place, site in enumerate(network.sites):
        peers = (network.find_site(link.peer_of(site.node)) for link in network.links_of(site.node))
        if site.direct_keys_only and not any(peer is not None and peer.kind == "user" for peer in peers):
            yield (
                f"{site.name!r} takes direct keys only, and no link joins it to another user",
                ("sites", place, "direct_keys_only"),
                "put it on a port of a switch beside other users, or let it take relayed keys",
            )


def _wary_sites(network: Network) -> Iterator[Contradiction]:
    """Sites that say where their keys may not go: a slip there would keep them out of nothing."""
    known = {site.name for site in network.sites}
    for place, site in enumerate(network.sites):
        for number, name in enumerate(site.keys_avoid):
            where = ("sites", place, "keys_avoid", number)
            if name == site.name:
                yield f"the keys of {name!r} are to avoid itself", where, "name sites that they may not pass"
            elif name not in known:
                yield f"the keys of {site.name!r} are to avoid {name!r}, no site", where, nearest(name, known)
        if site.domestic_keys_only and not site.region:
            yield (
                f"the keys of {site.name!r} are to stay in its region, and none is stated of it",
                ("sites", place, "domestic_keys_only"),
                "state 'region' of the site, and of those that its keys may pass",
            )


def _downlinks(network: Network) -> Iterator[Contradiction]:
    """Downlinks go from satellites to sites on the ground, and nothing else is said of satellites."""
    sites = {site.name: site for site in network.sites}
    seen: set[str] = set()
    for place, one in enumerate(network.downlinks):
        for field, name in (("satellite", one.satellite), ("station", one.station)):
            path, is_one = ("downlinks", place, field), field == "satellite"
            if name not in sites:
                yield f"downlink {one.name!r} ends at {name!r}, no site", path, nearest(name, sites)
            elif (sites[name].kind == "satellite") != is_one:
                what = "no satellite" if is_one else "a satellite itself"
                yield (
                    f"the {field} of downlink {one.name!r} is {name!r}, {what}",
                    path,
                    "a downlink goes from a site of kind satellite to a site on the ground",
                )
        if one.name in seen or any(link.name == one.name for link in network.described_links):
            yield f"there are two links {one.name!r}", ("downlinks", place), "keep one of them, or rename the link"
        seen.add(one.name)
    aloft = {site.name for site in network.satellites}
    for field, ends in (
        ("links", [(link.transmitter, link.receiver) for link in network.described_links]),
        ("applications", [(app.site,) for app in network.applications]),
    ):
        for place, names in enumerate(ends):
            if up := aloft.intersection(names):
                yield (
                    f"{min(up)!r} is a satellite, and something of the ground ends there",
                    (field, place),
                    "join a satellite to stations under 'downlinks'; it has no applications",
                )
    for place, site in enumerate(network.sites):
        if site.elements and site.kind != "satellite":
            yield f"{site.name!r} has elements and is no satellite", ("sites", place, "elements"), "remove them"


def _routers(network: Network) -> Iterator[Contradiction]:
    routers = {router.name: router for router in network.routers}
    for place, site in enumerate(network.sites):
        if site.router and site.router not in routers:
            yield (
                f"the router of {site.name!r} is {site.router!r}, and there is none of that name",
                ("sites", place, "router"),
                nearest(site.router, routers) if routers else "describe it under 'routers', or leave 'router' out",
            )
    for place, line in enumerate(network.classical_links):
        unknown = [name for name in line.routers if name not in routers]
        for name in unknown:
            yield (
                f"classical link {line.name!r} ends at {name!r}, no router",
                ("classical_links", place),
                nearest(name, routers) if routers else "describe it under 'routers', or take the classical link out",
            )
        if not unknown and (
            fault := too_short(
                f"classical link {line.name!r}", line.length_km, *(routers[name] for name in line.routers)
            )
        ):
            yield fault[0], ("classical_links", place), fault[1]
    yield from _unjoined_routers(network)


def _unjoined_routers(network: Network) -> Iterator[Contradiction]:
    if not network.routers:
        return
    beside: dict[str, list[str]] = {}
    for line in network.classical_links:
        for one, other in (line.routers, line.routers[::-1]):
            beside.setdefault(one, []).append(other)
    reached, frontier = {network.routers[0].name}, [network.routers[0].name]
    while frontier:
        for other in beside.get(frontier.pop(), ()):
            if other not in reached:
                reached.add(other)
                frontier.append(other)
    if apart := sorted({router.name for router in network.routers} - reached):
        yield (
            f"no classical link leads to {', '.join(apart)}",
            ("classical_links",),
            "join every router to the others by a classical link",
        )

"""``qanat network check`` and ``qanat network show``: what is in a network, what it would give, and its map."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from qanat.adapters.system import SystemClock
from qanat.apps.cli.network_table import print_table, table_record
from qanat.apps.cli.presentation import counted, people_console, show_table
from qanat.apps.cli.shares import promise_lines
from qanat.apps.cli.sky_table import print_sky
from qanat.apps.network_review import (
    Heading,
    LinkReview,
    NetworkReview,
    RouteReview,
    Spread,
    counted_alone,
    review,
)
from qanat.apps.networks import examine_network, load_network
from qanat.apps.satellite_review import SkyReview, review_sky
from qanat.doors.etsi015.names import route_qkdl_id
from qanat.doors.etsi015.records import node_record
from qanat.ground.errors import ConfigurationError, NetworkFileError
from qanat.ground.network import Downlink, Network
from qanat.ground.network.extracts import under_heading
from qanat.ground.units import format_rate

MOST_ROUTES = 20
"""So many routes are printed for people, or of more the few narrowest."""
MOST_ROUTES_FOR_MACHINES = 1000
"""So many routes are in ``--json``, or of more the narrowest: pairs of applications grow with their square."""
MOST_LINKS = 60
"""So many links are printed for people, or of more the few weakest; ``--json`` has all."""
FEW = 8


def run_check(name: str, *, as_json: bool) -> int:
    """Check a network and tell what to expect of it. Returns 0 for a valid one.

    Raises NetworkFileError for others; of one whose fields hold one by one the parts are counted and printed before.
    Machines are told the faults in any case.
    """
    try:
        network, faults = examine_network(name)
    except ConfigurationError as fault:
        _tell_machines(None, fault, as_json=as_json)
        raise
    if faults:
        _tell_counts(counted_alone(network), faults, as_json=as_json)
        raise NetworkFileError.of_all(faults)
    try:
        sky = review_sky(network, now_utc_s=SystemClock().utc_s()) if network.downlinks else SkyReview()
    except ConfigurationError as fault:
        _tell_machines(counted_alone(network), fault, as_json=as_json)
        raise
    found = review(network, of_satellites=sky.rates_bits_per_s)
    found = replace(found, warnings=(*found.warnings, *sky.warnings), downlinks=sky.downlinks)
    if as_json:
        print(json.dumps({**_record(found), "downlinks": [asdict(row) for row in sky.downlinks]}, indent=2))
        return 0
    console = people_console(is_answer=True)
    if sky.downlinks:
        print_sky(console, sky)
    _print_review(console, found)
    return 0


def _tell_machines(found: NetworkReview | None, fault: ConfigurationError, *, as_json: bool) -> None:
    """Print the record of a file that does not hold, or cannot be read, where JSON is asked for."""
    if as_json:
        faults = (fault, *fault.others) if isinstance(fault, NetworkFileError) else (fault,)
        print(json.dumps(_faulty_record(found, faults), indent=2))


def _tell_counts(found: NetworkReview, faults: Sequence[NetworkFileError], *, as_json: bool) -> None:
    """Print what is in a file that does not hold: a part that was taken out shows in the counts."""
    network = found.network
    if as_json:
        print(json.dumps(_faulty_record(found, faults), indent=2))
        return
    console = people_console(is_answer=True)
    told = f"NOT valid, {counted(len(faults), 'fault')}; what is in the file:"
    console.print(f"[bold]{network.title or network.name}[/] ({network.name}): {told}", highlight=False)
    console.print(f"  {_kinds(network)}\n")
    _print_counts(console, found)


def _faulty_record(found: NetworkReview | None, faults: Sequence[ConfigurationError]) -> dict[str, Any]:
    """Return what machines are told of a file that does not hold; None: its fields do not, and nothing is counted."""
    return {
        "network": None if found is None else found.network.name,
        "title": None if found is None else found.network.title,
        "valid": False,
        "faults": [
            {
                "text": fault.message,
                "line": fault.line if isinstance(fault, NetworkFileError) else None,
                "remedy": fault.remedy,
            }
            for fault in faults
        ],
        "sites": None if found is None else _num_sites(found.network),
        "headings": [] if found is None else [asdict(heading) for heading in found.headings],
        **({} if found is None else table_record(found)),
    }


def run_show(name: str, *, out: Path | None, only: str | None, as_json: bool) -> int:
    """Draw a network into ``out``, or print it; ``only``: what is counted under one heading. Returns 0."""
    network = load_network(name)
    if only is not None:
        network = under_heading(network, only)
    if out is not None:
        _write_picture(network, out)
    if as_json:
        picture = None if out is None else str(out)
        etsi015 = [node_record(network, node) for node in network.nodes]
        record = {**network.model_dump(mode="json"), "picture": picture, "etsi015": {"qkd_node": etsi015}}
        print(json.dumps(record, indent=2))
    elif out is None:
        _print_network(people_console(is_answer=True), network)
    return 0


def _write_picture(network: Network, out: Path) -> None:
    from qanat.apps.pictures.map import draw_map_png, draw_map_svg
    from qanat.apps.pictures.png import can_draw

    if out.suffix.lower() not in (".svg", ".png"):
        raise ConfigurationError(
            f"{out} is no picture that can be written here", remedy="let its name end in .svg or .png"
        )
    rates = {row.link.link_id: row.forecast.secret_rate_bits_per_s for row in review(network).links}
    if out.suffix.lower() == ".svg":
        content = draw_map_svg(network, rates).encode()
    else:
        content = draw_map_png(network, rates)
        odd = [site.name for site in network.sites if not can_draw(site.title)]
        if odd:
            print(f"titles in letters that PNG lacks here are left out, of {', '.join(odd)}; use .svg", file=sys.stderr)
    try:
        out.write_bytes(content)
    except OSError as fault:
        raise ConfigurationError(f"cannot write {out}: {fault.strerror}", remedy="name a file that can be") from None
    print(f"{out}: {len(network.sites)} sites, {len(network.links)} links, {len(content):,} bytes", file=sys.stderr)


def _record(found: NetworkReview) -> dict[str, Any]:
    return {
        "network": found.network.name,
        "title": found.network.title,
        "valid": True,
        "sites": _num_sites(found.network),
        "applications": {app.name: app.site for app in found.network.applications},
        "regions": dict(Counter(found.network.regions.values())),
        "systems": dict(found.systems),
        "assumed": {
            "links": sum(link.assumed for link in found.network.links),
            "sites": sum(site.assumed for site in found.network.sites),
        },
        "headings": [asdict(heading) for heading in found.headings],
        **table_record(found),
        "links": [_link_record(row) for row in found.links],
        "weakest_link": None if found.weakest is None else found.weakest.link.name,
        "routes": [_route_record(found.network, route) for route in _fewer(found.routes, MOST_ROUTES_FOR_MACHINES)],
        "routes_found": {
            "pairs": len(found.routes),
            "joined": sum(bool(route.nodes) for route in found.routes),
            "left_out_here": max(0, len(found.routes) - MOST_ROUTES_FOR_MACHINES),
        },
        "cut_sites": list(found.cut_sites),
        "guarantees": [asdict(promise) for promise in found.promises],
        "warnings": [asdict(warning) for warning in found.warnings],
        "provenance": {
            "loss_db, length_km": "input: the network file",
            "rates, qber, block_time_s": "predicted (model): the analytic rate functions",
        },
    }


def _num_sites(network: Network) -> dict[str, int]:
    return {kind: sum(site.kind == kind for site in network.sites) for kind in ("user", "relay", "satellite")}


def _link_record(row: LinkReview) -> dict[str, Any]:
    forecast = row.forecast
    return {
        "link_id": row.link.name,
        "ends": list(row.link.ends),
        "system": row.link.system,
        "counted_as": row.link.counted_as,
        "pairs": row.link.pairs,
        "through": list(row.link.through),
        "assumed": row.link.assumed,
        "loss_db": row.link.loss_db,
        "length_km": row.link.length_km,
        "sifted_rate_bits_per_s": forecast.sifted_rate_bits_per_s,
        "qber": forecast.qber,
        "block_bits": forecast.block_bits,
        "block_time_s": forecast.block_time_s,
        "secret_rate_bits_per_s": forecast.secret_rate_bits_per_s,
        "secret_rate_asymptotic_bits_per_s": forecast.secret_rate_asymptotic_bits_per_s,
        "proof": forecast.proof,
    }


def _print_review(console: Console, found: NetworkReview) -> None:
    network = found.network
    console.print(f"[bold]{network.title or network.name}[/] ({network.name}): valid", highlight=False)
    console.print(f"  {_kinds(network)}; systems: {', '.join(f'{n} x {s}' for s, n in found.systems.items())}\n")
    _print_counts(console, found)
    for line in (*_region_lines(network), *_assumed_lines(network)):
        console.print(f"  {line}\n", soft_wrap=True)
    _print_links(console, found)
    for line in (*_route_lines(network, found.routes), *_prepared_lines(network), *promise_lines(found.promises)):
        console.print(f"  {line}", soft_wrap=True)
    for warning in found.warnings:
        console.print(f"[yellow]warning[/]: {warning.text}\n  what to do: {warning.remedy}", soft_wrap=True)
    console.print(f"{counted(len(found.warnings), 'warning')}; the file is valid")


def _print_counts(console: Console, found: NetworkReview) -> None:
    show_table(
        console,
        "What it holds: least / mean / greatest",
        ("counted as", "sites", "links", "fibre, km", "loss, dB", "length, km", "secret rate, kbit/s"),
        [_heading_row(heading) for heading in found.headings],
    )
    print_table(console, found)


def _region_lines(network: Network) -> Iterator[str]:
    """Say where sites are, and of how many it is not stated: no key that passes these counts as domestic."""
    counts = Counter(network.regions.values())
    if counts:
        unstated = len(network.sites) - counts.total()
        named = ", ".join(f"{region} {number}" for region, number in sorted(counts.items()))
        yield f"sites by region: {named}" + (f"; not stated of {unstated}" if unstated else "")


def _assumed_lines(network: Network) -> Iterator[str]:
    links, sites = (sum(part.assumed for part in parts) for parts in (network.links, network.sites))
    if links or sites:
        yield (
            f"assumed, by rules that the file states: figures of {links} of {len(network.links)} links, "
            f"places of {sites} of {len(network.sites)} sites"
        )


def _kinds(network: Network) -> str:
    users, relays = (sum(site.kind == kind for site in network.sites) for kind in ("user", "relay"))
    aloft = f", {counted(len(network.satellites), 'satellite')}" if network.satellites else ""
    return (
        f"{counted(len(network.sites), 'site')} ({users} of users, {counted(relays, 'trusted relay')}{aloft}), "
        f"{counted(len(network.links), 'link')}, {_through(network)}"
        f"{counted(len(network.applications), 'application')}"
    )


def _through(network: Network) -> str:
    if not network.switches:
        return ""
    through = sum(bool(link.through) for link in network.links)
    return f"{counted(len(network.switches), 'switch', 'switches')} that {through} of them go through, "


def _print_links(console: Console, found: NetworkReview) -> None:
    """Say what is expected of the links that make key on order; satellites' are looked at by their passes."""
    if (weakest := found.weakest) is None:
        return
    links = found.links
    if len(links) > MOST_LINKS:
        links = tuple(sorted(links, key=lambda row: row.forecast.secret_rate_bits_per_s)[:FEW])
    which = "each link" if len(links) == len(found.links) else f"the {FEW} weakest of {len(found.links)} links"
    show_table(
        console,
        f"What the rate functions expect of {which} (predicted from the losses, which are inputs)",
        ("link", "loss, dB", "km", "sifted, kbit/s", "QBER, %", "secret, kbit/s", "endless keys", "block, s"),
        [_link_row(row) for row in links],
    )
    blocks = sorted({row.forecast.block_bits for row in found.links})
    console.print(f"  amplification blocks: {', '.join(f'{bits:,}' for bits in blocks)} verified bits")
    console.print(
        f"  weakest link: {weakest.link.name}, {weakest.link.loss_db:g} dB, "
        f"{format_rate(weakest.forecast.secret_rate_bits_per_s)}"
    )


def _heading_row(heading: Heading) -> tuple[str, ...]:
    return (
        heading.name or "(the whole network)",
        str(heading.num_sites),
        str(heading.num_links),
        f"{heading.total_km:,.1f}",
        _spread(heading.loss_db, 1.0),
        _spread(heading.length_km, 1.0),
        _spread(heading.secret_rate_bits_per_s, 1e3),
    )


def _spread(spread: Spread | None, unit: float) -> str:
    if spread is None:
        return "-"
    return " / ".join(f"{value / unit:.1f}" for value in (spread.least, spread.mean, spread.greatest))


def _link_row(row: LinkReview) -> tuple[str, ...]:
    forecast = row.forecast
    return (
        row.link.name,
        f"{row.link.loss_db:.1f}",
        f"{row.link.length_km:.1f}",
        f"{forecast.sifted_rate_bits_per_s / 1e3:,.1f}",
        f"{forecast.qber:.2%}".removesuffix("%"),
        f"{forecast.secret_rate_bits_per_s / 1e3:,.1f}",
        f"{forecast.secret_rate_asymptotic_bits_per_s / 1e3:,.1f}",
        f"{forecast.block_time_s:,.1f}",
    )


def _route_record(network: Network, route: RouteReview) -> dict[str, Any]:
    return {**asdict(route), "etsi015_qkdl_id": route_qkdl_id(network, route.nodes) if route.nodes else None}


def _route_lines(network: Network, routes: Sequence[RouteReview]) -> Iterator[str]:
    if len(routes) > MOST_ROUTES:
        joined = [route for route in routes if route.nodes]
        ways, ways_of_joined = _pairs_of_sites(network, routes), _pairs_of_sites(network, joined)
        yield (
            f"keys have a route between {len(joined)} of {len(routes)} pairs of applications, and so between "
            f"{len(ways_of_joined)} of the {len(ways)} pairs of sites that these are at (`qanat plan` counts pairs of "
            "sites, those of users without applications too); the narrowest:"
        )
        routes = _fewer(joined, FEW)
    for route in routes:
        one, other = route.applications
        if not route.nodes:
            yield f"keys {one} - {other}: no route"
            continue
        hops, relays = counted(len(route.nodes) - 1, "link"), counted(len(route.nodes) - 2, "relay")
        yield (
            f"keys {one} - {other}: {format_rate(route.rate_bits_per_s)} over {hops} and {relays}, "
            f"bounded by {route.weakest}: {_short(route.nodes)}"
        )


def _pairs_of_sites(network: Network, routes: Sequence[RouteReview]) -> set[frozenset[str]]:
    """Return the pairs of sites whose applications the routes join: a site may have several applications."""
    sites = {app.name: app.site for app in network.applications}
    return {frozenset(sites[name] for name in route.applications) for route in routes}


def _fewer(routes: Sequence[RouteReview], most: int) -> Sequence[RouteReview]:
    """Return all routes, or of more than ``most`` the narrowest."""
    return routes if len(routes) <= most else sorted(routes, key=lambda route: route.rate_bits_per_s)[:most]


def _short(nodes: Sequence[str]) -> str:
    shown = nodes if len(nodes) <= 8 else (*nodes[:3], f"({len(nodes) - 6} more)", *nodes[-3:])
    return " - ".join(shown)


def _print_network(console: Console, network: Network) -> None:
    console.print(f"[bold]{network.title or network.name}[/] ({network.name}): {_kinds(network)}\n")
    show_table(
        console,
        "Sites",
        ("site", "title", "kind", "region", "counted as", "latitude", "longitude", "applications", "links"),
        [
            (
                site.name,
                site.title or "-",
                site.kind,
                site.region or "-",
                site.counted_as or "-",
                *(
                    ("-", "-")
                    if site.kind == "satellite"
                    else (f"{site.latitude_deg:.3f}", f"{site.longitude_deg:.3f}")
                ),
                ", ".join(app.name for app in network.applications if app.site == site.name) or "-",
                str(len(network.links_of(site.node))),
            )
            for site in network.sites
        ],
    )
    show_table(
        console,
        "QKD links",
        ("link", "transmitter", "receiver", "system", "loss, dB", "fibre, km"),
        [
            (link.name, link.transmitter, link.receiver, link.system, f"{link.loss_db:.1f}", f"{link.length_km:.1f}")
            for link in network.links
            if link.kind == "fibre"
        ],
    )
    if network.downlinks:
        _print_satellites(console, network)
    for line in _prepared_lines(network):
        console.print(f"  {line}")


def _print_satellites(console: Console, network: Network) -> None:
    """Print the links of satellites as what they are: their losses and lengths are those of each second of a pass."""
    show_table(
        console,
        "Downlinks: they make key in passes, each with losses and ranges of its own",
        ("downlink", "satellite", "station", "system", "mode", "telescope"),
        [(one.name, one.satellite, one.station, one.system, one.mode, _optics(one)) for one in network.downlinks],
    )
    show_table(
        console,
        "Announced links: a satellite tells two stations the sum of its keys with them; no light of their own",
        ("link", "station", "station", "announced by"),
        [(link.name, *link.ends, link.satellite) for link in network.links if link.kind == "announced"],
    )
    console.print("  passes and key of a week: `qanat network check`", highlight=False)


def _optics(one: Downlink) -> str:
    """Return whose optics a station has, and what of them is its own."""
    own = [f"{one.telescope_m:g} m"] if one.telescope_m is not None else []
    own += [f"splitter {one.z_share:g}"] if one.z_share is not None else []
    is_own = one.telescope_m is not None and one.z_share is not None and not one.telescope
    return ", ".join([*([] if is_own else [one.optics_of]), *own])


def _prepared_lines(network: Network) -> list[str]:
    return [
        f"prepared in idle time for {keys.master} - {keys.slave}: {keys.count} keys of {keys.size_bits} bits"
        for keys in network.prepared_keys
    ]

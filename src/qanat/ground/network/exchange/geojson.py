"""A network as GeoJSON (RFC 7946): points for what has a place, lines for fibres; for maps and geographic programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from qanat.ground.network.description import Network, Placed
from qanat.ground.network.part import Part

MOST_DIGITS = 6
"""Decimals of a degree: a tenth of a metre."""


def geojson(network: Network) -> str:
    """Return the text of a FeatureCollection.

    Each feature's property ``what`` is site, switch, router, link, port, trunk or classical-link; its others are the
    fields of the description that differ from their defaults. Links through switches follow their ports' fibres. A
    satellite has no geometry; of its links, whose ``kind`` says so, a downlink is at its station, and one that it
    announces key for is a line between two.
    """
    collection = {
        "type": "FeatureCollection",
        "name": network.name,
        "features": [*_points(network), *_fibres(network), *_lines(network)],
    }
    return json.dumps(collection, ensure_ascii=False, indent=1) + "\n"


def _points(network: Network) -> Iterator[dict[str, Any]]:
    applications: dict[str, list[str]] = {}
    for app in network.applications:
        applications.setdefault(app.site, []).append(app.name)
    for site in network.sites:
        place = None if site.kind == "satellite" else _point(site)
        yield _feature("site", site, place, applications=applications.get(site.name))
    for switch in network.switches:
        yield _feature("switch", switch, _point(switch), without=("ports",), num_ports_used=len(switch.ports))
    for router in network.routers:
        yield _feature("router", router, _point(router))


def _fibres(network: Network) -> Iterator[dict[str, Any]]:
    switches = network.switches_by_name
    for link in network.links:
        way: list[Placed] = [switches[name] for name in link.through]
        ends = [network.site(end) for end in link.ends]
        place = _point(ends[1]) if link.kind == "downlink" else _line(ends[0], *way, ends[1])
        yield _feature("link", link, place)


def _lines(network: Network) -> Iterator[dict[str, Any]]:
    sites = {site.name: site for site in network.sites}
    for switch in network.switches:
        for port in switch.ports:
            yield _feature("port", port, _line(sites[port.site], switch), switch=switch.name)
    for trunk in network.trunks:
        yield _feature("trunk", trunk, _line(*(network.switches_by_name[name] for name in trunk.switches)))
    routers = {router.name: router for router in network.routers}
    for line in network.classical_links:
        yield _feature("classical-link", line, _line(*(routers[name] for name in line.routers)))


def _feature(
    what: str, part: Part, geometry: dict[str, Any] | None, *, without: tuple[str, ...] = (), **more: object
) -> dict[str, Any]:
    said = part.model_dump(mode="json", exclude_defaults=True, exclude={"latitude_deg", "longitude_deg", *without})
    known = {name: value for name, value in more.items() if value is not None}
    return {"type": "Feature", "properties": {"what": what, **said, **known}, "geometry": geometry}


def _point(placed: Placed) -> dict[str, Any]:
    return {"type": "Point", "coordinates": _position(placed)}


def _line(*places: Placed) -> dict[str, Any]:
    """A line; one across the 180th meridian is cut there into two, as section 3.1.9 wants it."""
    positions = [_position(place) for place in places]
    pieces = [[positions[0]]]
    for (west, south), (east, north) in pairwise(positions):
        if abs(east - west) > 180:
            edge = 180.0 if west > 0 else -180.0
            whole = abs(edge - west) + abs(-edge - east)
            middle = round(south + (north - south) * (abs(edge - west) / whole if whole else 0.5), MOST_DIGITS)
            pieces[-1].append([edge, middle])
            pieces.append([[-edge, middle]])
        pieces[-1].append([east, north])
    if len(pieces) == 1:
        return {"type": "LineString", "coordinates": pieces[0]}
    return {"type": "MultiLineString", "coordinates": pieces}


def _position(placed: Placed) -> list[float]:
    return [round(placed.longitude_deg, MOST_DIGITS), round(placed.latitude_deg, MOST_DIGITS)]

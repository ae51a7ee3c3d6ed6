"""The network on a map: real coordinates, one scale, land without borders (borders are not ours to draw).

Where every link has room for its figures, they stand along it. Where the network is crowded, marks are small, names
avoid one another, and colour and width of a link say what it carries.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from qanat.apps.pictures.geography import Box, Frame, Point, Projection
from qanat.apps.pictures.labels import Mark, place_labels
from qanat.apps.pictures.link_classes import LinkClasses, classes_of
from qanat.apps.pictures.map_ground import draw_ground, draw_scale_bar, halo
from qanat.apps.pictures.png import PngSheet, can_draw
from qanat.apps.pictures.styles import sheet_alone, sheet_for_a_page
from qanat.apps.pictures.surface import Surface, draw_arrow
from qanat.apps.pictures.svg import Sheet
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Link, Network, Site
from qanat.ground.units import format_rate

CROWDED_FRAME = Frame(most_height=1000.0, margin_x=110.0, margin_y=48.0)
MOST_LINKS_WITH_FIGURES = 12
LEAST_UNITS_FOR_FIGURES = 205.0
"""Length of a line that has room for "10.3 dB, 41.1 km of fibre" between two marks."""
FIGURES_UNITS = 170.0
CLEAR_UNITS = 22.0
"""Length of the figures, and how far from their middle line they must be clear."""
GAP = 15.0
"""Distance of a line's end from the middle of a mark, where marks are large."""
LEAST_UNITS_OF_LINK = 20.0
PULLED_UNITS = 27.0
"""A user nearer to the relay than the first is drawn at the second distance, so that the link can be seen."""
ROW = 24.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What stands where, before anything is drawn."""

    network: Network
    projection: Projection
    places: Mapping[NodeId, Point]
    pulled: frozenset[NodeId]
    is_roomy: bool
    rates_bits_per_s: Mapping[LinkId, float]

    @property
    def height(self) -> float:
        return self.projection.height + ROW * (1.6 if self.is_roomy else 2.6)

    @property
    def label(self) -> str:
        return f"map of the network {self.network.title or self.network.name}"

    @property
    def radius(self) -> float:
        """Half the size of a mark."""
        return 10.0 if self.is_roomy else 4.5 if len(self.network.sites) <= 150 else 3.0


def draw_map(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> str:
    """Return the map as an element of an HTML page: sites, links with their secret rate, land, degrees, scale."""
    plan = _plan(network, rates_bits_per_s)
    sheet = Sheet(plan.projection.width, plan.height, label=plan.label, kind="map", style_sheet=sheet_for_a_page())
    _draw(sheet, plan)
    return sheet.render()


def draw_map_svg(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> str:
    """Return the map as the text of an SVG file that needs nothing else."""
    plan = _plan(network, rates_bits_per_s)
    sheet = Sheet(plan.projection.width, plan.height, label=plan.label, kind="map", style_sheet=sheet_alone())
    _draw(sheet, plan)
    return sheet.render_file()


def draw_map_png(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> bytes:
    """Return the map as a PNG file. A title in letters that its font lacks gives way to the site's name."""
    sites = tuple(site if can_draw(site.title) else site.model_copy(update={"title": ""}) for site in network.sites)
    plan = _plan(network.model_copy(update={"sites": sites}), rates_bits_per_s)
    sheet = PngSheet(plan.projection.width, plan.height)
    _draw(sheet, plan)
    return sheet.render()


def _plan(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> Plan:
    roomy = Projection.around(network.sites)
    places = {site.node: roomy.place(site) for site in network.sites}
    if _has_room_for_figures(network, places):
        return Plan(network, roomy, places, frozenset(), True, rates_bits_per_s)
    projection = Projection.around(network.sites, CROWDED_FRAME)
    places = {site.node: projection.place(site) for site in network.sites}
    pulled = _pulled_apart(network, places)
    return Plan(network, projection, {**places, **pulled}, frozenset(pulled), False, rates_bits_per_s)


def _has_room_for_figures(network: Network, places: Mapping[NodeId, Point]) -> bool:
    """Return whether figures along every link would touch no other link's, no other link and no mark."""
    if len(network.links) > MOST_LINKS_WITH_FIGURES:
        return False
    lines = [(places[link.ends[0]], places[link.ends[1]]) for link in network.links]
    if min(math.dist(*line) for line in lines) < LEAST_UNITS_FOR_FIGURES:
        return False
    figures = [_points_along(*line, reach=FIGURES_UNITS / 2, aside=18.0) for line in lines]
    ways = [_points_along(*line, reach=math.dist(*line) / 2, aside=0.0) for line in lines]
    for place, own in enumerate(figures):
        others = [
            point for rows in (figures, ways) for other, row in enumerate(rows) if other != place for point in row
        ]
        if (
            min((math.dist(one, other) for one in own for other in (*others, *places.values())), default=99)
            < CLEAR_UNITS
        ):
            return False
    return True


def _points_along(start: Point, stop: Point, *, reach: float, aside: float) -> list[Point]:
    """Return points beside the middle of a line, on its upper side, one for every few units of ``reach`` both ways."""
    length = math.dist(start, stop)
    east, south = (stop[0] - start[0]) / length, (stop[1] - start[1]) / length
    if east < 0:
        east, south = -east, -south
    x, y = (start[0] + stop[0]) / 2 + aside * south, (start[1] + stop[1]) / 2 - aside * east
    num = math.ceil(reach / 8)
    return [(x + reach * k / num * east, y + reach * k / num * south) for k in range(-num, num + 1)]


def _pulled_apart(network: Network, places: Mapping[NodeId, Point]) -> dict[NodeId, Point]:
    """Return places for users whose only link would be too short to be seen, around the relay that they hang on."""
    hanging: dict[NodeId, list[NodeId]] = {}
    for site in network.sites:
        links = network.links_of(site.node)
        if site.kind == "user" and len(links) == 1:
            peer = links[0].peer_of(site.node)
            if network.site(peer).kind == "relay" and math.dist(places[site.node], places[peer]) < LEAST_UNITS_OF_LINK:
                hanging.setdefault(peer, []).append(site.node)
    pulled: dict[NodeId, Point] = {}
    for relay, users in hanging.items():
        x, y = places[relay]
        reach = max(PULLED_UNITS, 12 * len(users) / (2 * math.pi))
        ways = {user: math.atan2(places[user][1] - y, places[user][0] - x) for user in users}
        start = ways[users[0]]
        for number, user in enumerate(sorted(users, key=lambda user: ((ways[user] - start) % (2 * math.pi), user))):
            way = start + 2 * math.pi * number / len(users)
            pulled[user] = (x + reach * math.cos(way), y + reach * math.sin(way))
    return pulled


def _draw(surface: Surface, plan: Plan) -> None:
    draw_ground(surface, plan.projection)
    classes = classes_of(plan.network, plan.rates_bits_per_s)
    for link in plan.network.links:
        if plan.is_roomy:
            _draw_link_with_figures(surface, plan, link)
        else:
            _draw_link(surface, plan, link, classes)
    for site in plan.network.sites:
        _draw_node(surface, site.kind, *plan.places[site.node], plan.radius, tip=_title(plan.network, site))
    if plan.is_roomy:
        for site in plan.network.sites:
            _name_site(surface, plan, site)
        unnamed = 0
    else:
        unnamed = _name_sites(surface, plan)
    _draw_legend(surface, plan, classes, unnamed)


def _draw_link_with_figures(surface: Surface, plan: Plan, link: Link) -> None:
    start, stop = (plan.places[end] for end in link.ends)
    length = math.dist(start, stop)
    along = ((stop[0] - start[0]) / length, (stop[1] - start[1]) / length)
    draw_arrow(
        surface,
        start[0] + GAP * along[0],
        start[1] + GAP * along[1],
        stop[0] - GAP * along[0],
        stop[1] - GAP * along[1],
        "light thick",
        head=11,
    )
    # The label runs along the line on its upper side, and never stands on its head.
    right = along if along[0] >= 0 else (-along[0], -along[1])
    angle_deg = math.degrees(math.atan2(right[1], right[0]))
    middle = ((start[0] + stop[0]) / 2, (start[1] + stop[1]) / 2)
    lines = [(f"{link.loss_db:g} dB, {link.length_km:g} km of fibre", "label")]
    if (rate := plan.rates_bits_per_s.get(link.link_id)) is not None:
        lines.append((f"{format_rate(rate)} secret", "label strong"))
    for place, (text, style) in enumerate(lines):
        away = 10 + 17 * place
        x, y = middle[0] + away * right[1], middle[1] - away * right[0]
        surface.text(x, y, text, f"{style} {halo(plan.projection)}", anchor="middle", turned_deg=angle_deg)


def _draw_link(surface: Surface, plan: Plan, link: Link, classes: LinkClasses) -> None:
    (x1, y1), (x2, y2) = (plan.places[end] for end in link.ends)
    rate = plan.rates_bits_per_s.get(link.link_id)
    figures = f"{link.name}: {link.loss_db:g} dB, {link.length_km:g} km of fibre"
    tip = figures if rate is None else f"{figures}, {format_rate(rate)} secret"
    apart = " apart" if plan.pulled.intersection(link.ends) else ""
    surface.line(x1, y1, x2, y2, f"{classes.style(link.link_id)}{apart}", tip=tip)


def _name_site(surface: Surface, plan: Plan, site: Site) -> None:
    """Write a name over or under a large mark, away from its links."""
    x, y = plan.places[site.node]
    lines = [(site.title or site.name, "label strong")]
    apps = [app.name for app in plan.network.applications if app.site == site.name]
    if apps:
        noun = "application" if len(apps) == 1 else "applications"
        lines.append((f"{noun} {', '.join(apps)}", "tiny muted"))
    neighbours = [link.peer_of(site.node) for link in plan.network.links_of(site.node)]
    links_lead_down = sum(plan.places[other][1] - y for other in neighbours) > 0
    first_y = y - 22 - 16 * (len(lines) - 1) if links_lead_down else y + 28
    for place, (text, style) in enumerate(lines):
        surface.text(x, first_y + 16 * place, text, f"{style} {halo(plan.projection)}", anchor="middle")


def _title(network: Network, site: Site) -> str:
    apps = [app.name for app in network.applications if app.site == site.name]
    return (site.title or site.name) + (f" ({', '.join(apps)})" if apps else "")


def _name_sites(surface: Surface, plan: Plan) -> int:
    """Write names beside small marks where they fit; returns how many did not."""
    size = 12.0 if len(plan.network.sites) <= 60 else 11.5
    marks = [
        Mark(*plan.places[site.node], plan.radius + 1, _title(plan.network, site), size) for site in plan.network.sites
    ]
    lines = [(plan.places[link.ends[0]], plan.places[link.ends[1]]) for link in plan.network.links]
    room = Box(30, 18, plan.projection.width - 4, plan.projection.height - 4)
    labels = place_labels(marks, lines, room)
    for label in labels:
        if label is not None and label.leader is not None:
            (x1, y1), (x2, y2) = label.leader
            surface.line(x1, y1, x2, y2, "leader")
    for label, site in zip(labels, plan.network.sites, strict=True):
        if label is not None:
            words = "small strong" if site.kind == "user" else "small"
            surface.text(label.x, label.y, label.text, f"{words} {halo(plan.projection)}", anchor=label.anchor)
    return sum(label is None for label in labels)


def _draw_node(surface: Surface, kind: str, x: float, y: float, radius: float, *, tip: str = "") -> None:
    words = "outlined" if radius > 8 else "outlined fine"
    if kind == "relay":
        reach = 1.2 * radius
        corners = [(x, y - reach), (x + reach, y), (x, y + reach), (x - reach, y)]
        surface.polygon(corners, f"relay {words}", tip=tip)
    else:
        surface.circle(x, y, radius, f"user {words}", tip=tip)


def _draw_legend(surface: Surface, plan: Plan, classes: LinkClasses, unnamed: int) -> None:
    """Draw scale and signs in a strip under the map, and what colours mean in a second one."""
    y = plan.projection.height + ROW
    x = draw_scale_bar(surface, plan.projection, 24.0, y) + 30
    for kind, text in (("user", "user node"), ("relay", "trusted relay")):
        if any(site.kind == kind for site in plan.network.sites):
            _draw_node(surface, kind, x, y, plan.radius)
            surface.text(x + plan.radius + 7, y + 4, text, "tiny muted")
            x += 110
    if plan.is_roomy:
        draw_arrow(surface, x, y, x + 34, y, "light thick", head=10)
        surface.text(x + 42, y + 4, "QKD link, the way of its light", "tiny muted")
        return
    if plan.pulled:
        surface.line(x, y, x + 30, y, "link class-2 apart")
        surface.text(x + 38, y + 4, "link of a user, drawn longer than it is", "tiny muted")
        x += 270
    if unnamed:
        surface.text(x, y + 4, f"{unnamed} names had no room", "tiny muted")
    _draw_classes(surface, plan, classes, 24.0, y + ROW)


def _draw_classes(surface: Surface, plan: Plan, classes: LinkClasses, x: float, y: float) -> None:
    title = f"QKD links: {classes.title}"
    surface.text(x, y + 4, title, "tiny muted")
    x += 16 + 6.3 * len(title)
    for style, words in classes.legend():
        surface.line(x, y, x + 30, y, style)
        surface.text(x + 37, y + 4, words, "tiny")
        x += 60 + 6.3 * len(words)
    if plan.rates_bits_per_s:
        link_id, rate = min(plan.rates_bits_per_s.items(), key=lambda item: (item[1], item[0]))
        surface.text(x, y + 4, f"least: {link_id}, {format_rate(rate)}", "tiny muted")

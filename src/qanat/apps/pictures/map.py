"""The network on a map: real coordinates, one scale, land without borders (borders are not ours to draw).

Where every link has room for its figures, they stand along it. Where the network is crowded, marks are small, names
avoid one another, and colour and width of a link say what it carries.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from qanat.apps.pictures.geography import Box, Projection
from qanat.apps.pictures.labels import Mark, place_labels
from qanat.apps.pictures.link_classes import LinkClasses, classes_of
from qanat.apps.pictures.map_ground import draw_ground, draw_scale_bar, halo
from qanat.apps.pictures.map_plan import Plan, plan_of
from qanat.apps.pictures.png import PngSheet, can_draw
from qanat.apps.pictures.styles import sheet_alone, sheet_for_a_page
from qanat.apps.pictures.surface import Surface, draw_arrow
from qanat.apps.pictures.svg import Sheet
from qanat.ground.identifiers import LinkId
from qanat.ground.network import Link, Network, Site
from qanat.ground.units import format_rate

__all__ = ["Projection", "draw_map", "draw_map_png", "draw_map_svg"]

GAP = 15.0
"""Distance of a line's end from the middle of a mark, where marks are large."""
ROW = 24.0
"""Height of a line of the legend."""


def draw_map(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> str:
    """Return the map as an element of an HTML page: sites, links with their secret rate, land, degrees, scale."""
    plan = plan_of(network, rates_bits_per_s)
    sheet = Sheet(plan.projection.width, _height(plan), label=_label(plan), kind="map", style_sheet=sheet_for_a_page())
    _draw(sheet, plan)
    return sheet.render()


def draw_map_svg(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> str:
    """Return the map as the text of an SVG file that needs nothing else."""
    plan = plan_of(network, rates_bits_per_s)
    sheet = Sheet(plan.projection.width, _height(plan), label=_label(plan), kind="map", style_sheet=sheet_alone())
    _draw(sheet, plan)
    return sheet.render_file()


def draw_map_png(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> bytes:
    """Return the map as a PNG file. A title in letters that its font lacks gives way to the site's name."""
    sites = tuple(site if can_draw(site.title) else site.model_copy(update={"title": ""}) for site in network.sites)
    plan = plan_of(network.model_copy(update={"sites": sites}), rates_bits_per_s)
    sheet = PngSheet(plan.projection.width, _height(plan))
    _draw(sheet, plan)
    return sheet.render()


def _height(plan: Plan) -> float:
    return plan.projection.height + ROW * (1.6 if plan.is_roomy else 2.6)


def _label(plan: Plan) -> str:
    return f"map of the network {plan.network.title or plan.network.name}"


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
        least = f"least: {link_id}, {format_rate(rate)}"
        if x + 6.3 * len(least) < plan.projection.width:
            surface.text(x, y + 4, least, "tiny muted")
        else:
            surface.text(plan.projection.width - 24, y - ROW + 4, least, "tiny muted", anchor="end")

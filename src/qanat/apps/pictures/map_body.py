"""What is drawn on a map: links, sites, switches, names, and the legend under them.

Where every link has room for its figures, they stand along it. Where the network is crowded, marks are small, names
avoid one another, and colour and width of a link say what it carries.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, Literal, TypeAlias

from qanat.apps.pictures.geography import Box, Point
from qanat.apps.pictures.labels import Mark, place_labels
from qanat.apps.pictures.link_classes import LinkClasses
from qanat.apps.pictures.map_ground import draw_ground, draw_scale_bar, halo
from qanat.apps.pictures.map_plan import Plan
from qanat.apps.pictures.surface import Surface, draw_arrow
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Link, Network, Site
from qanat.ground.units import format_rate

GAP = 15.0
"""Distance of a line's end from the middle of a mark, where marks are large."""
ROW = 24.0
"""Height of a line of the legend."""
SIGN_WIDTHS: Final = {"downlink": 38.0, "pulled": 38.0, "frame": 18.0, "": 0.0}
"""Before the words that say what a sign means."""
Naming: TypeAlias = Literal["all", "relays"]
"""Whose names are written: everybody's, or those of relays and switches alone."""


def draw_body(
    surface: Surface, plan: Plan, classes: LinkClasses, *, names: Naming = "all", frames: Sequence[Box] = ()
) -> int:
    """Draw the ground, links, sites and switches, and names where they have room; returns how many had none.

    frames: what is drawn apart, in units of the sheet.
    """
    draw_ground(surface, plan.projection)
    for box in frames:
        surface.rectangle(box.low_x, box.low_y, box.high_x - box.low_x, box.high_y - box.low_y, "frame")
    _draw_fibres(surface, plan)
    for link in plan.network.links:
        if link.kind == "downlink":  # what a satellite announces goes no way of its own
            (x1, y1), (x2, y2) = (plan.places[end] for end in link.ends)
            surface.line(x1, y1, x2, y2, "link trunk", tip=f"{link.name}: makes key in passes")
    for link in plan.network.described_links:
        if plan.is_roomy:
            _draw_link_with_figures(surface, plan, link)
        else:
            _draw_link(surface, plan, link, classes)
    for switch in plan.network.switches:
        _draw_node(surface, "switch", *plan.switch_places[switch.name], plan.radius, tip=switch.title or switch.name)
    for site in plan.network.sites:
        _draw_node(surface, site.kind, *plan.places[site.node], plan.radius, tip=_title(plan.network, site))
    if plan.is_roomy:
        for site in plan.network.sites:
            _name_site(surface, plan, site)
        return 0
    return _name_sites(surface, plan, names)


def _draw_fibres(surface: Surface, plan: Plan) -> None:
    """Fibres to ports and trunks: what the links through switches share."""
    for switch in plan.network.switches:
        for port in switch.ports:
            tip = f"{port.site} to {switch.name}: {port.loss_db:g} dB, {port.length_km:g} km of fibre"
            ends = (*plan.places[NodeId(port.site)], *plan.switch_places[switch.name])
            surface.line(*ends, "link port", tip=tip)
    for trunk in plan.network.trunks:
        (x1, y1), (x2, y2) = (plan.switch_places[name] for name in trunk.switches)
        surface.line(x1, y1, x2, y2, "link trunk", tip=f"{trunk.name}: {trunk.loss_db:g} dB, {trunk.length_km:g} km")


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
    """Return a site's name with its applications, but for those that are called after it."""
    apps = [app.name for app in network.applications if app.site == site.name and not app.name.startswith(site.name)]
    return (site.title or site.name) + (f" ({', '.join(apps)})" if apps else "")


def _name_sites(surface: Surface, plan: Plan, names: Naming) -> int:
    """Write names beside small marks where they fit; returns how many did not."""
    network = plan.network
    size = 12.0 if len(network.sites) <= 60 else 11.5
    marks = [Mark(*plan.places[site.node], plan.radius + 1, _title(network, site), size) for site in network.sites]
    marks += [
        Mark(*plan.switch_places[switch.name], plan.radius + 1, switch.title or switch.name, size)
        for switch in network.switches
    ]
    bold = [site.kind == "user" for site in network.sites] + [False] * len(network.switches)
    wanted = [names == "all" or not is_user for is_user in bold]
    room = Box(30, 18, plan.projection.width - 4, plan.projection.height - 4)
    labels = place_labels(marks, _lines(plan), room, wanted, first=bold)
    for label in labels:
        if label is not None and label.leader is not None:
            (x1, y1), (x2, y2) = label.leader
            surface.line(x1, y1, x2, y2, "leader")
    for label, is_bold in zip(labels, bold, strict=True):
        if label is not None:
            words = "small strong" if is_bold else "small"
            surface.text(label.x, label.y, label.text, f"{words} {halo(plan.projection)}", anchor=label.anchor)
    return sum(label is None and is_wanted for label, is_wanted in zip(labels, wanted, strict=True))


def _lines(plan: Plan) -> list[tuple[Point, Point]]:
    """Return the lines that names avoid where they can."""
    lines = [(plan.places[link.ends[0]], plan.places[link.ends[1]]) for link in plan.network.described_links]
    for switch in plan.network.switches:
        lines += [(plan.places[NodeId(port.site)], plan.switch_places[switch.name]) for port in switch.ports]
    for trunk in plan.network.trunks:
        one, other = trunk.switches
        lines.append((plan.switch_places[one], plan.switch_places[other]))
    for link in plan.network.links:
        if link.kind == "downlink":
            lines.append((plan.places[link.ends[0]], plan.places[link.ends[1]]))
    return lines


def _draw_node(surface: Surface, kind: str, x: float, y: float, radius: float, *, tip: str = "") -> None:
    words = "outlined" if radius > 8 else "outlined fine"
    if kind == "relay":
        reach = 1.2 * radius
        corners = [(x, y - reach), (x + reach, y), (x, y + reach), (x - reach, y)]
        surface.polygon(corners, f"relay {words}", tip=tip)
    elif kind == "satellite":
        reach = 1.5 * radius
        surface.polygon([(x, y - reach), (x + reach, y + reach), (x - reach, y + reach)], f"switch {words}", tip=tip)
    elif kind == "switch":
        surface.polygon(
            [(x - radius, y - radius), (x + radius, y - radius), (x + radius, y + radius), (x - radius, y + radius)],
            f"switch {words}",
            tip=tip,
        )
    else:
        surface.circle(x, y, radius, f"user {words}", tip=tip)


def draw_legend(
    surface: Surface, plan: Plan, classes: LinkClasses, unnamed: int, *, y: float, kinds: frozenset[str]
) -> None:
    """Draw scale and signs in a strip at ``y``, and what colours mean in a second one; kinds: of marks on the sheet."""
    x = draw_scale_bar(surface, plan.projection, 24.0, y) + 30
    for kind, text in (
        ("user", "user node"),
        ("relay", "trusted relay"),
        ("switch", "all-pass switch"),
        ("satellite", "satellite"),
    ):
        if kind in kinds:
            _draw_node(surface, kind, x, y, plan.radius)
            surface.text(x + plan.radius + 7, y + 4, text, "tiny muted")
            x += plan.radius + 27 + 6 * len(text)
    if plan.is_roomy:
        draw_arrow(surface, x, y, x + 34, y, "light thick", head=10)
        surface.text(x + 42, y + 4, "QKD link, the way of its light", "tiny muted")
        return
    right, below = plan.projection.width - 24, 24.0
    for sign, text in _notes(plan, unnamed, kinds):
        width = SIGN_WIDTHS[sign] + 6.3 * len(text)
        if x + width < plan.projection.width - 8:
            _draw_note(surface, sign, text, x, y)
            x += width + 20
        elif has_third_row(plan.network, kinds):
            _draw_note(surface, sign, text, below, y + 2 * ROW)
            below += width + 20
        else:  # behind what colours mean
            right -= width
            _draw_note(surface, sign, text, right, y + ROW)
            right -= 20
    _draw_classes(surface, plan, classes, y + ROW, above_from=x, right=right)


def has_third_row(network: Network, kinds: frozenset[str]) -> bool:
    """Return whether the legend of a crowded map has room for more signs under what colours mean."""
    return bool(network.downlinks) or "frame" in kinds


def _notes(plan: Plan, unnamed: int, kinds: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield the signs of a map that are not on every one, and what they mean; of no sign a blank one."""
    if plan.network.downlinks:
        yield "downlink", "downlink of a satellite"
    if plan.pulled:
        yield "pulled", "link of a user, drawn longer than it is"
    if "frame" in kinds:
        yield "frame", "drawn apart below"
    if unnamed:
        yield "", "1 name had no room" if unnamed == 1 else f"{unnamed} names had no room"


def _draw_note(surface: Surface, sign: str, text: str, x: float, y: float) -> None:
    if sign == "frame":
        surface.rectangle(x, y - 6, 12, 12, "frame")
    elif sign:
        surface.line(x, y, x + 30, y, "link class-2 apart" if sign == "pulled" else "link trunk")
    surface.text(x + SIGN_WIDTHS[sign], y + 4, text, "tiny muted")


def _draw_classes(
    surface: Surface, plan: Plan, classes: LinkClasses, y: float, *, above_from: float, right: float
) -> None:
    """Draw what colours mean, and the least rate: behind as far as ``right``, or in the row above from ``above_from``
    on, if it fits."""
    x = 24.0
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
        if x + 6.3 * len(least) < right:
            surface.text(x, y + 4, least, "tiny muted")
        elif above_from + 6.3 * len(least) < plan.projection.width - 24:
            surface.text(plan.projection.width - 24, y - ROW + 4, least, "tiny muted", anchor="end")

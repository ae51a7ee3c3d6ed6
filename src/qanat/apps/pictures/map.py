"""The network on a map: real coordinates, one scale, no land outlines (borders are not ours to draw)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qanat.apps.pictures.svg import Sheet, round_step
from qanat.ground.identifiers import LinkId
from qanat.ground.network import Link, Network, Site
from qanat.ground.network.description import EARTH_RADIUS_KM
from qanat.ground.units import format_rate

WIDTH = 980.0
MARGIN_X = 130.0
MARGIN_Y = 95.0
LEAST_HEIGHT = 330.0
MOST_HEIGHT = 620.0
KM_PER_DEG = math.radians(1) * EARTH_RADIUS_KM


@dataclass(frozen=True, slots=True)
class Projection:
    """Equirectangular about the middle latitude: straight north, one scale along it and across it."""

    middle_latitude_deg: float
    west_deg: float
    north_deg: float
    units_per_km: float
    left: float
    top: float

    @classmethod
    def around(cls, sites: Sequence[Site]) -> Projection:
        """Return the projection that fits all sites between the margins."""
        latitudes = [site.latitude_deg for site in sites]
        longitudes = [site.longitude_deg for site in sites]
        middle = (min(latitudes) + max(latitudes)) / 2
        across_km = (max(longitudes) - min(longitudes)) * math.cos(math.radians(middle)) * KM_PER_DEG
        along_km = (max(latitudes) - min(latitudes)) * KM_PER_DEG
        inner_width, inner_height = WIDTH - 2 * MARGIN_X, MOST_HEIGHT - 2 * MARGIN_Y
        units_per_km = min(inner_width / max(across_km, 1e-3), inner_height / max(along_km, 1e-3))
        return cls(
            middle_latitude_deg=middle,
            west_deg=min(longitudes),
            north_deg=max(latitudes),
            units_per_km=units_per_km,
            left=(WIDTH - across_km * units_per_km) / 2,
            top=max(MARGIN_Y, (LEAST_HEIGHT - along_km * units_per_km) / 2),
        )

    def x(self, longitude_deg: float) -> float:
        per_deg = KM_PER_DEG * math.cos(math.radians(self.middle_latitude_deg)) * self.units_per_km
        return self.left + (longitude_deg - self.west_deg) * per_deg

    def y(self, latitude_deg: float) -> float:
        return self.top + (self.north_deg - latitude_deg) * KM_PER_DEG * self.units_per_km

    def longitude_deg(self, x: float) -> float:
        per_deg = KM_PER_DEG * math.cos(math.radians(self.middle_latitude_deg)) * self.units_per_km
        return self.west_deg + (x - self.left) / per_deg

    def latitude_deg(self, y: float) -> float:
        return self.north_deg - (y - self.top) / (KM_PER_DEG * self.units_per_km)

    def place(self, site: Site) -> tuple[float, float]:
        return self.x(site.longitude_deg), self.y(site.latitude_deg)


def draw_map(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> str:
    """Return the map of a network: sites, links with loss and secret rate, a grid of degrees and a scale bar."""
    projection = Projection.around(network.sites)
    lowest = max(projection.place(site)[1] for site in network.sites)
    sheet = Sheet(
        WIDTH, max(LEAST_HEIGHT, lowest + MARGIN_Y), label=f"map of the network {network.title or network.name}"
    )
    sheet.rectangle(0, 0, sheet.width, sheet.height, "panel", round_by=6)
    _draw_grid(sheet, projection)
    for link in network.links:
        _draw_link(sheet, projection, network, link, rates_bits_per_s.get(link.link_id))
    for site in network.sites:
        _draw_site(sheet, projection, network, site)
    _draw_scale(sheet, projection)
    return sheet.render()


def _draw_grid(sheet: Sheet, projection: Projection) -> None:
    step_deg = round_step((projection.longitude_deg(sheet.width) - projection.longitude_deg(0)) / 6)
    digits = max(0, -math.floor(math.log10(step_deg)))
    first = math.ceil(projection.longitude_deg(0) / step_deg)
    for number in range(first, math.floor(projection.longitude_deg(sheet.width) / step_deg) + 1):
        x = projection.x(number * step_deg)
        sheet.line(x, 0, x, sheet.height, "stroke grid")
        if x < sheet.width - 50:
            sheet.text(x + 4, 14, _degrees(number * step_deg, "E", "W", digits), "tiny muted")
    first = math.ceil(projection.latitude_deg(sheet.height) / step_deg)
    for number in range(first, math.floor(projection.latitude_deg(0) / step_deg) + 1):
        y = projection.y(number * step_deg)
        sheet.line(0, y, sheet.width, y, "stroke grid")
        sheet.text(6, y - 4, _degrees(number * step_deg, "N", "S", digits), "tiny muted")


def _degrees(value_deg: float, positive: str, negative: str, digits: int) -> str:
    return f"{abs(value_deg):.{digits}f}° {positive if value_deg >= 0 else negative}"


def _draw_link(sheet: Sheet, projection: Projection, network: Network, link: Link, rate: float | None) -> None:
    start, stop = (projection.place(network.site(end)) for end in link.ends)
    length, gap = math.dist(start, stop), 15.0
    if length <= 2 * gap:
        return  # the two sites' marks touch: there is no room for a line
    along = ((stop[0] - start[0]) / length, (stop[1] - start[1]) / length)
    sheet.arrow(
        start[0] + gap * along[0],
        start[1] + gap * along[1],
        stop[0] - gap * along[0],
        stop[1] - gap * along[1],
        "light thick",
        head=11,
    )
    # The label runs along the line on its upper side, and never stands on its head.
    right = along if along[0] >= 0 else (-along[0], -along[1])
    angle_deg = math.degrees(math.atan2(right[1], right[0]))
    middle = ((start[0] + stop[0]) / 2, (start[1] + stop[1]) / 2)
    lines = [(f"{link.loss_db:g} dB, {link.length_km:g} km of fibre", "label halo")]
    if rate is not None:
        lines.append((f"{format_rate(rate)} secret", "label strong halo"))
    for place, (text, style) in enumerate(lines):
        away = 10 + 17 * place
        x, y = middle[0] + away * right[1], middle[1] - away * right[0]
        sheet.text(x, y, text, style, anchor="middle", turned_deg=angle_deg)


def _draw_site(sheet: Sheet, projection: Projection, network: Network, site: Site) -> None:
    x, y = projection.place(site)
    _draw_node(sheet, site.kind, x, y)
    lines = [(site.title or site.name, "label strong halo")]
    apps = [app.name for app in network.applications if app.site == site.name]
    if apps:
        noun = "application" if len(apps) == 1 else "applications"
        lines.append((f"{noun} {', '.join(apps)}", "tiny muted halo"))
    neighbours = [network.site(link.peer_of(site.node)) for link in network.links_of(site.node)]
    links_lead_down = sum(projection.place(other)[1] - y for other in neighbours) > 0
    first_y = y - 22 - 16 * (len(lines) - 1) if links_lead_down else y + 28
    for place, (text, style) in enumerate(lines):
        sheet.text(x, first_y + 16 * place, text, style, anchor="middle")


def _draw_node(sheet: Sheet, kind: str, x: float, y: float) -> None:
    if kind == "relay":
        sheet.polygon([(x, y - 12), (x + 12, y), (x, y + 12), (x - 12, y)], "relay outlined")
    else:
        sheet.circle(x, y, 10, "user outlined")


def _draw_scale(sheet: Sheet, projection: Projection) -> None:
    bar_km = round_step(120 / projection.units_per_km)
    x, y, length = 24.0, sheet.height - 22, bar_km * projection.units_per_km
    for end in (x, x + length):
        sheet.line(end, y - 4, end, y + 4, "stroke ink")
    sheet.line(x, y, x + length, y, "stroke ink")
    sheet.text(x + length + 8, y + 4, f"{bar_km:g} km", "tiny")
    x += length + 75
    for kind, text in (("user", "user node"), ("relay", "trusted relay")):
        _draw_node(sheet, kind, x, y)
        sheet.text(x + 17, y + 4, text, "tiny muted")
        x += 110
    sheet.arrow(x, y, x + 34, y, "light thick", head=10)
    sheet.text(x + 42, y + 4, "QKD link, the way of its light", "tiny muted")

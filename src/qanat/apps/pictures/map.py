"""The network on a map: real coordinates, one scale, land without borders (borders are not ours to draw).

Parts that would be a blot on it, such as a city beside a long backbone, and islands that no link joins to the rest are
drawn apart below, each in a scale of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from qanat.apps.pictures.atlas import Atlas, atlas_of
from qanat.apps.pictures.geography import Projection
from qanat.apps.pictures.link_classes import classes_of
from qanat.apps.pictures.map_body import ROW, draw_body, draw_legend, has_third_row
from qanat.apps.pictures.map_ground import draw_scale_bar
from qanat.apps.pictures.png import PngSheet, can_draw
from qanat.apps.pictures.styles import sheet_alone, sheet_for_a_page
from qanat.apps.pictures.surface import Shifted, Surface
from qanat.apps.pictures.svg import Sheet
from qanat.ground.identifiers import LinkId
from qanat.ground.network import Network

__all__ = ["Projection", "draw_map", "draw_map_png", "draw_map_svg"]


def draw_map(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> str:
    """Return the map as an element of an HTML page: sites, links with their secret rate, land, degrees, scale."""
    atlas = atlas_of(network, rates_bits_per_s)
    sheet = Sheet(atlas.width, _height(atlas), label=_label(network), kind="map", style_sheet=sheet_for_a_page())
    _draw(sheet, atlas)
    return sheet.render()


def draw_map_svg(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> str:
    """Return the map as the text of an SVG file that needs nothing else."""
    atlas = atlas_of(network, rates_bits_per_s)
    sheet = Sheet(atlas.width, _height(atlas), label=_label(network), kind="map", style_sheet=sheet_alone())
    _draw(sheet, atlas)
    return sheet.render_file()


def draw_map_png(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> bytes:
    """Return the map as a PNG file. A title in letters that its font lacks gives way to the site's name."""
    sites = tuple(site if can_draw(site.title) else site.model_copy(update={"title": ""}) for site in network.sites)
    atlas = atlas_of(network.model_copy(update={"sites": sites}), rates_bits_per_s)
    sheet = PngSheet(atlas.width, _height(atlas))
    _draw(sheet, atlas)
    return sheet.render()


def _height(atlas: Atlas) -> float:
    if atlas.main.is_roomy:
        return atlas.height + 1.6 * ROW
    return atlas.height + ROW * (3.6 if has_third_row(atlas.main.network, _kinds(atlas)) else 2.6)


def _kinds(atlas: Atlas) -> frozenset[str]:
    """Return whose signs the legend explains."""
    kinds: set[str] = {site.kind for site in atlas.network.sites}
    kinds |= {"switch"} if atlas.network.switches else set()
    kinds |= {"frame"} if any(inset.frame is not None for inset in atlas.insets) else set()
    return frozenset(kinds)


def _label(network: Network) -> str:
    return f"map of the network {network.title or network.name}"


def _draw(surface: Surface, atlas: Atlas) -> None:
    classes = classes_of(atlas.network, atlas.main.rates_bits_per_s)
    frames = [inset.frame for inset in atlas.insets if inset.frame is not None]
    unnamed = draw_body(surface, atlas.main, classes, frames=frames)
    for inset in atlas.insets:
        sheet = Shifted(surface, inset.left, inset.top)
        sheet.text(0, -8, inset.title, "label strong")
        sheet.text(inset.plan.projection.width, -8, inset.subtitle, "tiny muted", anchor="end")
        draw_body(sheet, inset.plan, classes, names=inset.names)
        draw_scale_bar(sheet, inset.plan.projection, 14.0, inset.plan.projection.height - 14.0)
    draw_legend(surface, atlas.main, classes, unnamed, y=atlas.height + ROW, kinds=_kinds(atlas))

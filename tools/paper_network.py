"""Make src/qanat/networks/nature2021.yaml, the whole network of Nature 589, 214 (2021), ground and satellite.

    python tools/paper_network.py          writes the file
    python tools/paper_network.py --print  prints it

The paper gives counts, losses and lengths by network (Table 1), and no place, length or loss of a single link. The
rules for these stand in tools/paper_figures.py and in docs/explanation/the-paper-network.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from paper_cities import CITIES, Parts, add_city, add_micius, add_urumqi, add_xinglong
from paper_figures import Place

from qanat.apps.networks import load_network
from qanat.ground.network import ClassicalLink, Link, Network, Router, Site, network_yaml
from qanat.ground.network.description import great_circle_km

TARGET = Path(__file__).parents[1] / "src" / "qanat" / "networks" / "nature2021.yaml"
PAIRS = ((6, 5), (5, 8), (4, 11), (3, 7))
"""(pairs, spans with so many), the spans with the greatest loss first: 31 spans, 135 pairs, up to six on one."""
GUESSED = frozenset({"zhuangli", "fuli", "junwang"})
"""Backbone relays whose places are guesses; those of the others are their towns'."""
PROVINCES = {
    "Beijing": ("beijing",),
    "Tianjin": ("gaocun", "wangqingtuo", "tianjin", "ziya"),
    "Hebei": ("cangzhoubei", "dongguang", "xinglong"),
    "Shandong": ("dezhou", "yucheng", "jinan", "taian", "qufu", "tengzhou", "xuecheng"),
    "Anhui": ("yuhui", "wuxu", "hefei", "dashu", "chuzhou"),
    "Jiangsu": (*("xuzhou", "nanjing", "jurong", "zhenjiang", "danyang", "changzhou", "wuxi", "suzhou", "kunshan"),),
    "Shanghai": ("shanghai",),
    "Xinjiang": ("urumqi", "nanshan"),
}
"""Where the towns lie by which sites are named. Of relays whose places are guesses none is stated."""
CITY_NAMES = ("beijing", "jinan", "hefei", "shanghai", "urumqi")
ROUTERS = {
    "beijing": Place(39.904, 116.407),
    "jinan": Place(36.651, 117.120),
    "hefei": Place(31.821, 117.227),
    "nanjing": Place(32.060, 118.797),
    "shanghai": Place(31.230, 121.474),
    "xinglong": Place(40.417, 117.500),
    "wuhan": Place(30.593, 114.305),
    "xian": Place(34.341, 108.940),
    "urumqi": Place(43.825, 87.617),
}
LINES = (
    *(("beijing", "shanghai"), ("beijing", "jinan"), ("jinan", "nanjing"), ("nanjing", "shanghai")),
    *(("nanjing", "hefei"), ("hefei", "wuhan"), ("wuhan", "beijing"), ("wuhan", "xian"), ("beijing", "xian")),
    *(("xian", "urumqi"), ("beijing", "xinglong")),
)
HEAD = """\
The whole network of Nature 589, 214 (2021): the Beijing-Shanghai backbone, the networks of Beijing, Jinan, Hefei and
Shanghai, the line to the Xinglong ground station, Urumqi's access network with the Nanshan station, and the satellite
Micius over both. Written by tools/paper_network.py; change the rules there, not this file. How it was made, what is
assumed and why: docs/explanation/the-paper-network.md.

From the paper: how many relays, nodes, users and links each network has; least, mean and greatest loss and mean length
of its links (Table 1); names and order of the backbone's relays (Fig. 4b); the shapes (text and Fig. 1): rings, stars
of users with a transmitter only, all-pass switches of up to 16 ports. Made up by rule, and marked 'assumed': whatever
the paper does not print, that is places in the cities and all figures of single links. They are no measurements.

'region' is the province of the town that a site is named after, where its place is no guess.

'counted_as' says under which row of Table 1 a thing is counted. Not in the table: the joints of the cities with the
backbone, three of Beijing's twelve ring nodes, eight of Hefei's links, Urumqi. Links through switches and those of the
satellite do not stand below: they follow from ports and downlinks ('qanat network check nature2021' counts them).

The satellite makes key in its passes, not on order; losses and ranges are those of each pass."""


def network() -> tuple[Network, dict[tuple[str, str], str]]:
    """Return the network and the comments of its file."""
    parts = Parts()
    places = _add_backbone(parts)
    for city in CITIES:
        add_city(parts, city, places[city.name])
    add_xinglong(parts, places["beijing"])
    add_urumqi(parts)
    add_micius(parts)
    routers = [Router(name=name, **place.fields(), assumed=True) for name, place in ROUTERS.items()]
    parts.comments["routers", "beijing"] = "Classical routers and lines: assumed; the paper says that there are some."
    sites = tuple(_settled(site, routers) for site in parts.sites)
    whole = Network(
        format="qanat-network/1",
        name="nature2021",
        title="The network of Nature 589, 214 (2021)",
        sites=sites,
        links=tuple(parts.links),
        switches=tuple(parts.switches),
        trunks=tuple(parts.trunks),
        routers=tuple(routers),
        classical_links=tuple(_line(*ends, routers) for ends in LINES),
        downlinks=tuple(parts.downlinks),
        applications=tuple(parts.applications),
    )
    return whole, parts.comments


def _add_backbone(parts: Parts) -> dict[str, Place]:
    """Add relays and spans as the packaged backbone has them; return the relays' places."""
    backbone = load_network("beijing-shanghai")
    relays = [site for site in backbone.sites if site.counted_as == "backbone"]
    spans = [link for link in backbone.links if link.counted_as == "backbone"]
    parts.comments["sites", relays[0].name] = (
        "Backbone (Table 1: 32 relays, 135 links). Places are their towns', three are guesses."
    )
    parts.comments["links", spans[0].name] = (
        "Backbone: 31 spans, 135 pairs of devices on them by wavelength; the more the greater the loss."
    )
    parts.sites += [site.model_copy(update={"assumed": site.name in GUESSED}) for site in relays]
    parts.links += [link.model_copy(update={"pairs": _pairs(link, spans), "assumed": True}) for link in spans]
    return {site.name: Place(site.latitude_deg, site.longitude_deg) for site in relays}


def _pairs(span: Link, spans: list[Link]) -> int:
    order = sorted(spans, key=lambda link: (-link.loss_db, link.name))
    dealt = [pairs for pairs, num in PAIRS for _ in range(num)]
    return dealt[order.index(span)]


def _settled(site: Site, routers: list[Router]) -> Site:
    """A site with its router and its region; a satellite is in none, and its messages go down to a station."""
    if site.kind == "satellite":
        return site
    return site.model_copy(update={"router": _router(site, routers), "region": _region(site.name)})


def _router(site: Site, routers: list[Router]) -> str:
    """The nearest router."""
    return min(routers, key=lambda router: great_circle_km(site, router)).name


def _region(site: str) -> str:
    """The province of a site's town; of sites in a city, that of the city."""
    town = next((city for city in CITY_NAMES if site.startswith(f"{city}-")), site)
    return next((province for province, towns in PROVINCES.items() if town in towns), "")


def _line(one: str, other: str, routers: list[Router]) -> ClassicalLink:
    by_name = {router.name: router for router in routers}
    way_km = great_circle_km(by_name[one], by_name[other])
    return ClassicalLink(name=f"{one}-{other}", routers=(one, other), length_km=round(1.3 * way_km), assumed=True)


def text() -> str:
    """Return the text of the file."""
    whole, comments = network()
    return network_yaml(whole, head=HEAD, comments=comments)


if __name__ == "__main__":
    if sys.argv[1:] == ["--print"]:
        sys.stdout.write(text())
    else:
        TARGET.write_text(text(), encoding="utf-8")

"""The packaged backbone against what its paper prints (Nature 589, 214: Fig. 4b and Table 1), and its own rule."""

from __future__ import annotations

from itertools import pairwise
from statistics import mean

import pytest

from qanat.apps.networks import load_network
from qanat.ground.network import Link, Network
from qanat.ground.network.description import great_circle_km

FIG_4B = """
BJ, Beijing; GC, Gaocun; WQT, Wangqingtuo; TJ, Tianjin; ZY, Ziya; CZ1, Cangzhoubei; DG, Dongguang; DZ, Dezhou;
YC, Yucheng; JN, Jinan; TA, Taian; QF, Qufu; TZ, Tengzhou; XC, Xuecheng; XZ, Xuzhou; ZL, Zhuangli; FL, Fuli;
JW, Junwang; YH, Yuhui; WX1, Wuxu; HF, Hefei; DS, Dashu; CZ2, Chuzhou; NJ, Nanjing; JR, Jurong; ZJ, Zhenjiang;
DY, Danyang; CZ3, Changzhou; WX2, Wuxi; SZ, Suzhou; KS, Kunshan; SH, Shanghai
"""
RELAYS = [entry.split(", ")[1] for entry in " ".join(FIG_4B.split()).split("; ")]

CITIES = {  # degrees north and east as the GeoNames gazetteer has them (CC BY 4.0), rounded
    "beijing": (39.908, 116.397),
    "tianjin": (39.142, 117.177),
    "dongguang": (37.885, 116.533),
    "dezhou": (37.451, 116.310),
    "jinan": (36.668, 116.997),
    "taian": (36.185, 117.120),
    "qufu": (35.597, 116.991),
    "xuzhou": (34.204, 117.284),
    "hefei": (31.864, 117.281),
    "chuzhou": (32.322, 118.298),
    "nanjing": (32.062, 118.778),
    "zhenjiang": (32.211, 119.455),
    "changzhou": (31.774, 119.954),
    "wuxi": (31.569, 120.289),
    "suzhou": (31.304, 120.595),
    "kunshan": (31.378, 120.954),
    "shanghai": (31.222, 121.458),
}


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network("beijing-shanghai")


def spans(network: Network) -> list[Link]:
    return [link for link in network.links if link.counted_as == "backbone"]


def test_the_relays_are_those_of_the_figure_in_its_order(network: Network) -> None:
    relays = [site for site in network.sites if site.kind == "relay"]
    assert len(relays) == 32
    assert [site.title for site in relays] == RELAYS
    assert [site.name for site in relays] == [title.lower() for title in RELAYS]
    assert {site.counted_as for site in relays} == {"backbone"}
    assert [link.ends for link in spans(network)] == [(one.node, other.node) for one, other in pairwise(relays)]


def test_a_user_at_each_end_joins_the_backbone(network: Network) -> None:
    users = [site for site in network.sites if site.kind == "user"]
    assert [(site.name, site.counted_as) for site in users] == [("beijing-user", ""), ("shanghai-user", "")]
    joining = [link for link in network.links if link.counted_as == ""]
    assert [link.ends for link in joining] == [("beijing-user", "beijing"), ("shanghai-user", "shanghai")]
    assert [(link.loss_db, link.length_km) for link in joining] == [(9.3, 29.8), (9.8, 27.5)], "means of Table 1"
    assert {app.name: app.site for app in network.applications} == {"alice": "beijing-user", "bob": "shanghai-user"}
    prepared = [(keys.master, keys.slave, keys.count, keys.size_bits) for keys in network.prepared_keys]
    assert prepared == [("alice", "bob", 512, 128), ("alice", "bob", 128, 256)]
    assert (len(network.sites), len(network.links)) == (34, 33)


def test_losses_and_lengths_have_the_statistics_of_table_1(network: Network) -> None:
    losses_db = [link.loss_db for link in spans(network)]
    assert len(losses_db) == 31
    assert (min(losses_db), f"{mean(losses_db):.1f}", max(losses_db)) == (10.3, "16.0", 20.5)
    assert f"{mean(link.length_km for link in spans(network)):.1f}" == "63.8"


def test_lengths_and_losses_follow_the_rule_in_the_head_of_the_file(network: Network) -> None:
    ways_km = [network.span_km(link) for link in spans(network)]
    least, greatest = min(ways_km), max(ways_km)
    for link, way_km in zip(spans(network), ways_km, strict=True):
        assert link.length_km == round(1.315 * way_km, 1)
        assert link.loss_db == round(10.3 + 10.2 * ((way_km - least) / (greatest - least)) ** 0.718, 1)


def test_the_two_constants_of_the_rule_are_those_that_meet_the_means(network: Network) -> None:
    """To the three decimals given: one unit less or more is farther from 63.8 km and 16.0 dB, before rounding."""
    ways_km = [network.span_km(link) for link in spans(network)]
    least, greatest = min(ways_km), max(ways_km)

    def off_length(factor: float) -> float:
        return abs(mean(factor * way_km for way_km in ways_km) - 63.8)

    def off_loss(exponent: float) -> float:
        shares = [(way_km - least) / (greatest - least) for way_km in ways_km]
        return abs(10.3 + 10.2 * mean(share**exponent for share in shares) - 16.0)

    assert min((1.314, 1.315, 1.316), key=off_length) == 1.315
    assert min((0.717, 0.718, 0.719), key=off_loss) == 0.718


def test_no_span_is_shorter_than_its_way_or_of_absurd_attenuation(network: Network) -> None:
    for link in network.links:
        assert link.length_km > network.span_km(link)
    for link in spans(network):
        assert 0.2 < link.loss_db / link.length_km < 0.35


def test_cities_lie_where_a_gazetteer_has_them(network: Network) -> None:
    """Within 15 km, a large city's radius: the shortest span of the line is longer."""
    sites = {site.name: site for site in network.sites}
    for name, (latitude_deg, longitude_deg) in CITIES.items():
        there = sites[name].model_copy(update={"latitude_deg": latitude_deg, "longitude_deg": longitude_deg})
        assert great_circle_km(sites[name], there) < 15, name

"""The packaged network of the paper: Table 1 row by row, its puzzles, its rules, its file."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from qanat.apps.cli.demo import run_demo
from qanat.apps.network_review import NetworkReview, review
from qanat.apps.networks import load_network
from qanat.apps.paper_table import PAPER, SATELLITE, puzzles
from qanat.apps.pictures.land import is_land
from qanat.apps.satellite_review import review_sky
from qanat.control.routing import classical_routes, key_graph, widest
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Link, Network, network_yaml, parse_network
from qanat.ground.network.extracts import without_satellites
from qanat.ground.network.switches import MOST_PORTS

TOOLS = Path(__file__).parents[2] / "tools"
FILE = Path(__file__).parents[2] / "src" / "qanat" / "networks" / "nature2021.yaml"

# Nature 589, 214 (2021), Table 1, copied by hand: relays, nodes, users, links, mean km, least, mean, greatest dB;
# all rows but the satellite's
TABLE_1 = {
    "backbone": (32, 0, 0, 135, 63.8, 10.3, 16.0, 20.5),
    "beijing": (9, 19, 19, 39, 29.8, 2.5, 9.3, 13.5),
    "jinan": (3, 50, 95, 437, 7.6, 3.0, 5.8, 12.5),
    "hefei": (3, 11, 14, 8, 25, 2.1, 5.8, 10.3),
    "shanghai": (5, 26, 26, 82, 27.5, 5.7, 9.8, 13.2),
    "xinglong": (4, 1, 1, 5, 51.7, 10.7, 14.7, 20.5),
}


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network("nature2021")


@pytest.fixture(scope="module")
def found(network: Network) -> NetworkReview:
    return review(network)


def counted(network: Network, heading: str) -> list[Link]:
    return [link for link in network.links if link.counted_as == heading]


@pytest.mark.parametrize("heading", TABLE_1)
def test_a_row_of_table_1_comes_out_as_it_is_printed(found: NetworkReview, heading: str) -> None:
    (row,) = (row for row in found.table if row.network == heading)
    ours = row.ours
    assert ours is not None
    assert None not in ours.loss_db
    figures = (ours.relays, ours.nodes, ours.users, ours.links, ours.length_km, *ours.loss_db)
    assert figures == pytest.approx(TABLE_1[heading], abs=0.05)
    assert row.differing == ()


def test_the_printed_table_beside_ours_is_the_paper_s() -> None:
    for heading, printed in TABLE_1.items():
        paper = PAPER[heading]
        counts = (paper.relays, paper.nodes, paper.users, paper.links)
        assert (*counts, paper.length_km, *paper.loss_db) == printed
    assert set(PAPER) - set(TABLE_1) == {SATELLITE}
    assert sum(figures.links for figures in PAPER.values()) == 708


def test_the_satellite_s_row_is_counted_from_the_file_and_predicted_from_its_passes(network: Network) -> None:
    """Table 1: 1, 2, 2, 2; 500 to 2,043 km; 20.0 to 40.0 dB; 47.8 kbit/s. What is predicted is not tuned to it, and
    comes within 2 dB and 10 % of it; the 1.1 kbit/s of its least rate are those of another year."""
    sky = review_sky(network, now_utc_s=0.0)
    (row,) = (row for row in replace(review(network), downlinks=sky.downlinks).table if row.network == SATELLITE)
    assert row.ours is not None
    assert (row.ours.relays, row.ours.nodes, row.ours.users, row.ours.links) == (1, 2, 2, 2)
    assert row.differing == ()
    assert row.ours.length_km == pytest.approx((500, 2043), rel=0.02)
    least_db, _, greatest_db = row.ours.loss_db
    assert (least_db, greatest_db) == pytest.approx((20.0, 40.0), abs=2.0)
    assert row.ours.rate_kbit_per_s[2] == pytest.approx(47.8, rel=0.1)
    (nothing,) = (row.ours for row in review(network).table if row.network == SATELLITE)
    assert nothing is not None
    assert nothing.loss_db == (None, None, None), "nobody has looked at the passes"


def test_more_than_700_links_and_150_users_are_counted(network: Network) -> None:
    in_table = [link for link in network.links if link.counted_as in PAPER]
    assert sum(link.pairs for link in in_table) == 708  # 706 fibre links, 2 downlinks: all rows of the table together
    assert sum(link.pairs for link in in_table if link.kind == "fibre") == 706
    nodes = {site.name for site in network.sites if site.counted_as in TABLE_1 and site.kind == "user"}
    assert sum(app.site in nodes for app in network.applications) == 154  # and one at the Xinglong station


@pytest.mark.parametrize(
    ("line", "row", "columns"),
    [
        ("  - {name: beijing-user-01-relay-03,", "beijing", {"links"}),
        ("  - {name: hefei-user-08-relay-03,", "hefei", {"links"}),
        ("      - {site: jinan-user-50,", "jinan", {"links"}),
    ],
)
def test_what_is_deleted_is_missing_in_its_row(line: str, row: str, columns: set[str]) -> None:
    """Deleting one fibre takes one link; one port of a switch takes all the pairs of its site."""
    rows = FILE.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [text for text in rows if not text.startswith(line)]
    assert len(kept) == len(rows) - 1
    # the site that nothing leads to any more goes too, and who is there
    site = line.split("- {")[1].split(": ")[1].split("-relay")[0].rstrip(",")
    kept = [text for text in kept if f"name: {site}," not in text and f"site: {site}}}" not in text]
    changed = review(parse_network("".join(kept), source="changed"))
    differing = {found.network: set(found.differing) for found in changed.table}
    assert columns <= differing.pop(row)
    assert all(not others for others in differing.values())


def test_a_table_of_another_network_is_not_compared() -> None:
    assert review(load_network("three-nodes")).table == ()
    assert list(puzzles(load_network("three-nodes"))) == []


def test_beijing_has_twelve_ring_nodes_of_which_nine_are_counted(network: Network) -> None:
    ring = [site.node for site in network.sites if site.counted_as in ("beijing", "beijing-ring-more")]
    ring = [node for node in ring if network.site(node).kind == "relay"]
    assert len(ring) == 12
    in_ring = [link for link in counted(network, "beijing") if not link.through and set(link.ends) <= set(ring)]
    assert Counter(end for link in in_ring for end in link.ends) == dict.fromkeys(ring, 2)
    backbone, control = (network.site(network.link_between(*ends).ends[k]) for k, ends in enumerate(joints(network)))
    assert (backbone.latitude_deg, backbone.longitude_deg) == (control.latitude_deg, control.longitude_deg)


def joints(network: Network) -> list[tuple[str, str]]:
    """The joint of Beijing, twice."""
    (joint,) = (link for link in network.links if link.name == "joint-beijing")
    return [joint.ends, joint.ends]


def test_jinan_s_437_links_are_fibres_and_pairs_through_trunked_switches(network: Network) -> None:
    links = counted(network, "jinan")
    through = [link for link in links if link.through]
    assert (len(links), len(through)) == (437, 426)
    switches = [switch for switch in network.switches if switch.counted_as == "jinan"]
    assert [len(switch.ports) + 2 for switch in switches] == [MOST_PORTS] * 3
    both = sum(network.site(port.site).equipment == "both" for switch in switches for port in switch.ports)  # type: ignore[arg-type]
    senders = sum(len(switch.ports) for switch in switches) - both
    assert (both, senders) == (12, 30)
    assert both * (both - 1) // 2 + both * senders == 426
    assert sum(len(link.through) == 2 for link in through) == 426 - 3 * (6 + 40)


def test_hefei_s_eight_links_do_not_join_its_sites_and_the_others_do(network: Network) -> None:
    sites = {site.name for site in network.sites if site.counted_as == "hefei"}
    assert (len(sites), len(counted(network, "hefei"))) == (14, 8)
    joined = {end for link in counted(network, "hefei") + counted(network, "hefei-more") for end in link.ends}
    assert joined == sites


def test_most_end_users_have_a_transmitter_only_and_three_insist_on_direct_keys(network: Network) -> None:
    users = [site for site in network.sites if site.kind == "user" and site.counted_as == "beijing"]
    assert len(users) == 19
    assert sum(site.equipment == "transmitter" for site in users) == 14
    direct = [site.node for site in users if site.direct_keys_only]
    assert len(direct) == 3
    for one in direct:
        assert {network.link_between(one, other).through for other in direct if other != one} == {("beijing-switch-1",)}


def test_whatever_the_paper_does_not_print_is_marked_as_assumed(network: Network) -> None:
    assert all(link.assumed for link in network.links if link.kind == "fibre")
    assert all(
        part.assumed for part in (*network.switches, *network.trunks, *network.routers, *network.classical_links)
    )
    certain = Counter(site.counted_as for site in network.sites if not site.assumed)
    # backbone but for three guesses; relays beside it; the stations
    assert certain == {
        "backbone": 29,
        "beijing-ring-more": 1,
        "jinan": 1,
        "hefei": 1,
        "shanghai": 1,
        "xinglong": 1,
        "urumqi": 1,
        "satellite": 1,
    }


def test_spans_and_relays_are_those_of_the_packaged_backbone(network: Network) -> None:
    backbone = load_network("beijing-shanghai")
    spans = [link for link in backbone.links if link.counted_as == "backbone"]
    assert [(link.name, link.loss_db, link.length_km) for link in counted(network, "backbone")] == [
        (link.name, link.loss_db, link.length_km) for link in spans
    ]
    assert Counter(link.pairs for link in counted(network, "backbone")) == {6: 5, 5: 8, 4: 11, 3: 7}


def test_only_the_satellite_joins_urumqi(network: Network) -> None:
    stations = [site.name for site in network.sites if site.ground_station]
    assert stations == ["xinglong", "nanshan"]
    reached, frontier = {"nanshan"}, ["nanshan"]
    while frontier:
        for link in network.links_of(frontier.pop()):  # type: ignore[arg-type]
            if link.kind == "fibre":
                frontier += set(link.ends) - reached
                reached |= set(link.ends)
    assert reached == {"nanshan", "urumqi-relay", "urumqi-user-01"}
    route = widest(key_graph(network, {}), NodeId("urumqi-user-01"), NodeId("beijing-user-01"))
    assert route is not None
    assert "micius" in network.trusted_route(route)
    ground = without_satellites(network)
    assert widest(key_graph(ground, {}), NodeId("urumqi-user-01"), NodeId("beijing-user-01")) is None


def test_the_classical_network_has_other_ways_than_the_keys(network: Network) -> None:
    on_ground = [site for site in network.sites if site.kind != "satellite"]
    assert {site.router for site in on_ground} <= {router.name for router in network.routers}
    messages = classical_routes(network, NodeId("urumqi-user-01"))
    assert messages[NodeId("beijing-user-01")][1:-1] == ("router:urumqi", "router:xian", "router:beijing")
    lines = {frozenset(line.routers) for line in network.classical_links}
    assert frozenset({"beijing", "shanghai"}) in lines
    assert len(network.routers) == 9


def test_the_file_is_what_its_script_writes() -> None:
    assert tool("paper_network").text() == FILE.read_text(encoding="utf-8")


def test_writing_and_reading_again_gives_the_same_network(network: Network) -> None:
    assert parse_network(network_yaml(network), source="again") == network


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_nothing_was_put_into_the_sea(network: Network) -> None:
    for part in (*network.sites, *network.switches, *network.routers):
        assert is_land(latitude_deg=part.latitude_deg, longitude_deg=part.longitude_deg), part.name


def test_it_is_too_large_to_be_demonstrated_and_the_refusal_says_what_runs_it() -> None:
    with pytest.raises(ConfigurationError, match="170 sites") as caught:
        run_demo("nature2021", file=None, out=Path("nowhere"), as_json=True)
    assert "qanat up nature2021" in caught.value.remedy

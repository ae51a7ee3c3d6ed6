"""Satellites in a network file: what follows from their downlinks, and what cannot be."""

from __future__ import annotations

import io
import json
from pathlib import Path

import networkx as nx
import pytest

from interop.satellite_house import TEXT, network_file
from qanat.apps.cli.network import run_check, run_show
from qanat.apps.cli.processes import run_twin
from qanat.apps.deployment import Deployment
from qanat.apps.device_emulator import DeviceEmulator
from qanat.apps.event_log import EventLog
from qanat.apps.network_review import review
from qanat.apps.networks import load_network
from qanat.apps.node_site import NodeSite
from qanat.apps.paper_table import compared_rows
from qanat.apps.satellite_review import review_sky
from qanat.apps.sky import elements_of
from qanat.apps.workplace import Workplace
from qanat.control.graph import RouteGraph
from qanat.control.routing import key_graph, widest
from qanat.ground.errors import ConfigurationError, NetworkFileError
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import network_yaml, parse_network
from qanat.ground.network.exchange.geojson import geojson
from qanat.ground.network.exchange.graphml import from_graphml, graphml
from qanat.ground.network.exchange.sequence_json import sequence_json
from qanat.ground.network.extracts import extract_of, without_satellites
from qanat.orbits.timetable import first_moment, orbit_of, scaled, timetable
from qanat.physics.telescope import NANSHAN

WEST, MICIUS, EAST = NodeId("nanshan"), NodeId("micius"), NodeId("xinglong")
PAIR = LinkId("nanshan-xinglong-by-micius")


def changed(*changes: tuple[str, str]) -> str:
    text = TEXT
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return text


NETWORK = parse_network(TEXT, source="test")


def test_the_links_of_a_satellite_follow_from_its_downlinks_and_stand_last() -> None:
    assert [(link.name, link.kind, link.ends) for link in NETWORK.links[3:]] == [
        ("micius-xinglong", "downlink", (MICIUS, EAST)),
        ("micius-nanshan", "downlink", (MICIUS, WEST)),
        (PAIR, "announced", (WEST, EAST)),
    ]
    assert [link.kind for link in NETWORK.described_links] == ["fibre"] * 3


def test_a_satellite_is_shown_amid_its_stations() -> None:
    (satellite,) = NETWORK.satellites
    assert satellite.latitude_deg == pytest.approx((43.4753 + 40.3958) / 2)
    assert satellite.longitude_deg == pytest.approx((87.1775 + 117.5775) / 2)


def test_written_and_read_again_it_is_the_same_and_has_no_place_in_the_file() -> None:
    text = network_yaml(NETWORK)
    assert parse_network(text, source="written") == NETWORK
    (line,) = (line for line in text.splitlines() if "kind: satellite" in line)
    assert "latitude_deg" not in line
    assert from_graphml(graphml(NETWORK), name="by-satellite", system="backbone-625", source="test") == NETWORK


def test_keys_go_by_the_link_between_stations_and_their_way_names_the_satellite() -> None:
    route = widest(key_graph(NETWORK, {}), NodeId("west"), NodeId("east"))
    assert route == ("west", WEST, EAST, "east")
    assert NETWORK.trusted_route(route) == ("west", WEST, MICIUS, EAST, "east")
    assert MICIUS not in {end for link in RouteGraph.of_keys(NETWORK).links for end in link.ends}


def test_exports_mark_what_is_a_satellites_and_invent_no_figure_of_it() -> None:
    features = {one["properties"]["name"]: one for one in json.loads(geojson(NETWORK))["features"]}
    assert features["micius"]["geometry"] is None, "it has no place"
    marked = {name: one["properties"].get("kind") for name, one in features.items() if "link" in name or "-" in name}
    assert (marked["micius-xinglong"], marked["micius-nanshan"], marked[PAIR]) == ("downlink", "downlink", "announced")
    assert features["micius-xinglong"]["geometry"] == features["xinglong"]["geometry"]
    assert features[PAIR]["geometry"]["type"] == "LineString"
    for link in ("micius-xinglong", PAIR):
        assert not {"loss_db", "length_km"} & features[link]["properties"].keys()
        assert features[link]["properties"]["satellite"] == "micius"
    assert {"loss_db", "length_km"} <= features["west-link"]["properties"].keys()
    graph = nx.read_graphml(io.BytesIO(graphml(NETWORK).encode()))
    assert graph.nodes["micius"]["kind"] == "satellite"
    assert "latitude_deg" not in graph.nodes["micius"]
    assert graph.edges["micius", "xinglong"]["what"] == "downlink"
    simulated = json.loads(sequence_json(NETWORK))
    assert len(simulated["qchannels"]) == 3
    assert "micius" not in {node["name"] for node in simulated["nodes"]}


def test_an_extract_has_a_satellite_where_both_ends_of_a_downlink_are_chosen() -> None:
    assert [link.name for link in extract_of(NETWORK, {WEST, MICIUS}).links] == ["micius-nanshan"]
    assert not extract_of(NETWORK, {NodeId("east"), EAST}).downlinks


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (", elements: micius", "", "a satellite has no elements"),
        (", elements: micius", ", elements: micius, latitude_deg: 40", "a satellite has no place on the ground"),
        ("altitude_m: 890}", "altitude_m: 890, least_elevation_deg: 95}", "no satellite stands 95 degrees high"),
        ("station: xinglong", "station: xinglonk", "ends at 'xinglonk', no site"),
        ("station: xinglong", "station: micius", "is 'micius', a satellite itself"),
        ("satellite: micius, station: nanshan", "satellite: east, station: nanshan", "is 'east', no satellite"),
        ("station: xinglong", "station: nanshan", "there are two links 'micius-nanshan'"),
        ("site: west", "site: micius", "'micius' is a satellite, and something of the ground ends there"),
        ("transmitter: west, receiver: nanshan", "transmitter: west, receiver: micius", "is a satellite"),
    ],
)
def test_what_cannot_be_is_refused_with_its_line(before: str, after: str, words: str) -> None:
    with pytest.raises(NetworkFileError, match=words) as refused:
        parse_network(changed((before, after)), source="test")
    assert refused.value.line
    assert refused.value.remedy


def test_elements_may_be_lines_of_the_file(tmp_path: Path) -> None:
    lines = load_network("urumqi-shanghai").satellites[0].elements
    assert (
        orbit_of(NETWORK.satellites[0]).epoch_utc_s
        == orbit_of(load_network("urumqi-shanghai").satellites[0]).epoch_utc_s
    )
    assert lines.count("\n") == 2
    (tmp_path / "bird.tle").write_text(lines, encoding="utf-8")
    named = parse_network(changed(("elements: micius", f"elements: {tmp_path / 'bird.tle'}")), source="test")
    assert review_sky(named, now_utc_s=0.0).downlinks[0].passes_with_key > 0


def test_wrong_lines_and_stations_without_optics_are_told_with_what_to_do(tmp_path: Path) -> None:
    lines = load_network("urumqi-shanghai").satellites[0].elements.replace("97.3698", "97.3699")
    quoted = "elements: " + json.dumps(lines)
    with pytest.raises(NetworkFileError, match="'micius', line 2: checksum"):
        run_check(str(network_file(tmp_path, ("elements: micius", quoted))), as_json=True)
    renamed = (("nanshan", "roof"), ("station: roof", "station: roof, telescope_m: 0.8"))
    with pytest.raises(NetworkFileError, match="no optics are known of 'roof'"):
        run_check(str(network_file(tmp_path, *renamed)), as_json=True)


@pytest.mark.parametrize(
    ("before", "after", "words", "remedy"),
    [
        ("micius, station: nanshan", "micius, system: metro-40-i, station: nanshan", "system of fibres", "micius"),
        ("micius, station: nanshan", "micius, system: mcius, station: nanshan", "no such system", "mean micius?"),
        ("micius, station: nanshan", "micius, mode: this-wrk, station: nanshan", "'this-wrk'", "mean this-work?"),
        ("micius, station: xinglong", "micius, telescope: nanshn, station: xinglong", "'nanshn'", "mean nanshan?"),
        ("micius, station: xinglong", "micius, telescope: hubble, station: xinglong", "'micius-xinglong'", "xinglong"),
        (
            "elements: micius",
            "elements: missing.tle",
            "cannot read the elements '.*missing.tle': No",
            "micius",
        ),
        ("receiver: nanshan, system: backbone-625", "receiver: nanshan, system: micius", "no fibre's", "backbone-625"),
        ("receiver: nanshan, system: backbone-625", "receiver: nanshan, system: metro-40", "no QKD", "metro-40-i"),
    ],
)
def test_what_a_file_names_and_nobody_knows_is_told_with_its_line_before_anything_runs(
    tmp_path: Path, before: str, after: str, words: str, remedy: str
) -> None:
    path = network_file(tmp_path, (before, after))
    text = path.read_text(encoding="utf-8")
    for read in (load_network, lambda name: run_check(name, as_json=True)):
        with pytest.raises(NetworkFileError, match=words) as refused:
            read(str(path))
        assert refused.value.line == 1 + text[: text.index(after)].count("\n")
        assert remedy in refused.value.remedy


def test_show_has_satellites_links_as_what_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(network_file(tmp_path))
    assert run_show(path, out=None, only=None, as_json=False) == 0
    said = capsys.readouterr().out
    fibres, downlinks = said.split("QKD links")[1].split("Downlinks")
    assert "micius" not in fibres
    assert PAIR in downlinks.split("Announced links")[1]
    assert "500" not in said, "no range that was made up"
    assert "100.0" not in said, "no loss either"
    assert run_show(path, out=None, only=None, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    (satellite,) = (site for site in told["sites"] if site["kind"] == "satellite")
    assert not {"latitude_deg", "longitude_deg"} & satellite.keys()
    for link in told["links"]:
        assert ("loss_db" in link, "length_km" in link) == ((True, True) if link["kind"] == "fibre" else (False, False))
    records = [link for node in told["etsi015"]["qkd_node"] for link in node["qkd_links"]["qkd_link"]]
    assert {"phys_channel_att" in record for record in records} == {True, False}


def test_a_satellite_that_does_not_stay_up_is_told(tmp_path: Path) -> None:
    lines = load_network("urumqi-shanghai").satellites[0].elements
    first, second, _ = lines.split("\n")
    lower = second.replace("15.23916091", "16.90000000")[:68]
    lower += str(sum(int(char) if char.isdigit() else char == "-" for char in lower) % 10)
    quoted = "elements: " + json.dumps(f"{first}\n{lower}\n")
    with pytest.raises(ConfigurationError, match=r"no orbit at|decayed"):
        run_check(str(network_file(tmp_path, ("elements: micius", quoted))), as_json=True)


def test_check_says_what_the_satellite_is_good_for_and_that_its_elements_are_old(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_check(str(network_file(tmp_path)), as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    counts = {row["link_id"]: (row["passes"], row["passes_excluded"]) for row in told["downlinks"]}
    assert counts == {"micius-xinglong": (10, 0), "micius-nanshan": (12, 2)}, "two meet passes over Xinglong"
    assert "stale-elements" in {warning["code"] for warning in told["warnings"]}
    assert not {"no-key", "no-peer"} & {warning["code"] for warning in told["warnings"]}


def test_a_station_that_never_sees_it_is_warned_of() -> None:
    high = parse_network(changed(("altitude_m: 890}", "altitude_m: 890, least_elevation_deg: 89.9}")), source="test")
    (warning,) = (one for one in review_sky(high, now_utc_s=0.0).warnings if one.code == "no-pass")
    assert "it never stands above the mask" in warning.text


def test_the_timetable_has_the_published_pass_and_more_air_gives_less_key() -> None:
    orbits = {MICIUS: orbit_of(NETWORK.satellites[0])}
    first = timetable(NETWORK, orbits, start_utc_s=first_moment(orbits), days=1.0)[0]
    assert (first.station, round(first.told.min_range_km, 1)) == (EAST, 645.3)
    hazy = parse_network(changed(("altitude_m: 890}", "altitude_m: 890, air_db: 1.2}")), source="test")
    other = timetable(hazy, orbits, start_utc_s=first_moment(orbits), days=1.0)[0]
    # per air mass; at the least zenith distance of this pass there are 1.35 of them
    assert (other.losses_db - first.losses_db).min() == pytest.approx((1.2 - 0.683) / 0.741, rel=0.01)
    assert other.expected_bits < 0.9 * first.expected_bits
    part = scaled(first, 0.25)
    assert part.light_share == 0.25
    assert part.light.sifted_bits > 0.25 * first.light.sifted_bits, "the nearest part is the brightest"


def test_a_station_of_ones_own_has_its_own_aperture() -> None:
    own = parse_network(
        changed(("nanshan", "roof"), ("station: roof,", "station: roof, telescope_m: 0.6, z_share: 0.5,")),
        source="test",
    )
    orbits = {MICIUS: orbit_of(own.satellites[0])}
    passes = {one.station: one for one in timetable(own, orbits, start_utc_s=first_moment(orbits), days=1.0)}
    assert passes[NodeId("roof")].budget.downlink.ground.diameter_m == 0.6
    assert passes[NodeId("roof")].budget.downlink.ground.coupling == NANSHAN.coupling


def test_the_papers_table_counts_a_satellite_two_stations_and_two_links() -> None:
    """Table 1: 1 relay, 2 nodes, 2 users, 2 links; that of a ground network has no such row."""
    paper = load_network("nature2021")
    assert {row.network: row.ours for row in compared_rows(without_satellites(paper), {})}["satellite"] is None
    (row,) = (row for row in compared_rows(paper, {}) if row.network == "satellite")
    assert row.ours is not None
    assert (row.ours.relays, row.ours.nodes, row.ours.users, row.ours.links) == (1, 2, 2, 2)


def test_the_ground_network_of_a_network_has_neither_satellites_nor_what_follows_from_them() -> None:
    ground = without_satellites(NETWORK)
    assert ground.links == NETWORK.described_links
    assert (ground.satellites, ground.downlinks) == ((), ())
    assert ground.applications == NETWORK.applications
    assert parse_network(network_yaml(ground), source="ground") == ground


def test_commands_of_processes_that_make_no_passes_say_which_one_does(tmp_path: Path) -> None:
    path, deployment = network_file(tmp_path), Deployment(NETWORK, "test")
    for link in ("micius-nanshan", PAIR):
        with pytest.raises(ConfigurationError, match="a satellite's") as refused:
            run_twin(str(path), link=link, config=None, data=tmp_path / "data", as_json=True)
        assert "`qanat up`" in refused.value.remedy
        with pytest.raises(ConfigurationError, match="no devices") as refused:
            DeviceEmulator(NETWORK.link(LinkId(link)), Workplace(tmp_path), rate_bits_per_s=1.0)
        assert "`qanat up`" in refused.value.remedy
    with EventLog(path=tmp_path / "events.jsonl") as log:
        with pytest.raises(ConfigurationError, match="'micius' is a satellite") as refused:
            NodeSite(deployment, MICIUS, Workplace(tmp_path), log=log)
        assert "`qanat up`" in refused.value.remedy
        station = NodeSite(deployment, WEST, Workplace(tmp_path), log=log)
        assert station.module_ids == ["west-link.nanshan"]
        assert station.links_without_light == ["micius-nanshan", PAIR]


def test_a_satellite_that_alone_joins_users_parts_them_and_its_links_give_what_passes_give() -> None:
    sky = review_sky(NETWORK, now_utc_s=0.0)
    found = review(NETWORK, of_satellites=sky.rates_bits_per_s)
    assert MICIUS in found.cut_sites
    rates = {route.rate_bits_per_s for route in found.routes if route.weakest == PAIR}
    assert rates == {sky.rates_bits_per_s[PAIR]} != {review(NETWORK).rates_bits_per_s[PAIR]}


def test_the_ground_network_says_nothing_of_satellites_that_a_site_avoided() -> None:
    before = "{name: west, kind: user"
    wary = parse_network(changed((before, f"{before}, keys_avoid: [micius, nanshan]")), source="test")
    assert without_satellites(wary).site(NodeId("west")).keys_avoid == ("nanshan",)


def test_a_file_of_elements_is_looked_for_beside_the_network_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, elsewhere = tmp_path / "plans", tmp_path / "elsewhere"
    (beside / "sky").mkdir(parents=True)
    elsewhere.mkdir()
    lines = load_network("urumqi-shanghai").satellites[0].elements
    (beside / "sky" / "bird.tle").write_text(lines, encoding="utf-8")
    path = network_file(beside, ("elements: micius", "elements: sky/bird.tle"))
    for here, name in ((elsewhere, str(path)), (tmp_path, "plans/by-satellite.yaml"), (beside, path.name)):
        monkeypatch.chdir(here)
        assert elements_of(load_network(name)) == {MICIUS: lines}
    whole = network_file(elsewhere, ("elements: micius", f"elements: {beside / 'sky' / 'bird.tle'}"))
    assert elements_of(load_network(str(whole))) == {MICIUS: lines}
    again = parse_network(network_yaml(load_network(name)), source="written")
    assert again == load_network(name), "written elsewhere it still names the same file"


def test_a_missing_file_of_elements_is_told_with_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = network_file(tmp_path, ("elements: micius", "elements: none.tle"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError) as refused:
        run_check(path.name, as_json=True)
    assert str(tmp_path / "none.tle") in refused.value.message


def test_who_cannot_lose_a_station_is_told_of_a_second_one_and_of_no_ring() -> None:
    (warning,) = (one for one in review(NETWORK).warnings if one.code == "single-point-of-failure")
    assert warning.text == "each of 3 sites parts applications when it fails: nanshan, micius, xinglong"
    for words in ("a second station, of another satellite too", "or lay a fibre"):
        assert words in warning.remedy
    assert "ring" not in warning.remedy.split()
    longer = changed(
        ("name: west, kind: user", "name: west, kind: relay"),
        (
            "\nlinks:\n",
            "\nlinks:\n  - {name: l, transmitter: u, receiver: west, system: metro-40-i, loss_db: 3, length_km: 20}\n",
        ),
        ("sites:\n", "sites:\n  - {name: u, kind: user, latitude_deg: 43.7, longitude_deg: 87.4}\n"),
        ("{name: ulan, site: west}", "{name: ulan, site: u}"),
    )
    (both,) = (one for one in review(parse_network(longer, source="test")).warnings if "fails" in one.text)
    assert both.text == "each of 4 sites parts applications when it fails: west, nanshan, micius, xinglong"
    assert both.remedy == f"lay a second way around, for example a ring; {warning.remedy}"


TWO_SATELLITES = """
format: qanat-network/1
name: two
sites:
  - {name: hawk, kind: satellite, elements: micius}
  - {name: kite, kind: satellite, elements: micius}
  - {name: nanshan, kind: relay, latitude_deg: 43.47546, longitude_deg: 87.17669}
  - {name: xinglong, kind: relay, latitude_deg: 40.39587, longitude_deg: 117.57746}
  - {name: roof, kind: relay, latitude_deg: 48.2, longitude_deg: 16.37}
links: []
downlinks:
  - {satellite: hawk, station: nanshan}
  - {satellite: hawk, station: xinglong}
  - {satellite: kite, station: nanshan}
  - {satellite: kite, station: STATION, telescope: xinglong}
"""


def test_two_satellites_over_the_same_two_stations_are_refused_and_over_one_they_are_not() -> None:
    with pytest.raises(NetworkFileError, match="satellites 'hawk' and 'kite' both join stations 'nanshan' and") as told:
        parse_network(TWO_SATELLITES.replace("STATION", "xinglong"), source="two.yaml")
    assert told.value.line == 15
    assert "leave one of these downlinks out" in told.value.remedy
    shared = parse_network(TWO_SATELLITES.replace("STATION", "roof"), source="two.yaml")
    assert {link.name for link in shared.relayed_links} == {"nanshan-xinglong-by-hawk", "nanshan-roof-by-kite"}

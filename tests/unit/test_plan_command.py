"""``qanat plan`` and its commands: figures for machines, tables for people, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from qanat.apps.cli.main import app
from qanat.ground.data import read_text
from qanat.ground.network import network_yaml
from qanat.quantum_layer.forecast import link_forecast
from unit.planning_support import network_of

RING = "five-site-ring"


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["plan", *arguments])
    return result.exit_code, result.stdout, result.stderr


def record_of(*arguments: str) -> dict[str, Any]:
    status, out, _ = run(*arguments, "--json")
    assert status == 0
    found: dict[str, Any] = json.loads(out)
    return found


def served(found: dict[str, Any]) -> dict[str, tuple[int, str]]:
    return {row["what"]: (row["pairs_of_users"], row["provenance"]) for row in found["pairs_of_users_served"]}


def test_without_a_name_the_papers_network_is_planned_and_serves_13171_pairs_by_the_papers_rate() -> None:
    found = record_of()
    assert found["network"] == "nature2021"
    rows = served(found)
    assert rows["the paper's least backbone rate (Table 1)"] == (13_171, "input")
    one, all_six = (rows[f"hefei-dashu, {how} of devices"] for how in ("one pair", "all its pairs"))
    assert one[1] == all_six[1] == "predicted"
    assert all_six[0] == pytest.approx(6 * one[0], abs=6)
    between = found["before"]["between"]
    assert (between["from"], between["to"], between["minimum_cut"]) == ("beijing", "shanghai", ["hefei-dashu"])
    assert between["pairs_of_users_served"] == all_six[0]
    assert len(between["lost_without_any_one_of"]) == 31 + 30
    assert between["left_without"] == []
    assert found["after"] is None


def test_another_rate_or_consumption_gives_another_answer() -> None:
    banks = served(record_of("beijing-shanghai", "--rate-kbit-s", "28.4", "--per-minute", "10"))
    assert banks["the rate that was given"] == (1_331, "input")
    assert banks["the paper's least backbone rate (Table 1)"] == (1_317, "input")
    longer = served(record_of("beijing-shanghai", "--key-bits", "256"))
    assert longer["the paper's least backbone rate (Table 1)"] == (6_585, "input")


def test_the_papers_rate_stands_beside_networks_with_a_backbone_only() -> None:
    assert list(served(record_of(RING))) == ["north-northwest, one pair of devices"]


def test_the_papers_rate_says_nothing_of_another_backbone(tmp_path: Path) -> None:
    """It stood beside every network with a heading of that name."""
    file = tmp_path / "mine.yaml"
    text = read_text("networks", "beijing-shanghai.yaml").replace("name: beijing-shanghai", "name: mine", 1)
    file.write_text(text, encoding="utf-8")
    rows = served(record_of(str(file)))
    assert list(rows) == [name for name in served(record_of("beijing-shanghai")) if "paper" not in name]
    assert len(rows) >= 1


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        (("xu", "relay"), "narrowest at the port of relay on switch"),
        (("xu", "yan"), "narrowest at the ports of relay + xu + yan, of which one is always left over"),
    ],
)
def test_ports_in_the_way_are_told_with_their_switch_and_what_helps(ends: tuple[str, str], told: str) -> None:
    asked = ("one-switch", "--from", ends[0], "--to", ends[1])
    out = " ".join(run(*asked)[1].split())
    assert told in out
    assert "another fibre from one of these sites adds to it" in out
    ports = [limit for limit in record_of(*asked)["before"]["between"]["in_the_way"] if limit["kind"] == "port"]
    assert all(limit["switch"] == "switch" for limit in ports)
    assert bool(ports) == ("on switch" in told)


def test_a_span_tells_what_was_wanted_and_what_it_gives() -> None:
    spans = record_of("relays", "--km", "120", "--rate-kbit-s", "28.1")["spans"]
    for span in spans:
        assert span["wanted_bits_per_s"] == 28_100
        assert span["gives_bits_per_s"] == pytest.approx(
            link_forecast("backbone-625", loss_db=span["loss_db"]).secret_rate_bits_per_s, rel=0.03
        )
        assert span["gives_bits_per_s"] >= span["wanted_bits_per_s"]
        assert span["pairs"] == 1
    assert len({span["gives_bits_per_s"] for span in spans}) > 1


def test_what_is_left_between_two_sites_has_a_column_where_two_are_meant(tmp_path: Path) -> None:
    network = network_of({"a": "user", "r": "relay", "b": "user"}, [("a", "r", 10), ("r", "b", 14)], apps=["a", "b"])
    file = tmp_path / "mine.yaml"
    file.write_text(network_yaml(network), encoding="utf-8")
    assert "left a - b, kbit/s" in run(str(file))[1]
    file.write_text(network_yaml(network.model_copy(update={"applications": ()})), encoding="utf-8")
    assert "left" not in run(str(file))[1]


@pytest.mark.campaign
def test_one_pair_of_devices_where_several_stand_gives_less() -> None:
    every, one = (
        record_of("nature2021", *how)["before"]["between"]["most_bits_per_s"] for how in ((), ("--one-pair",))
    )
    assert every == pytest.approx(6 * one)


def test_what_if_a_relay_is_lost_and_a_span_laid() -> None:
    lost = record_of(RING, "--without", "east")
    assert lost["before"]["between"]["minimum_cut"] == ["north-east", "north-northwest"]
    assert lost["after"]["between"]["minimum_cut"] == ["north-northwest"]
    assert lost["after"]["between"]["most_bits_per_s"] < lost["before"]["between"]["most_bits_per_s"]
    assert lost["before"]["single_points"] == []
    assert lost["before"]["between"]["lost_without_any_one_of"] == []
    left = {one["name"]: one["bits_per_s"] for one in lost["before"]["between"]["left_without"]}
    assert left["east"] == pytest.approx(lost["after"]["between"]["most_bits_per_s"])
    assert list(left.values()) == sorted(left.values())
    assert {point["name"] for point in lost["after"]["single_points"]} >= {"northwest", "southwest"}
    both = record_of(RING, "--without", "east", "--without", "site:southwest")
    assert (both["after"]["pairs_lost"], both["after"]["places_cut_off"]) == (1, ["north", "south"])
    mended = record_of(
        RING, "--without", "east", "--without", "southwest", "--add-span", "north,south,14.0,backbone-625,2"
    )
    assert (mended["after"]["pairs_lost"], mended["after"]["places_cut_off"]) == (0, [])
    assert mended["after"]["made_of"]["cost"] != both["after"]["made_of"]["cost"]
    ends = record_of(RING, "--without", "north")
    assert ends["after"]["between"] is None


@pytest.mark.slow
def test_two_users_behind_one_switch_cannot_do_without_it() -> None:
    found = record_of("nature2021", "--from", "jinan-user-15", "--to", "jinan-user-20")["before"]["between"]
    assert found["minimum_cut"] == []
    assert {limit["kind"] for limit in found["in_the_way"]} == {"port"}
    assert {"kind": "switch", "name": "jinan-switch-1"} in found["lost_without_any_one_of"]


@pytest.mark.campaign
def test_what_is_added_is_counted_and_a_second_backbone_spares_a_relay() -> None:
    found = record_of("nature2021", "--second-backbone", "--without", "xuzhou")
    assert found["after"]["sites"] == found["before"]["sites"] + 29 - 1
    assert found["after"]["pairs_lost"] == 0
    assert record_of("nature2021", "--without", "xuzhou")["after"]["pairs_lost"] > 2000
    chain = record_of(RING, "--add-chain", "north,south,3,10.0")
    assert chain["after"]["sites"] == 5 + 3
    assert len(chain["after"]["between"]["minimum_cut"]) == 3


@pytest.mark.slow
def test_people_see_the_same_figures() -> None:
    status, out, _ = run("nature2021")
    assert status == 0
    for text in ("13,171", "predicted", "narrowest at hefei-dashu", "input: taken from the paper", "assumptions"):
        assert text in out
    status, out, _ = run(RING, "--without", "east")
    assert status == 0
    for text in ("What if: without east", "as it is", "nobody who is still there loses a way"):
        assert text in out
    assert "no single relay, link or switch" in run(RING)[1]


def test_a_file_of_ones_own_is_planned_like_a_packaged_network(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    network = network_of({"a": "user", "r": "relay", "b": "user"}, [("a", "r", 10), ("r", "b", 14)], apps=["a", "b"])
    file.write_text(network_yaml(network), encoding="utf-8")
    found = record_of(str(file))
    assert found["before"]["between"]["minimum_cut"] == ["l1"]
    assert run(str(file))[0] == 0


@pytest.mark.parametrize(
    ("kind", "links", "told"),
    [
        ("relay", [("a", "b", 60)], "no bottleneck to count users by"),
        ("user", [("a", "b", 60)], "nobody can have keys with anybody"),
        ("user", [("a", "b", 10)], "the way is narrowest at l0"),
    ],
)
def test_networks_that_give_little_or_nothing_are_told_as_such(
    tmp_path: Path, kind: str, links: list[tuple[str, str, float]], told: str
) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text(network_yaml(network_of({"a": kind, "b": kind}, links, apps=["a", "b"])), encoding="utf-8")
    status, out, _ = run(str(file))
    assert status == 0
    assert told in " ".join(out.split())


# --- ends that take direct keys only ---


@pytest.fixture
def wary_file(tmp_path: Path) -> str:
    """Two users of direct keys only, joined by a link and, wider, by a relay; a third user behind the relay."""
    network = network_of(
        {"a": "user", "b": "user", "c": "user", "r": "relay"},
        [("a", "b", 20), ("a", "r", 5), ("r", "b", 5), ("r", "c", 5)],
        direct=["a", "b"],
        apps=["a", "b", "c"],
    )
    file = tmp_path / "wary.yaml"
    file.write_text(network_yaml(network), encoding="utf-8")
    return str(file)


def test_keys_of_an_end_that_takes_direct_keys_only_are_planned_over_no_relay(wary_file: str) -> None:
    direct = record_of(wary_file, "--from", "b", "--to", "a")["before"]["between"]
    assert list(direct["links_in_use"]) == ["l0"]
    assert direct["most_bits_per_s"] == pytest.approx(link_forecast("backbone-625", loss_db=20).secret_rate_bits_per_s)
    assert direct["direct_keys_only"] == ["b", "a"]
    for ends in (("a", "c"), ("c", "a")):
        none = record_of(wary_file, "--from", ends[0], "--to", ends[1])["before"]["between"]
        assert (none["most_bits_per_s"], none["links_in_use"], none["pairs_of_users_served"]) == (0, {}, 0)
        status, out, _ = run(wary_file, "--from", ends[0], "--to", ends[1])
        assert status == 0
        assert "no key, since a takes keys over no relay" in " ".join(out.split())


def test_what_if_leads_no_relay_between_ends_that_take_direct_keys_only(wary_file: str) -> None:
    asked = (wary_file, "--from", "a", "--to", "c")
    assert record_of(*asked, "--add-chain", "a,c,1,5")["after"]["between"]["most_bits_per_s"] == 0
    span = record_of(*asked, "--add-span", "a,c,15")["after"]["between"]
    assert list(span["links_in_use"]) == ["a-c"]
    lost = record_of(wary_file, "--from", "a", "--to", "b", "--without", "l0")
    assert lost["before"]["between"]["lost_without_any_one_of"] == [{"kind": "link", "name": "l0"}]
    assert lost["after"]["between"]["most_bits_per_s"] == 0
    gone = record_of(*asked, "--without", "a")
    assert gone["after"]["between"] is None
    assert "only links that join them count" in " ".join(run(*asked, "--add-span", "a,c,15")[1].split())


def test_pairs_and_relays_are_planned_for_no_end_that_takes_direct_keys_only(wary_file: str) -> None:
    pairs = ("pairs", wary_file, "--from", "a", "--rate-kbit-s")
    assert [span["link_id"] for span in record_of(*pairs, "1", "--to", "b")["spans"]] == ["l0"]
    relays = ("relays", "--network", wary_file, "--end", "c", "--end", "a", "--rate-kbit-s", "1")
    for refused in ((*pairs, "1", "--to", "c"), relays):
        status, out, told = run(*refused)
        assert (status, out) == (2, "")
        assert "'a' takes keys over no relay" in " ".join(told.split())
        assert "switch in the network file" in " ".join(told.split())


@pytest.mark.slow
@pytest.mark.parametrize("other", [pytest.param("beijing", marks=pytest.mark.campaign), "shanghai-user-05"])
def test_in_the_papers_network_no_relay_carries_keys_of_a_user_of_direct_keys_only(other: str) -> None:
    found = record_of("nature2021", "--from", "beijing-user-13", "--to", other)["before"]["between"]
    assert (found["most_bits_per_s"], found["links_in_use"]) == (0, {})


# --- pairs, relays, shapes ---


@pytest.mark.slow
def test_pairs_for_a_demand_are_told_span_by_span() -> None:
    asked = ("pairs", "nature2021", "--from", "beijing", "--to", "shanghai", "--rate-kbit-s")
    found = record_of(*asked, "200")
    assert len(found["spans"]) == 31
    needs = {span["link_id"]: (span["pairs"], span["pairs_needed"]) for span in found["spans"]}
    assert needs["hefei-dashu"] == (6, 9)
    assert found["more_pairs"] == sum(max(0, needed - pairs) for pairs, needed in needs.values())
    assert found["cost"] == 10 * found["more_pairs"]
    status, out, _ = run(*asked, "100")
    assert status == 0
    assert "31 links, 31 of them wide enough; 0 more pairs" in out
    assert "needed" in run(*asked, "200")[1]


@pytest.mark.slow
def test_relays_are_chosen_along_a_way_or_among_sites() -> None:
    way = record_of("relays", "--km", "200", "--rate-kbit-s", "100", "--every-km", "10")
    assert way["relays"] == ["50 km", "100 km", "150 km"]
    assert way["cost"] == 3 * 10 + sum(span["cost"] for span in way["spans"])
    sites = record_of("relays", "--network", RING, "--end", "north", "--end", "south", "--rate-kbit-s", "20")
    assert set(sites["relays"]) <= {"east", "northwest", "southwest"}
    status, out, _ = run("relays", "--km", "200", "--rate-kbit-s", "100")
    assert status == 0
    assert "3 relays, 4 spans" in out
    dear = record_of("relays", "--km", "200", "--rate-kbit-s", "100", "--every-km", "10", "--price", "relay=100")
    assert len(dear["relays"]) < 3


@pytest.mark.slow
def test_shapes_stand_side_by_side() -> None:
    found = record_of("shapes", "--users", "6", "--radius-km", "10")
    shapes = found["shapes"]
    assert shapes["star"]["detectors"] == 24
    assert shapes["switch, relay behind"]["detectors"] == 4
    assert shapes["switch, direct keys"]["trusted_relays_most"] == 0
    cheap = record_of("shapes", "--users", "6", "--radius-km", "10", "--price", "detector=0")["shapes"]
    assert cheap["star"]["cost"] == pytest.approx(shapes["star"]["cost"] - 24 * 2)
    status, out, _ = run("shapes", "--users", "73", "--radius-km", "10")
    assert status == 0
    assert "too many users" in out


@pytest.mark.slow
@pytest.mark.parametrize(("users", "radius_km"), [("5", "40"), ("5", "60"), ("20", "50")])
def test_shapes_in_which_nobody_has_keys_are_told_beside_the_others(users: str, radius_km: str) -> None:
    status, out, _ = run("shapes", "--users", users, "--radius-km", radius_km)
    assert status == 0
    assert "no two users have any in these shapes" in out
    assert "switch, direct keys; take a shorter --radius-km" in out
    shapes = record_of("shapes", "--users", users, "--radius-km", radius_km)["shapes"]
    assert shapes["switch, direct keys"]["pairs"] == 0
    assert shapes["star"]["pairs"] > 0


@pytest.mark.parametrize(
    ("arguments", "fault", "remedy"),
    [
        ([RING, "--from", "nort", "--to", "south"], "no site 'nort'", "did you mean north"),
        ([RING, "--from", "north"], "only one of two ends", "both --from and --to"),
        ([RING, "--from", "north", "--to", "north"], "to itself", "two different sites"),
        ([RING, "--without", "eest"], "no site, link or switch 'eest'", "did you mean east"),
        ([RING, "--add-span", "north,south"], "has 2 parts", "A,B,LOSS_DB"),
        ([RING, "--add-span", "north,south,ten"], "'ten'", "such as 16.0"),
        ([RING, "--add-span", "north,south,101"], "101 dB", "0 to 100 dB"),
        ([RING, "--add-span", "north,south,10,nobodys"], "no QKD system 'nobodys'", "known systems"),
        ([RING, "--add-span", "north,south,10,backbone-625,41"], "41 pairs", "1 to 40"),
        ([RING, "--add-chain", "north,south,0,10"], "0 relays", "add a span"),
        ([RING, "--add-chain", "north,south,two,10"], "'two'", "such as 4"),
        ([RING, "--second-backbone"], "no backbone that could be closed", "count the relays"),
        ([RING, "--per-minute", "0"], "0 keys per minute", "above zero"),
        ([RING, "--key-bits", "0"], "keys of 0 bits", "1 to 1,000,000"),
        ([RING, "--rate-kbit-s", "-1"], "--rate-kbit-s -1 is no rate", "zero or more"),
        ([RING, "--rate-kbit-s", "inf"], "--rate-kbit-s inf is no rate", "zero or more"),
        ([RING, "--price", "relais=2"], "no price 'relais'", "did you mean relay"),
        (["nobodys-network"], "no network 'nobodys-network'", "name a file"),
        (["relays", "--rate-kbit-s", "5"], "not said where", "either --km"),
        (["relays", "--km", "50", "--end", "a", "--rate-kbit-s", "5"], "no named ends", "--network"),
        (["relays", "--km", "50", "--rate-kbit-s", "0"], "a wanted rate of 0", "more than zero"),
        (["pairs", RING, "--from", "north", "--to", "south", "--rate-kbit-s", "1e9"], "carries 1e+09", "ask for less"),
        (["shapes", "--users", "1"], "1 users", "3 to 200"),
        (["shapes", "--users", "5", "--radius-km", "500"], "156 dB for light", "a shorter --radius-km"),
    ],
)
def test_what_cannot_be_is_refused_with_a_remedy(arguments: list[str], fault: str, remedy: str) -> None:
    status, out, told = run(*arguments)
    words = " ".join(told.split())
    assert (status, out) == (2, "")
    assert fault in words
    assert remedy in words
    assert "what to do:" in words

"""``qanat simulate``: what it prints and writes, the same for the same seed whoever works it out; what it refuses."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any, NoReturn

import pytest
from typer.testing import CliRunner

from interop.satellite_house import network_file
from qanat.apps.cli.main import app
from qanat.apps.cli.simulate import seconds
from qanat.apps.cli.simulate_tables import percent
from qanat.ground.errors import ConfigurationError
from qanat.ground.network import Application, SharingRules, network_yaml
from qanat.ground.network.building import build_network

RING, FEW = "five-site-ring", ("--pairs", "1", "--demand", "20")


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["simulate", *arguments])
    return result.exit_code, result.stdout, result.stderr


def two_towns(folder: Path) -> str:
    """Write a network of two rings, each with a user's site, that two relays join; none is counted as anything."""
    ends = [text.split("-") for text in ["u-w1", "u-w2", "w1-w2", "w1-b1", "b1-b2", "b2-e1", "e1-e2", "v-e1", "v-e2"]]
    line = build_network("line", num_nodes=8, link_km=50)
    names = dict(zip((f"n{k}" for k in range(1, 9)), ("u", "w1", "w2", "b1", "b2", "e1", "e2", "v"), strict=True))
    sites = tuple(site.model_copy(update={"name": names[site.name]}) for site in line.sites)
    link = line.links[0].model_copy(update={"length_km": 300})
    links = tuple(
        link.model_copy(update={"name": f"{one}-{other}", "transmitter": one, "receiver": other}) for one, other in ends
    )
    apps = tuple(app.model_copy(update={"site": names[app.site]}) for app in line.applications)
    file = folder / "towns.yaml"
    file.write_text(network_yaml(line.model_copy(update={"sites": sites, "links": links, "applications": apps})))
    return str(file)


def json_of(*arguments: str) -> dict[str, Any]:
    status, out, err = run(*arguments, "--json")
    assert status == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_json_holds_the_terms_the_classes_the_routes_and_books_that_add_up() -> None:
    found = json_of(RING, *FEW, "--seed", "7", "--without", "east", "--at", "06:00", "--for", "12:00")
    assert (found["network"], found["seed"], found["days"], found["without"]) == (RING, 7, 1, ["east"])
    assert (found["at_s"], found["for_s"]) == (21_600.0, 43_200.0)
    assert found["pairs"] == {"near": 1} or found["pairs"] == {"far": 1}
    asked = sum(tally["asked"] for tally in found["classes"].values())
    served = sum(tally["served"] for tally in found["classes"].values())
    assert asked == served > 0
    assert {tuple(row["route"]) for row in found["routes"]} == {
        ("north", "east", "south"),
        ("north", "northwest", "southwest", "south"),
    }
    assert found["longest_detour"]["hops_more"] == 1
    links = found["links"]
    assert len(links) == 5
    assert found["bits_to_reserves"] == sum((1 + link["blocks"]) * 4096 for link in links), (
        "one block lay ready on each"
    )
    for name in ("ready", "made", "spent", "burned", "left"):
        assert found[f"bits_{name}"] == sum(link[f"{name}_bits"] for link in links)
    out = sum(found[f"bits_{name}"] for name in ("spent", "burned", "left", "to_reserves"))
    assert found["bits_ready"] + found["bits_made"] == out
    assert found["provenance"].startswith("predicted")


def test_each_request_asked_is_in_one_printed_column_and_success_is_of_those_that_ended() -> None:
    out_for_a_while = ("--without", "kunshan", "--at", "12:00", "--for", "00:10")
    terms = ("three-nodes", "--pairs", "1", "--demand", "1000000", "--key-bits", "4096", *out_for_a_while)
    found = json_of(*terms)
    (tally,) = (tally for tally in found["classes"].values() if tally["asked"])
    assert tally["asked"] == sum(tally[name] for name in ("served", "cut_off", "late", "waiting"))
    assert min(tally["cut_off"], tally["waiting"]) > 0, "a day that tells the columns apart"
    assert tally["ended"] == tally["asked"] - tally["waiting"]
    assert found["success_rate"] == tally["success_rate"] == tally["served"] / tally["ended"]
    _, out, _ = run(*terms)
    assert "still waiting" in out
    (row,) = (line for line in out.splitlines() if f"{tally['asked']:,}" in line)
    counts = (f"{tally[name]:,}" for name in ("asked", "served", "cut_off", "late", "waiting"))
    assert " ".join((*counts, percent(tally["success_rate"]))) in " ".join(row.split())
    assert f"success: served, of {found['success_of']}." in " ".join(out.split())


@pytest.mark.parametrize("more", [("--without", "kunshan"), ("--demand", "100000")])
def test_the_bits_printed_for_people_add_up(more: tuple[str, ...]) -> None:
    _, out, _ = run("three-nodes", "--pairs", "1", *more)
    (books,) = re.findall(r"[0-9,]+ bits lay ready.*?authenticate", " ".join(out.split()))
    sides = re.sub(r" in [0-9,]+ blocks", "", books).split(" = ")
    came, went = (sum(int(number.replace(",", "")) for number in re.findall(r"[0-9][0-9,]*", side)) for side in sides)
    assert came == went > 0


def test_the_same_seed_prints_the_same_and_another_seed_another() -> None:
    assert json_of(RING, *FEW) == json_of(RING, *FEW)
    assert json_of(RING, *FEW) != json_of(RING, *FEW, "--seed", "2")


def test_people_see_classes_books_routes_and_what_was_cut_off(tmp_path: Path) -> None:
    line = build_network("line", num_nodes=4, system="metro-40-i", link_km=20)
    file = tmp_path / "line.yaml"
    file.write_text(network_yaml(line), encoding="utf-8")
    status, out, _ = run(str(file), *FEW, "--without", "n2")
    assert status == 0
    assert "hanging on what is out" in out
    assert "0.00 %" in out
    status, out, _ = run(str(file), *FEW)
    assert "The books agree to the bit." in out
    assert "n1 - n2 - n3 - n4" in out


def test_tables_are_written_for_machines(tmp_path: Path) -> None:
    json_of(RING, *FEW, "--out", str(tmp_path / "out"))
    found = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    with (tmp_path / "out" / "routes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(int(row["served"]) for row in rows) == sum(tally["served"] for tally in found["classes"].values())
    assert (tmp_path / "out" / "links.csv").read_text(encoding="utf-8").startswith("link_id,ready_bits,blocks,")


def test_help_says_that_each_removed_runs_a_second_backbone_too() -> None:
    status, told, _ = run("--help")
    assert status == 0
    words = " ".join(told.replace("│", " ").split())
    assert "all once more with a second one: about twice as many runs" in words


def test_relays_between_towns_are_taken_out_and_those_too_many_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qanat.simulation.day.faults.MOST_RELAYS", 1)
    out = tmp_path / "out"
    status, told, err = run(two_towns(tmp_path), *FEW, "--each-removed", "--workers", "1", "--out", str(out))
    assert status == 0, err
    found = json.loads((out / "result.json").read_text(encoding="utf-8"))
    kinds = {row["removed"]: row["kind"] for row in found["rows"][1:]}
    assert kinds == {**dict.fromkeys(("e1", "e2", "w1", "w2"), "ring node"), "b1": "relay"}
    (lost,) = (row for row in found["rows"] if row["removed"] == "b1")
    assert lost["pairs_cut_off"] == 1
    assert found["not_tried"] == ["b2"]
    (warning,) = found["warnings"]
    assert warning in told
    assert "nothing is said of the loss of b2: on no ring" in warning
    assert "`counted_as: backbone`" in warning


def test_where_no_relay_is_there_is_none_to_take_out(tmp_path: Path) -> None:
    file = tmp_path / "pair.yaml"
    file.write_text(network_yaml(build_network("line", num_nodes=2)), encoding="utf-8")
    status, _, err = run(str(file), "--each-removed")
    assert status == 2
    assert "has no relay and no switch" in " ".join(err.split())


@pytest.mark.campaign
def test_each_part_in_turn_is_the_same_whatever_number_of_workers() -> None:
    one, two = (json_of(RING, *FEW, "--each-removed", "--workers", number) for number in ("1", "2"))
    assert one == two
    assert [row["removed"] for row in one["rows"]] == [None, "east", "southwest", "northwest"]
    assert all(row["success_rate_of_others"] == 1 and row["pairs_cut_off"] == 0 for row in one["rows"])


def test_what_cannot_be_is_refused_with_a_remedy() -> None:
    for arguments, words in (
        ((RING, "--without", "easst"), "no site, link or switch 'easst'"),
        (("nature2021", "--without", "wuhan-xian"), "'wuhan-xian' is a line of the classical network"),
        (("nature2021", "--without", "urumqi"), "'urumqi' is a router of the classical network"),
        ((RING, "--without", "east", "--at", "25h"), "'25h' is no time"),
        ((RING, "--without", "east", "--at", "24:00"), "'east' would be taken out after the run"),
        ((RING, "--days", "0"), "0 days"),
        ((RING, "--pairs", "0"), "0 pairs"),
        ((RING, "--pairs", "10000000"), "that a route joins in 'five-site-ring': 1 what to do: give 1 to 1"),
        ((RING, "--at", "12:00"), "--at 12:00 is given, but nothing is taken out what to do: say what is taken out"),
        ((RING, "--for", "03:00"), "--for 03:00 is given, but nothing is taken out what to do: say what is taken out"),
        ((RING, "--workers", "2"), "a single run is one process"),
        ((RING, "--full-load", "--without", "east"), "--without says nothing with --full-load"),
        ((RING, "--full-load", "--days", "2"), "--days says nothing with --full-load"),
        ((RING, "--ready-blocks", "-1"), "-1 blocks"),
        ((RING, "--second-backbone"), "no backbone that could be closed"),
        ((RING, "--each-removed", "--without", "east"), "--each-removed takes out each part in turn"),
        ((RING, "--each-removed", "--second-backbone"), "--each-removed takes out each part in turn"),
    ):
        status, _, err = run(*arguments)
        assert status == 2, arguments
        assert words in " ".join(err.split()), err
        assert "configuration" in err


def test_pairs_left_out_are_as_many_as_there_are() -> None:
    assert json_of("one-switch")["pairs"] == {"near": 6}


def test_who_asks_for_many_pairs_is_told_beforehand_that_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("qanat.apps.cli.simulate.simulate", stopped)
    assert "6,677 pairs: each run may take minutes" in run("nature2021", "--pairs", "6677")[2]
    assert "minutes" not in run(RING, "--pairs", "1")[2]


def test_a_run_in_which_nobody_is_served_says_that_no_route_was_taken() -> None:
    _, out, _ = run("three-nodes", "--without", "kunshan")
    assert "no request was served, so no route was taken" in out
    assert "the most used" not in out


def test_a_stop_speaks_of_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("qanat.apps.cli.simulate.simulate", stopped)
    status, out, err = run(RING)
    assert (status, out, err.strip()) == (130, "", "stopped by you; a run that has not ended has no result")


def test_times_are_hours_and_minutes() -> None:
    assert seconds("09:30") == 34_200
    assert seconds("36:00") == 129_600
    with pytest.raises(ConfigurationError, match="HH:MM"):
        seconds("9.30")


def test_what_is_not_all_is_never_shown_as_all() -> None:
    assert percent(1.0) == "100.00 %"
    assert percent(0.999999) == "> 99.99 %"
    assert percent(0.9999) == "99.99 %"
    assert percent(0.0) == "0.00 %"


def shared_file(folder: Path) -> Path:
    """A grid of nine sites that share, with an application at each."""
    network = build_network("grid", num_nodes=9, system="metro-40-i", link_km=30)
    apps = tuple(Application(name=site.name, site=site.name) for site in network.sites)
    path = folder / "shared.yaml"
    path.write_text(network_yaml(network.model_copy(update={"applications": apps, "sharing": SharingRules()})))
    return path


def test_a_network_that_shares_tells_what_each_family_of_pairs_got_beside_its_share(tmp_path: Path) -> None:
    path = str(shared_file(tmp_path))
    status, out, _ = run(path, "--pairs", "10", "--demand", "500", "--out", str(tmp_path / "out"))
    assert status == 0
    assert "share if all asked" in out
    (row,) = json.loads((tmp_path / "out" / "result.json").read_text())["shares"].values()
    assert row["pairs"] == 10
    assert row["pairs_short_of_share"] == 0
    assert 0.99 * row["asked_bits_per_s"] < row["got_bits_per_s"] <= row["asked_bits_per_s"]
    assert row["share_bits_per_s"] > row["got_bits_per_s"]


def test_full_load_is_told_beside_the_optimum_of_what_is_declared(tmp_path: Path) -> None:
    path = str(shared_file(tmp_path))
    status, out, _ = run(path, "--full-load", "--pairs", "8", "--out", str(tmp_path / "out"))
    assert status == 0
    assert "Jain's index" in out
    found = json.loads((tmp_path / "out" / "result.json").read_text())
    assert found["of_declared"] > 0.98
    assert found["of_whole"] == pytest.approx(0.95 * found["of_declared"])
    assert sum(row["pairs"] for row in found["classes"].values()) == 8
    assert len((tmp_path / "out" / "pairs.csv").read_text().splitlines()) == 9


def test_what_a_satellite_makes_is_told_of_the_run_and_not_of_the_timetable(tmp_path: Path) -> None:
    path = str(network_file(tmp_path))
    status, out, _ = run(path, "--days", "2", "--without", "micius")
    assert status == 0
    assert "satellites made 0 bits with stations in 0 passes" in out
    found = json_of(path, "--days", "2", "--without", "xinglong")
    told = found["of_satellites"]
    west = [one for one in found["passes"] if one["set_utc_s"] > 0 and one["station"] == "nanshan"]
    assert told["made_bits"] == sum(one["expected_bits"] for one in west) > 0, "that of the other station is still made"
    assert f"Nothing came of {told['made'] + told['lost']} passes more, when a satellite, a station" in out

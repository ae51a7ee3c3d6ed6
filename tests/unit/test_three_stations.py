"""Three stations of one satellite: check, simulated day and controller take the link that it announces for two of them,
and no way by the third, though in the mean of a week that one may be wider by a little."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from interop.satellite_house import TEXT
from qanat.apps.cli.network import run_check
from qanat.apps.cli.simulate import SimulateOptions, run_simulate
from qanat.apps.link_modules import link_capability
from qanat.control.books import Books
from qanat.control.outages import Outages
from qanat.control.routing import LEAST_BITS_PER_S, key_graph, widest
from qanat.control.tables import Tables
from qanat.ground.identifiers import Epoch, LinkId, NodeId
from qanat.ground.network import Network, parse_network
from qanat.key_management.wire import LinkReport

WEST, EAST = NodeId("west"), NodeId("east")
DIRECT = (WEST, NodeId("nanshan"), NodeId("xinglong"), EAST)
BY_THIRD = (WEST, NodeId("nanshan"), NodeId("hill"), NodeId("xinglong"), EAST)
HILL = """  - {name: hill, kind: relay, latitude_deg: 30.0, longitude_deg: 100.0}
  - {name: south, kind: user, latitude_deg: 30.1, longitude_deg: 100.1}
links:
  - {name: south-link, transmitter: south, receiver: hill, system: backbone-625, loss_db: 9, length_km: 30}
"""
TO_HILL = """downlinks:
  - {satellite: micius, station: hill, telescope: nanshan, altitude_m: 500}
"""
THREE = f"{TEXT.replace('links:', HILL.rstrip(), 1).replace('downlinks:', TO_HILL.rstrip())}"
PAIR = LinkId("nanshan-xinglong-by-micius")
OTHERS = LinkId("hill-nanshan-by-micius"), LinkId("hill-xinglong-by-micius")


@pytest.fixture
def three() -> Network:
    return parse_network(THREE, source="three")


def rates_of(network: Network, pair: float, others: float) -> dict[LinkId, float]:
    fibres = {link.link_id: 30e3 for link in network.links if link.kind == "fibre"}
    return fibres | dict.fromkeys(OTHERS, others) | {PAIR: pair}


@pytest.mark.parametrize(("pair", "others"), [(21.1, 21.2), (21.2, 21.1), (5.0, 50.0)])
def test_two_stations_share_key_at_once_whatever_a_third_would_give(three: Network, pair: float, others: float) -> None:
    assert widest(key_graph(three, rates_of(three, pair, others)), WEST, EAST) == DIRECT


@pytest.mark.parametrize("nothing", [0.0, LEAST_BITS_PER_S])
def test_a_link_that_no_pass_gives_anything_is_the_last_choice(three: Network, nothing: float) -> None:
    assert widest(key_graph(three, rates_of(three, nothing, 21.2)), WEST, EAST) == BY_THIRD


def test_the_controller_of_a_running_network_takes_the_same_way(three: Network) -> None:
    books = Books(three)
    for link in three.links:
        rate = link_capability(link).expected_rate_bits_per_s
        for node in link.ends:
            books.note_report(node, LinkReport(link.link_id, 0, rate, "twin", None))
    tables = Tables(three, books)
    tables.renew(Outages(three, books, cast(Any, None), tries=3))
    routes = {route[-1]: route for route in tables.pushed(WEST, Epoch(1)).key_routes}
    assert routes[EAST] == DIRECT
    graph = key_graph(three, {link_id: book.rate_bits_per_s for link_id, book in books.links.items()})
    assert widest(graph, WEST, EAST) == DIRECT


@pytest.mark.slow
def test_check_and_simulated_day_go_the_way_of_the_controller(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "three.yaml"
    path.write_text(f"{THREE}  - {{name: sara, site: south}}\n", encoding="utf-8")
    assert run_check(str(path), as_json=True) == 0
    checked = [route["nodes"] for route in json.loads(capsys.readouterr().out)["routes"]]
    assert run_simulate(str(path), SimulateOptions(days=3), out=None, as_json=True) == 0
    day = json.loads(capsys.readouterr().out)
    served = [route["route"] for route in day["routes"] if route["served"]]
    for routes in (checked, served):
        (way,) = (way for way in routes if {way[0], way[-1]} == {WEST, EAST})
        assert tuple(sorted((way, way[::-1]))[1]) == DIRECT

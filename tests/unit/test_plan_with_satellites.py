"""``qanat plan`` counts what satellites announce in the mean of a week; a simulated day has their passes, or not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interop.satellite_house import TEXT, network_file
from qanat.apps.cli.plan import NetworkOptions, run_network
from qanat.apps.cli.simulate import SimulateOptions, run_simulate
from qanat.apps.satellite_review import review_sky
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.keys import RESERVE_SHARE_BITS
from qanat.ground.network import parse_network
from qanat.planning.direct import links_for
from qanat.planning.pass_rates import pass_rates
from qanat.planning.reach import Reach

NETWORK = parse_network(TEXT, source="test")
PAIR, TO_WEST, TO_EAST = map(LinkId, ("nanshan-xinglong-by-micius", "micius-nanshan", "micius-xinglong"))
WEEK_S = 604_800.0


@pytest.fixture(scope="module")
def rates() -> dict[LinkId, float]:
    return pass_rates(NETWORK, {})


def planned(path: Path, capsys: pytest.CaptureFixture[str], *lost: str) -> dict[str, Any]:
    options = NetworkOptions(str(path), one="west", other="far-east", without=lost)
    assert run_network(options, as_json=True) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.slow
def test_the_mean_of_downlinks_is_that_of_the_check_and_the_pair_has_no_more_than_the_lesser(
    rates: dict[LinkId, float],
) -> None:
    rows = {row.link_id: row for row in review_sky(NETWORK, now_utc_s=0.0).downlinks}
    for link in (TO_WEST, TO_EAST):
        assert rates[link] * WEEK_S == pytest.approx(rows[link].secret_bits, rel=1e-9)
    least = min((rows[link] for link in (TO_WEST, TO_EAST)), key=lambda row: row.secret_bits)
    reserves = RESERVE_SHARE_BITS * least.passes_with_key
    assert rates[PAIR] * WEEK_S == pytest.approx(least.secret_bits - reserves, abs=8 * least.passes_with_key)


@pytest.mark.campaign
def test_users_are_counted_by_the_satellite_where_it_is_the_bottleneck_and_its_cost_is_said_to_be_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rates: dict[LinkId, float]
) -> None:
    path = network_file(tmp_path)
    found = planned(path, capsys)
    (row,) = found["pairs_of_users_served"]
    assert row["what"].startswith(PAIR)
    assert row["rate_bits_per_s"] == rates[PAIR]
    assert row["pairs_of_users"] == int(rates[PAIR] * 60 / 128)
    made_of = found["before"]["made_of"]
    assert (made_of["satellites"], made_of["telescopes"]) == (1, 2)
    assert made_of["unpriced"] == ["satellite", "telescope"]
    assert run_network(NetworkOptions(str(path)), as_json=False) == 0
    assert "of which no price is assumed" in " ".join(capsys.readouterr().out.split())
    priced = NetworkOptions(str(path), prices=("satellite=500", "telescope=20"))
    assert run_network(priced, as_json=True) == 0
    other = json.loads(capsys.readouterr().out)["before"]["made_of"]
    assert other["cost"] == made_of["cost"] + 500 + 2 * 20
    assert other["unpriced"] == []


@pytest.mark.slow
def test_a_cloudy_station_takes_its_odds_from_the_pair(rates: dict[LinkId, float]) -> None:
    cloudy = parse_network(TEXT.replace("name: xinglong,", "name: xinglong, p_clear: 0.25,"), source="test")
    found = pass_rates(cloudy, {})
    assert found[TO_EAST] == pytest.approx(0.25 * rates[TO_EAST], rel=1e-6)
    assert found[TO_WEST] == rates[TO_WEST]
    assert found[PAIR] == pytest.approx(0.25 * rates[PAIR], rel=0.01)


@pytest.mark.slow
def test_a_plan_joins_places_by_satellite_and_loses_them_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rates: dict[LinkId, float]
) -> None:
    path = network_file(tmp_path)
    for lost in ("micius", TO_WEST, PAIR):
        found = planned(path, capsys, lost)
        before, after = found["before"], found["after"]
        assert before["between"]["most_bits_per_s"] == pytest.approx(rates[PAIR], rel=1e-6)
        assert before["of_satellites_bits_per_s"][PAIR] == pytest.approx(rates[PAIR], abs=1e-3)
        assert (before["pairs_of_places"], after["pairs_of_places"]) == (3, 1)
        assert not after["between"]["most_bits_per_s"]
        assert PAIR not in after["of_satellites_bits_per_s"]


def test_who_takes_direct_keys_only_is_not_joined_by_a_satellite(rates: dict[LinkId, float]) -> None:
    text = TEXT.replace("name: nanshan, kind: relay,", "name: nanshan, kind: relay, direct_keys_only: true,")
    wary = parse_network(
        text.replace("site: west", "site: nanshan").replace("site: east", "site: xinglong"), source="t"
    )
    ends = NodeId("nanshan"), NodeId("xinglong")
    assert not links_for(wary, ends)
    links = {link.link_id: rates.get(link.link_id, 1.0) for link in wary.links}
    reach = Reach(wary, links)
    direct = {frozenset((here, there)) for _, here, there in reach._direct}
    assert frozenset(ends) not in direct


def test_a_simulated_day_on_the_ground_alone_reaches_nobody_by_satellite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(network_file(tmp_path))
    whole = SimulateOptions(demand_bits_per_minute=60.0)
    assert run_simulate(path, whole, out=None, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pairs"]["sky"] > 0
    assert found["classes"]["sky"]["served"] > 0
    assert run_simulate(path, replace(whole, ground_only=True), out=None, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["pairs"] == {"near": 1}
    with pytest.raises(ConfigurationError, match="has no satellite"):
        run_simulate("five-site-ring", replace(whole, ground_only=True), out=None, as_json=True)

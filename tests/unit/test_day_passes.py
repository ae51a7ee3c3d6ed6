"""Satellites in a simulated day: who is served by them follows from their passes, to the bit."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from interop.satellite_house import TEXT
from qanat.apps.day_passes import passes_of_run
from qanat.control.routing import LEAST_BITS_PER_S
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.keys import block_shares
from qanat.ground.network import parse_network
from qanat.ground.orders import PassForecast
from qanat.simulation.day.demand import Demand, Pair, Requests
from qanat.simulation.day.engine import PATIENCE_S, Day
from qanat.simulation.day.faults import Removal
from qanat.simulation.day.passes import PassTally, mean_rates
from qanat.simulation.day.plan import DAY_S, DayPlan
from qanat.simulation.day.tally import DayResult

NETWORK = parse_network(TEXT, source="test")
PAIR = LinkId("nanshan-xinglong-by-micius")
MICIUS, WEST, EAST = NodeId("micius"), NodeId("nanshan"), NodeId("xinglong")
NEEDED_BITS = 1792
"""What ten keys of 128 bits take on a hop."""
DAY = 8 * 3600.0
NIGHT = 20 * 3600.0


def over(station: NodeId, set_s: float, bits: int = 40_000) -> PassForecast:
    return PassForecast(station, MICIUS, set_s - 500.0, set_s, bits)


def announced(*bits: int) -> int:
    """What two stations share of passes over each of them with so many bits: the lesser without the reserve's part."""
    return min(sum(block_shares(one)[1:]) for one in bits)


def run(
    passes: Sequence[PassForecast], times_s: Sequence[float], *removals: Removal, ready_blocks: int = 1
) -> DayResult:
    """Let ulan at 'west' ask alice at 'east' at these times."""
    num = len(times_s)
    requests = Requests([Pair(NodeId("west"), NodeId("east"), "far")], times_s, [0] * num, [False] * num)
    plan = DayPlan(NETWORK, pass_rates_bits_per_s=mean_rates(NETWORK, passes, until_s=DAY_S))
    day = Day(
        plan,
        requests,
        demand=Demand(),
        horizon_s=DAY_S,
        removals=removals,
        ready_blocks=ready_blocks,
        passes=passes,
    )
    return day.run()


def test_a_request_is_served_when_both_stations_have_had_their_pass_and_not_before() -> None:
    passes = [over(EAST, DAY), over(WEST, NIGHT)]
    result = run(passes, [100.0, DAY + 1, NIGHT - 60.0, NIGHT + 3600.0])
    tally = result.classes["sky"]
    assert (tally.asked, tally.served, tally.late, tally.waited) == (4, 2, 2, 1)
    assert tally.longest_wait_s == 60.0
    assert dict(result.routes) == {("west", WEST, EAST, "east"): 2}
    (link,) = (one for one in result.links if one.link_id == PAIR)
    shared = announced(40_000, 40_000)
    assert (link.blocks, link.made_bits, link.ready_bits) == (1, shared, 0)
    assert link.reserve_share_bits == block_shares(shared)[0]
    assert link.spent_bits == 2 * NEEDED_BITS


def test_no_more_are_served_than_the_half_of_a_pass_has_pads_for() -> None:
    passes = [over(EAST, DAY), over(WEST, NIGHT, bits=30_000)]
    asked = [NIGHT + 60.0 * place for place in range(1, 21)]
    tally = run(passes, asked).classes["sky"]
    able = block_shares(announced(40_000, 30_000) // 8 * 8)[1] // NEEDED_BITS
    assert 0 < able < 20
    assert tally.served == able
    assert tally.late + tally.waiting == 20 - able


def test_what_is_left_aboard_is_announced_with_the_next_pass_of_the_other_station() -> None:
    passes = [over(EAST, 3600.0, bits=90_000), over(WEST, DAY), over(WEST, NIGHT)]
    (link,) = (one for one in run(passes, [DAY + 1]).links if one.link_id == PAIR)
    assert link.blocks == 2
    assert link.made_bits == 2 * sum(block_shares(40_000)[1:]), "both of the west, of what the one of the east gave"


@pytest.mark.parametrize("lost", ["micius", "micius-nanshan", "micius-xinglong"])
def test_nothing_comes_of_a_pass_while_satellite_or_downlink_is_out(lost: str) -> None:
    passes = [over(EAST, DAY), over(WEST, DAY + 3600), over(EAST, NIGHT), over(WEST, NIGHT + 3600)]
    asked = [DAY + 4000.0, NIGHT + 4000.0]
    whole = run(passes, asked)
    assert (whole.classes["sky"].served, whole.classes["sky"].late) == (2, 0)
    assert whole.passes == PassTally(made=4, made_bits=160_000)
    out = run(passes, asked, Removal(lost, 0.0, NIGHT - 1000.0))
    tally = out.classes["sky"]
    assert (tally.served, tally.late) == (1, 1), "it comes back with the passes of the night"
    num_lost = 2 if lost == "micius" else 1
    assert out.passes == PassTally(made=4 - num_lost, made_bits=40_000 * (4 - num_lost), lost=num_lost)


def test_of_passes_before_the_run_the_key_lies_ready_where_anything_does() -> None:
    passes = [over(EAST, -9000.0), over(WEST, -3000.0)]
    ready, empty = (run(passes, [60.0], ready_blocks=num) for num in (1, 0))
    assert (ready.classes["sky"].served, empty.classes["sky"].late) == (1, 1)
    (link,) = (one for one in ready.links if one.link_id == PAIR)
    assert (link.ready_bits, link.made_bits, link.blocks) == (announced(40_000, 40_000), 0, 0)


def test_a_request_that_no_pass_serves_in_time_orders_nothing_of_the_satellite() -> None:
    result = run([over(EAST, NIGHT)], [100.0])
    assert result.classes["sky"].late == 1
    assert result.decisions <= 2
    (link,) = (one for one in result.links if one.link_id == PAIR)
    assert (link.blocks, link.spent_bits, link.reserve_spent_bits) == (0, 0, 0)
    assert mean_rates(NETWORK, [over(EAST, NIGHT)], until_s=DAY_S) == {PAIR: LEAST_BITS_PER_S}
    assert PATIENCE_S < NIGHT


def test_the_passes_of_a_run_are_those_of_the_timetable_over_and_over() -> None:
    week = passes_of_run(NETWORK, num_days=7, seed=1)
    two = passes_of_run(NETWORK, num_days=14, seed=1)
    first = [one for one in two if one.set_utc_s <= 7 * DAY_S]
    assert sorted(first, key=lambda one: one.rise_utc_s) == sorted(week, key=lambda one: one.rise_utc_s)
    again = {(one.station, round(one.rise_utc_s - 7 * DAY_S, 3)) for one in two}
    assert {(one.station, round(one.rise_utc_s, 3)) for one in week} <= again
    # published elements of 2016-12-19: that night's two passes are over when the next day begins
    assert [one.station for one in week if one.set_utc_s < 0] == [EAST, WEST]
    assert min(one.rise_utc_s for one in week) == pytest.approx(-25_876.3, abs=1.0), "16:48:44 UTC"


@pytest.mark.campaign
def test_clouds_are_drawn_from_the_seed_and_take_whole_passes() -> None:
    cloudy = parse_network(TEXT.replace("name: xinglong,", "name: xinglong, p_clear: 0.5,"), source="test")
    clear = passes_of_run(NETWORK, num_days=14, seed=3)
    drawn = passes_of_run(cloudy, num_days=14, seed=3)
    assert drawn == passes_of_run(cloudy, num_days=14, seed=3)
    kept = {(one.station, one.rise_utc_s): one.expected_bits for one in drawn}
    bits = {(one.station, one.rise_utc_s): one.expected_bits for one in clear}
    assert kept.items() < bits.items()
    assert {station for station, _ in bits.keys() - kept.keys()} == {EAST}
    assert passes_of_run(NETWORK.model_copy(update={"downlinks": ()}), num_days=1, seed=1) == ()

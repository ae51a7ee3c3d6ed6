"""Passes that are foretold, as what the links that depend on them will give."""

from __future__ import annotations

import math

from qanat.control.forecasting import Forecasts, Foresight
from qanat.control.passes import forecasts_of_passes
from qanat.control.views import LinkView, NetworkView, Policy
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.keys import block_shares
from qanat.ground.orders import LinkForecast, PassForecast
from simulation.satellite_network import satellite_network

BIRD, WEST, EAST = NodeId("bird"), NodeId("west-station"), NodeId("east-station")
PAIR, TO_WEST = LinkId("east-station-west-station-by-bird"), LinkId("bird-west-station")
HOUR = 3600.0


def a_pass(station: NodeId, hour: float, bits: int) -> PassForecast:
    return PassForecast(station, BIRD, hour * HOUR, hour * HOUR + 400, bits)


def foretold(*passes: PassForecast) -> dict[LinkId, list[tuple[float, float, int]]]:
    found = forecasts_of_passes(satellite_network(), passes, from_utc_s=0.0, until_utc_s=24 * HOUR)
    rows: dict[LinkId, list[tuple[float, float, int]]] = {}
    for one in found:
        rows.setdefault(one.link_id, []).append((one.from_utc_s, one.until_utc_s, one.expected_bits))
    return rows


def test_a_downlink_gives_what_its_passes_give_and_nothing_between() -> None:
    rows = foretold(a_pass(WEST, 2, 8_000_000), a_pass(EAST, 4, 800_000), a_pass(WEST, 20, 80_000))
    assert rows[TO_WEST] == [
        (0.0, 2 * HOUR, 0),
        (2 * HOUR, 2 * HOUR + 400, 8_000_000),
        (2 * HOUR + 400, 20 * HOUR, 0),
        (20 * HOUR, 20 * HOUR + 400, 80_000),
        (20 * HOUR + 400, 24 * HOUR, 0),
    ]


def test_two_stations_are_given_the_lesser_of_what_is_stored_for_both_once_both_have_had_a_pass() -> None:
    rows = foretold(a_pass(WEST, 2, 8_000_000), a_pass(EAST, 4, 800_000), a_pass(EAST, 20, 80_000))
    first, second = (sum(block_shares(bits)[1:]) for bits in (800_000, 80_000))
    assert rows[PAIR] == [
        (0.0, 4 * HOUR, 0),
        (4 * HOUR, 4 * HOUR + 400, first),
        (4 * HOUR + 400, 20 * HOUR, 0),
        (20 * HOUR, 20 * HOUR + 400, second),
        (20 * HOUR + 400, 24 * HOUR, 0),
    ]


def test_what_a_pass_before_the_span_has_left_aboard_is_announced_in_the_next() -> None:
    rows = foretold(a_pass(WEST, -2, 8_000_000), a_pass(EAST, 4, 800_000))
    assert [row for row in rows[PAIR] if row[2]] == [(4 * HOUR, 4 * HOUR + 400, sum(block_shares(800_000)[1:]))]
    assert rows[TO_WEST] == [(0.0, 24 * HOUR, 0)]


def test_without_a_pass_a_satellites_links_are_out() -> None:
    assert foretold()[PAIR] == [(0.0, 24 * HOUR, 0)]


def test_what_must_lie_ready_is_what_is_spent_until_the_next_pass() -> None:
    """At a steady 100 bit/s under one direction, a gap of 16 hours asks for 16 hours of it, and the margin."""
    policy = Policy(look_ahead_s=24 * HOUR)
    forecasts = [LinkForecast(PAIR, *row) for row in foretold(a_pass(WEST, 2, 8**8), a_pass(EAST, 4, 8**8))[PAIR]]
    foresight = Foresight(policy, now_s=0.0, forecasts=Forecasts(forecasts))
    for second in range(0, 4000, 10):
        foresight.demand.note_spent((PAIR, WEST), 1000, now_s=float(second))
    spent = foresight.demand.rate_bits_per_s((PAIR, WEST), now_s=4000.0) * policy.foresight_margin
    view = NetworkView(links={PAIR: LinkView(available_bits={WEST: 0, EAST: 0}, rate_bits_per_s=60.0)}, demands=[])
    link = foresight.applied(view, utc_s=4 * HOUR + 400, now_s=4000.0).links[PAIR]
    assert link.is_out
    assert link.gap_bits[WEST] == min(math.ceil(spent * (20 * HOUR - 400)), policy.pool_cap_bits)
    assert link.gap_bits[EAST] == 0

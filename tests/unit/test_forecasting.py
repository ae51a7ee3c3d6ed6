"""What is foretold of links: what must lie ready, when it is made, and a simulated day with and without foresight."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from qanat.control.forecasting import DemandSeen, Forecasts, Foresight, is_pressing
from qanat.control.policy import DemandView, LinkView, NetworkView, Policy, decide
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Application, Link, Network, Site
from qanat.ground.orders import LinkForecast
from qanat.key_management.accounts import relay_bits
from qanat.simulation.day.demand import KEYS_PER_REQUEST, Demand, Pair, Requests
from qanat.simulation.day.engine import PATIENCE_S, Day
from qanat.simulation.day.plan import DayPlan, LinkPlan, link_plan
from qanat.simulation.day.tally import DayResult

A, B, C = NodeId("a"), NodeId("b"), NodeId("c")
AB, BC = LinkId("ab"), LinkId("bc")
HOUR_S = 3600.0
BLOCK_BITS, RATE = 20_000, 400.0
POLICY = Policy(look_ahead_s=6 * HOUR_S, demand_memory_s=2 * HOUR_S, foresight_margin=1.0)


def span(from_h: float, until_h: float, bits: int = 0, link: LinkId = AB) -> LinkForecast:
    return LinkForecast(link, from_h * HOUR_S, until_h * HOUR_S, bits)


def link(*, ready_bits: int = 0, rate: float = RATE, kept: frozenset[str] = frozenset()) -> LinkView:
    return LinkView({A: ready_bits, B: ready_bits}, BLOCK_BITS, rate_bits_per_s=rate, kept=kept)


def foreseen(one: LinkView, *spans: LinkForecast, at_h: float = 0.0, spent: float = 1.0) -> LinkView:
    """Return a link as it is seen at an hour, when ``spent`` bits per second have been sent under from A."""
    now_s = at_h * HOUR_S
    foresight = Foresight(POLICY, now_s=now_s - 1e9, forecasts=Forecasts(spans))
    foresight.demand.note_spent((AB, A), round(spent * POLICY.demand_memory_s), now_s=now_s)
    view = foresight.applied(NetworkView({AB: one}, []), utc_s=now_s, now_s=now_s)
    return view.links[AB]


# --- what must lie ready ---


def test_an_outage_needs_what_will_be_spent_in_it_and_no_more_in_the_other_direction() -> None:
    seen = foreseen(link(), span(3, 5))
    assert (seen.is_out, seen.out_in_s, seen.gap_in_s) == (False, 3 * HOUR_S, 3 * HOUR_S)
    assert seen.gap_bits == {A: 7200, B: 0}


def test_what_a_link_gives_in_rain_is_taken_off_by_halves() -> None:
    assert foreseen(link(), span(3, 5, 4000)).gap_bits == {A: 5200, B: 0}
    seen = foreseen(link(), span(3, 5, 14_400))
    assert (seen.gap_bits, seen.gap_in_s) == ({A: 0, B: 0}, math.inf)


def test_of_two_outages_the_second_counts_too_where_the_time_between_does_not_make_up_for_the_first() -> None:
    two = (span(2, 3), span(3.5, 4.5))
    assert foreseen(link(rate=RATE), *two).gap_bits[A] == 3600
    assert foreseen(link(rate=2.0), *two).gap_bits[A] == 7200, "it gives just what is spent between"
    assert foreseen(link(rate=3.0), *two).gap_bits[A] == 7200 - 900


def test_a_pass_is_a_time_that_gives_between_two_that_give_nothing() -> None:
    seen = foreseen(link(rate=0.0), span(0, 2), span(2, 2.1, 20_000), span(2.1, 5), at_h=1.0)
    assert seen.is_out
    assert seen.gap_bits[A] == max(3600, math.ceil(4 * HOUR_S) - 10_000)
    assert foreseen(link(rate=0.0), span(0, 2), span(2, 2.1, 20_000), span(2.1, 5), at_h=2.05).is_out is False


def test_what_is_further_away_than_the_policy_looks_ahead_counts_for_nothing_yet() -> None:
    assert foreseen(link(), span(6.5, 8)).gap_bits == {A: 0, B: 0}
    assert foreseen(link(), span(6.5, 8), at_h=1.0).gap_bits[A] == 5400
    assert foreseen(link(), span(1, 2), at_h=2.0) == replace(link(), gap_bits={A: 0, B: 0}), "it is over"


def test_more_than_the_cap_of_a_pool_is_never_laid_by() -> None:
    assert foreseen(link(), span(3, 5), spent=1e9).gap_bits[A] == POLICY.pool_cap_bits


@pytest.mark.parametrize("spans", [(span(1, 3), span(2, 4)), (span(3, 2),), (span(1, 1),), (span(1, 2, -1),)])
def test_forecasts_that_cannot_be_are_refused(spans: tuple[LinkForecast, ...]) -> None:
    with pytest.raises(ConfigurationError):
        Forecasts(spans)


def test_demand_seen_is_the_mean_rate_from_the_beginning_on() -> None:
    seen = DemandSeen(memory_s=7200.0, now_s=0.0)
    for minute in range(1, 61):
        seen.note_spent((AB, A), 600, now_s=60.0 * minute)
    assert seen.rate_bits_per_s((AB, A), now_s=3600.0) == pytest.approx(10.0, rel=0.02)
    assert seen.rate_bits_per_s((AB, B), now_s=3600.0) == 0.0
    assert seen.rate_bits_per_s((AB, A), now_s=3600.0 + 7200.0) < 5.0, "it fades when nobody asks"


def test_stock_that_falls_was_spent_and_stock_that_rises_was_made() -> None:
    seen = DemandSeen(memory_s=100.0, now_s=-1e9)
    for now_s, bits in enumerate((5000, 4000, 9000, 9000, 8500)):
        seen.note_stock((AB, A), bits, now_s=float(now_s))
    assert seen.rate_bits_per_s((AB, A), now_s=4.0) == pytest.approx(1500 / 100, rel=0.04)


# --- what the policy orders ---


def orders(one: LinkView, *demands: DemandView) -> list[tuple[LinkId, int]]:
    decided = decide(NetworkView({AB: one}, demands), POLICY)
    return [(order.link_id, order.num_blocks) for order in decided.generate]


def test_a_pool_is_filled_in_idle_time_and_at_once_when_time_grows_short() -> None:
    early, late = foreseen(link(), span(5, 7), spent=10.0), foreseen(link(), span(0.2, 2.2), spent=10.0)
    assert not is_pressing(early, POLICY)
    assert orders(early) == [(AB, 1)]
    assert is_pressing(late, POLICY)
    assert orders(late) == [(AB, POLICY.max_blocks_per_order)]
    enough = foreseen(link(ready_bits=72_001), span(0.2, 2.2), spent=10.0)
    assert orders(enough) == []


def test_a_pressing_link_does_not_wait_for_room_among_those_of_idle_time() -> None:
    busy = {LinkId(f"x{number}"): replace(link(), has_order=True) for number in range(POLICY.idle_orders_at_once)}
    for spans, count in (((span(5, 7),), 0), ((span(0.2, 2.2),), 1)):
        seen = foreseen(link(), *spans, spent=10.0)
        assert len(decide(NetworkView({**busy, AB: seen}, []), POLICY).generate) == count


def test_a_link_that_is_out_or_soon_will_be_gets_no_order_though_somebody_waits_for_it() -> None:
    demand = DemandView("d", ((AB, A),), 1000)
    assert orders(link(), demand) == [(AB, 1)]
    assert orders(foreseen(link(), span(0, 1), at_h=0.5), demand) == []
    block_h = BLOCK_BITS / RATE / HOUR_S
    assert orders(foreseen(link(), span(0.9 * block_h, 1)), demand) == []
    assert orders(foreseen(link(), span(1.1 * block_h, 1)), demand) == [(AB, 1)]
    assert orders(foreseen(link(), span(2.5 * block_h, 1)), replace(demand, needed_bits=80_000)) == [(AB, 2)]


def test_a_switch_goes_to_the_link_that_closes_first() -> None:
    port = frozenset({"port"})
    other = LinkView({A: 0, C: 0}, BLOCK_BITS, rate_bits_per_s=10 * RATE, kept=port)
    demands = [DemandView(f"d{hop}", (hop,), 1000) for hop in ((AB, A), (BC, A))]
    for seen, first in ((link(kept=port), BC), (foreseen(link(kept=port), span(0.1, 2), spent=10.0), AB)):
        decided = decide(NetworkView({AB: seen, BC: other}, demands), POLICY)
        assert [order.link_id for order in decided.generate] == [first]


# --- a day ---


def line() -> Network:
    return Network(
        format="qanat-network/1",
        name="line",
        sites=tuple(Site(name=name, kind="relay", latitude_deg=0, longitude_deg=0) for name in "abc"),
        links=tuple(
            Link(name=ends, transmitter=ends[0], receiver=ends[1], system="metro-40-i", loss_db=5, length_km=50)
            for ends in ("ab", "bc")
        ),
        applications=tuple(Application(name=name, site=name) for name in "ac"),
    )


def made(network: Network, link: Link) -> LinkPlan:
    return link_plan(network, link, block_bits=BLOCK_BITS, block_time_s=50.0)


OUT_FROM_S, OUT_UNTIL_S = 6 * HOUR_S, 8 * HOUR_S
NEEDED_BITS = relay_bits(count=KEYS_PER_REQUEST, size_bits=128)
HALF_BITS = (BLOCK_BITS - 4096) // 2


def day(*, is_foreseen: bool, per_minute: float = 1.0) -> tuple[DayResult, list[float]]:
    """Ten hours in which a asks c once a minute, while ab is out from the sixth to the eighth; and when each request
    was given up that was not served."""
    times = [60.0 * number / per_minute for number in range(int(600 * per_minute))]
    requests = Requests([Pair(A, C, "near")], times, [0] * len(times), [False] * len(times))
    run = Day(
        DayPlan(line(), planned=made),
        requests,
        demand=Demand(),
        horizon_s=10 * HOUR_S,
        forecasts=Forecasts([LinkForecast(AB, OUT_FROM_S, OUT_UNTIL_S, 0)]),
        is_foreseen=is_foreseen,
    )
    late_s: list[float] = []
    on_late = run._on_late

    def noted(number: int) -> None:
        if number in run._waiting.open:
            late_s.append(run._now_s)
        on_late(number)

    run._on_late = noted  # type: ignore[method-assign]
    return run.run(), late_s


def test_an_outage_that_is_announced_costs_no_request_and_another_those_that_stock_does_not_last_for() -> None:
    told, late_told_s = day(is_foreseen=True)
    untold, late_untold_s = day(is_foreseen=False)
    tally = told.classes["near"]
    assert (tally.asked, tally.served, tally.late) == (600, 600, 0)
    assert late_told_s == []
    of_a = told.links[0].left_bits - told.links[0].blocks * HALF_BITS  # b has sent under nothing
    assert 0 <= of_a < 120 * NEEDED_BITS, "it was filled to what the gap takes, not to the cap"
    failed = untold.classes["near"].late
    most_lasting = 4 * HALF_BITS // NEEDED_BITS + 1
    assert 120 - most_lasting - PATIENCE_S / 60 <= failed < 120
    first_asked_s = late_untold_s[0] - PATIENCE_S
    assert OUT_FROM_S <= first_asked_s <= OUT_FROM_S + 60 * most_lasting, "they fail as soon as the stock has ended"


def test_no_block_is_begun_that_the_outage_would_cost_its_pads() -> None:
    told, _ = day(is_foreseen=True)
    (out, other) = told.links
    for row in (out, other):
        assert row.reserve_spent_bits == 1024 * row.blocks

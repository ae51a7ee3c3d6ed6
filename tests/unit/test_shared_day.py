"""A day of a network that declares sharing: rations, ways and policy of the service decide who gets key."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence, Set

import pytest

from qanat.control.policy import NetworkView
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Application, Link, Network, SharingOfPair, SharingRules, Site
from qanat.ground.network.building import build_network
from qanat.ground.randomness import SeededChance
from qanat.key_management.accounts import relay_bits
from qanat.simulation.day.demand import Demand, Pair, Requests, draw_pairs, draw_requests
from qanat.simulation.day.faults import Removal
from qanat.simulation.day.full_load import FAMILIES, Reached, family_plan, full_load
from qanat.simulation.day.plan import DayPlan, LinkPlan, link_plan
from qanat.simulation.day.shared_day import SharedDay
from qanat.simulation.day.tally import DayResult

GOAL = 0.98
LEAST = 0.8
"""Of a pair that is to get little few batches are counted."""
LEAST_OF_THOUSANDS = 0.7
"""Of a hundred sites' pairs the worst counts, with few batches on several ways of many hops."""
BLOCK_BITS, BLOCK_S = 240_000, 10.0
RUN_S = 1200.0
RULES = SharingRules()
USUAL = ("star", "grid")


def made_of(network: Network, link: Link) -> LinkPlan:
    return link_plan(network, link, block_bits=BLOCK_BITS, block_time_s=BLOCK_S)


def network_of(*links: str, users: str = "", sharing: SharingRules | None = RULES) -> Network:
    """Sites of one letter, relays but for ``users``, each with an application of its name; a link is its two ends."""
    names = sorted({name for ends in links for name in ends})
    return Network(
        format="qanat-network/1",
        name="small",
        sites=tuple(
            Site(name=name, kind="user" if name in users else "relay", latitude_deg=0, longitude_deg=place / 100)
            for place, name in enumerate(names)
        ),
        links=tuple(
            Link(name=ends, transmitter=ends[0], receiver=ends[1], system="metro-40-i", loss_db=5, length_km=50)
            for ends in links
        ),
        applications=tuple(Application(name=name, site=name) for name in names),
        sharing=sharing,
    )


def pairs_of(*names: str) -> list[Pair]:
    return [Pair(NodeId(one), NodeId(other), "near") for one, other in names]


def every(pause_s: float, *numbers: int, until_s: float = RUN_S) -> tuple[list[float], list[int], list[bool]]:
    """Requests of these pairs, one each, all the time."""
    times = [place * pause_s for place in range(int(until_s / pause_s)) for _ in numbers]
    return times, [number for _ in range(int(until_s / pause_s)) for number in numbers], [False] * len(times)


def day_of(network: Network, pairs: Sequence[Pair], requests: tuple[list[float], list[int], list[bool]]) -> DayResult:
    plan = DayPlan(network, planned=made_of)
    return SharedDay(plan, Requests(pairs, *requests), demand=Demand(key_bits=1024), horizon_s=RUN_S).run()


NEEDED_BITS = relay_bits(count=10, size_bits=1024)
USABLE_BITS_PER_S = 0.95 * (BLOCK_BITS - 4096) / BLOCK_S


def test_who_asks_much_does_not_take_the_share_of_one_who_asks_little() -> None:
    """Over the one link into c two pairs share 11.2 kbit/s of each direction: a asks for twice as much as all of it, b
    for a little less than its half, and has it."""
    pairs = pairs_of("ac", "bc")
    times_a, numbers_a, _ = every(NEEDED_BITS / USABLE_BITS_PER_S, 0)
    times_b, numbers_b, _ = every(4.2 * NEEDED_BITS / USABLE_BITS_PER_S, 1)
    rows = sorted(zip(times_a + times_b, numbers_a + numbers_b, strict=True))
    requests = [time_s for time_s, _ in rows], [number for _, number in rows], [False] * len(rows)
    much, little = day_of(network_of("ar", "br", "rc", users="abc"), pairs, requests).pair_keys
    assert much.asked_bits_per_s == pytest.approx(USABLE_BITS_PER_S, rel=0.01)
    assert much.share_bits_per_s == little.share_bits_per_s == pytest.approx(USABLE_BITS_PER_S / 2, rel=1e-3)
    assert little.got_bits_per_s > 0.99 * little.asked_bits_per_s
    assert not little.is_short_of_share
    assert much.got_bits_per_s < 0.53 * much.asked_bits_per_s + little.share_bits_per_s / 2


def test_without_sharing_the_same_requests_are_served_in_the_order_in_which_they_come() -> None:
    network = network_of("ar", "br", "rc", users="abc", sharing=None)
    with pytest.raises(ConfigurationError, match="'small' declares no sharing"):
        day_of(network, pairs_of("ac"), every(60.0, 0))


def test_a_guarantee_is_kept_beside_one_who_asks_for_all() -> None:
    rules = SharingRules(pairs=(SharingOfPair(master="a", slave="c", guaranteed_bits_per_s=8000.0),))
    pairs = pairs_of("ac", "bc")
    pause_s = NEEDED_BITS / 8000.0
    requests = every(pause_s, 0, 1)
    promised, other = day_of(network_of("ar", "br", "rc", users="abc", sharing=rules), pairs, requests).pair_keys
    assert promised.got_bits_per_s > GOAL * 8000.0
    assert 2000.0 < other.got_bits_per_s < 4500.0, "what is left of the link"


def test_a_cap_is_never_exceeded() -> None:
    rules = SharingRules(pairs=(SharingOfPair(master="a", slave="c", cap_bits_per_s=3000.0),))
    network = network_of("ar", "rc", users="ac", sharing=rules)
    (capped,) = day_of(network, pairs_of("ac"), every(NEEDED_BITS / 6000.0, 0)).pair_keys
    most = 3000.0 + (2 * 3000.0 + NEEDED_BITS) / RUN_S  # what a full bucket holds, and one batch more
    assert GOAL * 3000.0 < capped.got_bits_per_s <= most


def test_two_ways_of_a_ring_carry_the_shares_of_one_pair() -> None:
    """The two ways together give twice what one of them could."""
    requests = every(NEEDED_BITS / USABLE_BITS_PER_S, 0)
    found = day_of(network_of("ab", "bc", "cd", "da"), pairs_of("ac"), requests)
    (key,) = found.pair_keys
    assert key.got_bits_per_s > 0.95 * USABLE_BITS_PER_S
    assert {route: round(served / sum(found.routes.values()), 1) for route, served in found.routes.items()} == {
        ("a", "b", "c"): 0.5,
        ("a", "d", "c"): 0.5,
    }


def test_when_a_relay_fails_the_other_way_carries_all_and_shares_are_found_anew() -> None:
    plan = DayPlan(network_of("ab", "bc", "cd", "da"), planned=made_of)
    requests = Requests(pairs_of("ac"), *every(NEEDED_BITS / USABLE_BITS_PER_S * 2.2, 0))
    out = [Removal("b", RUN_S / 3, RUN_S / 3)]
    found = SharedDay(plan, requests, demand=Demand(key_bits=1024), horizon_s=RUN_S, removals=out).run()
    tally = found.together(with_own=True)
    assert tally.served == tally.asked - tally.waiting
    assert tally.cut_off == tally.late == 0
    served = {route: count / tally.served for route, count in found.routes.items()}
    assert served["a", "d", "c"] > 1 / 3, "all of the time in which b is out"
    assert served["a", "b", "c"] > 1 / 4


class WholeView(SharedDay):
    """A day whose policy is shown all links and all that waits, each time."""

    def _view(self) -> tuple[NetworkView, Set[int]]:
        super()._view()
        numbers = range(len(self._plan.links))
        links = {self._plan.links[number].link_id: self._link_view(number) for number in numbers}
        return NetworkView(links, [waiting.view for waiting in self._waiting.open.values()]), set(numbers)


def test_the_policy_decides_the_same_whether_it_sees_all_or_what_has_crossed_a_threshold() -> None:
    rules = SharingRules(pairs=(SharingOfPair(master="n1", slave="n9", guaranteed_bits_per_s=100.0),))
    network = build_network("grid", num_nodes=9, system="metro-40-i", link_km=30)
    apps = tuple(
        Application(name=site.name, site=site.name, priority=place % 3) for place, site in enumerate(network.sites)
    )
    network = network.model_copy(update={"applications": apps, "sharing": rules})
    plan, demand, chance = DayPlan(network), Demand(20, bits_per_minute=40_000), SeededChance(3)
    pairs = draw_pairs(network, demand, rates_bits_per_s=plan.rates, chance=chance)
    whole = draw_requests(pairs, demand, num_days=1, chance=chance)
    num = sum(time_s < RUN_S / 2 for time_s in whole.times_s)
    requests = Requests(pairs, whole.times_s[:num], whole.pair_numbers[:num], whole.backwards[:num])
    removals = [Removal("n5", RUN_S / 6, RUN_S / 6)]
    few, all_ = (
        kind(plan, requests, demand=demand, horizon_s=RUN_S, removals=removals).run() for kind in (SharedDay, WholeView)
    )
    assert dataclasses.replace(few, decisions=0) == dataclasses.replace(all_, decisions=0)
    assert few.decisions > 50


# --- full load ---


def check(reached: Reached, *, least: float = LEAST) -> None:
    """``least``: of what the optimum gives it, what the worst pair gets."""
    print(
        f"{reached.of_declared:.3f} of the declared optimum, least pair {reached.least_of_optimum:.3f}, "
        f"Jain's index {reached.jain_index:.3f} ({reached.jain_index_at_optimum:.3f})"
    )
    assert reached.of_declared >= GOAL
    assert reached.least_of_optimum > least
    assert reached.num_late == 0


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=pytest.mark.slow if kind in USUAL else pytest.mark.campaign) for kind in FAMILIES],
)
def test_ten_sites_of_any_shape_get_at_least_98_percent_of_the_declared_optimum(kind: str) -> None:
    check(full_load(family_plan(kind, 10, RULES)))


@pytest.mark.campaign
def test_with_max_min_the_least_pair_of_a_star_gets_what_the_optimum_gives_it() -> None:
    check(full_load(family_plan("star", 10, SharingRules(alpha="max-min"))))


@pytest.mark.campaign
@pytest.mark.parametrize(("kind", "num_sites"), [(kind, size) for size in (30, 100) for kind in FAMILIES])
def test_so_do_30_and_100_sites_and_no_hub_collapses(kind: str, num_sites: int) -> None:
    reached = full_load(family_plan(kind, num_sites, RULES))
    check(reached, least=LEAST if num_sites < 100 else LEAST_OF_THOUSANDS)
    if kind == "star":
        assert reached.jain_index > 0.95 * reached.jain_index_at_optimum


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("kind", "num_sites"),
    [(kind, num_sites) for num_sites in (10, 30, 100) for kind in FAMILIES],
)
def test_so_does_the_least_pair_of_each_shape_with_max_min(kind: str, num_sites: int) -> None:
    check(full_load(family_plan(kind, num_sites, SharingRules(alpha="max-min"))))


def test_the_measurement_sees_it_when_nothing_is_set_aside_for_those_within_their_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = family_plan("star", 10, RULES)
    monkeypatch.setattr("qanat.simulation.day.shared_day.set_aside_bits", lambda _: 0)
    assert full_load(plan, begin_s=60.0, counted_s=60.0).least_of_optimum < 0.8

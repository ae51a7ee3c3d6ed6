"""Whose turn it is at the ports of switches: nobody shares a port, nobody waits for ever, turning pays."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from itertools import combinations

import pytest

from qanat.control.policy import DemandView, LinkView, NetworkView, Orders, Policy, decide
from qanat.control.switching import turn_blocks
from qanat.ground.identifiers import LinkId, NodeId

BLOCK_BITS = 1000
POLICY = Policy(recalibration_s=30.0, turning_share=0.1, most_wait_s=300.0)


def link(kept: str, **more: object) -> LinkView:
    """A link through switches between two ports, each a letter, with all else as asked."""
    ends = {NodeId(kept[0]): 0, NodeId(kept[1]): 0}
    fields = {"block_bits": BLOCK_BITS, "rate_bits_per_s": 20.0, "turn_s": 0.02, **more}
    return LinkView(ends, kept=frozenset(kept), **fields)  # type: ignore[arg-type]


def wants(name: str, *, bits: int = 400, is_idle: bool = False, priority: int = 0, demand: str = "") -> DemandView:
    """A demand over one link, of which its first port's site sends."""
    return DemandView(demand or f"d-{name}", ((LinkId(name), NodeId(name[0])),), bits, is_idle, priority)


def decided(links: dict[str, LinkView], *demands: DemandView, policy: Policy = POLICY) -> list[str]:
    view = NetworkView({LinkId(name): view for name, view in links.items()}, demands)
    return [order.link_id for order in decide(view, policy).generate]


# ---- whose turn it is ----


def test_of_links_that_share_a_port_one_runs_and_those_that_share_none_run_at_once() -> None:
    links = {name: link(name) for name in ("ab", "ac", "cd")}
    assert decided(links, wants("ab"), wants("ac"), wants("cd")) == ["ab", "cd"]
    assert decided(links | {"ab": link("ab", has_order=True)}, wants("ac"), wants("cd")) == ["cd"]


def test_a_trunk_carries_one_link_at_a_time() -> None:
    links = {"ab": link("abT"), "cd": link("cdT")}
    assert decided(links, wants("ab"), wants("cd")) == ["ab"]


def test_links_through_no_switch_run_whatever_the_switches_do() -> None:
    links = {"ab": link("ab", has_order=True), "xy": replace(link("xy"), kept=frozenset())}
    assert decided(links, wants("xy")) == ["xy"]


def test_the_higher_priority_goes_first() -> None:
    links = {name: link(name) for name in ("ab", "ac")}
    assert decided(links, wants("ab"), wants("ac", priority=1)) == ["ac"]


def test_a_link_goes_on_until_its_turn_was_worth_its_cost() -> None:
    """To turn costs 30.02 s and a block takes 50 s: 6 blocks make that a tenth of the time."""
    assert turn_blocks(link("ab"), POLICY) == 6
    for blocks, expected in ((5, ["ab"]), (6, ["ac"])):
        links = {"ab": link("ab", is_set=True, blocks_in_turn=blocks), "ac": link("ac", waited_s=200.0)}
        assert decided(links, wants("ab"), wants("ac")) == expected


def test_but_not_while_somebody_has_waited_too_long() -> None:
    links = {"ab": link("ab", is_set=True, blocks_in_turn=1), "ac": link("ac", waited_s=300.0)}
    assert decided(links, wants("ab", priority=9), wants("ac")) == ["ac"]


def test_ports_are_kept_free_for_who_has_waited_too_long() -> None:
    links = {"ab": link("ab", waited_s=400.0), "bc": link("bc", has_order=True), "ad": link("ad"), "ef": link("ef")}
    assert decided(links, wants("ab"), wants("ad"), wants("ef")) == ["ef"]
    not_yet = links | {"ab": link("ab", waited_s=200.0)}
    assert decided(not_yet, wants("ab"), wants("ad"), wants("ef")) == ["ad", "ef"]


def test_for_the_second_of_them_no_port_stands_idle() -> None:
    """dg waits too long as well, for gh, but not as long as ab: till its turn comes d may go with e. All are of one
    area, since somebody waits for ag too."""
    links = {
        "ab": link("ab", waited_s=500.0),
        "bc": link("bc", has_order=True),
        "dg": link("dg", waited_s=400.0),
        "gh": link("gh", has_order=True),
        "de": link("de"),
        "ag": link("ag"),
    }
    assert decided(links, wants("ab"), wants("dg"), wants("de"), wants("ag")) == ["de"]


def test_each_area_of_ports_has_a_first_one_for_whom_they_are_kept_free() -> None:
    """wx has waited less than ab, but shares no port with it, nor with anybody who does."""
    links = {
        "ab": link("ab", waited_s=500.0),
        "bc": link("bc", has_order=True),
        "wx": link("wx", waited_s=400.0),
        "xy": link("xy", has_order=True),
        "wz": link("wz"),
    }
    assert decided(links, wants("ab"), wants("wx"), wants("wz")) == []


def test_what_is_done_sooner_goes_first() -> None:
    links = {"ab": link("ab"), "ac": link("ac", rate_bits_per_s=40.0)}
    assert decided(links, wants("ab"), wants("ac")) == ["ac"], "by the expected rate"
    links = {"ab": link("ab"), "ac": link("ac")}
    assert decided(links, wants("ab", bits=4000), wants("ac", bits=400)) == ["ac"], "by what is lacking"
    many = [wants("ab", demand=f"d{number}") for number in range(3)]
    assert decided(links, wants("ac", bits=400), *many) == ["ab"], "three demands at one turn's cost"


def test_of_equals_who_has_waited_longest_goes_first_then_who_has_got_least() -> None:
    links = {"ab": link("ab", waited_s=1.0), "ac": link("ac", waited_s=2.0)}
    assert decided(links, wants("ab"), wants("ac")) == ["ac"]
    links = {"ab": link("ab", blocks_got=2), "ac": link("ac", blocks_got=1)}
    assert decided(links, wants("ab"), wants("ac")) == ["ac"]


# ---- idle time ----


def test_idle_time_fills_the_emptiest_whose_ports_are_free_a_block_at_a_time() -> None:
    full, half = {NodeId("a"): 9000, NodeId("c"): 9000}, {NodeId("a"): 500, NodeId("b"): 500}
    links = {"ac": replace(link("ac"), available_bits=full), "ab": replace(link("ab"), available_bits=half)}
    demands = [wants("ac", bits=50_000, is_idle=True), wants("ab", bits=50_000, is_idle=True)]
    view = NetworkView({LinkId(name): one for name, one in links.items()}, demands)
    assert [(order.link_id, order.num_blocks) for order in decide(view, POLICY).generate] == [("ab", 1)]


def test_idle_time_takes_no_port_that_is_kept_for_who_has_waited_too_long() -> None:
    links = {"ab": link("ab", waited_s=400.0), "bc": link("bc", has_order=True), "ad": link("ad")}
    assert decided(links, wants("ab"), wants("ad", is_idle=True)) == []


def test_in_idle_time_of_equally_empty_pools_the_one_that_fills_faster_comes_first() -> None:
    links = {"ab": link("ab"), "cd": link("cd", rate_bits_per_s=40.0)}
    demands = [wants("ab", is_idle=True), wants("cd", is_idle=True)]
    assert decided(links, *demands, policy=replace(POLICY, idle_orders_at_once=1)) == ["cd"]


# ---- a switch at work ----


@dataclass
class Work:
    """A network of links through switches, worked by ``decide`` in its own time; checks what must hold throughout."""

    links: dict[LinkId, LinkView]
    policy: Policy
    demands: list[DemandView] = field(default_factory=list)
    now_s: float = 0.0
    ends_s: dict[LinkId, float] = field(default_factory=dict)
    blocks: dict[LinkId, int] = field(default_factory=dict)
    wanted_s: dict[LinkId, float] = field(default_factory=dict)
    waits_s: list[float] = field(default_factory=list)
    light_s: float = 0.0
    turns: int = 0
    most_order_s: float = 0.0

    def act(self) -> None:
        view = {
            link_id: replace(one, waited_s=self.now_s - self.wanted_s.get(link_id, self.now_s))
            for link_id, one in self.links.items()
        }
        orders = decide(NetworkView(view, self.demands), self.policy)
        for demand in [demand for demand in self.demands if demand.demand_id in orders.satisfied]:
            self._satisfy(demand)
        for order in orders.generate:
            self._begin(order.link_id, order.num_blocks)
        self._check()
        self._note_waits(orders)

    def step(self) -> None:
        """Go on to the next end of an order."""
        link_id, end_s = min(self.ends_s.items(), key=lambda row: (row[1], row[0]))
        self.now_s = end_s
        del self.ends_s[link_id]
        made_bits = self.blocks.pop(link_id) * self.links[link_id].block_bits // 2
        one = self.links[link_id]
        stock = {node: bits + made_bits for node, bits in one.available_bits.items()}
        self.links[link_id] = replace(one, has_order=False, available_bits=stock)

    def _begin(self, link_id: LinkId, num_blocks: int) -> None:
        one = self.links[link_id]
        if not one.is_set:
            self.turns += 1
            for other_id, other in self.links.items():
                if other.is_set and not other.kept.isdisjoint(one.kept):
                    self.links[other_id] = replace(other, is_set=False)
            one = replace(one, is_set=True, blocks_in_turn=0)
        turning_s = 0.0 if self.links[link_id].is_set else one.turn_s + self.policy.recalibration_s
        work_s = num_blocks * one.block_bits / one.rate_bits_per_s
        self.ends_s[link_id], self.blocks[link_id] = self.now_s + turning_s + work_s, num_blocks
        self.light_s += work_s
        self.most_order_s = max(self.most_order_s, turning_s + work_s)
        self.waits_s.append(self.now_s - self.wanted_s.pop(link_id, self.now_s))
        got = {"blocks_in_turn": one.blocks_in_turn + num_blocks, "blocks_got": one.blocks_got + num_blocks}
        self.links[link_id] = replace(one, has_order=True, **got)  # type: ignore[arg-type]

    def _satisfy(self, demand: DemandView) -> None:
        self.demands.remove(demand)
        for link_id, node in demand.hops:
            one = self.links[link_id]
            left = one.available_bits[node] - demand.needed_bits
            self.links[link_id] = replace(one, available_bits={**one.available_bits, node: left})

    def _check(self) -> None:
        running = [one.kept for one in self.links.values() if one.has_order]
        assert all(one.isdisjoint(other) for one, other in combinations(running, 2)), "two share a port or a trunk"

    def _note_waits(self, orders: Orders) -> None:
        for waits in orders.waits_for.values():
            for link_id in waits:
                if not self.links[link_id].has_order:
                    self.wanted_s.setdefault(link_id, self.now_s)


@pytest.mark.parametrize("seed", range(40))
def test_no_two_running_orders_share_a_port_or_trunk_whatever_is_asked(seed: int) -> None:
    dice = random.Random(seed)
    pairs = list(combinations("abcdefgh"[: dice.randint(3, 8)], 2))
    kept = {one + other: one + other + "".join(t for t in "TU" if dice.random() < 0.3) for one, other in pairs}
    links = {LinkId(name): link(ports, rate_bits_per_s=dice.choice([5.0, 20.0, 80.0])) for name, ports in kept.items()}
    work = Work(links, POLICY)
    for number in range(60):
        name = dice.choice(list(kept))
        demand = wants(
            name,
            bits=dice.choice([100, 400, 5000]),
            is_idle=dice.random() < 0.3,
            priority=dice.randint(0, 2),
            demand=str(number),
        )
        work.demands.append(demand)
        work.act()
        if work.ends_s and dice.random() < 0.7:
            work.step()
    work.act()
    while work.ends_s:
        work.step()
        work.act()
    assert not work.demands, "and everybody gets his key in the end"


def test_idle_time_fills_the_pools_at_a_switch_evenly_however_long_it_lasts() -> None:
    """Fifteen pairs of six users, of which some fill twice as fast; a turn is 6 blocks at 20 bit/s, 11 at 40. Pools
    stay even to within three such turns."""
    names = [one + other for one, other in combinations("abcdef", 2)]
    links = {LinkId(name): link(name, rate_bits_per_s=20.0 + 20.0 * (place % 2)) for place, name in enumerate(names)}
    work = Work(links, POLICY)
    work.demands = [wants(name, bits=10**9, is_idle=True) for name in names]
    turn_bits = 11 * BLOCK_BITS // 2
    for number in range(800):
        work.act()
        work.step()
        if number % 200 == 199:
            levels = [one.least_bits for one in work.links.values()]
            assert max(levels) - min(levels) <= 3 * turn_bits
    assert min(levels) > 3 * turn_bits


def sixteen_ports(policy: Policy) -> tuple[Work, list[str]]:
    """A full switch: 16 users who all can do both, so 120 pairs, eight at a time; blocks of 32 to 71 s."""
    names = [one + other for one, other in combinations("abcdefghijklmnop", 2)]
    dice = random.Random(7)
    links = {LinkId(name): link(name, rate_bits_per_s=dice.uniform(14.0, 31.0)) for name in names}
    return Work(links, policy), names


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_on_a_full_switch_nobody_starves_however_much_the_others_ask(seed: int) -> None:
    """A tenth of the pairs ask without end and with the highest priority, the others now and then. An overdue link is
    at most behind one order of each other link, so the bound is 120 orders; it is a fourth of that in truth."""
    work, names = sixteen_ports(POLICY)
    dice = random.Random(seed)
    work.demands = [wants(name, bits=10**9, priority=9) for name in dice.sample(names, 12)]
    for number in range(500):
        for turn in "ab":
            bits, priority = dice.choice([200, 1000, 3000]), dice.choice([0, 0, 1])
            work.demands.append(wants(dice.choice(names), bits=bits, priority=priority, demand=f"{number}{turn}"))
        work.act()
        work.step()
    waits_s = work.waits_s + [work.now_s - since_s for since_s in work.wanted_s.values()]
    assert POLICY.most_wait_s < max(waits_s) < POLICY.most_wait_s + len(names) * work.most_order_s
    while len(work.demands) > 12 and len(work.waits_s) < 5000:
        work.act()
        work.step()
    assert {demand.priority for demand in work.demands} == {9}, "all others were met, while those went on asking"


@pytest.mark.slow
def test_on_a_full_switch_whose_pairs_all_want_key_without_end_all_get_it_and_ports_are_used() -> None:
    """Eight of 120 pairs at a time: a turn each takes 15 rounds. Nobody waits four times as long; light passes at four
    fifths of the ports, the rest being turning, calibration, and ports whose partners are busy."""
    work, names = sixteen_ports(POLICY)
    work.demands = [wants(name, bits=10**9) for name in names]
    for _ in range(900):
        work.act()
        work.step()
    got = [one.blocks_got for one in work.links.values()]
    assert min(got) > 0.4 * sum(got) / len(got)
    assert work.light_s / work.now_s > 0.75 * 8
    assert max(work.waits_s) < 4 * 15 * work.most_order_s

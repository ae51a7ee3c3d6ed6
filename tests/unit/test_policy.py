"""What the controller orders, and the routes it chooses."""

from __future__ import annotations

import pytest

from qanat.control.policy import DemandView, LinkView, NetworkView, Policy, decide
from qanat.control.routing import classical_routes
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Link, Network, Site
from unit.routes_support import key_routes

A, B, C = NodeId("a"), NodeId("b"), NodeId("c")
AB, BC = LinkId("a-b"), LinkId("b-c")


def view(ab_bits: int, bc_bits: int, *needs: int, busy: tuple[LinkId, ...] = (), block_bits: int = 0) -> NetworkView:
    """Demands from a to c over b, against these stocks of the sending ends."""
    return NetworkView(
        links={
            AB: LinkView({A: ab_bits, B: 0}, block_bits, AB in busy),
            BC: LinkView({B: bc_bits, C: 0}, block_bits, BC in busy),
        },
        demands=[DemandView(f"d{place}", ((AB, A), (BC, B)), bits) for place, bits in enumerate(needs)],
    )


def test_without_demands_nothing_is_ordered() -> None:
    orders = decide(view(0, 0), Policy())
    assert (orders.generate, orders.satisfied) == ((), ())


def test_a_short_demand_sets_every_short_hop_to_work() -> None:
    orders = decide(view(0, 0, 512), Policy())
    assert [(order.link_id, order.num_blocks, order.demand_ids) for order in orders.generate] == [
        (AB, 1, ("d0",)),
        (BC, 1, ("d0",)),
    ]
    assert orders.satisfied == ()
    assert orders.waits_for == {"d0": (AB, BC)}


def test_a_hop_with_enough_is_left_alone() -> None:
    orders = decide(view(512, 511, 512), Policy())
    assert [order.link_id for order in orders.generate] == [BC]
    assert decide(view(512, 512, 512), Policy()).satisfied == ("d0",)


def test_a_link_has_one_order_at_a_time() -> None:
    orders = decide(view(0, 0, 512, busy=(AB,)), Policy())
    assert [order.link_id for order in orders.generate] == [BC]
    assert orders.waits_for == {"d0": (AB, BC)}


def test_stock_counts_once() -> None:
    orders = decide(view(1000, 1000, 600, 600), Policy())
    assert orders.satisfied == ("d0",)
    assert orders.waits_for == {"d1": (AB, BC)}


@pytest.mark.parametrize(("need", "blocks"), [(100, 1), (500, 1), (501, 2), (1900, 4), (90_000, 4)])
def test_an_order_covers_the_deficit_within_its_limit(need: int, blocks: int) -> None:
    """A block of 1,000 bits gives 500 to each direction."""
    orders = decide(view(0, 0, need, block_bits=1000), Policy(max_blocks_per_order=4))
    assert [order.num_blocks for order in orders.generate] == [blocks, blocks]


def test_a_full_pool_gets_no_more_than_a_demand_needs_at_once() -> None:
    orders = decide(view(10_000, 10_000, 12_000, block_bits=1000), Policy(pool_cap_bits=10_000))
    assert [order.num_blocks for order in orders.generate] == [1, 1]


def network(*links: tuple[str, str, float], users: str = "") -> Network:
    names = sorted({end for one, other, _ in links for end in (one, other)})
    return Network(
        format="qanat-network/1",
        name="t",
        sites=tuple(
            Site(name=name, kind="user" if name in users else "relay", latitude_deg=0, longitude_deg=0)
            for name in names
        ),
        links=tuple(
            Link(name=f"{one}-{other}", transmitter=one, receiver=other, system="x", loss_db=loss_db, length_km=1)
            for one, other, loss_db in links
        ),
    )


SQUARE = network(("a", "b", 10.0), ("b", "c", 10.0), ("a", "d", 5.0), ("d", "c", 20.0))


def test_the_widest_route_avoids_the_weakest_link() -> None:
    assert key_routes(SQUARE, A, rates_bits_per_s={})[C] == ("a", "b", "c")


def test_expected_rates_rule_once_every_link_has_one() -> None:
    rates = {LinkId("a-b"): 10.0, LinkId("b-c"): 10.0, LinkId("a-d"): 20.0, LinkId("d-c"): 30.0}
    assert key_routes(SQUARE, A, rates_bits_per_s=rates)[C] == ("a", "d", "c")
    del rates[LinkId("d-c")]
    assert key_routes(SQUARE, A, rates_bits_per_s=rates)[C] == ("a", "b", "c")


def test_keys_pass_no_user_and_messages_may() -> None:
    line = network(("a", "b", 10.0), ("b", "c", 10.0), users="b")
    assert key_routes(line, A, rates_bits_per_s={}) == {B: ("a", "b")}
    assert classical_routes(line, A) == {B: ("a", "b"), C: ("a", "b", "c")}


def test_messages_take_the_fewest_links() -> None:
    ring = network(("a", "b", 1.0), ("b", "c", 1.0), ("a", "c", 30.0))
    assert classical_routes(ring, A)[C] == ("a", "c")
    assert key_routes(ring, A, rates_bits_per_s={})[C] == ("a", "b", "c")


def test_routes_are_the_same_in_both_directions() -> None:
    there, back = (key_routes(SQUARE, end, rates_bits_per_s={}) for end in (A, C))
    assert there[C] == back[A][::-1]


# ---- idle time ----


def idle_view(stocks: dict[str, int], *demands: DemandView, busy: tuple[str, ...] = ()) -> NetworkView:
    links = {LinkId(name): LinkView({A: bits, B: bits}, has_order=name in busy) for name, bits in stocks.items()}
    return NetworkView(links=links, demands=demands)


def wants(name: str, bits: int, *links: str, is_idle: bool) -> DemandView:
    return DemandView(name, tuple((LinkId(link), A) for link in links), bits, is_idle)


def test_demands_of_idle_time_come_after_all_others() -> None:
    first, later = wants("idle", 600, "l", is_idle=True), wants("asked", 600, "l", is_idle=False)
    orders = decide(idle_view({"l": 1000}, first, later), Policy())
    assert orders.satisfied == ("asked",)
    assert orders.waits_for == {"idle": (LinkId("l"),)}


def test_idle_time_sets_few_links_to_work_the_emptiest_first() -> None:
    stocks = {"l1": 30, "l2": 10, "l3": 20, "l4": 0, "l5": 5000}
    demand = wants("idle", 1000, *stocks, is_idle=True)
    two = Policy(idle_orders_at_once=2)
    assert [order.link_id for order in decide(idle_view(stocks, demand), two).generate] == ["l4", "l2"]
    assert [order.link_id for order in decide(idle_view(stocks, demand, busy=("l1",)), two).generate] == ["l4"]
    assert decide(idle_view(stocks, demand, busy=("l1", "l4")), two).generate == ()


def test_who_asks_gets_every_link_at_once_whatever_idle_time_does() -> None:
    stocks = {f"l{number}": 0 for number in range(10)}
    asked, idle = wants("asked", 100, *stocks, is_idle=False), wants("idle", 100, "l0", is_idle=True)
    orders = decide(idle_view(stocks, idle, asked, busy=("l0",)), Policy(idle_orders_at_once=1))
    assert [order.link_id for order in orders.generate] == [f"l{number}" for number in range(1, 10)]


def test_links_that_rest_keep_no_others_from_work() -> None:
    links = {LinkId(f"r{number}"): LinkView({A: 0, B: 0}, rests=True) for number in range(4)}
    links[LinkId("l")] = LinkView({A: 0, B: 0})
    demand = wants("idle", 100, "l", is_idle=True)
    orders = decide(NetworkView(links=links, demands=[demand]), Policy(idle_orders_at_once=4))
    assert [order.link_id for order in orders.generate] == ["l"]


def test_a_large_demand_that_waits_elsewhere_holds_nothing_back() -> None:
    large, small = wants("large", 900, "l1", "l2", is_idle=False), wants("small", 100, "l1", is_idle=False)
    orders = decide(idle_view({"l1": 1000, "l2": 0}, large, small), Policy())
    assert orders.satisfied == ("small",)
    assert orders.waits_for == {"large": (LinkId("l2"),)}


def test_of_two_demands_for_the_same_key_the_higher_priority_is_met() -> None:
    hops = ((LinkId("l"), A),)
    first, urgent = DemandView("first", hops, 600), DemandView("urgent", hops, 600, priority=3)
    orders = decide(idle_view({"l": 700}, first, urgent), Policy())
    assert orders.satisfied == ("urgent",)
    assert orders.waits_for == {"first": (LinkId("l"),)}


def test_in_idle_time_links_are_brought_to_their_level_the_emptiest_first_though_nobody_asks() -> None:
    stocks = {"l1": 900, "l2": 10, "l3": 20, "l4": 1000}
    two = Policy(idle_orders_at_once=2, idle_level_bits=1000)
    orders = decide(idle_view(stocks), two).generate
    assert [(order.link_id, order.num_blocks, order.demand_ids) for order in orders] == [("l2", 1, ()), ("l3", 1, ())]
    assert [order.link_id for order in decide(idle_view(stocks), Policy(idle_level_bits=1000)).generate] == [
        "l2",
        "l3",
        "l1",
    ]
    assert decide(idle_view(stocks), Policy()).generate == ()


def test_who_asks_goes_before_the_filling_of_links() -> None:
    stocks = {"l1": 0, "l2": 500}
    one = Policy(idle_orders_at_once=1, idle_level_bits=1000)
    orders = decide(idle_view(stocks, wants("asked", 600, "l2", is_idle=False)), one).generate
    assert [order.link_id for order in orders] == ["l2"]


def test_a_link_whose_ends_have_not_both_spoken_is_not_filled() -> None:
    links = {LinkId("l"): LinkView({A: 0})}
    assert decide(NetworkView(links, ()), Policy(idle_level_bits=1000)).generate == ()


def test_idle_time_wakes_no_site_but_fills_links_between_those_that_are_awake() -> None:
    filling = Policy(idle_level_bits=1000)
    links = {LinkId(name): LinkView({A: 0, B: 0}, sleeps=name == "asleep") for name in ("asleep", "awake")}
    assert [order.link_id for order in decide(NetworkView(links, ()), filling).generate] == ["awake"]
    asked = wants("asked", 600, "asleep", is_idle=False)
    assert LinkId("asleep") in {order.link_id for order in decide(NetworkView(links, (asked,)), filling).generate}

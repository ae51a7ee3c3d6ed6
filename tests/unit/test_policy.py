"""What the controller orders, and the routes it chooses."""

from __future__ import annotations

import pytest

from qanat.control.policy import DemandView, LinkView, NetworkView, Policy, decide
from qanat.control.routing import classical_routes, key_routes
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Link, Network, Site

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

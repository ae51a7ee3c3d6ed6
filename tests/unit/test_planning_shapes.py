"""Star, ring, tree and switch: what they take, and what they give by closed forms."""

from __future__ import annotations

import pytest

from qanat.ground.errors import BadParameter, ConfigurationError
from qanat.ground.network import Network
from qanat.planning.limits import DWELL_S
from qanat.planning.measuring import Measured, measured, side_by_side
from qanat.planning.prices import Prices, bill, changed
from qanat.planning.shapes import MOST_DIRECT_USERS, Plan, ring, star, switch_alone, switch_with_relay, tree
from qanat.quantum_layer.forecast import link_forecast

SYSTEM = "metro-40-i"


def plan(num_users: int, radius_km: float = 12.0) -> Plan:
    return Plan(num_users, radius_km, 0.3, SYSTEM)


def rate_at(loss_db: float) -> float:
    return link_forecast(SYSTEM, loss_db=round(loss_db, 3)).secret_rate_bits_per_s


def in_figures(network: Network) -> Measured:
    return measured(network, Prices())


@pytest.mark.parametrize("users", [5, 12])
def test_a_star_has_a_receiver_per_user_and_one_relay_that_knows_everything(users: int) -> None:
    found = in_figures(star(plan(users)))
    assert (found.bill.transmitters, found.bill.receivers, found.bill.relays) == (users, users, 1)
    assert (found.trust.mean, found.trust.most) == (1.0, 1)
    assert found.relay_loss == found.pairs == users * (users - 1) // 2
    assert found.each_bits_per_s == pytest.approx(rate_at(3.6) / (users - 1), rel=1e-6)
    assert found.alone_bits_per_s == pytest.approx(rate_at(3.6), rel=1e-6)


@pytest.mark.parametrize("users", [5, 8])
def test_a_ring_survives_any_failure_and_every_link_carries_the_same(users: int) -> None:
    network = ring(plan(users))
    found = in_figures(network)
    hops = [min(apart, users - apart) for apart in range(1, users)]
    pairs = users * (users - 1) / 2
    assert found.relay_loss == 0
    assert found.trust.mean == pytest.approx(sum(hops) / len(hops) - 1)
    assert found.trust.most == users // 2 - 1
    (loss_db,) = {link.loss_db for link in network.links}
    # all pairs cross as many links as they are apart, and the links share that evenly
    load = pairs * (sum(hops) / len(hops)) / users
    assert found.each_bits_per_s == pytest.approx(rate_at(loss_db) / load, rel=1e-6)
    assert found.alone_bits_per_s == pytest.approx(2 * rate_at(loss_db), rel=1e-6)


def test_a_tree_has_a_relay_per_branch_and_one_in_the_middle() -> None:
    found = in_figures(tree(plan(16)))
    assert found.bill.relays == 5
    assert found.trust.most == 3
    assert found.relay_loss == 120 - 4 * 6  # the middle's: only pairs of one branch keep a way


def test_behind_a_switch_one_receiver_serves_all_by_turns() -> None:
    users = 9
    found = in_figures(switch_with_relay(plan(users)))
    assert (found.bill.transmitters, found.bill.receivers, found.bill.detectors) == (users + 1, 1, 4)
    assert found.relay_loss == found.switch_loss == found.pairs
    duty = 1 - 0.02 / DWELL_S
    through = duty * rate_at(3.6 + 1.0 + 0.03)
    assert found.each_bits_per_s == pytest.approx(through / (users * (users - 1)), rel=1e-6)


@pytest.mark.parametrize(("users", "rounds"), [(8, 7), (9, 9), (16, 15)])
def test_direct_keys_take_as_many_rounds_as_a_tournament(users: int, rounds: int) -> None:
    """Of an even number of users all are paired in each round, and everybody meets everybody in one round less than
    there are users; of an odd number one is left over in each."""
    found = in_figures(switch_alone(plan(users)))
    assert found.trust.most == found.bill.relays == 0
    assert found.each_bits_per_s == pytest.approx((1 - 0.02 / DWELL_S) * rate_at(3.6 + 1.0 + 3.6) / rounds, rel=1e-6)


def test_many_users_behind_switches_meet_over_trunks() -> None:
    network = switch_alone(plan(30))
    assert [len(switch.ports) for switch in network.switches] == [15, 15]
    assert len(network.trunks) == 1
    found = in_figures(network)
    across = rate_at(3.6 + 1.0 + 0.03 + 1.0 + 3.6)
    assert found.pairs == 435
    assert found.each_bits_per_s == pytest.approx((1 - 0.02 / DWELL_S) * across / 15**2, rel=1e-3)  # one at a time
    assert all(len(switch.ports) + 7 <= 16 for switch in switch_alone(plan(MOST_DIRECT_USERS)).switches)
    with pytest.raises(BadParameter):
        switch_alone(plan(MOST_DIRECT_USERS + 1))


def test_side_by_side_the_switch_is_cheapest_the_ring_safest_and_direct_keys_are_known_to_nobody() -> None:
    found = {name: one for name, one in side_by_side(plan(15), Prices()).items() if one is not None}
    assert min(found, key=lambda name: found[name].bill.cost) == "switch, relay behind"
    assert [name for name, one in found.items() if one.relay_loss == one.switch_loss == 0] == ["ring"]
    assert [name for name, one in found.items() if one.trust.most == 0] == ["switch, direct keys"]
    assert max(found, key=lambda name: found[name].each_bits_per_s) == "star"


def test_a_shape_that_cannot_hold_so_many_is_told_and_the_others_are_measured() -> None:
    network = switch_with_relay(plan(31))
    assert len(network.switches) == 3
    assert len(network.links) == 31 + 3  # the relays' ring
    assert len(network.described_links) == 3


@pytest.mark.parametrize(
    "odd",
    [
        {"num_users": 2},
        {"num_users": 10_000},
        {"radius_km": 0.0},
        {"radius_km": float("nan")},
        {"loss_db_per_km": -1.0},
    ],
)
def test_plans_that_are_none_are_refused(odd: dict[str, float]) -> None:
    with pytest.raises(BadParameter):
        Plan(**({"num_users": 5, "radius_km": 1.0, "loss_db_per_km": 0.3, "system": SYSTEM} | odd))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError):
        Plan(5, 1.0, 0.3, "nobody's")


@pytest.mark.parametrize(
    ("num_users", "radius_km", "loss_db_per_km"),
    [(5, 500.0, 0.312), (5, 180.0, 0.312), (3, 200.0, 0.312), (40, 500.0, 0.01), (5, 30.0, 10.0)],
)
def test_shapes_of_ways_that_no_network_has_are_refused_with_a_remedy(
    num_users: int, radius_km: float, loss_db_per_km: float
) -> None:
    with pytest.raises(BadParameter, match="a link of a network has at most") as caught:
        side_by_side(Plan(num_users, radius_km, loss_db_per_km, SYSTEM), Prices())
    assert "--radius-km" in caught.value.remedy


def test_the_bill_is_the_sum_of_its_parts_and_prices_can_be_replaced() -> None:
    network = switch_with_relay(plan(4))
    free = Prices(transmitter=0, receiver_optics=0, detector=0, relay=0, switch=0, fibre_km=0)
    assert bill(network, free).cost == 0
    parts = {"transmitter": 5, "receiver_optics": 1, "detector": 4, "relay": 1, "switch": 1, "fibre_km": 48.1}
    for name, count in parts.items():
        assert bill(network, changed(free, [f"{name}=2"])).cost == pytest.approx(2 * count)
    for odd in ("detectors=2", "detector", "detector=dear", "detector=-1", "detector=nan"):
        with pytest.raises(BadParameter):
            changed(free, [odd])

"""Which routes of a share key managers are told."""

from __future__ import annotations

import pytest

from qanat.control.posing import USABLE, told_routes
from qanat.control.sharing import Share
from qanat.ground.identifiers import NodeId

ROUTES = tuple((NodeId("aa"), NodeId(relay), NodeId("bb")) for relay in "rst")


def share_of(*rates: float) -> Share:
    return Share("d", sum(rates), tuple(zip(ROUTES, rates, strict=False)))


def test_a_route_that_carries_next_to_nothing_is_not_told_and_the_others_carry_all() -> None:
    told = told_routes(share_of(60.0, 39.5, 0.5))
    assert [route for route, _ in told] == list(ROUTES[:2])
    assert sum(rate for _, rate in told) == pytest.approx(100.0)
    assert told[0][1] / told[1][1] == pytest.approx(60.0 / 39.5)


def test_routes_that_carry_a_part_are_told_as_they_are() -> None:
    share = share_of(60.0, 37.0, 3.0)
    assert dict(told_routes(share)) == pytest.approx(dict(share.routes))


def test_a_share_without_a_route_has_none_to_tell() -> None:
    assert told_routes(Share("d", 0.0, ())) == ()


@pytest.mark.parametrize("rates", [[1000.0] + [20.0] * 40, [1.0] * 50, [50.0] * 3 + [1.9] * 20, [97.6, 1.2, 1.2]])
def test_no_route_is_told_more_than_what_is_kept_back_leaves_room_for(rates: list[float]) -> None:
    share = Share("d", sum(rates), tuple((route_over(place), rate) for place, rate in enumerate(rates)))
    told, found = dict(told_routes(share)), dict(share.routes)
    assert sum(told.values()) == pytest.approx(share.rate_bits_per_s)
    assert max(told[route] / found[route] for route in told) < 1 / USABLE
    assert max(rates) == max(found[route] for route in told)


def route_over(place: int) -> tuple[NodeId, ...]:
    return NodeId("aa"), NodeId(f"r{place}"), NodeId("bb")

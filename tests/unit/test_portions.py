"""What a satellite keeps for each two stations: equal parts, nothing lost, nothing kept for ever."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.keys import PoolId
from qanat.key_management.portions import PASSES_KEPT, Portions

POOL = PoolId(LinkId("bird-west"), NodeId("bird"))
EAST, NORTH, SOUTH = map(LinkId, ("by-east", "by-north", "by-south"))


def of(portions: Portions) -> dict[LinkId, int]:
    return {link: portions.of(POOL, link) for link in (EAST, NORTH, SOUTH)}


def test_what_is_gained_is_divided_equally_to_the_bit() -> None:
    portions = Portions({POOL: [EAST, NORTH, SOUTH]})
    portions.note(POOL, 1000)
    assert sorted(of(portions).values()) == [333, 333, 334]
    portions.note(POOL, 1000)
    assert sum(of(portions).values()) == 1000


def test_a_station_with_one_partner_keeps_all_for_it() -> None:
    portions = Portions({POOL: [EAST]})
    portions.note(POOL, 1001)
    assert portions.of(POOL, EAST) == 1001


def test_who_never_comes_holds_the_worth_of_a_few_passes_and_no_more() -> None:
    portions, available = Portions({POOL: [EAST, NORTH, SOUTH]}), 0
    portions.note(POOL, 0)
    for _ in range(100):
        available += 900
        portions.note(POOL, available)
        for link in (EAST, NORTH):
            available -= portions.of(POOL, link)
            portions.take(POOL, link, portions.of(POOL, link))
    assert of(portions) == {EAST: 0, NORTH: 0, SOUTH: PASSES_KEPT * 900}


def test_what_is_lost_is_lost_to_all() -> None:
    portions = Portions({POOL: [EAST, NORTH, SOUTH]})
    portions.note(POOL, 900)
    portions.take(POOL, EAST, 300)
    portions.note(POOL, 300)
    assert of(portions) == {EAST: 0, NORTH: 150, SOUTH: 150}


def test_a_stock_that_was_there_at_the_start_is_no_measure_of_a_pass() -> None:
    portions = Portions({POOL: [EAST, NORTH, SOUTH]})
    portions.note(POOL, 90_000)
    for link in (EAST, NORTH):
        portions.take(POOL, link, 30_000)
    available = 30_000
    for _ in range(20):
        available += 900
        portions.note(POOL, available)
        for link in (EAST, NORTH):
            available -= portions.of(POOL, link)
            portions.take(POOL, link, portions.of(POOL, link))
    assert portions.of(POOL, SOUTH) == 30_000, "more than the worth of four passes: it grows no further"


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from([EAST, NORTH, SOUTH]), st.floats(0, 1)), max_size=30))
def test_the_portions_are_always_all_that_there_is(steps: list[tuple[int, LinkId, float]]) -> None:
    portions = Portions({POOL: [EAST, NORTH, SOUTH]})
    for available, link, part in steps:
        portions.note(POOL, available)
        assert sum(of(portions).values()) == available
        assert min(of(portions).values()) >= 0
        portions.take(POOL, link, int(part * portions.of(POOL, link)))

"""Ways closed by a node that does not answer, as the time of its silence runs out while they are looked at."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from qanat.apps.networks import load_network
from qanat.control.silence import silence_of
from qanat.ground.errors import NodeSilent
from qanat.ground.identifiers import NodeId
from qanat.key_management.settings import KeyManagerSettings
from qanat.key_management.ways import Tried, Ways, Wish
from qanat.key_management.wire import RouteChoices, Routes

NORTH, EAST, SOUTH = map(NodeId, ("north", "east", "south"))
NEAR = (NORTH, EAST, SOUTH)
FAR = (NORTH, NodeId("northwest"), NodeId("southwest"), SOUTH)
PAUSE_S = KeyManagerSettings().cut_route_pause_s


class LeapingClock:
    """Stands still for so many reads, then leaps past the end of every silence."""

    def __init__(self) -> None:
        self.reads_left: int | None = None

    def monotonic_s(self) -> float:
        if self.reads_left is None:
            return 0.0
        self.reads_left -= 1
        return 0.0 if self.reads_left >= 0 else PAUSE_S + 1


class NoRations:
    """Every way has its part left, and ways come in the order in which they are told."""

    def are_left(self, _routes: object) -> bool:
        return True

    def in_turn(self, _target: NodeId, ways: Any, **_: Any) -> Any:
        return ways


def ways_of_a_ring(clock: LeapingClock, *, lost: tuple[NodeId, ...] = (), unreached: tuple[NodeId, ...] = ()) -> Ways:
    choices = RouteChoices(SOUTH, (NEAR, FAR), (), ())
    routes = SimpleNamespace(
        ways=lambda _target: choices.disjoint,
        choices=lambda _target: choices,
        lost_nodes=frozenset(lost),
        rations=SimpleNamespace(parts=NoRations()),
        spreading=NoRations(),
    )
    context = SimpleNamespace(
        node=NORTH,
        network=load_network("five-site-ring"),
        clock=clock,
        settings=KeyManagerSettings(),
        routes=routes,
        courier=SimpleNamespace(is_unreached=lambda peer: peer in unreached),
    )
    return Ways(cast(Any, context))


def chosen_or_refused(ways: Ways, wish: Wish) -> Routes | NodeSilent:
    try:
        return ways.choose(wish, Tried())
    except NodeSilent as refused:
        return refused


def test_a_way_to_a_neighbour_that_cannot_be_reached_is_taken_where_there_is_no_other() -> None:
    assert ways_of_a_ring(LeapingClock()).choose(Wish(SOUTH, 1, 256), Tried()) == (NEAR,)
    ways = ways_of_a_ring(LeapingClock(), unreached=(EAST,))
    assert ways.choose(Wish(SOUTH, 1, 256), Tried()) == (FAR,)
    assert ways.choose(Wish(SOUTH, 2, 256), Tried()) == (NEAR, FAR)
    none_left = ways_of_a_ring(LeapingClock(), unreached=(EAST, NodeId("northwest")))
    assert none_left.choose(Wish(SOUTH, 1, 256), Tried()) == (NEAR,)


def test_nodes_that_do_not_answer_are_named_where_all_tries_have_failed() -> None:
    """One was found silent from here; another, on the way that was tried, hangs, and the controller misses it."""
    ways = ways_of_a_ring(LeapingClock(), lost=FAR[1:2])
    ways.close((), at=NORTH, silent=EAST)
    assert ways.suspects(Wish(SOUTH, 1, 256)) == (
        "'east' does not answer 'north'",
        "'northwest' does not answer the controller",
    )


def test_what_helps_is_said_of_a_node_that_may_be_healthy_behind_a_line_that_is_cut() -> None:
    ways = ways_of_a_ring(LeapingClock())
    for silent in (EAST, FAR[1]):
        ways.close((), at=NORTH, silent=silent)
    one, both = (chosen_or_refused(ways, Wish(SOUTH, count, 256)) for count in (1, 2))
    assert isinstance(one, NodeSilent)
    assert one.remedy == (
        "bring the key manager of 'east', or 'northwest' up again, look at the line to it, or renew its certificate"
        " where it was revoked or has ended; keys then go on by themselves"
    )
    assert isinstance(both, NodeSilent)
    assert "of 'east' and 'northwest' up again, look at the lines to them, or renew their certific" in both.remedy


def test_of_one_that_is_silent_to_the_controller_the_line_to_the_controller_is_named() -> None:
    assert "look at the line between it and the controller, or renew its certificate" in silence_of("1", EAST).remedy


@pytest.mark.parametrize("num_reads", range(12))
@pytest.mark.parametrize("count", [1, 2])
def test_a_silence_that_ends_while_ways_are_chosen_closes_them_or_does_not(count: int, num_reads: int) -> None:
    """Whenever it ends, the answer is one of the two: ways, or who does not answer and since when to ask again."""
    clock = LeapingClock()
    ways = ways_of_a_ring(clock)
    for silent in (EAST, FAR[1]):
        ways.close((), at=NORTH, silent=silent)
    clock.reads_left = num_reads
    chosen = chosen_or_refused(ways, Wish(SOUTH, count, 256))
    if isinstance(chosen, NodeSilent):
        assert "does not answer" in chosen.message
        assert chosen.retry_after_s is not None
        assert chosen.retry_after_s >= 1
    else:
        assert set(chosen) <= {NEAR, FAR}
        assert len(chosen) == count

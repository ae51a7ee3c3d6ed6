"""Which peers a key manager takes to be unreached: not for a moment, and not who sleeps or is just coming up."""

from __future__ import annotations

from typing import Any, cast

from qanat.ground.identifiers import Epoch, NodeId
from qanat.key_management.courier import Courier

A, B, C = NodeId("a"), NodeId("b"), NodeId("c")


class Lines:
    """Says to whom lines stand, and who may be coming up."""

    def __init__(self) -> None:
        self.up, self.coming = {A, B, C}, set[NodeId]()

    def is_reachable(self, peer: NodeId) -> bool:
        return peer in self.up

    def is_coming(self, peer: NodeId) -> bool:
        return peer in self.coming


class Peers:
    """A courier that looks at its lines each second."""

    def __init__(self) -> None:
        self.lines, self.asleep, self.opening, self.now_s = Lines(), set[NodeId](), set[NodeId](), 0.0
        self.courier = Courier(
            transport=cast(Any, self.lines),
            entropy=cast(Any, None),
            epoch=Epoch(1),
            is_awake=lambda peer: peer not in self.asleep,
            is_opening=self.opening.__contains__,
        )

    def look(self, *, times: int = 2) -> tuple[NodeId, ...]:
        for _ in range(times):
            self.now_s += 1.0
            self.courier.watch((A, B, C), now_s=self.now_s)
        return self.courier.unreached


def test_a_line_that_is_gone_at_two_looks_is_unreached_until_it_stands_again() -> None:
    peers = Peers()
    peers.lines.up.discard(B)
    assert peers.look(times=1) == ()
    assert not peers.courier.is_unreached(B)
    assert peers.look(times=1) == (B,)
    assert peers.courier.is_unreached(B)
    assert not peers.courier.is_unreached(A)
    peers.lines.up.add(B)
    assert not peers.courier.is_unreached(B), "at once, not with the next look"
    assert peers.look(times=1) == ()
    peers.lines.up.discard(B)
    assert peers.look(times=1) == (), "its time begins anew"


def test_who_sleeps_or_is_being_opened_or_has_just_taken_a_call_is_not_unreached() -> None:
    peers = Peers()
    peers.lines.up.clear()
    peers.asleep, peers.lines.coming = {A}, {C}
    peers.opening.add(B)
    assert peers.look() == ()
    peers.opening.clear()
    assert peers.look() == (B,)

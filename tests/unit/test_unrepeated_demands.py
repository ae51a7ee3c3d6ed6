"""The controller forgets demands that no key manager says again."""

from __future__ import annotations

from qanat.control.books import UNREPEATED_S, Books, DemandBook
from qanat.ground.identifiers import EventId, NodeId
from qanat.key_management.wire import GenerationRequest
from simulation.shared_network import shared_network

AA, BB = NodeId("aa"), NodeId("bb")
WAY = (AA, NodeId("r"), BB)


def word(demand_id: str, *, standing: int = 1) -> GenerationRequest:
    return GenerationRequest(demand_id, AA, BB, 1536, (), None, standing=standing)


def test_a_demand_that_is_said_again_stays_and_one_that_is_not_is_forgotten() -> None:
    books = Books(shared_network(["aa-r", "r-bb"], {"alice": "aa", "bob": "bb"}, sharing=None))
    for demand_id in ("said", "unsaid"):
        books.demands[demand_id] = DemandBook(word(demand_id), (WAY,), (), EventId("found"), heard_s=0.0)
    books.note_repeated(books.demands["said"], word("said", standing=2), now_s=UNREPEATED_S / 2)
    books.forget_unrepeated(now_s=UNREPEATED_S)
    assert set(books.demands) == {"said", "unsaid"}
    books.forget_unrepeated(now_s=UNREPEATED_S + 0.1)
    assert set(books.demands) == {"said"}
    assert books.demands["said"].word.standing == 2

"""The few links that the controller decides on are decided on as they would be among all of a network's links."""

from __future__ import annotations

import random
from collections.abc import Collection

import pytest

from qanat.apps.networks import load_network
from qanat.control.books import Books, DemandBook, OrderBook
from qanat.control.forecasting import Forecasts, Foresight
from qanat.control.policy import decide
from qanat.control.views import Orders, Policy
from qanat.ground.identifiers import EventId, LinkId, OrderId
from qanat.ground.orders import LinkForecast
from qanat.key_management.wire import GenerationRequest

PAPER = load_network("nature2021")
POLICY = Policy()
NOW_S, UTC_S = 1000.0, 1.8e9


def drawn_books(dice: random.Random) -> Books:
    """Return the paper's links with stock, orders and demands as they may be at some moment."""
    books = Books(PAPER)
    for link_id, book in books.links.items():
        for end in book.ends:
            if dice.random() < 0.9:
                book.available_bits[end] = dice.choice([0, 100, 10_000, 10_000_000])
                book.rates_bits_per_s[end] = dice.choice([0.0, 100.0, 30_000.0])
        book.block_bits = dice.choice([0, 100_000])
        book.is_to_try = dice.random() < 0.01
        if dice.random() < 0.02:
            states = dict.fromkeys(book.ends)
            order_id = OrderId(f"order of {link_id}")
            books.orders[order_id] = OrderBook(order_id, link_id, 1, None, NOW_S + 60.0, (), {**states})
    books.ahead = frozenset(dice.sample([*books.links], k=5))
    for number in range(8):
        link_ids = dice.sample([*books.links], k=dice.randint(1, 4))
        hops = tuple((link_id, dice.choice(books.links[link_id].ends)) for link_id in link_ids)
        word = GenerationRequest(
            *(f"demand {number}", hops[0][1], hops[-1][1], dice.choice([256, 50_000]), (), None),
            is_idle=dice.random() < 0.3,
            priority=dice.randint(0, 2),
        )
        books.demands[word.demand_id] = DemandBook(word, (), hops, EventId("found"), NOW_S)
    return books


def drawn_foresight(dice: random.Random) -> Foresight:
    spans = [
        LinkForecast(link.link_id, UTC_S + begin_s, UTC_S + begin_s + 3600.0, dice.choice([0, 1_000_000]))
        for link in dice.sample(PAPER.links, k=dice.randint(0, 12))
        for begin_s in (dice.uniform(-3600.0, 3600.0),)
    ]
    foresight = Foresight(POLICY, now_s=0.0, forecasts=Forecasts(spans))
    for link_id in foresight.forecasts.links:
        hop = (link_id, PAPER.link(link_id).ends[0])
        for bits, at_s in ((5_000_000, 100.0), (dice.choice([0, 4_000_000]), 900.0)):
            foresight.demand.note_stock(hop, bits, now_s=at_s)
    return foresight


def decided(books: Books, foresight: Foresight, with_links: Collection[LinkId]) -> Orders:
    view = books.view(now_s=NOW_S, with_links=with_links)
    return decide(foresight.applied(view, utc_s=UTC_S, now_s=NOW_S), POLICY)


@pytest.mark.parametrize("seed", range(8))
def test_links_that_nobody_asks_for_and_nothing_is_foretold_of_change_no_decision(seed: int) -> None:
    dice = random.Random(seed)
    books, foresight = drawn_books(dice), drawn_foresight(dice)
    few = decided(books, foresight, foresight.forecasts.links)
    assert few == decided(books, foresight, books.links)
    assert few.generate

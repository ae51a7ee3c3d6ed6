"""Routes of one word as a tree: told whole, once, and in one spelling."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanat.control.books import Books
from qanat.control.tables import Tables
from qanat.ground.data import read_text
from qanat.ground.framing import canonical_json
from qanat.ground.identifiers import Epoch, NodeId
from qanat.ground.network import parse_network
from qanat.key_management.codec import encode_word
from qanat.key_management.route_tree import FIELDS, read_routes, write_routes
from qanat.key_management.wire import RouteChoices, RoutesPushed

ROUTE = st.lists(st.sampled_from(["a", "b", "c", "d"]).map(NodeId), max_size=5).map(tuple)
ROUTES = st.lists(ROUTE, max_size=5).map(tuple)
CHOICES = st.lists(st.builds(RouteChoices, st.just(NodeId("z")), ROUTES, ROUTES, ROUTE), max_size=3).map(tuple)


def read(fields: dict[str, Any]) -> RoutesPushed:
    key_routes, classical_routes, choices = read_routes(fields)
    return RoutesPushed(1, 1, key_routes, classical_routes, (), choices)


@given(st.builds(RoutesPushed, st.just(1), st.just(1), ROUTES, ROUTES, st.just(()), CHOICES))
def test_all_routes_come_back_as_they_were_whatever_they_have_in_common(word: RoutesPushed) -> None:
    fields = write_routes(word)
    assert sorted(fields) == sorted(FIELDS)
    assert read(fields) == word


NUMBERS = st.lists(st.integers(0, 4), max_size=4)
ROWS = st.lists(st.tuples(st.just("z"), NUMBERS, NUMBERS, st.integers(0, 4)).map(list), max_size=2)


@given(
    st.fixed_dictionaries(
        {
            "choices": ROWS,
            "classical_routes": NUMBERS,
            "key_routes": NUMBERS,
            "step_before": st.lists(st.integers(-1, 4), max_size=4),
            "steps": st.lists(st.sampled_from(["a", "b"]), max_size=4),
        }
    )
)
def test_a_tree_is_refused_or_is_the_one_spelling_of_what_it_says(fields: dict[str, Any]) -> None:
    try:
        word = read(fields)
    except ValueError:
        return
    assert write_routes(word) == fields


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"steps": ["a", "b", "c", "d"]}, "without the one before it"),
        ({"step_before": [0, 1, 3]}, "of no step before it"),
        ({"steps": ["a", "b", "b"], "step_before": [0, 1, 1]}, "stands twice"),
        ({"key_routes": [4]}, "is the number of no step"),
        ({"key_routes": [True]}, "is the number of no step"),
        ({"key_routes": [3], "classical_routes": []}, "leaves steps out"),
        ({"key_routes": [2], "classical_routes": []}, "steps of no route"),
    ],
)
def test_what_is_wrong_with_a_tree_is_said(changed: dict[str, Any], fault: str) -> None:
    good = {
        "choices": [],
        "classical_routes": [3],
        "key_routes": [2],
        "step_before": [0, 1, 1],
        "steps": ["a", "b", "c"],
    }
    assert read(good).classical_routes == (("a", "c"),)
    with pytest.raises(ValueError, match=fault):
        read(good | changed)


def test_a_users_table_in_the_papers_network_is_told_in_less_than_a_quarter_of_its_names() -> None:
    network = parse_network(read_text("networks", "nature2021.yaml"), source="nature2021")
    word = Tables(network, Books(network)).pushed(NodeId("beijing-user-08"), Epoch(1))
    routes = [*word.key_routes, *word.classical_routes]
    for choice in word.choices:
        routes += [*choice.disjoint, *choice.detours, choice.cut]
    told = encode_word(word)[1]
    assert read({name: told[name] for name in FIELDS}).choices == word.choices
    assert len(canonical_json(told)) < len(canonical_json({"routes": [list(route) for route in routes]})) / 4


def test_a_chain_that_would_fill_the_memory_is_refused() -> None:
    num = 50_000
    chain = {"step_before": list(range(num)), "steps": [f"n{number}" for number in range(num)]}
    with pytest.raises(ValueError, match="names on the ways to all steps"):
        read({"choices": [], "classical_routes": [], "key_routes": [num], **chain})

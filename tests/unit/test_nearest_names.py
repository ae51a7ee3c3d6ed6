"""Suggestions for a name that is not known: only what is really like it."""

from __future__ import annotations

import pytest

from qanat.apps.networks import load_network
from qanat.ground.network.names import nearest

CITIES = ["cangzhou", "cangzhoubei", "hefei", "jinan", "jinan-user-01", "kunshan", "shanghai", "suzhou", "urumqi"]


@pytest.mark.parametrize(("name", "meant"), [("suzho", "suzhou"), ("kunshn", "kunshan"), ("user-01", "jinan-user-01")])
def test_a_slip_is_answered_with_what_was_meant(name: str, meant: str) -> None:
    assert meant in nearest(name, CITIES).removeprefix("did you mean ")
    assert nearest(name, CITIES).startswith("did you mean")


@pytest.mark.parametrize("name", ["nope", "nowhere", "x"])
def test_a_name_like_none_is_told_how_many_there_are_and_how_to_list_them(name: str) -> None:
    sites = load_network("nature2021").nodes
    assert nearest(name, sites).startswith(f"there are {len(sites)}, such as ")
    assert "qanat network show" in nearest(name, sites)


@pytest.mark.parametrize("name", ["jinan-user-5", "jinan-user-005"])
def test_a_number_with_other_zeros_before_it_is_the_first_that_was_meant(name: str) -> None:
    users = [f"jinan-user-{number:02}" for number in range(1, 51)]
    assert nearest(name, users).startswith("did you mean jinan-user-05,")
    assert nearest("b1", ["b001", "c1"]).startswith("did you mean b001")


def test_of_few_names_all_are_listed() -> None:
    assert nearest("nope", ["b", "a"]) == "there are a, b"
    assert nearest("nope", ["a"]) == "there is a alone"
    assert nearest("nope", []) == "there are none"

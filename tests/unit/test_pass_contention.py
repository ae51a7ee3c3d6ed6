"""Which passes are taken where a satellite or a station has two at a time."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from qanat.orbits.contention import SLEW_S, Contact, taken


def chosen(*contacts: Contact, slew_s: float = SLEW_S) -> list[Contact]:
    return taken(contacts, lambda one: one, slew_s=slew_s)


def test_passes_that_follow_one_another_are_all_taken() -> None:
    passes = [
        Contact("bird", "west", 0, 300, 5),
        Contact("bird", "east", 360, 600, 5),
        Contact("kite", "west", 360, 600, 5),
    ]
    assert chosen(*reversed(passes)) == passes


def test_of_two_at_a_time_the_one_with_most_key_is_taken_and_next_time_the_other_station_has_its_turn() -> None:
    first, second = Contact("bird", "west", 0, 400, 9), Contact("bird", "east", 60, 400, 4)
    third, fourth = Contact("bird", "west", 6000, 6400, 9), Contact("bird", "east", 6060, 6400, 4)
    assert chosen(first, second, third, fourth) == [first, fourth]


def test_a_telescope_that_has_yet_to_turn_sees_nothing() -> None:
    first, second = Contact("bird", "west", 0, 400, 9), Contact("bird", "east", 430, 700, 4)
    assert chosen(first, second) == [first]
    assert chosen(first, second, slew_s=30.0) == [first, second]


def test_two_satellites_over_one_station_are_one_at_a_time_and_different_stations_do_not_mind() -> None:
    low, high = Contact("bird", "west", 0, 400, 3), Contact("kite", "west", 100, 300, 8)
    elsewhere = Contact("gull", "east", 0, 400, 1)
    assert chosen(low, high, elsewhere) == [elsewhere, high]


def test_a_pass_without_key_is_in_nobodys_way() -> None:
    empty, full = Contact("bird", "west", 0, 400, 0), Contact("bird", "east", 300, 700, 2)
    assert chosen(empty, full) == [full]
    assert chosen(empty) == [empty]


@pytest.mark.parametrize("seed", range(20))
def test_no_two_that_are_taken_exclude_each_other_and_every_other_one_is_excluded(seed: int) -> None:
    dice = random.Random(seed)
    contacts = []
    for _ in range(120):
        rise_s = dice.uniform(0, 20_000)
        contacts.append(
            Contact(
                dice.choice("xyz"), dice.choice("abcd"), rise_s, rise_s + dice.uniform(100, 900), dice.randint(0, 9)
            )
        )
    kept = chosen(*contacts)
    assert not any(one.excludes(other, SLEW_S) for one, other in itertools.combinations(kept, 2))
    for left in set(contacts) - set(kept):
        assert any(left.excludes(one, SLEW_S) for one in kept)
    assert [one.rise_utc_s for one in kept] == sorted(one.rise_utc_s for one in kept)


def test_two_stations_that_are_always_seen_together_share_alike() -> None:
    passes = [
        Contact("bird", station, 6000.0 * turn, 6000.0 * turn + 400, bits)
        for turn in range(40)
        for station, bits in (("west", 7), ("east", 5))
    ]
    got = Counter[str]()
    for one in chosen(*passes):
        got[one.station] += one.expected_bits
    assert abs(got["west"] - got["east"]) <= 7


def test_a_pass_of_no_length_is_taken_like_any_other() -> None:
    still = Contact("bird", "west", 5.0, 5.0, 1)
    assert chosen(still, slew_s=0.0) == [still]

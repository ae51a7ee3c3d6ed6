"""Chance: a tree of seeds whose branches do not touch."""

from __future__ import annotations

import itertools

import pytest

from qanat.ground.randomness import SeededChance


def test_the_same_path_gives_the_same_words() -> None:
    assert SeededChance(7).child("link", 3).seed_words() == SeededChance(7).child("link").child(3).seed_words()


def test_asking_changes_nothing() -> None:
    chance = SeededChance(7)
    before = chance.child("a").seed_words()
    chance.child("b").seed_words()
    assert chance.child("a").seed_words() == before


def test_branches_differ() -> None:
    """Also where names could run together: ("a", "b") is neither ("ab",) nor ("a/b",), and 1 is not "1"."""
    paths: list[tuple[str | int, ...]] = [
        *((), ("a",), ("b",), ("a", "b"), ("b", "a"), ("ab",), ("a/b",), ("a, b",), ("1",), (1,), (0,), (-1,), ("",)),
        *(("", ""), ("a", 1), ("a", "1"), ("a1",), ("')",), ("', '",)),
    ]
    chances = [SeededChance(seed).child(*path) for seed in (0, 1, 10) for path in paths]
    words = [chance.seed_words() for chance in chances]
    assert len(set(words)) == len(words)


def test_words_are_32_bits_and_look_uniform() -> None:
    """Each of 256 bits is one in half of 2,000 branches within 5 sigma: one false alarm in 7,000 seeds."""
    words = [SeededChance(1).child(number).seed_words() for number in range(2000)]
    assert all(len(each) == 8 and all(0 <= word < 2**32 for word in each) for each in words)
    for place, bit in itertools.product(range(8), range(32)):
        ones = sum(each[place] >> bit & 1 for each in words)
        assert abs(ones - 1000) < 5 * (2000 / 4) ** 0.5


def test_words_never_change_between_versions() -> None:
    """A seed is a bug report. The words are the output of ``sha256sum`` for the text ``(42, ('link', 3))``."""
    digest = "d933488155e34df224139ac68a4ab04e5293d86668fba076902f71ba81a35f78"
    expected = tuple(int(digest[start : start + 8], 16) for start in range(0, 64, 8))
    assert SeededChance(42).child("link", 3).seed_words() == expected


def test_a_negative_seed_is_a_slip() -> None:
    with pytest.raises(ValueError, match="zero or more"):
        SeededChance(-1)


def test_a_chance_says_where_it_stands() -> None:
    assert repr(SeededChance(5).child("link", 2)) == "SeededChance(seed=5, path='link/2')"


def test_chance_makes_no_keys() -> None:
    """Chance and Entropy are different types: what has a seed has no bytes to give."""
    assert not any(hasattr(SeededChance(1), name) for name in ("secret_bytes", "public_bytes"))

"""How many pairs of users a rate serves: the paper's 13,171, and others."""

from __future__ import annotations

import math

import pytest

from qanat.ground.errors import BadParameter, UnknownNode
from qanat.planning.users import PAPER_RATE_BITS_PER_S, Consumption, bottleneck, pairs_served
from unit.planning_support import network_of, rates_of

AES_A_MINUTE = Consumption()


def test_the_paper_counts_13171_pairs_at_its_least_backbone_rate() -> None:
    """Nature 589, 214 (2021), Methods: 28.1 kbit/s, a 128-bit key a minute for each two users."""
    assert PAPER_RATE_BITS_PER_S == 28_100
    assert pairs_served(PAPER_RATE_BITS_PER_S, AES_A_MINUTE) == 13_171


def test_another_input_gives_another_answer() -> None:
    assert pairs_served(28_400, AES_A_MINUTE) == 13_312
    assert pairs_served(28_100, Consumption(keys_per_minute=10)) == 1_317
    assert pairs_served(28_100, Consumption(key_bits=256)) == 6_585
    assert pairs_served(0, AES_A_MINUTE) == 0


@pytest.mark.parametrize("pairs", [1, 7, 13_171, 999_983])
@pytest.mark.parametrize("keys_per_minute", [1, 0.1, 3])
def test_a_rate_that_is_just_enough_is_enough(pairs: int, keys_per_minute: float) -> None:
    """No pair is lost to the rounding of a quotient."""
    rate = pairs * 128 * keys_per_minute / 60
    served = pairs_served(math.ceil(rate * 1e6) / 1e6, Consumption(keys_per_minute=keys_per_minute))
    assert served == pairs


@pytest.mark.parametrize("rate", [-1.0, math.nan, math.inf])
def test_what_is_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(BadParameter):
        pairs_served(rate, AES_A_MINUTE)


@pytest.mark.parametrize("odd", [{"key_bits": 0}, {"keys_per_minute": 0.0}, {"keys_per_minute": math.nan}])
def test_what_is_no_consumption_is_refused(odd: dict[str, float]) -> None:
    with pytest.raises(BadParameter):
        Consumption(**odd)  # type: ignore[arg-type]


def test_a_copy_with_other_links_has_nothing_of_what_was_worked_out_of_the_first_ones() -> None:
    plain = network_of({"a": "relay", "b": "relay", "c": "relay"}, [("a", "b", 9), ("b", "c", 9), ("a", "c", 9)])
    assert len(plain.relayed_links) == 3
    assert plain.link(plain.links[0].link_id) == plain.links[0]
    fewer = plain.model_copy(update={"links": plain.links[1:]})
    assert fewer.relayed_links == plain.links[1:]
    with pytest.raises(UnknownNode):
        fewer.link(plain.links[0].link_id)


def test_the_bottleneck_is_the_backbones_or_the_least_link_that_gives_anything() -> None:
    plain = network_of({"a": "relay", "b": "relay", "c": "relay"}, [("a", "b", 9), ("b", "c", 9), ("a", "c", 9)])
    assert bottleneck(plain, rates_of(plain, [300, 200, 0])) == (plain.links[1], 200)
    assert bottleneck(plain, rates_of(plain, [0, 0, 0])) is None
    backbone = plain.model_copy(
        update={"links": (plain.links[0].model_copy(update={"counted_as": "backbone"}), *plain.links[1:])}
    )
    assert bottleneck(backbone, rates_of(plain, [300, 200, 0])) == (backbone.links[0], 300)

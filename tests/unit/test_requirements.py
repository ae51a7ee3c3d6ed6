"""What may be required of keys: what gives way first, one spelling in every process, which ways and stock will do."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from qanat.ground.identifiers import NodeId
from qanat.ground.requirements import KeyFit, Requirements
from qanat.ground.route_policy import RoutePolicy

A, B, R, S = (NodeId(name) for name in "abrs")
ALL = RoutePolicy(avoid=frozenset({R}), domestic_only=True, direct_only=True)


def test_the_default_is_met_by_every_way_even_an_unknown_one() -> None:
    assert RoutePolicy().allows((), regions={})
    assert RoutePolicy().allows((A, R, B), regions={})
    assert not any(
        policy.allows((), regions={A: "X"})
        for policy in (RoutePolicy.avoiding("r"), RoutePolicy(domestic_only=True), RoutePolicy(direct_only=True))
    )


@pytest.mark.parametrize(
    ("way", "allowed"), [((A, B), True), ((A, R, B), False), ((A, S, B), True), ((R, B), False), ((A,), True)]
)
def test_a_site_to_avoid_may_be_nowhere_on_a_way(way: tuple[NodeId, ...], allowed: bool) -> None:
    assert RoutePolicy.avoiding("r", "elsewhere").allows(way, regions={}) is allowed


@pytest.mark.parametrize(
    ("regions", "allowed"),
    [({}, False), ({A: "X", B: "X"}, False), ({A: "X", B: "X", R: "X"}, True), ({A: "X", B: "X", R: "x"}, False)],
)
def test_a_domestic_way_has_every_site_in_one_stated_region(regions: dict[NodeId, str], allowed: bool) -> None:
    assert RoutePolicy(domestic_only=True).allows((A, R, B), regions=regions) is allowed


def test_a_direct_way_passes_nobody() -> None:
    direct = RoutePolicy(direct_only=True)
    assert direct.allows((A, B), regions={})
    assert direct.allows((A,), regions={})
    assert not direct.allows((A, R, B), regions={})


def test_what_is_preferred_gives_way_one_by_one_and_what_is_required_never() -> None:
    prefer = Requirements(max_age_s=9.0, max_hops=3, disjoint_routes=2, policy=ALL, measure="freshest")
    require = Requirements(policy=RoutePolicy.avoiding("s"))
    tried = list(require.with_preferences(prefer))
    assert tried[0] == require.joined(prefer)
    assert [
        (one.disjoint_routes, one.max_hops, one.measure, one.policy.direct_only, one.policy.domestic_only)
        for one in tried
    ] == [
        (2, 3, "freshest", True, True),
        (1, 3, "freshest", True, True),
        (1, None, "freshest", True, True),
        (1, None, None, True, True),
        (1, None, None, False, True),
        (1, None, None, False, False),
        (1, None, None, False, False),
    ]
    assert [R in one.policy.avoid for one in tried] == [True] * 6 + [False]
    assert all(S in one.policy.avoid and one.max_age_s == 9.0 for one in tried)


def test_what_is_required_goes_before_what_is_preferred_of_the_measure() -> None:
    tried = Requirements(measure="widest").with_preferences(Requirements(measure="cheapest"))
    assert {one.measure for one in tried} == {"widest"}


def test_requirements_that_differ_are_spelled_otherwise() -> None:
    some = [
        Requirements(),
        Requirements(max_hops=1),
        Requirements(policy=RoutePolicy.avoiding("r")),
        Requirements(policy=RoutePolicy.avoiding("r", "s")),
        Requirements(policy=RoutePolicy(domestic_only=True)),
        Requirements(policy=RoutePolicy(direct_only=True)),
        Requirements(measure="widest"),
    ]
    assert len({one.spelled() for one in some}) == len(some)
    assert Requirements(policy=RoutePolicy.avoiding("s", "r")).spelled() == some[3].spelled()


@pytest.mark.slow
def test_requirements_are_spelled_alike_in_every_process() -> None:
    """The order of a set follows from hashes of texts, which are other ones in every process."""
    program = (
        "from qanat.ground.requirements import Requirements; from qanat.ground.route_policy import RoutePolicy;"
        "print(Requirements(policy=RoutePolicy.avoiding(*map(str, range(20)))).spelled())"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in "123"
    }
    assert len(texts) == 1
    assert "['0', '1', '10'" in texts.pop()


def test_a_fit_looks_at_all_ways_that_a_key_came() -> None:
    shares = ((A, B), (A, R, B))
    assert KeyFit().takes(0.0, routes=shares)
    assert not KeyFit(avoid=frozenset({R})).takes(0.0, routes=shares)
    assert not KeyFit(within=frozenset({A, B})).takes(0.0, routes=shares)
    assert not KeyFit(is_direct=True).takes(0.0, routes=shares)
    assert not KeyFit(way=(A, B)).takes(0.0, routes=shares)
    fit = KeyFit(avoid=frozenset({S}), within=frozenset({A, B, R}), way=(A, R, B))
    assert fit.takes(0.0, routes=shares[1:])
    assert not replace(fit, made_from_utc_s=1.0).takes(0.0, routes=shares[1:])

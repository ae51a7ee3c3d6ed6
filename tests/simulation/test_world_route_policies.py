"""Keys whose way is asked for: sites that they must not pass, regions, direct links, the best way by a measure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from qanat.ground.errors import (
    BadParameter,
    KeyManagementError,
    KeyShortage,
    NoRoute,
    PeerProtocolError,
    RequirementUnmet,
)
from qanat.ground.events import EventKind
from qanat.ground.identifiers import CONTROLLER, NodeId, SaePair
from qanat.ground.messages import Message
from qanat.ground.network import Application, Link, Network, PreparedKeys, Site
from qanat.ground.randomness import SeededChance
from qanat.ground.requirements import KeyFit, Requirements
from qanat.ground.route_policy import RoutePolicy
from qanat.key_management.direct_keys import refuse_relay, require_link
from qanat.key_management.manager import GivenKeys
from qanat.simulation.faults import ALL_FAULTS, NO_FAULTS
from qanat.simulation.world import CallLost, World

ANY = Requirements()


def network(links: str, *, regions: str = "", prepared: int = 0) -> Network:
    """Users a and b with an application each, anna at a too; all other letters are relays.

    links: such as ``ar rb``. regions: of sites by letter, such as ``a:X r:X``.
    """
    names = sorted(set(links.replace(" ", "")))
    where = dict(one.split(":") for one in regions.split())
    sites = tuple(
        Site(
            name=name,
            kind="user" if name in "ab" else "relay",
            latitude_deg=0,
            longitude_deg=place,
            region=where.get(name, ""),
        )
        for place, name in enumerate(names)
    )
    made = tuple(
        Link(name=f"{one}-{other}", transmitter=one, receiver=other, system="s", loss_db=10, length_km=900)
        for one, other in links.split()
    )
    keys = (PreparedKeys(master="alice", slave="bob", count=prepared, size_bits=256),) if prepared else ()
    applications = tuple(
        Application(name=name, site=site) for name, site in (("alice", "a"), ("bob", "b"), ("anna", "a"))
    )
    return Network(
        format="qanat-network/1", name="net", sites=sites, links=made, applications=applications, prepared_keys=keys
    )


RING = "ar rb as st tb"
"""a - r - b on the one side, a - s - t - b on the other."""
A, B, R, S, T = (NodeId(name) for name in "abrst")
SHORT, LONG = (A, R, B), (A, S, T, B)
NOT_R, NOT_S = (Requirements(policy=RoutePolicy.avoiding(name)) for name in "rs")
HOME = Requirements(policy=RoutePolicy(domestic_only=True))
DIRECT = Requirements(policy=RoutePolicy(direct_only=True))


def new_world(net: Network, *, slow: str = "", **options: Any) -> World:
    """``slow``: links that make key at a quarter of the others' rate."""
    world = World(net, chance=SeededChance(options.pop("seed", 1)), **options)
    for link in world.links:
        link.block_time_s *= 4 if link.link.name.replace("-", "") in slow.split() else 1
    world.start()
    return world


def give(world: World, require: Requirements = ANY, *, count: int = 2, slave: str = "bob", **more: Any) -> GivenKeys:
    net = world.network
    wish = {"master": net.sae("alice"), "slave": net.sae(slave), "size_bits": 256, "patience_s": 20.0, **more}
    given = world.run(world.call(A, lambda manager: manager.get_keys(count=count, require=require, **wish)))
    world.witness.check_way(given.keys, require.policy)
    return given


def ways(given: GivenKeys) -> set[tuple[NodeId, ...]]:
    return {route for key in given.keys for route in key.routes}


def close(world: World) -> None:
    world.close()
    assert world.witness.violations == []


def rest(world: World, seconds: float) -> None:
    world.run(world.sleep(seconds), within_s=seconds + 1)


def without_controller(world: World) -> None:
    """From now on no word comes from the controller, nor gets to it."""
    world.line = lambda sender, receiver, message: None if CONTROLLER in (sender, receiver) else message


def questions(world: World) -> list[Message]:
    """Return the list in which questions to the controller will stand, once each."""
    asked: list[Message] = []

    def line(_sender: NodeId, _receiver: NodeId, message: Message) -> Message:
        if message.kind == "route-question":
            asked.append(message)
        return message

    world.line = line
    return asked


# ---- sites to avoid ----


def test_a_key_asked_to_avoid_the_relay_of_the_best_way_goes_round_it() -> None:
    world = new_world(network(RING))
    assert ways(give(world)) == {SHORT}
    assert ways(give(world, NOT_R)) == {LONG}
    assert ways(give(world, NOT_S)) == {SHORT}
    close(world)


def test_keys_in_stock_are_given_only_where_their_record_says_that_they_went_as_asked() -> None:
    world = new_world(network(RING, prepared=20))
    rest(world, 30.0)
    stock = {key_id for key_id, held in world.stores[A].disk.keys.items() if held.confirmed}
    assert len(stock) == 20
    assert not {key.key_id for key in give(world, NOT_R).keys} & stock, "all of the stock has passed r"
    assert {key.key_id for key in give(world, NOT_S).keys} <= stock
    close(world)


def test_a_site_on_every_way_is_named_and_nothing_is_spent() -> None:
    world = new_world(network("ar rb as sr"))
    before = world.witness.relay_bits_paid
    with pytest.raises(RequirementUnmet) as fault:
        give(world, NOT_R)
    assert fault.value.remedy.startswith("every way passes 'r': allow what stands in the way")
    assert world.witness.relay_bits_paid == before
    close(world)


def test_sites_of_which_each_way_passes_one_are_named_together() -> None:
    world = new_world(network(RING))
    with pytest.raises(RequirementUnmet) as fault:
        give(world, Requirements(policy=RoutePolicy.avoiding("r", "s")))
    assert fault.value.remedy.startswith("every way passes one of 'r', 's': ")
    close(world)


@pytest.mark.parametrize(
    ("site", "told"),
    [("q", "no site 'q' is in this network"), ("a", "'a' is an end of the way"), ("b", "'b' is an end")],
)
def test_names_that_cannot_be_avoided_are_refused_not_passed_over(site: str, told: str) -> None:
    world = new_world(network(RING))
    with pytest.raises(RequirementUnmet) as fault:
        give(world, Requirements(policy=RoutePolicy.avoiding(site)))
    assert told in fault.value.remedy
    close(world)


def test_shares_avoid_a_site_too_and_still_share_no_relay() -> None:
    world = new_world(network("ar rb as st tb au ub"))
    both = Requirements(disjoint_routes=2, policy=RoutePolicy.avoiding("r"))
    assert ways(give(world, both)) == {(A, NodeId("u"), B), LONG}
    with pytest.raises(RequirementUnmet, match="keys over 3 routes without a common relay were asked"):
        give(world, Requirements(disjoint_routes=3, policy=RoutePolicy.avoiding("r")))
    close(world)


def test_when_a_relay_on_the_way_round_dies_the_key_never_goes_by_the_site_to_avoid() -> None:
    world = new_world(network("ar rb as st tb au uv vb"))
    assert ways(give(world, NOT_R)) <= {LONG, (A, NodeId("u"), NodeId("v"), B)}
    world.crash(S, down_s=300.0)
    assert ways(give(world, NOT_R)) == {(A, NodeId("u"), NodeId("v"), B)}
    world.crash(NodeId("v"), down_s=300.0)
    with pytest.raises(KeyShortage):
        give(world, NOT_R)
    assert ways(give(world)) == {SHORT}
    close(world)


def test_two_slaves_keys_avoid_a_site_on_both_ways() -> None:
    world = new_world(network(RING))
    given = give(world, NOT_R, more_slaves=(world.network.sae("anna"),), master=world.network.sae("alice"))
    assert ways(given) == {LONG}
    close(world)


# ---- regions, and direct keys ----


def test_a_domestic_key_stays_in_the_region_and_an_unstated_site_is_in_none() -> None:
    world = new_world(network(RING, regions="a:X b:X s:X t:X"))
    assert ways(give(world)) == {SHORT}
    assert ways(give(world, HOME)) == {LONG}
    close(world)


@pytest.mark.parametrize(
    ("regions", "told"),
    [
        ("", "no region is stated of 'a' and 'b': state 'region' of the sites"),
        ("b:X", "no region is stated of 'a': "),
        ("a:X b:Y", "'a' is in 'X', 'b' in 'Y': "),
        ("a:X b:X r:Y s:X", "every way passes one of 'r' (Y), 't' (no region stated): "),
    ],
)
def test_a_domestic_key_that_cannot_be_is_refused_with_the_site_that_stands_in_the_way(regions: str, told: str) -> None:
    world = new_world(network(RING, regions=regions))
    with pytest.raises(RequirementUnmet) as fault:
        give(world, HOME)
    assert told in fault.value.remedy
    close(world)


def test_a_direct_key_goes_over_the_link_that_joins_the_two_or_is_refused() -> None:
    world = new_world(network("ar rb ab"), slow="ab")
    assert ways(give(world)) == {SHORT}
    assert ways(give(world, DIRECT)) == {(A, B)}
    close(world)
    world = new_world(network(RING))
    with pytest.raises(RequirementUnmet) as fault:
        give(world, DIRECT)
    assert fault.value.remedy.startswith("no QKD link joins the two: ")
    close(world)


def test_keys_of_two_applications_of_one_site_pass_no_other() -> None:
    world = new_world(network(RING, regions="a:X"))
    for require in (NOT_R, DIRECT, HOME, Requirements(measure="freshest")):
        assert ways(give(world, require, slave="anna")) == {(A,)}
    with pytest.raises(RequirementUnmet, match="no way within 'a'"):
        give(world, Requirements(policy=RoutePolicy.avoiding("a")), slave="anna")
    close(world)


def test_what_is_required_of_a_way_that_the_network_does_not_have_is_refused_and_not_put_off() -> None:
    world = new_world(network("ar bs"))
    for require in (NOT_R, HOME, DIRECT, Requirements(measure="widest"), Requirements(disjoint_routes=2)):
        with pytest.raises(RequirementUnmet):
            give(world, require)
    with pytest.raises(NoRoute):
        give(world)
    close(world)


# ---- what a site states for all its keys ----


def stating(net: Network, site: str, **terms: Any) -> Network:
    """Return a network whose one site states more."""
    sites = tuple(one.model_copy(update=terms) if one.name == site else one for one in net.sites)
    return Network.model_validate(net.model_copy(update={"sites": sites}).model_dump())


@pytest.mark.parametrize("wary", ["a", "b"])
def test_keys_of_a_site_go_round_those_that_it_avoids_whoever_asks_and_for_nothing(wary: str) -> None:
    world = new_world(stating(network(RING), wary, keys_avoid=("r",)), block_bits=60_000)
    for require in (ANY, Requirements(measure="cheapest"), Requirements(max_hops=3)):
        assert ways(give(world, require)) == {LONG}
    for both in (Requirements(disjoint_routes=2), NOT_S):
        with pytest.raises(RequirementUnmet):
            give(world, both)
    relayed = [dict(event.data) for event in world.witness.events if event.kind is EventKind.KEYS_RELAYED]
    assert all(R not in row["route"] for row in relayed)
    close(world)


def test_keys_of_a_site_stay_in_its_region() -> None:
    regions = "a:X b:X s:X t:X r:Y"
    world = new_world(stating(network(RING, regions=regions), "b", domestic_keys_only=True), block_bits=60_000)
    assert ways(give(world)) == {LONG}
    close(world)


def test_where_no_way_is_as_a_site_states_all_its_keys_are_refused_with_what_stands_in_the_way() -> None:
    world = new_world(stating(network("ar rb"), "b", keys_avoid=("r",)))
    with pytest.raises(BadParameter, match="no way from 'a' to 'b' is as these sites have all their keys go") as fault:
        give(world)
    assert fault.value.remedy.startswith("every way passes 'r': ")
    assert ways(give(world, slave="anna")) == {(A,)}, "keys that stay at their site"
    close(world)
    with pytest.raises(BadParameter, match="as these sites have all their keys go") as fault:
        require_link(stating(network("ar rb"), "a", keys_avoid=("r",)), A, R)
    assert "'r' is an end of the way: ask for keys with another site" in fault.value.remedy


def test_a_relay_that_a_site_avoids_passes_none_of_its_keys_on_whatever_it_is_told() -> None:
    net = stating(network(RING), "b", keys_avoid=("r",))
    pair = SaePair(net.sae("alice"), net.sae("bob"))
    refuse_relay(net, LONG, pair)
    with pytest.raises(PeerProtocolError, match="came on a way over relays, r, and one of them would not have"):
        refuse_relay(net, SHORT, pair)


# ---- the best way by a measure ----


def test_the_widest_the_cheapest_and_the_freshest_way_are_given_as_asked() -> None:
    world = new_world(network(RING), slow="ar rb", block_bits=60_000)
    assert ways(give(world)) == {LONG}, "without a wish the table's: the widest"
    assert ways(give(world, Requirements(measure="widest"))) == {LONG}
    assert ways(give(world, Requirements(measure="cheapest"))) == {SHORT}
    close(world)


@pytest.mark.parametrize(("first", "then"), [(NOT_R, NOT_S), (NOT_S, NOT_R)])
def test_the_freshest_way_is_the_one_whose_link_key_came_last(first: Requirements, then: Requirements) -> None:
    world = new_world(network(RING), block_bits=60_000)
    give(world, first)
    rest(world, 40.0)
    later = give(world, then)
    rest(world, 11.0)  # both ends of every link have said how old its key is
    assert ways(give(world, Requirements(measure="freshest"))) == ways(later)
    close(world)


def test_keys_in_stock_that_went_another_way_than_the_best_are_left_there() -> None:
    world = new_world(network(RING, prepared=20), slow="ar rb")
    rest(world, 30.0)
    stock = {key_id for key_id, held in world.stores[A].disk.keys.items() if held.confirmed}
    assert not {key.key_id for key in give(world, Requirements(measure="cheapest")).keys} & stock
    assert {key.key_id for key in give(world, Requirements(measure="widest")).keys} <= stock
    close(world)


def test_the_cheapest_of_the_ways_that_avoid_a_site_is_found() -> None:
    world = new_world(network("ar rb as st tb au uv vw wb"), slow="st")
    rest(world, 12.0)  # all links have told their rates
    not_r = RoutePolicy.avoiding("r")
    assert ways(give(world, Requirements(policy=not_r))) == {tuple(map(NodeId, "auvwb"))}
    assert ways(give(world, Requirements(policy=not_r, measure="cheapest"))) == {LONG}
    close(world)


def test_the_best_way_is_kept_to_when_it_is_required_and_left_when_it_is_only_preferred() -> None:
    world = new_world(network(RING))
    cheapest = Requirements(measure="cheapest")
    given = give(world, prefer=cheapest)
    assert (ways(given), given.unmet) == ({SHORT}, ())
    world.crash(R, down_s=300.0)
    with pytest.raises(KeyShortage, match="'r', a node on the way, does not answer"):
        give(world, cheapest, patience_s=0.5)
    given = give(world, prefer=cheapest)
    assert ways(given) == {LONG}
    rest(world, 10.0)  # the controller has noticed
    assert ways(give(world, cheapest)) == {LONG}, "the cheapest of those that can be gone"
    close(world)


def test_another_way_than_the_best_is_told_where_the_best_was_preferred() -> None:
    world = new_world(network(RING), block_bits=60_000)
    give(world, Requirements(disjoint_routes=2))
    for name in ("a-r", "r-b"):
        link = next(link for link in world.links if link.link.name == name)
        link._p_session_fails = lambda: 1.0
    met = {True: 0, False: 0}
    for _ in range(40):
        given = give(world, prefer=Requirements(measure="cheapest"), count=5)
        assert (given.unmet == ()) == (ways(given) == {SHORT}) or ways(given) == {LONG}
        met[given.unmet == ()] += 1
    assert met[False], "once the short way had no key left"
    close(world)


def test_one_best_way_is_not_two_ways() -> None:
    world = new_world(network(RING))
    with pytest.raises(RequirementUnmet, match="keys over 2 ways do not go the one that is the widest"):
        give(world, Requirements(disjoint_routes=2, measure="widest"))
    close(world)


# ---- what is only preferred ----


@pytest.mark.parametrize(
    ("prefer", "way", "unmet"),
    [
        (NOT_R, LONG, ()),
        (NOT_S, SHORT, ()),
        (HOME, SHORT, ("domestic_only",)),
        (DIRECT, SHORT, ("direct_only",)),
        (Requirements(policy=RoutePolicy(frozenset({R}), direct_only=True)), LONG, ("direct_only",)),
        (Requirements(policy=RoutePolicy(frozenset({R, S}))), SHORT, ("avoid",)),
        (Requirements(policy=RoutePolicy(frozenset({NodeId("q")}))), SHORT, ()),
    ],
)
def test_what_is_preferred_gives_way_where_it_cannot_be_and_is_told(
    prefer: Requirements, way: tuple[NodeId, ...], unmet: tuple[str, ...]
) -> None:
    world = new_world(network(RING))
    for nonce in ("first-of-all", "first-of-all", "another-one"):  # the second is the first's answer again
        given = give(world, prefer=prefer, nonce=nonce)
        assert (ways(given), given.unmet) == ({way}, unmet)
    close(world)


# ---- asking the controller ----


def test_the_controller_is_asked_once_for_each_table_of_routes() -> None:
    world = new_world(network(RING))
    give(world)
    asked = questions(world)
    for _ in range(5):
        give(world, NOT_R)
    assert len(asked) == 1
    for _ in range(2):
        give(world, Requirements(policy=RoutePolicy.avoiding("s", "t"), measure="cheapest"))
    assert len(asked) == 2
    close(world)


def test_without_a_controller_keys_go_those_ways_of_the_last_table_that_are_as_asked() -> None:
    world = new_world(network(RING), block_bits=60_000)
    give(world, Requirements(disjoint_routes=2))  # makes key on every hop of both ways
    without_controller(world)
    assert ways(give(world, NOT_R)) == {LONG}
    assert ways(give(world, Requirements(measure="widest"))) == {SHORT}, "that one is the table's own"
    with pytest.raises(KeyShortage, match="which way is the cheapest is for the controller to say"):
        give(world, Requirements(measure="cheapest"))
    given = give(world, prefer=Requirements(measure="cheapest"))
    assert given.unmet == ("route",)
    close(world)


def test_without_a_controller_a_way_that_the_table_does_not_have_is_refused_for_now() -> None:
    """The table knows the best way and one round its relay; that both are to be avoided only a question can tell."""
    world = new_world(network("ax xr rb xs sb xt tu ub"))
    give(world)
    require = Requirements(policy=RoutePolicy.avoiding("r", "s"))
    without_controller(world)
    with pytest.raises(KeyShortage, match="the controller, which would know, does not answer") as fault:
        give(world, require)
    assert fault.value.remedy.startswith("bring the controller up again")
    given = give(world, prefer=require)
    assert given.unmet == ("avoid",)
    world.line = lambda _sender, _receiver, message: message
    rest(world, 6.0)
    assert ways(give(world, require)) == {tuple(map(NodeId, "axtub"))}
    close(world)


def test_an_answer_that_leads_through_a_forbidden_site_is_not_believed() -> None:
    world = new_world(network(RING))
    give(world)

    def line(_sender: NodeId, _receiver: NodeId, message: Message) -> Message:
        if message.kind == "route-answer":
            message.fields["ways"] = [list(SHORT)]
        return message

    world.line = line
    with pytest.raises(KeyShortage, match="none is as it was asked to be"):
        give(world, NOT_R, patience_s=5.0)
    close(world)


# ---- under faults ----


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_under_all_faults_no_key_for_who_avoids_a_site_has_passed_it(seed: int) -> None:
    """The witness looks at the hops that were seen to carry a key, not at what the key says."""
    net = network("ar rb as st tb au uv vb rs", prepared=10)
    world = World(net, chance=SeededChance(seed), faults=ALL_FAULTS, block_bits=12_000)
    world.start()
    policies = [RoutePolicy.avoiding(name) for name in ("r", "s", "u")] + [RoutePolicy.avoiding("r", "t")]
    given_keys = [0]

    async def application(policy: RoutePolicy, shares: int) -> None:
        require = Requirements(policy=policy, disjoint_routes=shares)
        while True:
            try:
                given = await world.call(
                    A,
                    lambda manager: manager.get_keys(
                        master=net.sae("alice"), slave=net.sae("bob"), count=2, size_bits=128, require=require
                    ),
                )
            except (CallLost, KeyManagementError, RequirementUnmet):
                pass
            else:
                given_keys[0] += len(given.keys)
                world.witness.check_way(given.keys, policy)
                world.witness.check_required(given.keys, shares)
            await world.sleep(0.7)

    for place, policy in enumerate(policies):
        world.spawn(application(policy, 1 + place % 2), name=f"application {place}")
    rest(world, 30.0)
    world.faults = NO_FAULTS
    rest(world, 40.0)
    assert given_keys[0] > 20
    assert world.witness.violations == []


def test_the_witness_notices_keys_in_stock_given_whatever_way_they_went(monkeypatch: pytest.MonkeyPatch) -> None:
    takes: Callable[..., bool] = lambda *_args, **_more: True  # noqa: E731
    monkeypatch.setattr(KeyFit, "takes", takes)
    world = new_world(network(RING, prepared=20))
    rest(world, 30.0)
    give(world, NOT_R)
    assert any(text.startswith("8: key") and "seen at a, r, b" in text for text in world.witness.violations)


def test_the_way_that_was_gone_stands_in_the_events() -> None:
    world = new_world(network(RING))
    give(world, NOT_R)
    (row,) = (event.data for event in world.witness.events if event.kind is EventKind.KEYS_RELAYED)
    assert row["route"] == list(LONG)
    close(world)

"""A relay that hands on other keys than it was given, well sealed: the ends notice, say so, and go another way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from qanat.ground.errors import KeyShortage
from qanat.ground.events import EventKind
from qanat.ground.identifiers import NodeId
from qanat.ground.messages import Message
from qanat.ground.requirements import Requirements
from qanat.key_management.relay import RelayOrigin
from qanat.simulation.campaign import run_seed
from qanat.simulation.faults import ALL_FAULTS, NO_FAULTS
from qanat.simulation.sealing_check import tag_of
from qanat.simulation.world import World
from simulation import planted_bugs
from simulation.test_world_multipath import (
    BATCH_BITS,
    TWO,
    R,
    S,
    fetch,
    give,
    keys_held,
    network,
    new_world,
    relay_bits_spent,
    relayed,
    secrets,
)
from simulation.test_world_requests import close, whys

LIES = replace(NO_FAULTS, p_share_altered=0.15)
ANY = Requirements()


def lies(world: World, *liars: NodeId) -> Callable[[NodeId, NodeId, Message], Message]:
    """A line on which these relays lie in every word."""
    return lambda sender, _, message: (
        world.lied(sender, message) if sender in liars and message.kind == "relay" else message
    )


def alarms(world: World) -> list[dict[str, Any]]:
    rows = [dict(event.data) for event in world.witness.events if event.kind is EventKind.ALARM]
    return [row for row in rows if row["code"] == "relay-altered"]


def test_the_next_batch_goes_another_way_and_the_alarm_names_the_relay() -> None:
    world = new_world()
    world.line = lies(world, R)
    given = give(world, ANY)
    assert fetch(world, given) == secrets(given)
    assert world.witness.num_lies == 1
    (told,) = relayed(world)
    assert told["route"] == ["a", "s", "t", "b"]
    (alarm,) = alarms(world)
    assert (alarm["relays"], alarm["severity"]) == (["r"], "critical")
    assert "other keys than were sent" in whys(world, EventKind.RELAY_FAILED)
    close(world)
    assert world.witness.relay_bits_burned == 2 * (3 * 256 + BATCH_BITS)
    assert relay_bits_spent(world) == told["qkd_bits"] + world.witness.relay_bits_burned


def test_where_there_is_no_other_way_nobody_is_given_what_was_altered() -> None:
    world = new_world(network("ar rb"))
    world.line = lies(world, R)
    with pytest.raises(KeyShortage, match="other keys than were sent"):
        give(world, ANY)
    assert world.witness.num_lies > 0
    world.run(world.sleep(10.0))
    assert keys_held(world) == {}
    close(world)


def test_a_key_of_shares_is_not_had_while_a_relay_of_one_way_alters_its_share() -> None:
    world = new_world()
    world.line = lies(world, S)
    with pytest.raises(KeyShortage):
        give(world, TWO)
    assert {tuple(alarm["relays"]) for alarm in alarms(world)} == {("r", "s", "t")}
    world.line = lies(world)
    world.run(world.sleep(10.0))
    given = give(world, TWO)
    assert fetch(world, given) == secrets(given)
    close(world)


def test_bits_to_compare_by_that_were_altered_are_noticed_too() -> None:
    """The keys are right then, but nobody could say so: they are destroyed like wrong ones."""
    world = new_world(network("ar rb"))

    def alter_the_end(sender: NodeId, _: NodeId, message: Message) -> Message:
        if sender != R or message.kind != "relay":
            return message
        lie = world.lied(sender, message)
        keys_as_sent = message.body[:-32] + bytes(byte ^ 1 for byte in message.body[-32:])
        return resealed(world, sender, replace(lie, body=keys_as_sent))

    world.line = alter_the_end
    with pytest.raises(KeyShortage, match="other keys than were sent"):
        give(world, ANY)
    close(world)


def resealed(world: World, sender: NodeId, message: Message) -> Message:
    spent = world.witness.bits_under(sender, message)
    assert spent is not None
    return replace(message, fields={**message.fields, "tag": tag_of(message, spent=spent)})


def test_a_relay_that_changes_what_is_said_of_the_keys_is_noticed() -> None:
    """Keys that look younger than they are would outlive their time."""
    world = new_world(network("ar rb"))

    def say_another_age(sender: NodeId, _: NodeId, message: Message) -> Message:
        if sender != R or message.kind != "relay":
            return message
        world.witness.relay_lied(message)
        return resealed(world, sender, replace(message, fields={**message.fields, "created_utc_s": 2e9}))

    world.line = say_another_age
    with pytest.raises(KeyShortage, match="other keys than were sent"):
        give(world, ANY)
    assert alarms(world)
    world.run(world.sleep(10.0))
    assert keys_held(world) == {}
    close(world)


@pytest.mark.slow
def test_seeds_with_lying_relays_hold() -> None:
    reports = [run_seed(seed, faults=LIES) for seed in range(6)]
    assert [report.violations for report in reports] == [[]] * len(reports)
    assert sum(report.lies for report in reports) > 6
    assert all(report.keys_given for report in reports)


def test_the_bad_day_has_lying_relays() -> None:
    assert ALL_FAULTS.p_share_altered > 0


def test_ends_that_do_not_compare_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RelayOrigin, "_differs", planted_bugs.never_differs)
    assert any(text.startswith("1: ") for seed in range(6) for text in run_seed(seed, faults=LIES).violations)

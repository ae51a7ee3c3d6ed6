"""A line between the ends of a way that takes words and gives none: what became of a batch comes back along its way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from qanat.ground.errors import KeyShortage
from qanat.ground.events import EventKind
from qanat.ground.identifiers import NodeId, Topic
from qanat.ground.messages import Message
from qanat.ground.network import Network
from qanat.ground.requirements import Requirements
from qanat.key_management import hops, verdicts
from qanat.key_management.codec import decode_word
from qanat.key_management.wire import Relay, RelayDelivered, RelayFailed
from qanat.simulation.world import World
from simulation.test_world_lying_relay import alarms
from simulation.test_world_multipath import RING, TWO, A, B, R, S, fetch, give, keys_held, network, new_world, secrets
from simulation.test_world_requests import close, count_of, say, whys

ANY = Requirements()
LINE = network("ar rs sb")
VERDICTS = ("relay-delivered", "relay-failed")


class Lines:
    """What all lines of a world carry is noted; those that are held take words and give none until they are let go."""

    def __init__(self, world: World) -> None:
        self.said: list[tuple[NodeId, NodeId, str]] = []
        self.change: Callable[[NodeId, NodeId, Message], Message | None] = lambda _sender, _receiver, message: message
        self._world = world
        self._held: list[tuple[NodeId, NodeId]] = []
        self._kept: list[tuple[NodeId, NodeId, Message]] = []
        world.line = self._carry

    def hold(self, *ends: NodeId) -> None:
        one, other = ends
        self._held += [(one, other), (other, one)]

    def let_go(self) -> None:
        kept, self._kept, self._held = self._kept, [], []
        for item in kept:
            self._world._deliver(*item)

    def num(self, kind: str, sender: NodeId | None = None) -> int:
        return sum(word == kind and sender in (None, speaker) for speaker, _, word in self.said)

    def _carry(self, sender: NodeId, receiver: NodeId, message: Message) -> Message | None:
        self.said.append((sender, receiver, message.kind))
        changed = self.change(sender, receiver, message)
        if changed is not None and (sender, receiver) in self._held:
            self._kept.append((sender, receiver, changed))
            return None
        return changed


def held(net: Network = LINE, *ends: NodeId) -> tuple[World, Lines]:
    """A world that has worked for a while, in which a line is held from now on."""
    world = new_world(net)
    lines = Lines(world)
    give(world, ANY)
    world.run(world.sleep(2.0))
    lines.said.clear()
    lines.hold(*(ends or (A, B)))
    return world, lines


def rounds(world: World) -> list[dict[str, object]]:
    return [dict(event.data) for event in world.witness.events if event.kind is EventKind.VERDICTS_CAME_ROUND]


def test_keys_are_given_though_the_line_from_the_far_end_gives_nothing() -> None:
    world, lines = held()
    for _ in range(3):
        given = give(world, ANY)
        assert fetch(world, given) == secrets(given)
    assert count_of(world, EventKind.RELAY_FAILED) == 0
    close(world)
    assert lines.num("relay", A) == 4, "the first word was said again, the others came while verdicts went both ways"


def test_the_log_says_once_whose_verdicts_come_round_until_one_is_heard_directly() -> None:
    world, lines = held()
    for _ in range(2):
        give(world, ANY)
    world.run(world.sleep(5.0))
    (told,) = rounds(world)
    assert (told["target"], told["route"]) == ("b", ["a", "r", "s", "b"])
    lines.let_go()
    give(world, ANY)
    world.run(world.sleep(5.0))
    assert len(rounds(world)) == 1
    lines.hold(A, B)
    give(world, ANY)
    world.run(world.sleep(5.0))
    assert len(rounds(world)) == 2
    close(world)


def test_what_came_round_before_the_direct_line_was_back_is_told_once_though_its_own_verdict_was_lost() -> None:
    world, lines = held()
    lines.let_go()
    is_lost = [True]

    def lose(sender: NodeId, receiver: NodeId, message: Message) -> Message | None:
        return None if is_lost[0] and (sender, receiver) == (B, A) and message.kind in VERDICTS else message

    lines.change = lose
    give(world, ANY)
    world.run(world.sleep(5.0))
    assert len(rounds(world)) == 1
    is_lost[0] = False
    for _ in range(3):
        give(world, ANY)
        world.run(world.sleep(3.0))
    assert len(rounds(world)) == 1
    is_lost[0] = True
    give(world, ANY)
    world.run(world.sleep(5.0))
    assert len(rounds(world)) == 2, "another stretch of time"
    close(world)


def test_where_the_direct_line_works_no_verdict_goes_the_way_back() -> None:
    world, lines = held(LINE, A, S)
    give(world, ANY)
    world.run(world.sleep(5.0))
    assert [(one, other) for one, other, kind in lines.said if kind == "relay-delivered"] == [(B, A)]
    assert rounds(world) == []
    close(world)


def test_after_a_while_verdicts_go_the_direct_line_alone_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hops, "UNHEARD_KEPT_S", 5.0)
    world, lines = held()
    give(world, ANY)
    lines.let_go()
    world.run(world.sleep(5.0))
    lines.said.clear()
    give(world, ANY)
    assert lines.num("relay-delivered") == 1
    close(world)


def test_an_origin_that_cannot_be_reached_is_told_by_the_way_back_at_once() -> None:
    world, lines = held()
    transport = world._processes[B].transport
    transport._is_up = lambda peer: peer != A
    given = give(world, ANY)
    assert fetch(world, given) == secrets(given)
    assert lines.num("relay", A) == 1
    close(world)


@pytest.mark.parametrize("at", [S, B])
def test_a_failure_comes_back_as_well_from_wherever_it_was(at: NodeId) -> None:
    world, lines = held(LINE, A, at)

    def alter(_: NodeId, receiver: NodeId, message: Message) -> Message:
        if message.kind != "relay" or receiver != at:
            return message
        return replace(message, body=bytes([message.body[0] ^ 1]) + message.body[1:])

    lines.change = alter
    with pytest.raises(KeyShortage, match="altered on the way"):
        give(world, ANY)
    close(world)


def test_keys_of_several_ways_arrive_over_any_of_them() -> None:
    world, _ = held(RING)
    given = give(world, TWO)
    assert fetch(world, given) == secrets(given)
    close(world)


def test_when_no_verdict_comes_either_way_the_refusal_names_both() -> None:
    world, lines = held()
    lines.change = lambda _sender, _receiver, message: None if message.kind in VERDICTS else message
    with pytest.raises(KeyShortage) as refused:
        give(world, ANY)
    assert "a - r - s - b; it ended at a: no verdict from b within" in str(refused.value)
    assert "neither on the line from b to a nor back along the way" in str(refused.value)
    close(world)


def test_a_hop_hands_on_what_the_hop_after_it_says_and_nobody_else() -> None:
    world, lines = held()
    words = list[Relay]()

    def note(sender: NodeId, _: NodeId, message: Message) -> Message:
        if sender == A and message.kind == "relay":
            word = decode_word(message)
            assert isinstance(word, Relay)
            words.append(word)
        return message

    lines.change = note
    give(world, ANY)
    verdict = RelayDelivered(words[0].relay_id, "00" * 16)
    for speaker, hop, passed in ((B, R, 0), (A, R, 0), (A, S, 0), (R, S, 0), (S, R, 1), (B, S, 2)):
        lines.said.clear()
        say(world, speaker, hop, verdict)
        assert lines.num("relay-delivered") == passed, f"{speaker} to {hop}"
    close(world)


def test_only_the_first_hop_may_bring_word_of_an_arrival_to_the_origin() -> None:
    world, lines = held()

    def claim(sender: NodeId, receiver: NodeId, message: Message) -> Message | None:
        if message.kind == "relay" and receiver == B:
            carried = world._processes[A].manager._relay._carried  # type: ignore[union-attr]
            check = carried[str(message.fields["relay_id"])].batch.check
            lie = {"relay_id": message.fields["relay_id"], "check": check}
            world._deliver(S, A, replace(message, kind="relay-delivered", fields=lie, body=b""))
            return None
        return message

    lines.change = claim
    with pytest.raises(KeyShortage, match="no verdict"):
        give(world, ANY)
    close(world)


def lying_world() -> tuple[World, Lines]:
    """On the only way the relay alters the keys, and says that they came as sent; the far end is not heard."""
    world, lines = held(network("ar rb"))

    def lie(sender: NodeId, receiver: NodeId, message: Message) -> Message | None:
        if sender != R:
            return message
        if message.kind == "relay":
            return world.lied(sender, message)
        if message.kind == "relay-delivered":
            manager = world._processes[A].manager
            assert manager is not None
            carried = manager._relay._carried[str(message.fields["relay_id"])]
            return replace(message, fields={**message.fields, "check": carried.batch.check})
        return message

    lines.change = lie
    return world, lines


def test_a_relay_that_altered_keys_and_forged_their_check_is_found_out_when_the_far_end_is_heard() -> None:
    world, lines = lying_world()
    give(world, ANY)
    assert alarms(world) == []
    before = keys_held(world)[B]
    lines.let_go()
    world.run(world.sleep(5.0))
    (alarm,) = alarms(world)
    assert (alarm["relays"], alarm["severity"]) == (["r"], "critical")
    assert "3 of its 3 keys were given before" in alarm["text"]
    assert keys_held(world)[B] == before - 3, "what the far end holds of it is destroyed"
    world.close()  # no close(): keys were given of which the witness knows that they differ


def test_what_came_round_and_the_far_end_confirms_counts_on() -> None:
    world, lines = held()
    given = give(world, ANY)
    lines.let_go()
    world.run(world.sleep(5.0))
    assert fetch(world, given) == secrets(given)
    assert alarms(world) == []
    assert count_of(world, EventKind.KEYS_VOIDED) == 0
    close(world)


def come_round(world: World) -> list[str]:
    """Return the relays that count at a, though b has not said so itself."""
    manager = world._processes[A].manager
    assert manager is not None
    return list(manager._relay._verdicts._confirmed)


def no(relay_id: str) -> RelayFailed:
    return RelayFailed(relay_id, B, "the pads of this hop were spent before", ())


def test_a_batch_that_the_far_end_has_not_is_destroyed_where_no_key_of_it_was_given() -> None:
    """Keys in stock, of which nobody was told."""
    world, lines = held(network("ar rb", prepared=True))
    give(world, ANY, count=15)  # others are made ready in their place
    world.run(world.sleep(10.0))
    relay_ids = come_round(world)
    say(world, B, A, no(relay_ids[-1]))
    voided = [event.data for event in world.witness.events if event.kind is EventKind.KEYS_VOIDED]
    assert [row["num_keys"] for row in voided if "contradicts" in str(row["why"])] != []
    assert "its delivery had been told by the way back" in whys(world, EventKind.RELAY_FAILED)
    lines.let_go()
    world.run(world.sleep(20.0))
    unfetched = 3 + 15
    assert keys_held(world)[B] == keys_held(world)[A] + unfetched, "both have destroyed it, and made others since"
    close(world)


def test_a_batch_of_which_keys_were_given_stays_whatever_the_far_end_says_later() -> None:
    """It says the same when it was started anew since, and holds the keys."""
    world, lines = held(network("ar rb"))
    given = give(world, ANY)
    (relay_id,) = come_round(world)
    say(world, B, A, no(relay_id))
    assert lines.num("relay-void") == 0
    assert fetch(world, given) == secrets(given)
    close(world)


def test_what_the_far_end_says_itself_wins_over_what_came_round_before() -> None:
    world, _ = held(network("ar rb"))
    give(world, ANY)
    manager = world._processes[A].manager
    assert manager is not None
    book = manager._relay._verdicts
    batch = book._confirmed[come_round(world)[0]].batch
    book.carried[batch.relay_id] = carried = verdicts.Carried(batch, Topic("tested"))
    right, wrong = (RelayDelivered(batch.relay_id, check) for check in (batch.check, "00" * 16))
    for sender, verdict, holds in ((R, wrong, wrong), (R, right, wrong), (B, right, right), (R, wrong, right)):
        world.run(book.hear(sender, verdict))
        assert carried.verdict == holds
    del book.carried[batch.relay_id]
    close(world)


def test_what_came_round_is_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "CONFIRMED_KEPT_S", 3.0)
    world, _ = held()
    give(world, ANY)
    assert come_round(world)
    world.run(world.sleep(5.0))
    assert come_round(world) == []
    close(world)

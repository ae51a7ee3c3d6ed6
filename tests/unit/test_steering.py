"""The controller's shares: solved again after a failure, told to every key manager by whoever begins to rule."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from qanat.control.books import Books
from qanat.control.outages import Outages
from qanat.control.sharing import Settled, SharingProblem
from qanat.control.steering import TRY_AGAIN_S, Steering, solved_here
from qanat.ground.errors import QuantumLayerError
from qanat.ground.events import Event, EventKind
from qanat.ground.identifiers import CONTROLLER, Epoch, NodeId, Topic
from qanat.ground.messages import Message
from qanat.ground.network import Network, SharingOfPair, SharingRules
from qanat.ground.randomness import SeededChance
from qanat.ground.tracing import EventRecorder
from qanat.key_management.codec import decode_word
from qanat.key_management.courier import Courier
from qanat.key_management.wire import GenerationRequest, LinkReport, SharesPushed
from qanat.simulation.entropy import SimulationEntropy
from simulation.shared_network import shared_network

LINKS = ["aa-r", "r-bb", "r-cc"]
QUIET_S = 100.0


class HandClock:
    now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s

    def utc_s(self) -> float:
        return self.now_s

    async def sleep_until(self, monotonic_s: float, /) -> None:
        raise NotImplementedError


class AtOnce:
    """Tasks that run to their end where they start."""

    def start(self, work: Coroutine[Any, Any, None], /, *, name: str) -> None:
        asyncio.run(work)

    async def together(self, *works: Coroutine[Any, Any, Any]) -> list[Any]:
        return [await work for work in works]

    async def wait(self, topic: Topic, /, *, until_monotonic_s: float) -> bool:
        raise NotImplementedError

    def notify(self, topic: Topic, /) -> None:
        raise NotImplementedError


class Line:
    """A transport that keeps the last shares that each key manager was sent."""

    local = CONTROLLER

    def __init__(self) -> None:
        self.told: dict[NodeId, SharesPushed] = {}

    async def send(self, peer: NodeId, message: Message, /) -> None:
        word = decode_word(message)
        assert isinstance(word, SharesPushed)
        self.told[peer] = word

    def inbox(self) -> AsyncIterator[tuple[NodeId, Message]]:
        raise NotImplementedError

    def is_reachable(self, peer: NodeId, /) -> bool:
        return True

    def is_coming(self, peer: NodeId, /) -> bool:
        return False


class Desk:
    """The shares of a small network, with everything around them."""

    def __init__(self, *pairs: SharingOfPair) -> None:
        apps = {"alice": "aa", "bob": "bb", "carol": "cc"}
        network: Network = shared_network(LINKS, apps, SharingRules(pairs=pairs))
        self.network, self.clock, self.line = network, HandClock(), Line()
        self.events: list[Event] = []
        self.broken: list[Exception] = []
        self.tries = 0
        entropy = SimulationEntropy(SeededChance(1))
        self.books = books = Books(network)
        self.recorder = EventRecorder(node=CONTROLLER, clock=self.clock, entropy=entropy, sink=self.events.append)
        self.steering = Steering(
            network,
            books,
            Outages(network, books, self.recorder, tries=3),
            Courier(transport=self.line, entropy=entropy, epoch=Epoch(1)),
            self.recorder,
            clock=self.clock,
            tasks=AtOnce(),
            is_awake=lambda _: True,
            solve=self.solve,
        )
        for link in network.links:
            for end in link.ends:
                books.note_report(end, LinkReport(link.link_id, 0, 1000.0, "device", None))

    async def solve(self, problem: SharingProblem) -> Settled:
        self.tries += 1
        if self.broken:
            raise self.broken.pop()
        return await solved_here(problem)

    def ask(self, source: str, target: str) -> None:
        self.steering.note(GenerationRequest("id", NodeId(source), NodeId(target), 1000, (), None))

    def look(self, *, after_s: float = 1.0) -> None:
        self.clock.now_s += after_s
        self.steering.look()
        self.recorder.settle_alarms()

    def alarms(self) -> list[str]:
        return [str(event.data["text"]) for event in self.events if event.kind is EventKind.ALARM]

    def sharers(self) -> set[str]:
        return {node for node, word in self.line.told.items() if word.rations}


@pytest.mark.parametrize("fault", [QuantumLayerError("a worker died"), RuntimeError("the pool is closed")])
def test_shares_that_could_not_be_found_are_looked_for_again_after_a_while_and_the_alarm_ends(fault: Exception) -> None:
    desk = Desk()
    desk.ask("aa", "bb")
    desk.broken = [fault]
    desk.look()
    desk.look()
    assert desk.tries == 1, "not at every look"
    assert desk.sharers() == set()
    desk.look(after_s=TRY_AGAIN_S)
    assert desk.tries == 2
    assert desk.sharers() == {"aa", "bb"}
    desk.look(after_s=QUIET_S)
    raised, over = desk.alarms()
    assert str(fault) in raised
    assert over == f"over: {raised}"


def test_another_problem_does_not_wait_for_the_one_that_failed() -> None:
    desk = Desk()
    desk.ask("aa", "bb")
    desk.broken = [RuntimeError("no memory")]
    desk.look()
    desk.ask("aa", "cc")
    desk.look()
    assert desk.sharers() == {"aa", "bb", "cc"}


def test_who_begins_to_rule_tells_every_key_manager_its_shares_also_that_it_has_none() -> None:
    desk = Desk()
    desk.ask("aa", "bb")
    desk.look()
    assert set(desk.line.told) == set(desk.network.nodes)
    desk.steering.forget()
    desk.line.told.clear()
    desk.look(after_s=1000.0)
    assert set(desk.line.told) == set(desk.network.nodes), "old shares of pairs that ask no more are of another reign"
    assert desk.sharers() == set()


def test_a_link_is_shared_by_several_where_two_that_ask_now_have_shares_of_it() -> None:
    desk = Desk()
    desk.ask("aa", "bb")
    desk.look()
    assert (desk.books.ahead != frozenset(), desk.books.contended) == (True, frozenset())
    desk.ask("aa", "cc")
    desk.look()
    assert {str(link) for link in desk.books.contended} == {str(desk.network.links_of(NodeId("aa"))[0].link_id)}
    desk.steering.forget()
    assert desk.books.contended == frozenset()


def test_who_has_not_changed_is_not_told_again() -> None:
    desk = Desk()
    desk.ask("aa", "bb")
    desk.look()
    desk.line.told.clear()
    desk.look()
    assert desk.line.told == {}
    desk.look(after_s=1000.0)
    assert set(desk.line.told) == {"aa", "bb"}


def test_a_guarantee_that_does_not_fit_is_told_as_rates_are_and_is_no_alarm_of_a_controller_that_stands_by() -> None:
    desk = Desk(SharingOfPair(master="alice", slave="bob", guaranteed_bits_per_s=1e9))
    desk.look()
    assert desk.alarms()[0].startswith("alice bob: 1.0 Gbit/s are guaranteed and cannot be kept now;")
    desk.steering.forget()
    desk.recorder.settle_alarms()
    desk.clock.now_s += QUIET_S
    desk.recorder.settle_alarms()
    assert desk.alarms()[1].startswith("over: alice bob")

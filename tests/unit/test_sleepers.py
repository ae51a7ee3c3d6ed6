"""Sites that sleep behind their sockets: the first caller is answered, and one that cannot be opened harms nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from qanat.adapters.awaited import AWAITED
from qanat.adapters.door_thread import DoorThread
from qanat.adapters.doorbell import Doorbell
from qanat.apps import sleepers as module
from qanat.apps.sleepers import DOOR, Bells, Sleepers
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import NodeId

HOST = "127.0.0.1"
A, B = NodeId("a"), NodeId("b")
Opening = Callable[[NodeId], Awaitable[None]]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  (a state that has no event)
            await asyncio.sleep(0.001)


class House:
    """Sites whose servers echo a line, opened as a test says."""

    def __init__(self, opening: Opening, *, name: str = "door", doors: DoorThread | None = None) -> None:
        self._name = name
        self.opened: list[NodeId] = []
        self.may_close = True
        self.failed: list[tuple[NodeId, str]] = []
        self._opening = opening
        self._servers: dict[NodeId, asyncio.Server] = {}
        self.sites = Sleepers(self._open, on_failed=lambda node, fault: self.failed.append((node, str(fault))))
        ports = {name: (HOST, 0)}
        self.ports = {node: self.sites.lay_down(node, ports, doors=doors)[name].port for node in (A, B)}

    async def __aenter__(self) -> House:
        self.sites.watch()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sites.close()
        for server in self._servers.values():
            server.close()
            await server.wait_closed()

    async def close(self, node: NodeId) -> bool:
        await asyncio.sleep(0.02)
        if self.may_close:
            server = self._servers.pop(node)
            server.close()
            await server.wait_closed()
        return self.may_close

    async def _open(self, node: NodeId, bells: Bells) -> None:
        await self._opening(node)
        self._servers[node] = await asyncio.start_server(_echo, sock=bells[self._name].listening())
        self.opened.append(node)

    async def ask(self, node: NodeId) -> bytes:
        """Say a line at a site's door; returns what comes back, nothing when the door hangs up."""
        reader, writer = await asyncio.open_connection(HOST, self.ports[node])
        try:
            writer.write(b"hello\n")
            return await asyncio.wait_for(reader.readline(), 20)
        except ConnectionError:
            return b""
        finally:
            writer.close()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.readline())
    await writer.drain()
    writer.close()


async def at_once(_: NodeId) -> None:
    pass


def test_the_first_caller_is_answered_and_only_its_site_is_opened() -> None:
    async def scenario() -> None:
        async with House(at_once) as house:
            assert not house.sites.is_awake(A)
            assert await house.ask(A) == b"hello\n"
            assert house.opened == [A]
            assert (house.sites.is_awake(A), house.sites.is_awake(B)) == (True, False)
            assert (house.sites.is_opening(A), house.sites.is_opening(B)) == (False, True)
            assert await house.ask(A) == b"hello\n"
            assert house.opened == [A], "once"

    asyncio.run(scenario())


def test_what_many_callers_say_while_a_site_is_being_opened_is_answered_when_it_is() -> None:
    async def scenario() -> None:
        may_open = asyncio.Event()

        async def slowly(_: NodeId) -> None:
            await may_open.wait()

        async with House(slowly) as house:
            asking = [asyncio.create_task(house.ask(A)) for _ in range(20)]
            await asyncio.sleep(0.05)
            assert house.sites.is_awake(A), "its peers may speak to it"
            assert house.sites.is_opening(A), "and wait for its answer"
            assert not any(task.done() for task in asking)
            may_open.set()
            assert await asyncio.gather(*asking) == [b"hello\n"] * 20
            assert house.opened == [A]

    asyncio.run(scenario())


def test_sites_are_opened_one_at_a_time() -> None:
    async def scenario() -> None:
        under_way, most = 0, 0

        async def counted(_: NodeId) -> None:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.01)
            under_way -= 1

        async with House(counted) as house:
            assert await asyncio.gather(house.ask(A), house.ask(B)) == [b"hello\n"] * 2
            assert (sorted(house.opened), most) == ([A, B], 1)

    asyncio.run(scenario())


def test_an_application_at_a_door_goes_before_all_sites_that_others_woke() -> None:
    async def scenario() -> None:
        opened, all_open, door_rang = list[NodeId](), asyncio.Event(), asyncio.Event()

        async def note(node: NodeId, _: Bells) -> None:
            await door_rang.wait()
            opened.append(node)
            if len(opened) == len(names):
                all_open.set()

        sites = Sleepers(note, on_failed=lambda *_: None)
        names = [NodeId(name) for name in "abcde"]
        bells = {node: sites.lay_down(node, {"transports": (HOST, 0), DOOR: (HOST, 0)}) for node in names}
        sites.watch()
        callers = []
        for node in names:  # as keys do that go over many relays
            callers.append(await asyncio.open_connection(HOST, bells[node]["transports"].port))
            await until(partial(sites._openings.__contains__, node))
        callers.append(await asyncio.open_connection(HOST, bells[names[4]][DOOR].port))
        await until(lambda: names[4] in sites._called_by_applications)
        door_rang.set()
        await asyncio.wait_for(all_open.wait(), 10)
        assert opened[0] == names[0], "what has begun is not broken off"
        assert opened[1:] == [names[4], *names[1:4]]
        for _, writer in callers:
            writer.close()
        await sites.close()

    asyncio.run(scenario())


def test_who_calls_at_a_door_waits_for_no_opening_that_nobody_waits_for() -> None:
    """Of sites that other sites woke one is opened at a time, and one whose door rings beside it, also where that rings
    late; of doors that ring, again one at a time."""

    async def scenario() -> None:
        under_way, done = list[NodeId](), list[NodeId]()
        may_end = {NodeId(name): asyncio.Event() for name in "abcd"}
        a, b, c, d = may_end

        async def wait(node: NodeId, _: Bells) -> None:
            under_way.append(node)
            await may_end[node].wait()
            done.append(node)

        sites = Sleepers(wait, on_failed=lambda *_: None)
        bells = {node: sites.lay_down(node, {"transports": (HOST, 0), DOOR: (HOST, 0)}) for node in may_end}
        sites.watch()
        callers = []
        for node, name in ((a, "transports"), (b, "transports"), (c, DOOR), (d, DOOR), (b, DOOR)):
            callers.append(await asyncio.open_connection(HOST, bells[node][name].port))
            await until(partial(sites._openings.__contains__, node))
            await asyncio.sleep(0.02)
        assert under_way == [a, c], "b waits for a, d and b for c"
        assert sites.is_awaited()
        may_end[c].set()
        await until(lambda: done == [c])
        await until(lambda: under_way == [a, c, b])
        may_end[b].set()
        await until(lambda: under_way == [a, c, b, d])
        may_end[d].set()
        await until(lambda: done == [c, b, d])
        assert a not in sites.opened
        may_end[a].set()
        await until(lambda: sites.opened == [a, b, c, d])
        for _, writer in callers:
            writer.close()
        await sites.close()

    asyncio.run(scenario())


def test_a_site_that_a_door_rang_for_late_begins_at_once() -> None:
    async def scenario() -> None:
        under_way, may_end = list[NodeId](), asyncio.Event()

        async def wait(node: NodeId, _: Bells) -> None:
            under_way.append(node)
            await may_end.wait()

        sites = Sleepers(wait, on_failed=lambda *_: None)
        bells = {node: sites.lay_down(node, {"transports": (HOST, 0), DOOR: (HOST, 0)}) for node in (A, B)}
        sites.watch()
        callers = []
        for node, name in ((A, "transports"), (B, "transports"), (B, DOOR)):
            callers.append(await asyncio.open_connection(HOST, bells[node][name].port))
            await until(partial(sites._openings.__contains__, node))
        await until(lambda: under_way == [A, B])
        may_end.set()
        await until(lambda: sites.opened == [A, B])
        for _, writer in callers:
            writer.close()
        await sites.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("is_opened", [True, False])
def test_one_that_no_application_calls_lets_it_go_first_for_a_while(
    is_opened: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 0.0)
    monkeypatch.setattr(module, "GIVE_WAY_S", 20.0 if is_opened else 0.1)

    async def scenario() -> None:
        may_end = asyncio.Event()

        async def wait(_: NodeId, __: Bells) -> None:
            await may_end.wait()

        sites = Sleepers(wait, on_failed=lambda *_: None)
        bells = {node: sites.lay_down(node, {DOOR: (HOST, 0)}) for node in (A, B)}
        sites.watch()
        _, caller = await asyncio.open_connection(HOST, bells[A][DOOR].port)
        await until(sites.is_awaited)
        await asyncio.wait_for(sites.let_go_first(A), 0.05)  # it is the one that is awaited
        giving_way = asyncio.create_task(sites.let_go_first(B))
        await asyncio.sleep(0.03)
        assert not giving_way.done()
        if is_opened:
            may_end.set()
        await asyncio.wait_for(giving_way, 5)
        caller.close()
        await sites.close()

    asyncio.run(scenario())


def test_a_site_that_cannot_be_opened_hangs_up_and_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRY_AGAIN_S", 0.01)

    async def scenario() -> None:
        faults = [OSError("no space left"), ConfigurationError("no store")]

        async def failing(node: NodeId) -> None:
            if node == A and faults:
                raise faults.pop(0)

        async with House(failing) as house:
            assert await house.ask(A) == b""
            assert house.failed == [(A, "no space left")]
            assert not house.sites.is_opening(A), "nobody is to wait for it"
            assert await house.ask(B) == b"hello\n", "the others go on"
            assert await house.ask(A) == b""
            assert await house.ask(A) == b"hello\n"
            assert [node for node, _ in house.failed] == [A, A]

    asyncio.run(scenario())


def test_whoever_wakes_a_site_by_hand_hears_why_it_cannot_be_opened() -> None:
    async def scenario() -> None:
        async def failing(_: NodeId) -> None:
            raise ConfigurationError("no store")

        async with House(failing) as house:
            with pytest.raises(ConfigurationError, match="no store"):
                await house.sites.wake([A])

    asyncio.run(scenario())


def test_closing_ends_an_opening_and_gives_the_ports_back() -> None:
    async def scenario() -> None:
        begun = asyncio.Event()

        async def endless(_: NodeId) -> None:
            begun.set()
            await asyncio.Event().wait()

        async with House(endless) as house:
            asking = asyncio.create_task(house.ask(A))
            await begun.wait()
        assert await asking == b""
        for port in house.ports.values():
            Doorbell(HOST, port, on_ring=lambda: None).close()

    asyncio.run(scenario())


def test_a_port_that_is_taken_is_told() -> None:
    taken = Doorbell(HOST, 0, on_ring=lambda: None)
    try:
        with pytest.raises(ConfigurationError, match="cannot listen on"):
            Doorbell(HOST, taken.port, on_ring=lambda: None)
    finally:
        taken.close()


def test_a_site_that_was_put_to_sleep_is_opened_again_by_its_next_caller() -> None:
    async def scenario() -> None:
        async with House(at_once) as house:
            for life in range(1, 4):
                assert await house.ask(A) == b"hello\n"
                assert house.sites.opened == [A]
                assert await house.sites.put_to_sleep(A, house.close)
                assert (house.sites.is_asleep(A), house.sites.is_opening(A), house.sites.opened) == (True, True, [])
                assert (house.opened, house.sites.num_opened()) == ([A] * life, life)

    asyncio.run(scenario())


def test_who_calls_while_a_site_is_being_closed_is_answered() -> None:
    async def scenario() -> None:
        async with House(at_once) as house:
            await house.sites.wake([A])
            closing = asyncio.create_task(house.sites.put_to_sleep(A, house.close))
            await asyncio.sleep(0.01)
            asking = [asyncio.create_task(house.sites.wake([A])), asyncio.create_task(house.ask(B))]
            assert await closing
            assert (await asyncio.gather(*asking))[1] == b"hello\n"
            assert await house.ask(A) == b"hello\n"
            assert sorted(house.opened) == [A, A, B]

    asyncio.run(scenario())


def test_a_site_that_is_found_in_use_while_it_should_go_to_sleep_stays_open() -> None:
    async def scenario() -> None:
        async with House(at_once) as house:
            house.may_close = False
            await house.sites.wake([A])
            closing = asyncio.create_task(house.sites.put_to_sleep(A, house.close))
            await asyncio.sleep(0.01)
            await house.sites.wake([A])
            assert not await closing
            assert (house.sites.is_awake(A), house.opened) == (True, [A])
            assert await house.ask(A) == b"hello\n"
            assert not await house.sites.put_to_sleep(B, house.close), "it sleeps already"

    asyncio.run(scenario())


def test_no_site_goes_to_sleep_while_others_wait_for_being_opened() -> None:
    async def scenario() -> None:
        may_open = asyncio.Event()
        may_open.set()

        async def slowly(_: NodeId) -> None:
            await may_open.wait()

        async with House(slowly) as house:
            await house.sites.wake([A])
            may_open.clear()
            asking = asyncio.create_task(house.ask(B))
            await asyncio.sleep(0.05)
            assert not await house.sites.put_to_sleep(A, house.close)
            may_open.set()
            assert await asking == b"hello\n"
            assert await house.sites.put_to_sleep(A, house.close)

    asyncio.run(scenario())


def test_who_calls_a_site_at_which_something_is_done_while_it_sleeps_is_answered_after_that() -> None:
    async def scenario() -> None:
        may_end = asyncio.Event()

        async def slowly(_: NodeId) -> None:
            await may_end.wait()

        async with House(at_once) as house:
            doing = asyncio.create_task(house.sites.while_asleep(A, slowly))
            asking = asyncio.create_task(house.ask(A))
            await until(lambda: house.sites.is_awake(A))
            assert not await house.sites.while_asleep(B, at_once), "one is called, so this waits"
            assert house.opened == []
            may_end.set()
            assert await doing
            assert await asking == b"hello\n"
            assert not await house.sites.while_asleep(A, at_once), "it does not sleep any more"
            assert await house.sites.while_asleep(B, at_once)
            assert house.opened == [A]

    asyncio.run(scenario())


def test_nothing_is_done_to_a_site_whose_own_caller_came_while_it_had_to_wait_for_its_turn() -> None:
    async def scenario() -> None:
        done: list[NodeId] = []

        async def act(node: NodeId) -> None:
            done.append(node)

        async with House(at_once) as house:
            async with house.sites._turn:
                doing = asyncio.create_task(house.sites.while_asleep(A, act))
                await asyncio.sleep(0)
                asking = asyncio.create_task(house.ask(A))
                await until(lambda: house.sites.is_awake(A))
            assert not await doing
            assert await asking == b"hello\n"
            assert done == []

    asyncio.run(scenario())


def test_what_fails_while_a_site_sleeps_keeps_nobody_from_waking_it() -> None:
    async def scenario() -> None:
        async def fails(_: NodeId) -> None:
            raise ConfigurationError("the disk is full", remedy="")

        async with House(at_once) as house:
            with pytest.raises(ConfigurationError, match="disk is full"):
                await house.sites.while_asleep(A, fails)
            assert await house.ask(A) == b"hello\n"
            assert house.failed == []

    asyncio.run(scenario())


def test_a_call_that_the_thread_of_the_doors_hears_opens_a_site_as_one_that_is_awaited_each_time_that_it_sleeps() -> (
    None
):
    async def scenario() -> None:
        marks: list[bool] = []

        async def note(_: NodeId) -> None:
            marks.append(AWAITED.get())
            if len(marks) == 1:
                raise ConfigurationError("not yet", remedy="")

        async with DoorThread() as doors, House(note, name=DOOR, doors=doors) as house:
            assert await house.ask(A) == b""
            assert house.failed
            house.sites.watch()
            assert await house.ask(A) == b"hello\n"
            assert await house.sites.put_to_sleep(A, house.close)
            assert await house.ask(A) == b"hello\n"
            assert await house.ask(A) == b"hello\n"
            assert marks == [True] * 3
            assert house.sites.is_called_by_application(A)
            assert house.sites.is_asleep(B)

    asyncio.run(scenario())


def test_while_an_application_waits_for_a_site_nothing_is_done_to_those_that_sleep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with House(at_once, name=DOOR) as house:
            assert await house.ask(A) == b"hello\n"
            assert not await house.sites.while_asleep(B, at_once), "its first answer may be on its way"
            monkeypatch.setattr(module, "ANSWER_S", 0.0)
            assert await house.sites.while_asleep(B, at_once)

    monkeypatch.setattr(module, "ANSWER_S", 60.0)
    asyncio.run(scenario())

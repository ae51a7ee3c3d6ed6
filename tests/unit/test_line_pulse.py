"""Lines that take bytes and give none: who is not heard on one is not reachable there, until it is heard again."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from distil_support import CuttingProxy
from qanat.adapters import line_pulse, tls_transport
from qanat.adapters.line_pulse import ANSWER, QUESTION, LinePulse, LinePulses
from qanat.adapters.tls import TlsFiles
from qanat.ground.messages import encode_message
from unit.test_tls_transport import A, B, Net, make_files, message, network, next_of, run, until

LOOK_S = 0.05


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TlsFiles]:
    return make_files(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_transport, "LOOK_PERIOD_S", LOOK_S)
    for name, value in (("PULSE_S", 0.1), ("LOST_S", 0.3), ("ASK_AGAIN_S", 0.1)):
        monkeypatch.setattr(line_pulse, name, value)


async def through_a_proxy(net: Net) -> tuple[Any, Any, CuttingProxy]:
    """Two transports of which the one has called the other by way of a proxy."""
    one, other = await net.start(A), await net.start(B)
    proxy = await CuttingProxy(other.port).__aenter__()
    net.ports[B] = proxy.port
    await one.send(B, message(1))
    assert await next_of(other) == (A, message(1))
    await until(lambda: bool(one.is_reachable(B) and other.is_reachable(A)))
    return one, other, proxy


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("speaks", ["who has dialled", "who was called"])
def test_a_line_that_is_held_does_not_count_until_it_is_let_go_and_is_not_cut(
    files: dict[str, TlsFiles], speaks: str
) -> None:
    async def work() -> None:
        async with network(files) as net:
            dialled, called, proxy = await through_a_proxy(net)
            one, other, peer, own = (dialled, called, B, A) if speaks == "who has dialled" else (called, dialled, A, B)
            await asyncio.sleep(6 * LOOK_S)  # what was said so far is answered
            proxy.hold_after = 0
            await one.send(peer, message(2))
            assert one.is_reachable(peer)
            await until(lambda: not one.is_reachable(peer))
            assert not one.is_coming(peer)
            await one.send(peer, message(3))
            proxy.release()
            await until(lambda: bool(one.is_reachable(peer) and one.is_coming(peer)))
            assert [await next_of(other) for _ in range(2)] == [(own, message(2)), (own, message(3))]
            assert len(proxy.recordings) == 1, "nobody has dialled anew"
            await proxy.close()

    run(work())


@pytest.mark.usefixtures("quick")
def test_of_two_lines_the_one_that_is_heard_is_spoken_on(files: dict[str, TlsFiles]) -> None:
    async def work() -> None:
        async with network(files) as net:
            one, other = await net.start(A), await net.start(B)
            proxy = await CuttingProxy(other.port).__aenter__()
            net.ports[B] = proxy.port
            lines = one._line_to(B), other._line_to(A)
            await until(lambda: all(line.is_up for line in lines) and B in one._callers and A in other._callers)
            proxy.hold_after = 0
            await one.send(B, message(1))
            await until(lambda: not lines[0].is_heard)
            assert one.is_reachable(B)
            await one.send(B, message(2))
            assert await next_of(other) == (A, message(2))
            proxy.release()
            await proxy.close()

    run(work())


@pytest.mark.usefixtures("quick")
def test_nothing_is_asked_where_nothing_is_said_and_once_where_nothing_is_answered(
    files: dict[str, TlsFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[LinePulse]()
    ask = LinePulse._ask

    def note(self: LinePulse, now_s: float) -> None:
        asked.append(self)
        ask(self, now_s)

    monkeypatch.setattr(LinePulse, "_ask", note)

    async def work() -> None:
        async with network(files) as net:
            one, other = await net.start(A), await net.start(B)
            for number in range(3):
                await one.send(B, message(number))
                assert await next_of(other) == (A, message(number))
                await asyncio.sleep(12 * LOOK_S)
                assert len(asked) == number + 1
            await other.send(A, message(9))
            assert await next_of(one) == (B, message(9)), "a pulse is no message"
            assert one.is_reachable(B)

    run(work())


# --- one line, on a clock of the test's ---


class Line:
    """A pulse whose line is seen from the peer."""

    def __init__(self) -> None:
        self.now_s, self.written, self.num_waiting = 0.0, list[bytes](), 0
        self.frames = SimpleNamespace(num_bytes_read=0)
        self.pulses = LinePulses(lambda: self.now_s)
        self.pulse = self.pulses.begin(self, self.frames)  # type: ignore[arg-type]
        self.transport = SimpleNamespace(get_write_buffer_size=lambda: self.num_waiting)
        self.write = self.written.append

    def is_closing(self) -> bool:
        return False

    def hear(self, frame: bytes) -> bool:
        self.frames.num_bytes_read += len(frame)
        return self.pulse.hears_message(frame)

    def run(self, seconds: int, *, hears: bytes = b"") -> bool:
        """Look once a second; return whether the peer is lost at the end."""
        for _ in range(seconds):
            self.now_s += 1.0
            if hears:
                self.hear(hears)
            self.pulses.look(again_in_s=1.0)
        return self.pulse.is_lost

    @property
    def questions(self) -> int:
        return self.written.count(QUESTION)


MESSAGE = encode_message(message(1))


def test_who_says_nothing_is_asked_after_one_second_lost_after_four_more_and_asked_again() -> None:
    line = Line()
    assert not line.run(10)
    line.pulse.say(MESSAGE)
    assert not line.run(4)
    assert line.questions == 1
    assert line.run(1)
    assert line.run(6)
    assert line.questions == 1 + 1 + 3
    assert not line.hear(ANSWER)
    assert not line.pulse.is_lost
    assert not line.run(10)
    assert line.questions == 5


def test_whatever_message_is_heard_is_an_answer() -> None:
    line = Line()
    for _ in range(5):
        line.pulse.say(MESSAGE)
        line.run(3)
        assert line.hear(MESSAGE)
    assert not line.pulse.is_lost


def test_a_question_is_answered_and_shows_not_that_the_peer_hears() -> None:
    """A line may be held one way."""
    line = Line()
    line.pulse.say(MESSAGE)
    assert line.run(6, hears=QUESTION)
    assert line.written.count(ANSWER) == 6


def test_who_takes_nothing_is_not_answered_for_ever() -> None:
    line = Line()
    line.num_waiting = line_pulse.MOST_WAITING_BYTES
    line.run(5, hears=QUESTION)
    assert line.written == []


def test_a_standstill_of_this_process_is_nobodys_silence() -> None:
    line = Line()
    line.pulse.say(MESSAGE)
    line.run(3)
    for _ in range(3):
        line.now_s += 30.0
        assert not line.run(3), "the waiting begins anew"
    assert line.run(3)


def test_while_there_is_no_room_for_what_was_heard_nobody_is_lost() -> None:
    line = Line()
    line.pulse.say(MESSAGE)
    line.pulse.is_taking_in = True
    assert not line.run(30)
    line.pulse.is_taking_in = False
    assert line.run(6)


def test_a_long_message_that_has_only_begun_is_heard() -> None:
    line = Line()
    line.pulse.say(MESSAGE)
    for _ in range(5):
        line.frames.num_bytes_read += 1000
        assert not line.run(4)
    assert line.run(4)
    line.frames.num_bytes_read += 1000
    assert not line.run(1)

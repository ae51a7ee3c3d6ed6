"""Lines on real sockets: cut, taken up again, displaced by a new process, refused; and flow that is bounded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from distil_support import CuttingProxy
from qanat.adapters.resuming_channel import LineListener, ResumingChannel, dial_line
from qanat.adapters.tcp_channel import connect_channel
from qanat.ground import numbered
from qanat.ground.errors import ChannelClosed, ChannelTimeout, ConfigurationError
from qanat.ground.framing import decode_frame, encode_frame
from qanat.ground.numbered import LineKind, NumberedLine, read_reason

Work = Callable[[ResumingChannel, ResumingChannel, CuttingProxy], Awaitable[None]]
NAME = "ab" * 16


def on_a_line(work: Work, *, patience_s: float = 10.0) -> None:
    """Run ``work`` with both ends of a line that goes through a proxy."""

    async def main() -> None:
        listener = LineListener(host="127.0.0.1", port=0, patience_s=patience_s)
        await listener.start()
        async with CuttingProxy(listener.port) as proxy:
            dialled = await dial_line("127.0.0.1", proxy.port, patience_s=patience_s)
            accepted = await listener.accept(timeout_s=5)
            try:
                await work(dialled, accepted, proxy)
            finally:
                await asyncio.gather(dialled.close(), listener.stop())

    asyncio.run(main())


def test_frames_cross_both_ways_over_many_breaks_in_order_and_once() -> None:
    frames = [encode_frame(1, {"number": number}, bytes(20_000)) for number in range(120)]

    async def work(one: ResumingChannel, other: ResumingChannel, proxy: CuttingProxy) -> None:
        async def say(channel: ResumingChannel) -> None:
            for number, frame in enumerate(frames):
                await channel.send(frame)
                if number % 20 == 10:
                    proxy.cut()

        async def hear(channel: ResumingChannel) -> list[bytes]:
            return [await channel.receive(timeout_s=20) for _ in frames]

        _, _, *heard = await asyncio.gather(say(one), say(other), hear(one), hear(other))
        assert heard == [frames, frames]
        assert proxy.num_cuts >= 5
        assert one.num_connections > 1

    on_a_line(work)


def test_what_was_said_last_arrives_even_if_the_line_is_cut_right_then() -> None:
    async def work(one: ResumingChannel, other: ResumingChannel, proxy: CuttingProxy) -> None:
        proxy.cut()
        await one.send(encode_frame(1, {}, b"last"))
        proxy.cut()
        closing = asyncio.create_task(one.close())
        assert decode_frame(await other.receive(timeout_s=10)).body == b"last"
        await closing
        with pytest.raises(ChannelClosed, match="nothing more to say"):
            await other.receive(timeout_s=10)
        with pytest.raises(ChannelClosed):
            await one.send(encode_frame(1))

    on_a_line(work)


def test_a_sender_waits_for_a_receiver_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbered, "WINDOW_BYTES", 100_000)

    async def work(one: ResumingChannel, other: ResumingChannel, proxy: CuttingProxy) -> None:
        async def say() -> None:
            for _ in range(100):
                await one.send(encode_frame(1, {}, bytes(10_000)))

        saying = asyncio.create_task(say())
        await asyncio.sleep(0.2)
        assert not saying.done()
        assert one._line.kept_bytes <= 110_100
        for _ in range(100):
            await other.receive(timeout_s=5)
        await saying

    on_a_line(work)


def test_a_line_that_nobody_takes_up_again_is_over_for_both() -> None:
    async def work(one: ResumingChannel, other: ResumingChannel, proxy: CuttingProxy) -> None:
        await proxy.close()
        for channel in (one, other):
            with pytest.raises(ChannelClosed):
                await channel.receive(timeout_s=10)

    on_a_line(work, patience_s=0.4)


def test_silence_is_a_timeout_and_the_line_lives_on() -> None:
    async def work(one: ResumingChannel, other: ResumingChannel, proxy: CuttingProxy) -> None:
        with pytest.raises(ChannelTimeout, match="said nothing"):
            await one.receive(timeout_s=0.05)
        await other.send(encode_frame(1))
        assert decode_frame(await one.receive(timeout_s=5)).kind == 1

    on_a_line(work)


def test_a_new_process_displaces_a_broken_line_and_a_lost_line_is_not_known() -> None:
    async def main() -> None:
        listener = LineListener(host="127.0.0.1", port=0, patience_s=5)
        await listener.start()
        first = await dial_line("127.0.0.1", listener.port, patience_s=5)
        served = await listener.accept(timeout_s=5)
        assert await refusal(listener.port, NumberedLine(NAME).greeting()) == "busy"
        late = NumberedLine(NAME)
        late._next_heard = 3
        assert await refusal(listener.port, late.greeting()) == "unknown"
        first._pump.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await first._pump
        second = await dial_line("127.0.0.1", listener.port, patience_s=5)
        with pytest.raises(ChannelClosed, match="started anew"):
            await served.receive(timeout_s=5)
        other = await listener.accept(timeout_s=5)
        await second.send(encode_frame(7))
        assert decode_frame(await other.receive(timeout_s=5)).kind == 7
        await asyncio.gather(second.close(), listener.stop())

    asyncio.run(main())


def test_a_caller_who_vanished_behind_something_that_stays_is_displaced_by_his_new_process() -> None:
    async def main() -> None:
        listener = LineListener(host="127.0.0.1", port=0, patience_s=5, silence_s=0.3)
        await listener.start()
        async with CuttingProxy(listener.port) as proxy:
            first = await dial_line("127.0.0.1", proxy.port, patience_s=5)
            served = await listener.accept(timeout_s=5)
            await first.send(encode_frame(7))
            await served.receive(timeout_s=5)
            proxy.hold_after = 0  # open on both sides, and silent
            await first.send(encode_frame(7))
            second = await dial_line("127.0.0.1", listener.port, patience_s=10)
            with pytest.raises(ChannelClosed, match="started anew"):
                await served.receive(timeout_s=5)
            other = await listener.accept(timeout_s=5)
            await second.send(encode_frame(8))
            assert decode_frame(await other.receive(timeout_s=5)).kind == 8
            first.displace()
            proxy.release()
            await asyncio.gather(first.close(), second.close(), listener.stop())

    asyncio.run(main())


def test_a_caller_who_is_there_is_not_displaced_however_often_others_call() -> None:
    async def main() -> None:
        listener = LineListener(host="127.0.0.1", port=0, patience_s=5, silence_s=0.2)
        await listener.start()
        first = await dial_line("127.0.0.1", listener.port, patience_s=5)
        served = await listener.accept(timeout_s=5)
        with pytest.raises(ChannelClosed, match="speaks with another one") as refused:
            await dial_line("127.0.0.1", listener.port, patience_s=1.5)
        assert "stop the other process" in (refused.value.remedy or "")
        await first.send(encode_frame(7))
        assert decode_frame(await served.receive(timeout_s=5)).kind == 7
        assert first.num_connections == 1
        await asyncio.gather(first.close(), listener.stop())

    asyncio.run(main())


async def refusal(port: int, greeting: bytes) -> str:
    channel = await connect_channel("127.0.0.1", port)
    await channel.send(greeting)
    frame = decode_frame(await channel.receive(timeout_s=5))
    await channel.close()
    assert frame.kind == LineKind.BYE
    return read_reason(frame)


def test_a_listener_that_was_started_anew_ends_the_lines_of_before() -> None:
    async def main() -> None:
        listener = LineListener(host="127.0.0.1", port=0, patience_s=5)
        await listener.start()
        port = listener.port
        dialled = await dial_line("127.0.0.1", port, patience_s=5)
        served = await listener.accept(timeout_s=5)
        await served.send(encode_frame(1))
        await dialled.receive(timeout_s=5)
        served.displace()
        await listener._server.stop()  # as a killed process: no word, only a broken connection
        again = LineListener(host="127.0.0.1", port=port, patience_s=5)
        await again.start()
        with pytest.raises(ChannelClosed, match="does not know this line"):
            await dialled.receive(timeout_s=5)
        await asyncio.gather(dialled.close(), again.stop())

    asyncio.run(main())


def test_nobody_listens_nobody_calls_and_a_port_in_use() -> None:
    async def main() -> None:
        listener = LineListener(host="127.0.0.1", port=0, patience_s=5)
        await listener.start()
        with pytest.raises(ChannelTimeout, match="nobody called"):
            await listener.accept(timeout_s=0.1)
        other = LineListener(host="127.0.0.1", port=listener.port, patience_s=5)
        with pytest.raises(ConfigurationError, match="free port"):
            await other.start()
        port = listener.port
        await listener.stop()
        with pytest.raises(ChannelClosed, match="no connection"):
            await dial_line("127.0.0.1", port, patience_s=0.3)

    asyncio.run(main())

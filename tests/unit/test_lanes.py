"""Lanes: conversations side by side on one channel, as pure bookkeeping; and how many blocks a line asks for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable

import numpy as np
import pytest

from qanat.adapters.system import SystemClock
from qanat.apps.distil.in_flight import (
    AT_WORK,
    BLOCK_BYTES_PER_BIT,
    MOST_IN_FLIGHT,
    MOST_MEMORY_BYTES,
    ROUND_TRIPS,
    Pace,
    Progress,
    most_in_flight,
)
from qanat.ground.errors import FrameError, NoSecretKey, PadExhausted
from qanat.ground.framing import encode_frame
from qanat.ground.lanes import LANE_BYTES, LANE_KIND, MOST_UNREAD, Heard, Lane, Lanes, decode_lane, encode_lane
from qanat.ground.numbered import WINDOW_BYTES


def frame(text: str) -> bytes:
    return encode_frame(1, {}, text.encode())


class Script:
    """A channel whose peer says what it was told to say, and hears everything."""

    max_frame_bytes = 2**20

    def __init__(self, *frames: bytes) -> None:
        self.coming = deque(frames)
        self.said: list[bytes] = []

    async def send(self, data: bytes, /) -> None:
        self.said.append(data)

    async def receive(self, *, timeout_s: float) -> bytes:
        await asyncio.sleep(0)  # a future of the event loop crosses the conversation's driver
        return self.coming.popleft()

    async def close(self) -> None: ...


def lanes_on(channel: Script) -> Lanes:
    return Lanes(channel, timeout_s=1.0, clock=SystemClock())


def run(work: Awaitable[None]) -> None:
    async def main() -> None:
        await work

    asyncio.run(main())


def test_each_lane_hears_its_own_frames_whatever_order_they_come_in() -> None:
    channel = Script(*(encode_lane(lane, frame(text)) for lane, text in [(2, "a"), (1, "b"), (1, "c"), (2, "d")]))
    heard: dict[int, list[bytes]] = {1: [], 2: []}

    async def talk(lane: Lane) -> None:
        for number in range(2):
            await lane.send(frame(f"{lane.number}.{number}"))
            await asyncio.sleep(0)
            heard[lane.number].append(await lane.receive(timeout_s=1))

    async def main() -> None:
        lanes = lanes_on(channel)
        for _ in range(2):
            await lanes.open(talk)
        sizes = []
        while len(lanes):
            assert await lanes.hear() is None
            sizes.append(len(lanes))
        assert sizes == [2, 2, 1, 0]

    run(main())
    assert heard == {1: [frame("b"), frame("c")], 2: [frame("a"), frame("d")]}
    assert channel.said == [
        encode_lane(lane, frame(f"{lane}.{turn}")) for turn, lane in ((0, 1), (0, 2), (1, 2), (1, 1))
    ]


def test_a_lane_that_waits_for_another_goes_on_when_that_has_had_its_frame() -> None:
    channel = Script(encode_lane(1, frame("a")), encode_lane(2, frame("b")))
    order = []

    async def first(lane: Lane) -> None:
        order.append(await lane.receive(timeout_s=1))

    async def second(lane: Lane) -> None:
        await lane.until(lambda: bool(order))
        order.append(frame("second goes on"))
        order.append(await lane.receive(timeout_s=1))

    async def main() -> None:
        lanes = lanes_on(channel)
        await lanes.open(first)
        await lanes.open(second)
        assert order == []
        await lanes.hear()
        assert order == [frame("a"), frame("second goes on")]
        await lanes.hear()
        assert len(lanes) == 0

    run(main())
    assert order[-1] == frame("b")


def test_a_frame_of_no_open_lane_is_handed_to_the_caller() -> None:
    word, late, new = encode_frame(0x7D), encode_lane(1, frame("late")), encode_lane(2, frame("new"))

    async def ends(lane: Lane) -> None: ...

    async def main() -> None:
        lanes = lanes_on(Script(word, late, new))
        await lanes.open(ends)
        assert [await lanes.hear() for _ in range(3)] == [
            Heard(0, word),
            Heard(1, frame("late")),
            Heard(2, frame("new")),
        ]

    run(main())


def test_a_conversation_that_fails_leaves_its_lane_and_the_others_go_on() -> None:
    channel = Script(*(encode_lane(lane, frame("x")) for lane in (1, 2)))
    done = []

    async def fails(lane: Lane) -> None:
        await lane.receive(timeout_s=1)
        raise NoSecretKey("nothing is left")

    async def goes_on(lane: Lane) -> None:
        done.append(await lane.receive(timeout_s=1))

    async def main() -> None:
        lanes = lanes_on(channel)
        await lanes.open(fails)
        await lanes.open(goes_on)
        with pytest.raises(NoSecretKey):
            await lanes.hear()
        assert len(lanes) == 1
        await lanes.hear()

    run(main())
    assert done == [frame("x")]


def test_what_a_conversation_awaits_besides_may_fail_into_it() -> None:
    caught = []

    async def account() -> None:
        await asyncio.sleep(0)
        raise PadExhausted("no pads")

    async def spends(lane: Lane) -> None:
        try:
            await account()
        except PadExhausted as fault:
            caught.append(fault.message)
            await lane.send(frame("sorry"))

    channel = Script()
    run(lanes_on(channel).open(spends))
    assert caught == ["no pads"]
    assert channel.said == [encode_lane(1, frame("sorry"))]


def test_a_run_that_is_cancelled_or_closed_ends_its_conversations() -> None:
    ended = []

    async def waits(lane: Lane) -> None:
        try:
            if lane.number == 2:
                await asyncio.sleep(3600)
            await lane.receive(timeout_s=1)
        finally:
            ended.append(lane.number)

    async def main() -> None:
        lanes = lanes_on(Script())
        await lanes.open(waits)
        opening = asyncio.get_running_loop().create_task(lanes.open(waits))
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        assert ended == [2]
        lanes.close()

    run(main())
    assert ended == [2, 1]


def test_frames_for_a_lane_whose_turn_it_is_not_are_bounded() -> None:
    async def waits(lane: Lane) -> None:
        await lane.until(lambda: False)

    async def main() -> None:
        lanes = lanes_on(Script(*[encode_lane(1, frame("x"))] * (MOST_UNREAD + 1)))
        await lanes.open(waits)
        for _ in range(MOST_UNREAD):
            await lanes.hear()
        with pytest.raises(FrameError, match="unread"):
            await lanes.hear()
        lanes.close()

    run(main())


def test_the_longest_frame_of_a_lane_fits_its_channel() -> None:
    channel = Script()
    lane = Lane(2**62, channel)
    inner = encode_frame(1, {}, bytes(lane.max_frame_bytes - 10))
    assert len(inner) == lane.max_frame_bytes
    assert len(encode_lane(lane.number, inner)) <= channel.max_frame_bytes
    assert lane.max_frame_bytes == channel.max_frame_bytes - LANE_BYTES


@pytest.mark.parametrize("number", [0, -1, True, "1", None, 2**63, 1.0])
def test_a_lane_without_a_number_is_refused(number: object) -> None:
    with pytest.raises(FrameError):
        decode_lane(encode_frame(LANE_KIND, {"lane": number}))  # type: ignore[dict-item]


def test_no_bytes_of_a_stranger_do_more_than_raise_our_errors() -> None:
    dice = np.random.default_rng(20_261_126)
    sample = encode_lane(7, frame("x"))
    taken = 0
    for _ in range(5000):
        data = bytearray(sample)
        for _ in range(int(dice.integers(1, 4))):
            data[int(dice.integers(len(data)))] = int(dice.integers(256))
        try:
            decode_lane(bytes(data[: int(dice.integers(len(data) + 8))]))
            taken += 1
        except FrameError:
            continue
    assert taken > 50


def start(begun: int = 0) -> Progress:
    return Progress(0.0, 0.0, begun)


def test_more_blocks_are_in_flight_over_a_longer_line_and_few_over_none() -> None:
    def wanted(round_trip_s: float, key_bits: int = 4_194_304) -> int:
        return Pace(key_bits=key_bits, round_trip_s=round_trip_s, most=1000, fixed=None).wanted(start())

    assert wanted(0.0) == AT_WORK
    assert wanted(0.0002) == AT_WORK + 1
    # rate x round trip x round trips of a block, in blocks: 80 Mbit/s are 62 ms per block, 170 round trips 3.4 s
    assert 50 < wanted(0.020) < 60
    assert wanted(0.020) < wanted(0.020, 2**20) < wanted(0.040, 2**20)


def test_slow_machines_need_fewer_blocks_in_flight_once_they_were_measured() -> None:
    pace = Pace(key_bits=2**22, round_trip_s=0.02, most=1000, fixed=None)
    before = pace.wanted(start())
    pace.note_end(Progress(10.0, 6.0, 20), round_trips=150)
    assert pace.wanted(Progress(11.0, 6.0, 25)) <= before, "what those begun before left to do is not counted"
    # 80 blocks more in 20 s of work: 250 ms each, and 150 round trips of 20 ms are twelve of them
    assert pace.wanted(Progress(31.0, 7.0, 100)) == AT_WORK + 12


def test_what_the_user_says_is_done_and_what_the_other_party_takes_is_kept_to() -> None:
    assert Pace(key_bits=2**22, round_trip_s=1.0, most=50, fixed=1).wanted(start()) == 1
    assert Pace(key_bits=2**22, round_trip_s=1.0, most=50, fixed=70).wanted(start()) == 50
    assert Pace(key_bits=2**22, round_trip_s=1.0, most=50, fixed=None).wanted(start()) == 50


@pytest.mark.parametrize("key_bits", [2**11, 2**18, 2**22, 10**8])
def test_blocks_in_flight_fit_memory_and_line(key_bits: int) -> None:
    most = most_in_flight(key_bits, chosen=None)
    assert 1 <= most <= MOST_IN_FLIGHT
    assert most == 1 or most * key_bits * BLOCK_BYTES_PER_BIT <= MOST_MEMORY_BYTES
    chosen = most_in_flight(key_bits, chosen=10**6)
    longest_turn_bytes = (2 * key_bits - 1) // 8
    assert chosen == 1 or chosen * longest_turn_bytes <= WINDOW_BYTES, "or both parties could wait to send for ever"
    assert most_in_flight(key_bits, chosen=1) == 1
    assert ROUND_TRIPS > 100


def test_a_socket_s_fault_and_a_time_limit_reach_the_conversation_that_waits_for_them() -> None:
    """A connection that is reset while a lane waits to send is its channel's to understand, not the run's end."""
    heard: list[str] = []

    async def talk(lane: Lane) -> None:
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(sent.set_exception, ConnectionResetError("reset"))
        try:
            await sent
        except OSError as fault:
            heard.append(str(fault))
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            heard.append("late")

    async def main() -> None:
        await lanes_on(Script()).open(talk)

    run(main())
    assert heard == ["reset", "late"]


def test_a_run_that_is_cancelled_ends_its_conversations() -> None:
    ended: list[int] = []

    async def talk(lane: Lane) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(lane.number)

    async def main() -> None:
        task = asyncio.create_task(lanes_on(Script()).open(talk))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert ended == [1]

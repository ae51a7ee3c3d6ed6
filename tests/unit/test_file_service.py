"""The file service as a user meets it: what arrives, what is refused, who is told."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from qanat.ground.errors import BadParameter, KeyNotFound, KeyShortage, LinkFailed, NotEntitled, PeerProtocolError
from qanat.ground.events import EventKind, chain
from qanat.services.chunks import cut_into_chunks
from qanat.services.file import (
    FileSettings,
    ReceivedFile,
    RefusedByPeer,
    SentFile,
    file_name_for_all,
    receive_file,
    send_file,
)
from unit.file_service_fakes import EVE, Ends, pieces_of

CHUNK_BYTES = 65536


def delivered(ends: Ends, data: bytes, **options: object) -> tuple[SentFile, ReceivedFile]:
    sent, received = asyncio.run(ends.transfer(pieces_of(data), **options))  # type: ignore[arg-type]
    assert isinstance(sent, SentFile), sent
    assert isinstance(received, ReceivedFile), received
    return sent, received


@pytest.mark.parametrize("size_is_told", [True, False])
@pytest.mark.parametrize("size_bytes", [0, 1, 65535, 65536, 65537, 3_000_000])
def test_a_file_arrives_as_it_was_sent(size_bytes: int, size_is_told: bool) -> None:
    data = random.Random(size_bytes).randbytes(size_bytes)
    ends = Ends()
    sent, received = delivered(ends, data, size_bytes=size_bytes if size_is_told else None)
    assert bytes(ends.received) == data
    assert sent.size_bytes == received.size_bytes == size_bytes
    assert sent.num_chunks == received.num_chunks == max(1, -(-size_bytes // CHUNK_BYTES))
    assert received.name == "letter.txt"
    assert sent.num_keys == received.num_keys
    assert not ends.stock.waiting, "no key stays behind at the receiver's key manager"
    if size_is_told:
        assert sent.num_keys == sent.num_chunks + 1, "a key per chunk, and one for the frames without content"


def test_every_chunk_has_its_own_key() -> None:
    ends = Ends()
    sent, _ = delivered(ends, bytes(20 * CHUNK_BYTES), size_bytes=20 * CHUNK_BYTES)
    assert len(set(ends.stock.given)) == sent.num_keys == 21


def test_the_file_does_not_travel_in_clear_and_keys_do_not_travel_at_all() -> None:
    ends = Ends()
    ends.left.sent = []
    data = b"attack at dawn, " * 10_000
    delivered(ends, data)
    on_the_line = b"".join(ends.left.sent)
    assert b"attack at dawn" not in on_the_line
    assert not any(key in on_the_line for key in ends.stock.given)


def test_keys_are_asked_in_batches_within_both_limits() -> None:
    ends = Ends(settings=FileSettings(chunk_bytes=1000, keys_per_request=40))
    ends.master.max_keys_per_request = 25
    delivered(ends, bytes(60_000), size_bytes=60_000)
    assert ends.master.requests == [25, 25, 11]


def test_one_key_per_request_is_enough() -> None:
    ends = Ends(settings=FileSettings(chunk_bytes=1000, keys_per_request=1))
    delivered(ends, bytes(3000), size_bytes=3000)
    assert ends.master.requests == [1, 1, 1, 1]


def test_events_lead_from_the_delivery_back_to_the_request() -> None:
    ends = Ends(settings=FileSettings(chunk_bytes=1000, keys_per_request=10))
    sent, received = delivered(ends, bytes(50_000), size_bytes=50_000)
    steps = chain(ends.events, received.delivered)
    assert [event.step for event in steps] == [1, 2, 4, 9, 10]
    assert steps[-2].id == sent.encoded
    assert steps[-1].id == sent.delivered == received.delivered
    assert {event.request_id for event in steps} == {sent.request_id} == {received.request_id}
    assert ends.trace.last == received.delivered
    first_given = next(event for event in ends.events if event.kind is EventKind.KEY_GIVEN)
    assert steps[-2].cause == first_given.id, "later batches of keys do not come between"


def test_no_event_says_a_secret() -> None:
    ends = Ends()
    delivered(ends, b"secret text")
    said = repr(ends.events)
    assert "secret text" not in said
    assert not any(key.hex() in said for key in ends.stock.given)


def test_progress_grows_to_the_whole() -> None:
    ends = Ends()
    delivered(ends, bytes(500_000), size_bytes=500_000)
    for progress in (ends.progress_sent, ends.progress_received):
        done = [step.done_bytes for step in progress]
        assert done == sorted(set(done))
        assert done[-1] == 500_000
        assert {step.total_bytes for step in progress} == {500_000}


def test_a_sender_waits_for_keys_as_long_as_its_patience_lasts() -> None:
    ends = Ends(shortages=5, settings=FileSettings(patience_s=11))
    delivered(ends, b"late but whole")
    assert bytes(ends.received) == b"late but whole"
    assert ends.clock.sleeps_s == [2.0] * 5


def test_a_sender_without_keys_says_so_at_both_ends() -> None:
    ends = Ends(shortages=1000, settings=FileSettings(patience_s=5))
    sent, received = asyncio.run(ends.transfer(pieces_of(b"never")))
    assert isinstance(sent, KeyShortage)
    assert "within 5 s" in sent.message
    assert sent.remedy
    assert ends.clock.sleeps_s == [2.0, 2.0]  # a third pause would outlast its patience
    assert isinstance(received, RefusedByPeer)
    assert "no 5 keys" in received.message


def test_a_link_that_has_failed_ends_a_transfer_at_once_however_patient_the_sender() -> None:
    ends = Ends(shortages=1000, settings=FileSettings(patience_s=600))
    ends.master.shortage = LinkFailed("too many errors", remedy="look at the light", retry_after_s=2.0)
    sent, received = asyncio.run(ends.transfer(pieces_of(b"never")))
    assert isinstance(sent, LinkFailed)
    assert ("too many errors" in sent.message, sent.remedy) == (True, "look at the light")
    assert ends.clock.sleeps_s == []
    assert isinstance(received, RefusedByPeer)


def test_keys_that_were_fetched_before_are_refused_at_both_ends() -> None:
    def steal_first(_: int, frame: bytes) -> list[bytes]:
        ends.stock.waiting.clear()
        return [frame]

    ends = Ends(forward=steal_first)
    sent, received = asyncio.run(ends.transfer(pieces_of(b"for bob alone")))
    assert isinstance(received, KeyNotFound)
    assert isinstance(sent, RefusedByPeer)
    assert "no key" in sent.message
    assert not ends.received


def test_the_wrong_recipient_gets_nothing() -> None:
    ends = Ends(recipient=EVE)
    sent, received = asyncio.run(ends.transfer(pieces_of(b"for bob alone")))
    assert isinstance(received, NotEntitled)
    assert isinstance(sent, RefusedByPeer)
    assert not ends.received


def test_a_file_of_another_sender_is_refused() -> None:
    ends = Ends()
    ends.master.sae = EVE
    sent, received = asyncio.run(ends.transfer(pieces_of(b"from eve")))
    assert isinstance(received, PeerProtocolError)
    assert "on the channel of" in received.message
    assert isinstance(sent, RefusedByPeer)


@pytest.mark.parametrize("told_bytes", [0, 9, 11, 70_000])
def test_a_stream_of_another_length_than_was_said_is_refused(told_bytes: int) -> None:
    ends = Ends()
    sent, received = asyncio.run(ends.transfer(pieces_of(b"ten bytes."), size_bytes=told_bytes))
    assert isinstance(sent, BadParameter)
    assert sent.remedy
    assert isinstance(received, RefusedByPeer)


def test_a_file_that_cannot_be_read_on_is_refused_without_naming_it_to_the_peer() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield bytes(100_000)
        raise OSError("/home/alice/letter.txt: input/output error")

    ends = Ends()
    sent, received = asyncio.run(ends.transfer(broken()))
    assert isinstance(sent, OSError)
    assert isinstance(received, RefusedByPeer)
    assert "could not read" in received.message
    assert "/home" not in received.message


def test_a_receiver_that_cannot_keep_the_file_tells_the_sender() -> None:
    class FullDisk(bytearray):
        def extend(self, _: object) -> None:
            raise OSError(28, "No space left on device")

    ends = Ends()
    ends.received = FullDisk()
    sent, received = asyncio.run(ends.transfer(pieces_of(bytes(5_000_000)), size_bytes=5_000_000))
    assert isinstance(received, OSError)
    assert isinstance(sent, RefusedByPeer)


def test_a_sink_may_be_a_coroutine() -> None:
    ends = Ends()
    kept = bytearray()

    async def keep(data: bytes) -> None:
        await asyncio.sleep(0)
        kept.extend(data)

    async def run() -> None:
        ends.received = _Extending(keep)  # type: ignore[assignment]
        sent, _ = await ends.transfer(pieces_of(bytes(200_000)))
        assert isinstance(sent, SentFile)

    asyncio.run(run())
    assert bytes(kept) == bytes(200_000)


class _Extending:
    def __init__(self, extend: object) -> None:
        self.extend = extend


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("letter.txt", "letter.txt"),
        ("Größe 3.pdf", "Größe 3.pdf"),
        ('a "b".txt', "a _b_.txt"),
        ("<a>|b?*c:d\\e", "_a__b__c_d_e"),
        ("a\nb\x1b[0m\x7f", "a_b_[0m_"),
        (b"a\xff\xfe".decode("utf-8", "surrogateescape"), "a__"),
        ("ü" * 127, "ü" * 127),
    ],
)
def test_any_file_of_this_machine_has_a_name_that_every_receiver_takes(name: str, told: str) -> None:
    assert file_name_for_all(name) == told
    sent, received = asyncio.run(Ends().transfer(pieces_of(b"x"), name=told))
    assert isinstance(sent, SentFile)
    assert isinstance(received, ReceivedFile)
    assert received.name == told


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "..\\b", "a\nb", "a\0", "x" * 256, "c:d"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    ends = Ends()
    with pytest.raises(BadParameter) as refusal:
        asyncio.run(ends.send(pieces_of(b""), name=name, size_bytes=0))
    assert refusal.value.remedy
    assert ends.events == []


def test_keys_left_over_are_wiped_at_both_ends() -> None:
    ends = Ends()
    delivered(ends, b"short, and its length was not told")
    for supply in (ends.master, ends.slave):
        assert len(supply.handed_out) == 5
        assert all("gone" in repr(key.secret) for key in supply.handed_out)


def test_two_transfers_follow_each_other_on_one_line() -> None:
    async def run() -> None:
        ends = Ends()
        for text in (b"first", b"second"):
            options = {"supply": ends.master, "peer": ends.recipient, "channel": ends.left, "trace": ends.trace}
            received = bytearray()
            await asyncio.gather(
                send_file(pieces_of(text), clock=ends.clock, name="x", **options),  # type: ignore[arg-type]
                receive_file(
                    supply=ends.slave,
                    peer=ends.master.sae,
                    channel=ends.right,
                    recorder=ends.recorders[1],
                    sink=received.extend,
                ),
            )
            assert bytes(received) == text

    asyncio.run(run())


@pytest.mark.parametrize(
    "fields", [{"chunk_bytes": 0}, {"chunk_bytes": 2**26}, {"keys_per_request": 0}, {"keys_per_request": 1025}]
)
def test_settings_are_checked(fields: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be 1 to"):
        dataclasses.replace(FileSettings(), **fields)


@pytest.mark.parametrize("seed", range(40))
def test_cutting_keeps_every_byte_in_order(seed: int) -> None:
    dice = random.Random(seed)
    data = dice.randbytes(dice.choice([0, 1, 15, 16, 17, 32, 500]))

    async def pieces() -> AsyncIterator[bytes]:
        rest = data
        while rest:
            step = dice.choice([0, 1, 3, 16, 33])
            yield rest[:step]
            rest = rest[step:]

    async def cut() -> list[tuple[bytes, bool]]:
        return [(bytes(chunk), last) async for chunk, last in cut_into_chunks(pieces(), chunk_bytes=16)]

    chunks = asyncio.run(cut())
    assert b"".join(chunk for chunk, _ in chunks) == data
    assert [last for _, last in chunks] == [False] * (len(chunks) - 1) + [True]
    assert all(len(chunk) == 16 for chunk, _ in chunks[:-1])
    assert len(chunks) == max(1, -(-len(data) // 16))


def test_memory_does_not_grow_with_the_file() -> None:
    """64 MB pass through less than 8 MB: eight frames on the line, and a batch of keys."""
    size_bytes = 64_000_000

    async def generated() -> AsyncIterator[bytes]:
        for start in range(0, size_bytes, 100_000):
            yield start.to_bytes(4, "big") * 25_000

    class Count(bytearray):
        total = 0

        def extend(self, data: bytes) -> None:  # type: ignore[override]
            Count.total += len(data)

    ends = Ends()
    ends.received = Count()
    tracemalloc.start()
    try:
        sent, _ = asyncio.run(ends.transfer(generated(), size_bytes=size_bytes))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(sent, SentFile)
    assert Count.total == size_bytes
    assert 65536 < peak_bytes < 8_000_000

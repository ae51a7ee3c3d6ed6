"""The services' ciphers: what was sealed opens, once and in its place; all else is refused, by whose fault it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from qanat.ground.errors import AuthenticationFailed, FrameError, KeyShortage, PeerProtocolError
from qanat.ground.identifiers import KeyID, SaeId, slaves_together
from qanat.ground.keys import KeyStatus, SecretKey
from qanat.services.ciphers import (
    Altered,
    FrameOpener,
    FrameSealer,
    KeyExpired,
    KeyUnknown,
    NotForUs,
    OutOfOrder,
    PadOpener,
    PadSealer,
    PadShortage,
    RecipientKeys,
    RecordKind,
    RecordRefused,
    Refresh,
    Replayed,
    ReplayWindow,
    SenderKeys,
    StreamContext,
    StreamOpener,
    StreamSealer,
    Suite,
    Truncated,
    quote_pad,
)
from qanat.services.ciphers.frames import TOLD_AHEAD_S
from qanat.services.ciphers.layout import read_header
from unit.service_fakes import ALICE, BOB, EVE, FakeClock, FakeSupply, KeyStock

CONTEXT = StreamContext(ALICE, BOB, "stream-1", Suite.AES_128_GCM)
BODY_AT = 36
"""Where a record's body begins: docs/formats/service-records.md."""


class Rig:
    """A sealer, an opener, and what they share."""

    def __init__(self, context: StreamContext = CONTEXT, refresh: Refresh | None = None) -> None:
        self.stock, self.clock = KeyStock(), FakeClock()
        self.context, self.refresh = context, refresh
        self.sealer = StreamSealer(context, self.sender_keys())
        self.opener = StreamOpener(context, self.recipient_keys())

    def sender_keys(self) -> SenderKeys:
        supply = FakeSupply(self.stock, ALICE)
        return SenderKeys(supply, BOB, suite=self.context.suite, clock=self.clock, refresh=self.refresh)

    def recipient_keys(self, sae: SaeId = BOB) -> RecipientKeys:
        return RecipientKeys(FakeSupply(self.stock, sae), self.context, clock=self.clock)


async def sealed(rig: Rig, count: int) -> list[bytes]:
    return [await rig.sealer.seal(b"record %d" % number, is_last=number == count - 1) for number in range(count)]


@pytest.mark.parametrize("suite", [Suite.AES_128_GCM, Suite.AES_256_GCM])
def test_what_is_sealed_opens_in_order_to_the_last_record(suite: Suite) -> None:
    async def run() -> None:
        rig = Rig(replace(CONTEXT, suite=suite))
        for number, record in enumerate(await sealed(rig, 3)):
            opened = await rig.opener.open(record)
            assert bytes(opened.content) == b"record %d" % number
            assert (opened.kind, opened.is_last) == (RecordKind.DATA, number == 2)
        rig.opener.finish()
        assert 8 * len(rig.stock.given[0]) == suite.key_bits

    asyncio.run(run())


def test_a_record_is_plain_gcm_of_the_library_over_the_documented_bytes() -> None:
    """An outside authority: the library opens it by the nonce and associated data that the format's page names."""

    async def run() -> None:
        rig = Rig()
        await rig.sealer.seal(b"zero")
        record = await rig.sealer.seal(b"one")
        header, body = record[:BODY_AT], record[BODY_AT:]
        nonce = bytes(4) + (1).to_bytes(8, "big")
        plain = AESGCM(rig.stock.given[0]).decrypt(nonce, body, CONTEXT.digest() + header)
        assert plain == b"one"
        assert rig.stock.given[0] not in record

    asyncio.run(run())


@pytest.mark.parametrize(
    ("refresh", "pause_s", "num_keys"),
    [
        (Refresh(every_s=60), 20.0, 4),
        (Refresh.bank(), 3.0, 5),
        (Refresh.per_message(), 0.0, 10),
        (Refresh(every_bytes=18), 0.0, 4),
        (Refresh(every_s=1e9), 20.0, 1),
    ],
)
def test_keys_are_replaced_by_time_by_messages_and_by_bytes(refresh: Refresh, pause_s: float, num_keys: int) -> None:
    """Ten records: at three minutes a key a minute (the first at once), ten a minute for banks, and so on."""

    async def run() -> None:
        rig = Rig(replace(CONTEXT, key_life_s=refresh.every_s), refresh)
        for _ in range(10):
            opened = await rig.opener.open(await rig.sealer.seal(b"content"))
            assert bytes(opened.content) == b"content"
            rig.clock.now_s += pause_s
        assert rig.sealer.num_keys == num_keys
        assert len(set(rig.stock.given)) == num_keys

    asyncio.run(run())


def test_every_flipped_bit_is_refused() -> None:
    async def run() -> None:
        record = (await sealed(rig := Rig(), 1))[0]
        for place in range(8 * len(record)):
            altered = bytearray(record)
            altered[place // 8] ^= 1 << place % 8
            with pytest.raises(PeerProtocolError) as caught:
                await rig.opener.open(bytes(altered))
            assert isinstance(caught.value, RecordRefused | FrameError)
            if place >= 8 * BODY_AT:
                assert isinstance(caught.value, Altered)
        await rig.opener.open(record)  # what was not altered is taken all the same

    asyncio.run(run())


def test_each_wrong_record_is_refused_by_its_own_name() -> None:
    async def run() -> None:
        rig = Rig()
        first, second, third, last = await sealed(rig, 4)
        await rig.opener.open(first)
        with pytest.raises(Replayed, match=r"record 0 of .*alice came again"):
            await rig.opener.open(first)
        with pytest.raises(OutOfOrder, match=r"record 2 .* came where 1 was due"):
            await rig.opener.open(third)
        altered = bytearray(second)
        altered[BODY_AT] ^= 1
        with pytest.raises(Altered, match="altered on the way"):
            await rig.opener.open(bytes(altered))
        await rig.opener.open(second)
        with pytest.raises(Truncated, match="after 2 records and before its last"):
            rig.opener.finish()
        await rig.opener.open(third)
        await rig.opener.open(last)
        rig.opener.finish()

    asyncio.run(run())


def test_a_record_for_another_recipient_sender_or_stream_is_refused() -> None:
    async def run() -> None:
        for other in (
            replace(CONTEXT, recipient=EVE),
            replace(CONTEXT, sender=EVE),
            replace(CONTEXT, stream="stream-2"),
            replace(CONTEXT, key_life_s=61.0),
            CONTEXT.back(BOB),
        ):
            rig = Rig()
            record = await rig.sealer.seal(b"secret")
            with pytest.raises(NotForUs, match="sealed for another recipient or stream"):
                await StreamOpener(other, rig.recipient_keys()).open(record)

    asyncio.run(run())


def test_who_is_not_meant_gets_no_key_even_where_he_claims_the_context() -> None:
    async def run() -> None:
        rig = Rig()
        record = await rig.sealer.seal(b"secret")
        with pytest.raises(KeyUnknown, match="is for somebody else"):
            await StreamOpener(CONTEXT, rig.recipient_keys(EVE)).open(record)
        assert bytes((await rig.opener.open(record)).content) == b"secret"
        with pytest.raises(KeyUnknown, match="played again"):  # a whole conversation, played to who heard it before
            await StreamOpener(CONTEXT, rig.recipient_keys()).open(record)

    asyncio.run(run())


def test_a_key_beyond_its_time_is_refused() -> None:
    async def run() -> None:
        rig = Rig(refresh=Refresh(every_s=1e9))  # a sender that never refreshes
        await rig.opener.open(await rig.sealer.seal(b"one"))
        rig.clock.now_s += 89.9
        await rig.opener.open(await rig.sealer.seal(b"two"))
        rig.clock.now_s += 0.2
        with pytest.raises(KeyExpired, match="alice did not refresh its key"):
            await rig.opener.open(await rig.sealer.seal(b"three"))

    asyncio.run(run())


def test_without_a_fresh_key_a_stream_stops_and_does_not_use_the_old_one_on() -> None:
    async def run() -> None:
        rig = Rig()
        supply = FakeSupply(rig.stock, ALICE)
        sealer = StreamSealer(CONTEXT, SenderKeys(supply, BOB, suite=CONTEXT.suite, clock=rig.clock, patience_s=5))
        await sealer.seal(b"one")
        rig.clock.now_s += 60
        supply.shortages = 3
        with pytest.raises(KeyShortage):
            await sealer.seal(b"two")
        assert len(rig.clock.sleeps_s) == 2

    asyncio.run(run())


# --- frames ---


def test_frames_open_in_any_order_and_once() -> None:
    async def run() -> None:
        rig = Rig(refresh=Refresh(every_s=60))
        sealer, opener = FrameSealer(CONTEXT, rig.sender_keys()), FrameOpener(CONTEXT, rig.recipient_keys())
        await sealer.prepare()
        frames = [sealer.seal(b"frame %d" % number) for number in range(6)]
        for number in (0, 3, 1, 5, 2):
            assert await opener.open_numbered(frames[number]) == (number, b"frame %d" % number)
        for number in (0, 1, 2, 3, 5):
            with pytest.raises(Replayed):
                await opener.open(frames[number])
        assert await opener.open(frames[4]) == b"frame 4"

    asyncio.run(run())


def test_a_forged_frame_keeps_no_place_in_the_window() -> None:
    async def run() -> None:
        rig = Rig()
        sealer, opener = FrameSealer(CONTEXT, rig.sender_keys()), FrameOpener(CONTEXT, rig.recipient_keys())
        await sealer.prepare()
        frame = sealer.seal(b"frame")
        with pytest.raises(Altered):
            await opener.open(frame[:-1] + bytes([frame[-1] ^ 1]))
        assert await opener.open(frame) == b"frame"

    asyncio.run(run())


def test_a_call_rekeys_between_frames_and_old_frames_end_with_their_key() -> None:
    async def run() -> None:
        rig = Rig(refresh=Refresh(every_s=5))
        sealer, opener = FrameSealer(CONTEXT, rig.sender_keys()), FrameOpener(CONTEXT, rig.recipient_keys())
        late: list[bytes] = []
        for tick in range(600):  # a minute of ten frames a second
            await sealer.prepare()
            frame = sealer.seal(b"%d" % tick)
            if tick == 0:
                late.append(frame)
            elif tick == 40:
                overtaken = frame
            else:
                assert await opener.open(frame) == b"%d" % tick
            if tick == 55:
                assert await opener.open(overtaken) == b"40", "overtaken by the change of the key"
            rig.clock.now_s += 0.1
        assert sealer.num_keys == 12
        with pytest.raises(KeyExpired):
            await opener.open(late[0])
        moved = bytearray(sealer.seal(b"x"))
        moved[12:28] = late[0][12:28]  # the id of another key
        with pytest.raises(RecordRefused):
            await opener.open(bytes(moved))

    asyncio.run(run())


def test_frames_stop_when_no_fresh_key_comes() -> None:
    async def run() -> None:
        rig = Rig(refresh=Refresh(every_s=5))
        sealer = FrameSealer(CONTEXT, rig.sender_keys())
        with pytest.raises(KeyShortage):
            sealer.seal(b"before any key")
        await sealer.prepare()
        rig.clock.now_s += 9.9
        sealer.seal(b"a little late")
        rig.clock.now_s += 0.2
        with pytest.raises(KeyShortage, match="no fresh key came"):
            sealer.seal(b"too late")

    asyncio.run(run())


def test_a_key_that_came_late_is_told_of_before_its_first_frame_and_the_present_one_seals_meanwhile() -> None:
    async def run() -> None:
        rig = Rig(refresh=Refresh(every_s=5))
        sealer = FrameSealer(CONTEXT, rig.sender_keys())
        await sealer.prepare()
        first = read_header(sealer.seal(b"x")).key_id
        rig.clock.now_s += 7.0
        await sealer.prepare()
        coming = sealer.next_key_id
        assert coming is not None
        assert read_header(sealer.seal(b"x")).key_id == first
        rig.clock.now_s += TOLD_AHEAD_S
        assert read_header(sealer.seal(b"x")).key_id == coming
        rig.clock.now_s += 9.95
        await sealer.prepare()
        last = sealer.next_key_id
        rig.clock.now_s += 0.1
        assert read_header(sealer.seal(b"x")).key_id == last, "no other may seal any more"

    asyncio.run(run())


def test_that_no_fresh_key_came_is_told_with_the_reason() -> None:
    async def run() -> None:
        rig = Rig(refresh=Refresh(every_s=5))
        keys = rig.sender_keys()
        sealer = FrameSealer(CONTEXT, keys)
        await sealer.prepare()
        rig.clock.now_s += 4.0

        async def none() -> SecretKey:
            raise KeyShortage("no key can be carried to 'bob'", remedy="bring the key manager of 'east' up again")

        keys.fetch = none  # type: ignore[method-assign]
        with pytest.raises(KeyShortage):
            await sealer.prepare()
        rig.clock.now_s += 6.1
        with pytest.raises(KeyShortage, match="used up: no key can be carried to 'bob'") as caught:
            sealer.seal(b"x")
        assert caught.value.remedy == "bring the key manager of 'east' up again"

    asyncio.run(run())


@pytest.mark.parametrize("refresh", [Refresh(every_records=4), Refresh(every_bytes=20), Refresh.per_message()])
def test_frames_change_keys_by_bytes_and_by_count_too(refresh: Refresh) -> None:
    async def run() -> None:
        rig = Rig(refresh=refresh)
        sealer, opener = FrameSealer(CONTEXT, rig.sender_keys()), FrameOpener(CONTEXT, rig.recipient_keys())
        for number in range(8):
            await sealer.prepare()
            assert await opener.open(sealer.seal(b"hello")) == b"hello", number
        assert sealer.num_keys == (8 if refresh.every_records == 1 else 2)
        with pytest.raises(KeyShortage, match="before the last one was used up"):
            list(map(sealer.seal, [b"hello"] * 20))  # nobody prepares

    asyncio.run(run())


def test_the_window_agrees_with_a_plain_set() -> None:
    window, seen, newest = ReplayWindow(8), set[int](), -1
    for number in (0, 3, 3, 1, 9, 2, 1, 8, 30, 23, 22, 23, 29, 30, 31, 24, 23, 1000, 31, 993, 992):
        plain = number not in seen and number > newest - 8
        assert window.is_new(number) is plain, number
        if plain:
            window.add(number)
            seen.add(number)
            newest = max(newest, number)


# --- one-time pad ---

PAD = replace(CONTEXT, suite=Suite.ONE_TIME_PAD)


class StockedSupply(FakeSupply):
    """A supply with a stock of so many bits, in keys of 256 bits, and keys of at most 1024 bits."""

    def __init__(self, stock: KeyStock, sae: SaeId, *, stocked_bits: int = 0) -> None:
        super().__init__(stock, sae)
        self.stocked_bits = stocked_bits
        self.fetched: list[KeyID] = []

    async def get_status(self, peer: SaeId, /) -> KeyStatus:
        return replace(await super().get_status(peer), stored_key_count=self.stocked_bits // 256)

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
        if count * size_bits > self.stocked_bits:
            raise KeyShortage("too little", retry_after_s=1.0)
        self.stocked_bits -= count * size_bits
        return await super().get_keys(peer, count=count, size_bits=size_bits)

    async def get_keys_by_id(self, peer: SaeId, key_ids: Sequence[KeyID], /) -> Sequence[SecretKey]:
        self.fetched += key_ids
        return await super().get_keys_by_id(peer, key_ids)


class PadRig:
    def __init__(self, *, stocked_bits: int) -> None:
        self.stock, self.clock = KeyStock(), FakeClock()
        self.supply = StockedSupply(self.stock, ALICE, stocked_bits=stocked_bits)
        self.sealer = PadSealer(PAD, self.supply, clock=self.clock)
        self.opener = PadOpener(PAD, StockedSupply(self.stock, BOB))


def test_a_pad_opens_and_no_bit_of_it_is_used_twice() -> None:
    """Sealed zeros show the pad itself: all pads and all keys together are one string, cut in order."""

    async def run() -> None:
        rig = PadRig(stocked_bits=2**20)
        await rig.sealer.gather(content_bytes=5000, num_records=5)
        pads = b""
        for number in range(5):
            record = await rig.sealer.seal(bytes(1000), is_last=number == 4)
            ids = int.from_bytes(record[2:4], "big")
            pads += record[BODY_AT + 16 * ids : -16]
            assert bytes((await rig.opener.open(record)).content) == bytes(1000)
        rig.opener.finish()
        spent = b"".join(rig.stock.given)
        at, places = 0, []
        for _ in range(5):
            at += 32  # a tag's key comes before each record's pad
            places.append(spent[at : at + 1000])
            at += 1000
        assert pads == b"".join(places)
        assert rig.opener.num_keys == rig.sealer.num_keys == len(rig.stock.given)

    asyncio.run(run())


def test_a_short_stock_is_refused_with_both_figures_before_any_key_is_taken() -> None:
    async def run() -> None:
        rig = PadRig(stocked_bits=2560)
        quote = await quote_pad(rig.supply, BOB, content_bytes=1000, num_records=2)
        assert (quote.needed_bits, quote.stocked_bits, quote.is_enough) == (8000 + 512, 2560, False)
        with pytest.raises(
            PadShortage, match=r"8,512 bits is needed, and 2,560 bits are in stock: 5,952 too few"
        ) as no:
            await rig.sealer.gather(content_bytes=1000, num_records=2)
        assert (no.value.needed_bits, no.value.stocked_bits) == (8512, 2560)
        assert rig.stock.given == []
        rig.supply.stocked_bits = 16384
        await rig.sealer.gather(content_bytes=1000, num_records=2)
        assert bytes((await rig.opener.open(await rig.sealer.seal(b"later"))).content) == b"later"

    asyncio.run(run())


def test_who_waits_for_a_pad_gets_it_when_the_network_has_made_it_or_is_told() -> None:
    async def run() -> None:
        rig = PadRig(stocked_bits=0)

        class Filling(StockedSupply):
            async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
                self.stocked_bits += 800
                return await super().get_keys(peer, count=count, size_bits=size_bits)

        supply = Filling(rig.stock, ALICE)
        sealer = PadSealer(PAD, supply, clock=rig.clock)
        await sealer.gather(content_bytes=300, num_records=1, wait_s=60)
        assert bytes((await rig.opener.open(await sealer.seal(bytes(300)))).content) == bytes(300)
        with pytest.raises(PadShortage, match="2,656 bits is needed, and 0 bits came within 60 s"):
            await rig.sealer.gather(content_bytes=300, num_records=1, wait_s=60)

    asyncio.run(run())


def test_a_wait_for_a_pad_is_not_renewed_by_each_key_that_comes() -> None:
    async def run() -> None:
        clock = FakeClock()

        class Slow(StockedSupply):
            """Gives a key each two seconds."""

            async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
                await clock.sleep_until(clock.monotonic_s() + 2.0)
                self.stocked_bits += count * size_bits
                return await super().get_keys(peer, count=count, size_bits=size_bits)

        supply = Slow(KeyStock(), ALICE)
        supply.max_keys_per_request = 1
        sealer = PadSealer(PAD, supply, clock=clock)
        with pytest.raises(
            PadShortage, match=r"10,496 bits is needed, and 2,048 bits came within 3 s: 8,448 too"
        ) as no:
            await sealer.gather(content_bytes=1280, num_records=1, wait_s=3.0)
        assert "--pad-wait" in no.value.remedy
        assert sealer.is_over

    asyncio.run(run())


def test_a_pads_record_is_refused_as_others_are() -> None:
    async def run() -> None:
        rig = PadRig(stocked_bits=2**20)
        first, second, _ = [await rig.sealer.seal(b"text %d" % number) for number in range(3)]
        altered = bytearray(first)
        altered[-20] ^= 1
        with pytest.raises(Altered):
            await PadOpener(PAD, StockedSupply(rig.stock, BOB)).open(bytes(altered))
        with pytest.raises(KeyUnknown):  # its pads went with the altered one: it cannot be tried again
            await rig.opener.open(first)
        with pytest.raises(OutOfOrder):
            await rig.opener.open(second)
        with pytest.raises(NotForUs):
            await PadOpener(replace(PAD, recipient=EVE), StockedSupply(rig.stock, EVE)).open(first)
        with pytest.raises(Truncated):
            rig.opener.finish()

    asyncio.run(run())


def test_a_pad_is_wiped_when_it_is_forgotten() -> None:
    async def run() -> None:
        rig = PadRig(stocked_bits=2**20)
        await rig.sealer.gather(content_bytes=1000, num_records=1)
        rig.sealer.forget()
        for key in rig.supply.handed_out:
            with pytest.raises(ValueError, match="taken or wiped"):
                key.secret.reveal()
        with pytest.raises(ValueError, match="the last record"):
            await rig.sealer.seal(b"more")

    asyncio.run(run())


def test_a_group_is_one_recipient_of_several_names() -> None:
    both = slaves_together((BOB, EVE))
    assert replace(CONTEXT, recipient=both).digest() != CONTEXT.digest()


def test_a_refusal_is_the_peers_fault_and_says_what_to_do() -> None:
    for kind in (Altered, KeyExpired, KeyUnknown, NotForUs, OutOfOrder, Replayed, Truncated):
        assert issubclass(kind, AuthenticationFailed)
        assert kind.__doc__

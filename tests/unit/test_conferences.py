"""Conferences on real sockets over lines that lose, repeat, turn round and alter, on keys in memory."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from qanat.adapters.system import SystemEntropy
from qanat.ground.errors import BadParameter, ChannelClosed, FrameError
from qanat.ground.identifiers import SaeId, members_of
from qanat.services.call_frames import Medium
from qanat.services.ciphers import (
    FrameOpener,
    FrameSealer,
    KeyUnannounced,
    NotFromSender,
    OriginKey,
    RecipientKeys,
    Refresh,
    Replayed,
    SenderKeys,
    StreamContext,
    Suite,
)
from qanat.services.ciphers.layout import HEADER_BYTES, key_id_text, read_header
from qanat.services.ciphers.origin import digest_of
from qanat.services.conference import MOST_PEOPLE, ConferenceReport, Joining, KeysOf, Round, RoundKeys, Seat
from qanat.services.conference_ends import Ending, Parting, Tally
from qanat.services.conversation import Party, Terms
from qanat.users import conferring
from qanat.users.conference import ConferenceEnd
from qanat.users.hearing import HeardStream
from qanat.users.reception import Reception
from qanat.users.services import UserServices
from qanat.users.speaking import CallMedia
from service_support import NAMES, House, sae_of, until
from unit.service_fakes import FakeClock, FakeSupply, KeyStock
from unit.test_calls import Accepted, BadLine, shown

av: Any = pytest.importorskip("av")


FEW = 5


@dataclass
class Meeting:
    """Who is in a conference at a house, over which lines, and what came of it."""

    house: House
    folder: Path
    loss: float = 0.05
    refresh_s: float = 1.0
    media: CallMedia = field(default_factory=CallMedia)
    lines: dict[str, BadLine] = field(default_factory=dict)
    ends: dict[str, ConferenceEnd] = field(default_factory=dict)
    reports: dict[str, ConferenceReport] = field(default_factory=dict)
    receptions: dict[str, Reception] = field(default_factory=dict)
    notices: dict[str, list[str]] = field(default_factory=dict)
    """What each was told while it lasted."""

    def user(self, name: str) -> UserServices:
        terms = Terms(refresh=Refresh(self.refresh_s), patience_s=2.0)
        user = self.house.user(name, terms=terms)
        line = self.lines[name] = BadLine(self.loss, random.Random(name))
        user.open_wire = line.open
        make = user._conference_end

        def noted(*args: Any, **words: Any) -> ConferenceEnd:
            self.ends[name] = end = make(*args, **words)
            return end

        user._conference_end = noted  # type: ignore[method-assign]
        return user

    def reception(self, name: str) -> Reception:
        def came(report: ConferenceReport) -> None:
            self.reports[name] = report

        media = replace(self.media, record=self.folder / name)
        reception = self.receptions[name] = Reception(self.user(name), self.folder / name, media=media)
        faults = self.house.faults.setdefault(name, [])
        notices = self.notices.setdefault(name, [])
        reception._listeners = replace(
            reception._listeners, on_conference=came, on_fault=faults.append, on_notice=notices.append
        )
        return reception

    def has_heard(self, name: str, *others: str) -> bool:
        """Return whether somebody has decoded a few pieces of sound of each of these, in its newest conference."""
        members = self.ends[name]._members
        return all(
            sae_of(one) in members and members[sae_of(one)].hearing._decoded[Medium.AUDIO] > FEW for one in others
        )

    async def hold(self, caller: str, others: tuple[str, ...], *, seconds_s: float) -> None:
        async with AsyncExitStack() as stack:
            for name in others:
                await stack.enter_async_context(self.reception(name))
            user = await stack.enter_async_context(self.user(caller))
            media = replace(self.media, record=self.folder / caller)
            self.reports[caller] = await user.confer(
                others, media, seconds_s=seconds_s, say=self.notices.setdefault(caller, []).append
            )
            await until(lambda: len(self.reports) == len(others) + 1)


@pytest.mark.campaign
def test_three_hear_each_other_over_a_bad_line_and_nobody_hears_a_frame_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = Accepted()
    accepted.spy(monkeypatch)
    meeting = Meeting(House(tmp_path / "data"), tmp_path)
    asyncio.run(meeting.hold("alice", ("bob", "carol"), seconds_s=5.0))
    check_all_heard(meeting)
    for pairs in accepted.by_opener.values():
        assert len({number for number, _ in pairs}) == len(pairs), "a frame was accepted twice"


def check_all_heard(meeting: Meeting) -> None:
    """Check that each member has decoded what each other sent, and that the recordings can be read."""
    for name, report in meeting.reports.items():
        assert {one.peer for one in report.members} == set(meeting.reports) - {name}
        assert report.tag_keys == len(meeting.reports) - 1
        assert report.keys_sent >= 2
        for one in report.members:
            assert one.recording is not None
            pictures, sound_s = shown(Path(one.recording))
            assert pictures >= max(FEW, 0.95 * one.video.decoded), (name, one)
            assert sound_s >= 0.95 * 0.04 * max(FEW, one.audio.decoded), (name, one)
            assert one.keys_received >= 2
            assert one.refused["Replayed"] > 0
            assert one.refused["NotFromSender"] > 0, "what was altered on the way"
        assert report.mix is not None
        with av.open(report.mix) as file:
            samples = sum(sound.samples for sound in file.decode(audio=0))
        assert samples > 0.8 * report.duration_s * 48_000 - 48_000


def test_who_comes_later_is_let_in_who_leaves_is_not_called_again_and_who_is_lost_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conferring, "TRY_AGAIN_S", 0.3)
    monkeypatch.setattr(conferring, "LOST_S", 2.0)
    house = House(tmp_path / "data")
    house.supplies["alice"] = FakeSupply(house.stock, sae_of("alice"))
    meeting = Meeting(house, tmp_path, loss=0.0, refresh_s=60.0, media=CallMedia(video=None))

    async def scene() -> None:
        stop = asyncio.Event()
        async with AsyncExitStack() as stack:
            alice = await stack.enter_async_context(meeting.user("alice"))
            for name in ("bob", "dan"):
                await stack.enter_async_context(meeting.reception(name))
            told = meeting.notices.setdefault("alice", [])
            confer = alice.confer(["bob", "carol", "dan"], CallMedia(video=None), stop=stop, say=told.append)
            holding = asyncio.create_task(confer)
            await until(lambda: groups_of(house) == [["bob", "dan"]])
            carol = await stack.enter_async_context(meeting.reception("carol"))
            await until(lambda: groups_of(house)[-1] == ["bob", "carol", "dan"])
            await until(lambda: meeting.has_heard("carol", "alice", "bob", "dan"))
            carol.leave_conferences()
            await until(lambda: len(groups_of(house)) == 3)
            num_asked = len(asked(house, "alice"))
            meeting.lines["dan"].loss = 1.0
            await until(lambda: sae_of("bob") in asked(house, "alice")[num_asked:])
            meeting.lines["dan"].loss = 0.0
            await until(lambda: meeting.has_heard("bob", "alice", "dan") and meeting.has_heard("dan", "alice", "bob"))
            await until(lambda: any(words.startswith("dan is in the conference again: it came ") for words in told))
            stop.set()
            meeting.reports["alice"] = await holding
            await until(lambda: {"bob", "carol", "dan"} <= set(meeting.reports))

    asyncio.run(scene())
    assert [(one.name, one.reason) for one in meeting.reports["alice"].absent] == [("carol", "it left")]
    assert sorted(one.peer for one in meeting.reports["alice"].members) == ["bob", "carol", "dan", "dan"]
    heard = {one.peer: one for one in meeting.reports["carol"].members}
    assert sorted(heard) == ["alice", "bob", "dan"]
    assert all(one.audio.decoded > FEW for one in heard.values())
    expected = [["bob", "dan"], ["bob", "carol", "dan"], ["bob", "dan"], ["bob", "dan"]]
    assert groups_of(house) == expected, "who left is given no key"
    assert sorted(meeting.notices["alice"][:3]) == [
        "bob is in the conference",
        "carol is not in the conference: nobody says where carol receives; it is called again",
        "dan is in the conference",
    ]
    assert [words for words in meeting.notices["alice"][3:] if "datagram" not in words] == [
        "carol is in the conference",
        "carol left the conference",
        "dan is not in the conference any more: nothing was heard of it any more; it is called again",
        *(words for words in meeting.notices["alice"] if words.startswith("dan is in the conference again")),
    ]
    assert any(words.startswith("alice had heard nothing of this program for 2.") for words in meeting.notices["dan"])


def groups_of(house: House) -> list[list[str]]:
    """Return for whom together alice has asked for keys so far."""
    groups = [members_of(peer) for peer in asked(house, "alice") if len(members_of(peer)) > 1]
    return [sorted(sae.rpartition(":")[2] for sae in group) for group in groups]


def asked(house: House, name: str) -> list[SaeId]:
    supply = house.supplies[name]
    assert isinstance(supply, FakeSupply)
    return supply.asked


def test_a_member_cannot_speak_in_anothers_name(tmp_path: Path) -> None:
    """Bob holds the key of alice's media; what he seals by it, and what he repeats of hers, carol refuses."""
    round_ = Round(1, tuple(Seat(sae_of(name), "", 0, True, True) for name in ("alice", "bob", "carol")))
    stock = KeyStock()
    alice, bob, carol = (FakeSupply(stock, sae_of(name)) for name in ("alice", "bob", "carol"))

    async def scene() -> None:
        context = round_.stream_of(sae_of("alice"), conference="c" * 32, suite=Suite.AES_128_GCM, key_life_s=60.0)
        sealer = FrameSealer(context, SenderKeys(alice, context.recipient, suite=context.suite, clock=FakeClock()))
        await sealer.prepare()
        (pair,) = await alice.get_keys(sae_of("carol"), count=1, size_bits=128)
        ours, record = OriginKey(pair), sealer.seal(b"from alice")
        key_id = key_id_text(read_header(record).key_id)
        (stolen,) = await bob.get_keys_by_id(sae_of("alice"), [key_id])
        number = read_header(record).number + 1
        header = bytearray(record[:HEADER_BYTES])
        header[-8:] = number.to_bytes(8, "big")
        nonce, associated = bytes(4) + number.to_bytes(8, "big"), context.digest() + bytes(header)
        forged = bytes(header) + AESGCM(stolen.take()[:16]).encrypt(nonce, b"from bob", associated)
        opener = FrameOpener(context, RecipientKeys(carol, context, clock=FakeClock()))
        assert await opener.open(record) == b"from alice"
        assert await opener.open(forged) == b"from bob", "the seal of the group alone does not tell"
        (key,) = await carol.get_keys_by_id(sae_of("alice"), [pair.key_id])
        theirs = OriginKey(key)
        tag = ours.tag(record, digest_of(record), round_number=1)
        theirs.check(record, tag, round_number=1, sender=sae_of("alice"))
        for bad in ((forged, tag, 1), (record, bytes(16), 1), (record, tag, 2)):
            with pytest.raises(NotFromSender, match="another member's"):
                theirs.check(bad[0], bad[1], round_number=bad[2], sender=sae_of("alice"))

    asyncio.run(scene())


def test_a_frame_under_a_key_that_was_not_told_yet_is_counted_as_such_and_the_next_is_opened() -> None:
    """One that nobody told of is asked of the key manager once a second, so the second waits for the word."""
    round_ = Round(1, tuple(Seat(sae_of(name), "", 0, True, True) for name in ("alice", "bob")))
    stock = KeyStock()
    alice, bob = (FakeSupply(stock, sae_of(name)) for name in ("alice", "bob"))
    clock = FakeClock()

    async def sealed(context: StreamContext) -> bytes:
        sealer = FrameSealer(context, SenderKeys(alice, context.recipient, suite=context.suite, clock=clock))
        await sealer.prepare()
        return sealer.seal(b"from alice")

    async def scene() -> None:
        context = round_.stream_of(sae_of("alice"), conference="c" * 32, suite=Suite.AES_128_GCM, key_life_s=60.0)
        heard = HeardStream(Party(sae_of("bob"), bob, clock, SystemEntropy()), context)
        first, second = await sealed(context), await sealed(context)
        assert await heard.open(first, read_header(first)) == b"from alice"
        with pytest.raises(Replayed):  # its key is here now: what comes under it next is asked for no more
            await heard.open(first, read_header(first))
        with pytest.raises(KeyUnannounced, match="not announced"):
            await heard.open(second, read_header(second))
        heard.expect(read_header(second).key_id)
        with pytest.raises(Replayed):  # of another sealer, which begins to count anew: the key is there
            await heard.open(second, read_header(second))
        await heard.close()

    asyncio.run(scene())


def test_a_ninth_is_refused_and_so_are_a_pad_and_a_conference_of_nobody(tmp_path: Path) -> None:
    async def scene() -> None:
        house = House(tmp_path, groups={"all": NAMES[1:]})
        async with house.user("alice") as alice:
            with pytest.raises(BadParameter, match=f"conference of 9: at most {MOST_PEOPLE}") as caught:
                await alice.confer(["all"])
            assert "at most 7 others" in caught.value.remedy
            with pytest.raises(ChannelClosed, match="nobody came to the conference: bob: nobody says where"):
                await alice.confer(["bob"], CallMedia(None, None))
        async with house.user("alice", terms=Terms(suite=Suite.ONE_TIME_PAD)) as alice:
            with pytest.raises(BadParameter, match="one-time pad"):
                await alice.confer(["bob", "carol"])

    asyncio.run(scene())


def seats(*names: str) -> tuple[Seat, ...]:
    return tuple(Seat(sae_of(name), "127.0.0.1", 4000 + place, True, False) for place, name in enumerate(names))


def test_words_are_read_as_they_were_said() -> None:
    joining, round_ = Joining(True, False, 5000, "0" * 32), Round(3, seats("alice", "bob", "carol"))
    assert Joining.parse(joining.word()) == joining
    assert Round.parse(round_.word(), me=sae_of("bob")) == round_
    without = replace(round_, gone={sae_of("dan"): "left", sae_of("eve"): "broke"})
    assert Round.parse(without.word(), me=sae_of("bob")) == without
    keys = RoundKeys(3, bytes(range(16)), {sae_of("carol"): bytes(16)})
    assert RoundKeys.parse(keys.word()) == keys
    tally = Tally(1000, 50, 30, 10.25)
    ending = Ending(lost=True, to={sae_of("carol"): tally, sae_of("bob"): Tally()})
    assert Ending.parse(ending.word()) == ending
    parting = Parting(sae_of("carol"), tally)
    assert Parting.parse(parting.word_of()) == Parting.parse(parting.word_to()) == parting
    told = KeysOf.parse(keys.told_to(sae_of("carol"), by=sae_of("bob")))
    assert told == KeysOf(sae_of("bob"), 3, bytes(range(16)), bytes(16))
    assert KeysOf.parse(keys.told_to(sae_of("alice"), by=sae_of("bob"))).tags == b""


@pytest.mark.parametrize(
    "word",
    [
        Round(1, seats(*NAMES)).word(),
        Round(1, seats("bob")).word(),
        Round(1, seats("bob", "bob")).word(),
        Round(1, seats("alice", "carol")).word(),
        Round(0, seats("alice", "bob")).word(),
        {"round": 1, "members": [["a b", "h", 1, True, True], ["c", "h", 1, True, True]]},
        {"round": 1, "members": "all"},
        Round(1, seats("alice", "bob"), {sae_of("carol"): "fled"}).word(),
        Round(1, seats("alice", "bob"), {sae_of("alice"): "left"}).word(),
        Round(1, seats("alice", "bob")).word() | {"gone": ["carol"]},
        {"all": "00" * 16, "each": {"a": 3}, "round": 1},
        {"all": "zz" * 16, "each": "", "of": "a", "round": 1},
        {"audio": True, "video": True, "port": 70_000},
        {"audio": True, "video": True, "port": 7, "conference": "name"},
        {"audio": True, "video": True, "port": 7, "more": 1},
        {"end": True},
        {"end": True, "lost": 1, "to": {}},
        {"end": True, "lost": True, "to": {"a": Tally(silent_s=-1.0).word()}},
        {"end": True, "lost": True, "to": {"a": {**Tally().word(), "more": 1}}},
        {"end": True, "lost": True, "to": {}, "more": 1},
        {"left": "a", "tally": Tally(datagrams=2**60).word()},
        {"to": "a", "tally": 3},
        {"to": "a", "tally": Tally().word(), "more": 1},
    ],
    ids=range(23),
)
def test_words_that_cannot_be_are_refused(word: Any) -> None:
    for parse in (lambda: Round.parse(word, me=sae_of("bob")), lambda: RoundKeys.parse(word)):
        with pytest.raises(FrameError):
            parse()
    for parse_other in (KeysOf.parse, Joining.parse, Ending.parse, Parting.parse):
        with pytest.raises(FrameError):
            parse_other(word)

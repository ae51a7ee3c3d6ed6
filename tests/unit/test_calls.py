"""Calls on real sockets over a line that loses, repeats, turns round and alters: both media come through, sealed."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from qanat.adapters import media_faults
from qanat.adapters.datagrams import Datagrams, UdpAddress, open_datagrams
from qanat.adapters.media import CALL_QUALITY, TEST, AudioSource, MediaSink, VideoSource
from qanat.apps.cli.calls import is_dead, say_call
from qanat.benchmarks.video_call import video_call
from qanat.ground.errors import BadParameter, ConfigurationError, FrameError
from qanat.services.call import CallReport, CallWord
from qanat.services.call_frames import (
    FRAGMENT_BYTES,
    PATIENCE_FRAMES,
    Assembler,
    MediaFrame,
    Medium,
    cut_frame,
    medium_of,
)
from qanat.services.ciphers import FrameOpener, Refresh, Suite
from qanat.services.ciphers.layout import Buffer, read_header
from qanat.services.conversation import RefusedByPeer, Terms
from qanat.users.call import Wire
from qanat.users.reception import Reception
from qanat.users.speaking import CallMedia
from service_support import House, until

av: Any = pytest.importorskip("av")


@dataclass
class BadLine:
    """Datagrams that are lost (``loss``), and of others one in fifty each repeated, turned round, and altered."""

    loss: float
    dice: random.Random
    sent: list[bytes] = field(default_factory=list)
    held: list[tuple[bytes, UdpAddress]] = field(default_factory=list)
    real: Datagrams = field(default_factory=Datagrams)

    async def open(self, host: str) -> Wire:
        self.real = await open_datagrams(host)
        return self

    @property
    def port(self) -> int:
        return self.real.port

    def send(self, data: bytes, address: UdpAddress, /) -> None:
        self.sent.append(data)
        fate = self.dice.random() - self.loss
        if fate < 0:
            return
        if fate < 0.02:
            self.held.append((data, address))
            return
        if fate < 0.04:
            self.real.send(data[:-1] + bytes([data[-1] ^ 1]), address)
        self.real.send(data, address)
        if fate > 0.93:
            self.real.send(data, address)
        while self.held:
            self.real.send(*self.held.pop())

    async def receive(self) -> tuple[bytes, UdpAddress]:
        return await self.real.receive()

    def close(self) -> None:
        self.real.close()


@dataclass
class Accepted:
    """What every opener has accepted: number and key id."""

    by_opener: dict[int, list[tuple[int, bytes]]] = field(default_factory=lambda: defaultdict(list))

    def spy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        plain = FrameOpener.open_numbered

        async def open_numbered(opener: FrameOpener, datagram: Buffer) -> tuple[int, bytes]:
            number, content = await plain(opener, datagram)
            self.by_opener[id(opener)].append((number, read_header(datagram).key_id))
            return number, content

        monkeypatch.setattr(FrameOpener, "open_numbered", open_numbered)


SOUND_S = 0.02
"""One frame of sound."""


def shown(recording: Path) -> tuple[int, float]:
    """Return how many pictures and seconds of sound FFmpeg finds in a recording."""
    with av.open(str(recording)) as file:
        pictures = sum(1 for _ in file.decode(video=0))
    return pictures, shown_sound_s(recording)


def shown_sound_s(recording: Path) -> float:
    """Return how many seconds of sound FFmpeg finds in a recording."""
    with av.open(str(recording)) as file:
        return float(sum(sound.samples for sound in file.decode(audio=0))) / 48_000


async def a_call(
    house: House, folder: Path, *, seconds_s: float, refresh_s: float, lines: list[BadLine]
) -> tuple[CallReport, CallReport]:
    terms = Terms(refresh=Refresh(refresh_s), patience_s=2.0)
    alice, bob = house.user("alice", terms=terms), house.user("bob", terms=terms)
    alice.open_wire, bob.open_wire = lines[0].open, lines[1].open
    came: list[CallReport] = []
    reception = Reception(bob, folder, media=CallMedia(record=folder))
    reception._listeners = replace(reception._listeners, on_call=came.append)
    async with alice, bob, reception:
        report = await alice.call("bob", CallMedia(record=folder / "alice.webm"), seconds_s=seconds_s)
        await until(lambda: bool(came))
    return report, came[0]


def check_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, seconds_s: float, refresh_s: float
) -> tuple[CallReport, CallReport]:
    """Hold a call and check what must be so however busy the machine is."""
    accepted = Accepted()
    accepted.spy(monkeypatch)
    lines = [BadLine(0.05, random.Random(end)) for end in range(2)]
    (tmp_path / "in").mkdir()
    reports = asyncio.run(
        a_call(House(tmp_path), tmp_path / "in", seconds_s=seconds_s, refresh_s=refresh_s, lines=lines)
    )
    for report, other, line in zip(reports, reports[::-1], lines, strict=True):
        assert min(report.keys_sent, report.keys_received) >= 2
        assert report.recording is not None
        pictures, sound_s = shown(Path(report.recording))
        assert pictures >= 0.95 * report.video.decoded
        assert pictures > 0.5 * other.video.sent
        assert sound_s > 0.85 * other.audio.sent * SOUND_S
        assert report.refused["Replayed"] > 0
        assert report.refused["Altered"] > 0
        assert len({read_header(datagram).key_id for datagram in line.sent}) == report.keys_sent
        # what the line dropped and altered is what the other end misses, what was lost last of all too
        assert other.losses_known
        assert report.datagrams_sent == other.datagrams_opened + other.datagrams_missing
        assert report.video.sent == other.video.received + other.video.lost
        assert report.audio.sent == other.audio.received + other.audio.lost
        assert 0.02 < other.share_missing < 0.12
    sealed = [{(header.number, header.key_id) for header in map(read_header, line.sent)} for line in lines]
    for pairs in accepted.by_opener.values():
        assert len({number for number, _ in pairs}) == len(pairs), "a frame was accepted twice"
        assert any(set(pairs) <= whole for whole in sealed), "a frame was accepted under another key"
    return reports


def test_a_call_of_which_nothing_comes_is_told_as_such(tmp_path: Path) -> None:
    """A wall in between that lets TCP through and no UDP."""
    lines = [BadLine(1.0, random.Random(end)) for end in range(2)]
    reports = asyncio.run(a_call(House(tmp_path), tmp_path, seconds_s=2.2, refresh_s=60.0, lines=lines))
    for report in reports:
        told: list[str] = []
        say_call(report, told.append)
        assert report.datagrams_opened == 0
        assert is_dead(report)
        assert "let UDP through" in told[-1]
        assert not any("recorded" in words for words in told)


def test_a_report_tells_who_ended_the_call(tmp_path: Path) -> None:
    """Who receives no more hangs up as who calls does, and tells of the call; a program that is killed does neither."""

    async def work() -> tuple[list[str], list[str]]:
        house, came = House(tmp_path / "data"), list[CallReport]()
        (tmp_path / "in").mkdir()
        async with house.user("bob") as bob, house.user("alice") as alice:
            reception = Reception(bob, tmp_path / "in", media=CallMedia(audio=None, record=tmp_path / "in"))
            reception._listeners = replace(reception._listeners, on_call=came.append)
            async with reception:
                at_alice = [await alice.call("bob", CallMedia(video=None), seconds_s=0.3)]
                await until(lambda: bool(came))
                killed = asyncio.create_task(alice.call("bob", CallMedia(video=None), seconds_s=20.0))
                await asyncio.sleep(0.5)
                killed.cancel()
                await until(lambda: len(came) > 1)
                calling = asyncio.create_task(alice.call("bob", CallMedia(video=None), seconds_s=20.0))
                await asyncio.sleep(0.5)
            assert len(came) == 3, "the report comes before the reception is over"
            at_alice.append(await calling)
        told: list[str] = []
        for report in came:
            say_call(report, told.append)
            assert report.recording is not None
            assert shown_sound_s(Path(report.recording)) > 0
        assert ["without a last word" in words for words in told if words.startswith("call")] == [False, True, False]
        assert [report.losses_known for report in came] == [True, False, True]
        assert "s is not known, as no last word told" in "".join(told)
        return [report.ended for report in at_alice], [report.ended for report in came]

    assert asyncio.run(work()) == (["here", "there"], ["there", "unsaid", "here"])


def check_share_lost(reports: tuple[CallReport, CallReport]) -> None:
    lost = [
        1 - report.datagrams_opened / other.datagrams_sent for report, other in zip(reports, reports[::-1], strict=True)
    ]
    assert all(0.02 < share < 0.12 for share in lost), lost


@pytest.mark.slow
def test_a_call_goes_on_over_a_bad_line_and_through_changes_of_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_call(tmp_path, monkeypatch, seconds_s=4.0, refresh_s=0.8)


@pytest.mark.campaign
def test_a_call_of_a_minute_with_5_percent_loss_and_12_changes_of_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = check_call(tmp_path, monkeypatch, seconds_s=60.0, refresh_s=60 / 13)
    for report in reports:
        assert min(report.keys_sent, report.keys_received) >= 13
        assert report.video.decoded > 0.6 * 60.0 * CALL_QUALITY.pictures_per_s
        assert report.audio.decoded * SOUND_S > 0.85 * 60.0
    check_share_lost(reports)


def frames(count: int, *, size: int = 3 * FRAGMENT_BYTES - 5) -> list[MediaFrame]:
    return [
        MediaFrame(Medium.VIDEO, number, bytes([number]) * size, number == 0, 33 * number, 7) for number in range(count)
    ]


def test_frames_come_together_in_order_whatever_way_their_parts_take() -> None:
    wanted = frames(6)
    parts = [part for frame in wanted for part in cut_frame(frame)]
    assert all(medium_of(part) is Medium.VIDEO for part in parts)
    for seed in range(50):
        dice, assembler = random.Random(seed), Assembler(Medium.VIDEO)
        mixed = sorted(range(len(parts)), key=lambda place, dice=dice: place + dice.uniform(0, 5))  # type: ignore[misc]
        got = [frame for place in mixed for frame in (*assembler.add(parts[place]), *assembler.add(parts[place]))]
        assert got == wanted
        assert (assembler.num_whole, assembler.num_lost) == (6, 0)


def test_of_each_group_of_parts_any_one_may_be_lost() -> None:
    (wanted,) = frames(1, size=6 * FRAGMENT_BYTES - 5)
    parts = cut_frame(wanted)
    assert len(parts) == 6 + 2
    for first in (0, 1, 2, 3, 6):
        for second in (4, 5, 7):
            assembler = Assembler(Medium.VIDEO)
            kept = [part for place, part in enumerate(parts) if place not in (first, second)]
            assert [frame for part in kept for frame in assembler.add(part)] == [wanted]
    assembler = Assembler(Medium.VIDEO)
    assert [frame for part in parts[2:] for frame in assembler.add(part)] == []


def test_a_frame_that_stays_away_is_given_up_and_does_not_come_back() -> None:
    wanted = frames(PATIENCE_FRAMES + 2, size=1)
    parts = [cut_frame(frame)[0] for frame in wanted]
    assembler = Assembler(Medium.VIDEO)
    assert assembler.add(parts[0]) == wanted[:1]
    assert [frame for part in parts[2 : PATIENCE_FRAMES + 1] for frame in assembler.add(part)] == []
    assert assembler.add(parts[PATIENCE_FRAMES + 1]) == wanted[2:]
    assert assembler.num_lost == 1
    assert assembler.add(parts[1]) == []


def test_parts_that_cannot_be_are_refused() -> None:
    good = cut_frame(frames(1)[0])
    with pytest.raises(FrameError):
        medium_of(b"short")
    with pytest.raises(FrameError):
        medium_of(b"\x09" + good[0][1:])
    assembler = Assembler(Medium.VIDEO)
    assembler.add(good[0])
    with pytest.raises(FrameError):
        assembler.add(good[0][:2] + b"\0\x09" + good[0][4:])
    with pytest.raises(FrameError):
        assembler.add(good[0][:6] + b"\0\0\x0d\x73" + good[0][10:])


def test_a_word_about_a_call_is_read_as_it_was_said_and_others_are_refused() -> None:
    word = CallWord(True, False, bytes(range(16)), 5000)
    assert CallWord.parse(word.word()) == word
    for change in ({"key": "zz"}, {"port": 70_000}, {"audio": "yes"}):
        with pytest.raises(FrameError):
            CallWord.parse({**word.word(), **change})


def test_calls_to_groups_and_by_one_time_pad_and_of_no_media_are_refused(tmp_path: Path) -> None:
    async def run() -> None:
        house = House(tmp_path, groups={"board": ("bob", "carol")})
        async with house.user("alice", terms=Terms(suite=Suite.ONE_TIME_PAD)) as pad, house.reception("bob"):
            with pytest.raises(BadParameter, match="one-time pad"):
                await pad.call("bob", seconds_s=0.1)
        async with house.user("alice") as alice, house.reception("bob"):
            with pytest.raises(BadParameter, match="is a group"):
                await alice.call("board", seconds_s=0.1)
            with pytest.raises(ConfigurationError, match=r"gone\.mp4"):
                await alice.call("bob", CallMedia(video=str(tmp_path / "gone.mp4")), seconds_s=0.1)

    asyncio.run(run())


def test_who_cannot_answer_says_why(tmp_path: Path) -> None:
    async def run() -> None:
        house = House(tmp_path)
        broken = Reception(house.user("bob"), house.folder("bob"), media=CallMedia(audio=str(tmp_path / "gone.wav")))
        async with house.user("alice") as alice, broken:
            with pytest.raises(RefusedByPeer) as caught:
                await alice.call("bob", CallMedia(video=None), seconds_s=0.5)
            assert "gone.wav" not in caught.value.message, (
                "a stranger need not know what this machine's files are called"
            )

    asyncio.run(run())


def test_a_file_is_a_source_as_the_test_picture_is(tmp_path: Path) -> None:
    film = tmp_path / "film.webm"
    sink = MediaSink(audio=True, video=True, record=film)
    pictures, sounds = VideoSource(TEST), AudioSource(TEST)
    for medium, source, count in ((0, sounds, 50), (1, pictures, 30)):
        for number in range(count):
            encoded = source.next(key=number == 20)
            assert encoded is not None
            assert encoded.is_key or (medium == 1 and number not in (0, 20))
            assert sink.take(medium, encoded.data, at_ms=encoded.at_ms, is_key=encoded.is_key)
    sink.close()
    again, count = VideoSource(str(film)), 0
    while again.next(key=False) is not None:
        count += 1
    assert count == pytest.approx(30, abs=1)
    sound, count = AudioSource(str(film)), 0
    while sound.next(key=False) is not None:
        count += 1
    assert count == pytest.approx(50, abs=2)


def test_a_file_without_sound_is_told_and_so_is_the_missing_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = MediaSink(audio=False, video=True, record=tmp_path / "silent.webm")
    encoded = VideoSource(TEST).next(key=True)
    assert encoded is not None
    sink.take(1, encoded.data, at_ms=0, is_key=True)
    sink.close()
    with pytest.raises(ConfigurationError, match="has no audio"):
        AudioSource(str(tmp_path / "silent.webm"))

    def nothing(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(media_faults, "importlib", type("Loader", (), {"import_module": staticmethod(nothing)}))
    with pytest.raises(ConfigurationError, match=r"qanat\[services\]"):
        VideoSource(TEST)


def test_the_benchmark_carries_pictures_under_keys_that_change() -> None:
    rate, delay = video_call(seconds_s=0.3)
    assert (rate.name, delay.name) == ("video-call", "video-call-delay")
    assert rate.rate > 0
    assert delay.rate > 0

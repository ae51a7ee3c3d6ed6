"""Conferences on a running network: keys of all from real doors, over lines that lose, repeat, turn round and alter."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from interop.live import running_network
from qanat.ground.data import read_text
from qanat.ground.errors import BadParameter
from qanat.services.call_frames import Medium
from qanat.services.ciphers import Refresh
from qanat.services.ciphers.layout import read_header
from qanat.services.conference import ConferenceReport
from qanat.services.conversation import Terms
from qanat.users.conference import ConferenceEnd
from qanat.users.people import find_people
from qanat.users.reception import Listeners, Reception
from qanat.users.services import UserServices
from qanat.users.speaking import CallMedia
from service_support import until
from unit.test_calls import Accepted, BadLine, shown

av: Any = pytest.importorskip("av")
pytestmark = pytest.mark.slow

PEOPLE = ("alice", "bob", "carol", "dan", "eve", "fay", "gus", "hal", "ida")
PIECE_S = 0.04
SOME = 15
"""Pieces of sound, and pictures."""
LIMIT_S = 200


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three nodes with nine users, at both ends."""
    place = tmp_path_factory.mktemp("conference")
    described = read_text("networks", "three-nodes.yaml")
    for number, name in enumerate(PEOPLE[2:]):
        described += f"\n  - name: {name}\n    site: {('shanghai', 'suzhou')[number % 2]}"
    (place / "three.yaml").write_text(described + "\n", encoding="utf-8")
    with running_network(place / "data", str(place / "three.yaml")):
        yield place / "data"


class Gathering:
    """Some users of the network, each with a bad line of its own and a folder for what it hears."""

    def __init__(self, data: Path, folder: Path, names: tuple[str, ...], *, refresh_s: float) -> None:
        self.names, self._data, self._folder = names, data, folder
        self._terms = Terms(refresh=Refresh(refresh_s), patience_s=20.0)
        self.lines = {name: BadLine(0.05, random.Random(name)) for name in names}
        self.ends: dict[str, ConferenceEnd] = {}
        self.reports: dict[str, ConferenceReport] = {}

    async def hold(self, *, seconds_s: float, num_keys: int) -> None:
        """Hold a conference for so long, and until all have heard all under so many keys."""
        async with AsyncExitStack() as stack:
            caller, *others = [await stack.enter_async_context(self._user(name)) for name in self.names]
            for user, name in zip(others, self.names[1:], strict=True):
                await stack.enter_async_context(self._reception(user, name))
            media, stop = CallMedia(record=self._folder / self.names[0]), asyncio.Event()
            holding = asyncio.create_task(caller.confer(self.names[1:], media, stop=stop))
            await asyncio.wait_for(until(lambda: holding.done() or self._has_all_heard(num_keys)), LIMIT_S)
            await asyncio.sleep(0 if holding.done() else seconds_s)
            stop.set()
            self.reports[self.names[0]] = await holding
            await until(lambda: len(self.reports) == len(self.names))

    def _has_all_heard(self, num_keys: int) -> bool:
        return len(self.ends) == len(self.names) and all(
            end._keys_sent >= num_keys
            and len(end._members) == len(self.names) - 1
            and all(
                member.hearing._decoded[medium] >= SOME
                and sum(stream.num_keys for stream in member.streams.values()) >= num_keys
                for member in end._members.values()
                for medium in Medium
            )
            for end in self.ends.values()
        )

    def _user(self, name: str) -> UserServices:
        user = UserServices(find_people(data=self._data, name=name), terms=self._terms)
        user.open_wire = self.lines[name].open
        make = user._conference_end

        def noted(*args: Any, **words: Any) -> ConferenceEnd:
            self.ends[name] = end = make(*args, **words)
            return end

        user._conference_end = noted  # type: ignore[method-assign]
        return user

    def _reception(self, user: UserServices, name: str) -> Reception:
        listeners = Listeners(on_conference=lambda report: self.reports.update({name: report}))
        return Reception(user, self._folder / name, listeners=listeners, media=CallMedia(record=self._folder / name))

    def check(self, accepted: Accepted, *, num_keys: int) -> None:
        """Check that all have heard all, nobody anything twice or out of its key, and that all was re-keyed."""
        for name, report in self.reports.items():
            assert {one.peer for one in report.members} == set(self.names) - {name}
            assert report.absent == ()
            assert report.keys_sent >= num_keys
            for one in report.members:
                self._check_heard(name, one.peer, one, num_keys)
            assert report.mix is not None
            with av.open(report.mix) as file:
                samples = sum(sound.samples for sound in file.decode(audio=0))
            assert samples > 48_000 * (report.duration_s - 2.0)  # silence before the first keys, too
        sealed = Counter(self._sealed())
        assert accepted.by_opener
        for pairs in accepted.by_opener.values():
            assert len({number for number, _ in pairs}) == len(pairs), "a frame was accepted twice"
            assert set(pairs) <= set(sealed), "a frame was accepted under another key"

    def _check_heard(self, name: str, peer: str, heard: Any, num_keys: int) -> None:
        assert heard.keys_received >= num_keys
        pictures, sound_s = shown(Path(heard.recording))
        assert pictures >= max(SOME, 0.95 * heard.video.decoded), (name, peer, heard)
        assert sound_s >= 0.95 * PIECE_S * max(SOME, heard.audio.decoded), (name, peer, heard)
        assert heard.refused["Replayed"] > 0
        assert heard.refused["NotFromSender"] > 0, "what was altered on the way"
        assert heard.delay_p99_ms > 0

    def share_opened(self) -> list[float]:
        """Return which part of what each sent to each other was opened there."""
        sent = {(name, one.peer): one.datagrams_sent for name, report in self.reports.items() for one in report.members}
        return [
            one.datagrams_opened / sent[one.peer, name]
            for name, report in self.reports.items()
            for one in report.members
        ]

    def _sealed(self) -> Iterator[tuple[int, bytes]]:
        """Yield number and key of every datagram that anybody sent."""
        for line in self.lines.values():
            for datagram in line.sent:
                header = read_header(datagram)
                yield header.number, header.key_id

    def num_seals(self) -> int:
        """Return how many different records were sealed, and sent to all."""
        headers = (read_header(datagram) for line in self.lines.values() for datagram in line.sent)
        return len({(header.mark, header.number) for header in headers})


def test_four_hear_each_other_through_changes_of_key_and_each_frame_is_sealed_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = Accepted()
    accepted.spy(monkeypatch)
    gathering = Gathering(data, tmp_path, PEOPLE[:4], refresh_s=1.5)
    asyncio.run(gathering.hold(seconds_s=2.0, num_keys=3))
    gathering.check(accepted, num_keys=3)
    num_sent = sum(one.datagrams_sent for report in gathering.reports.values() for one in report.members)
    assert gathering.num_seals() < num_sent / 2.5, "three get the same record"


@pytest.mark.campaign
def test_a_conference_of_eight_with_5_percent_loss_and_changes_of_key(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = Accepted()
    accepted.spy(monkeypatch)
    gathering = Gathering(data, tmp_path, PEOPLE[:8], refresh_s=5.0)
    asyncio.run(gathering.hold(seconds_s=20.0, num_keys=4))
    gathering.check(accepted, num_keys=4)
    assert min(gathering.share_opened()) > 0.6, gathering.share_opened()


def test_a_ninth_is_refused_with_the_remedy(data: Path) -> None:
    async def scene() -> None:
        async with UserServices(find_people(data=data, name="alice")) as alice:
            with pytest.raises(BadParameter, match="a conference of 9: at most 8 people") as caught:
                await alice.confer(PEOPLE[1:])
            assert caught.value.remedy == "call at most 7 others"

    asyncio.run(scene())

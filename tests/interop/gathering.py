"""Conferences of users of a running network, over lines that lose, repeat, turn round and alter."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import av

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

PEOPLE = ("alice", "bob", "carol", "dan", "eve", "fay", "gus", "hal", "ida")
PIECE_S = 0.04
SOME = 8
"""Pieces of sound, and pictures."""
LIMIT_S = 200
ON_THE_WAY = {"Replayed", "NotFromSender"}
"""What a bad line makes everybody refuse: what came again, and what was altered."""


class Gathering:
    """Some users of the network, each with a bad line of its own and a folder for what it hears."""

    def __init__(self, data: Path, folder: Path, names: tuple[str, ...], *, refresh_s: float) -> None:
        self.names, self._data, self._folder = names, data, folder
        self._terms = Terms(refresh=Refresh(refresh_s), patience_s=20.0)
        self.lines = {name: BadLine(0.05, random.Random(name)) for name in names}
        self.ends: dict[str, ConferenceEnd] = {}
        self.reports: dict[str, ConferenceReport] = {}

    async def hold(self, *, seconds_s: float, num_keys: int) -> None:
        """Hold a conference for so long, and until all have heard all under so many keys and refused what lines do."""
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
                and set(member.hearing.refused) >= ON_THE_WAY
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
        """Check what must be so however busy the machine is, on which all ends share one process here.

        All have heard all, nobody anything twice or out of its key, all was re-keyed, and what was kept can be decoded.
        """
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
        assert all(heard.refused[fault] > 0 for fault in ON_THE_WAY), (name, peer, heard)
        assert heard.delay_p99_ms > 0

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

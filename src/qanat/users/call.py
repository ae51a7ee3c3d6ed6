"""One end of a call between two: what its tasks do while it lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, Protocol

from qanat.adapters.datagrams import UdpAddress
from qanat.adapters.media import MediaSink, check_recording
from qanat.ground.errors import QanatError
from qanat.ground.framing import canonical_json
from qanat.services.call import HERE_EVERY_S, CallReport, CallWord, LastWord, media_context
from qanat.services.call_frames import Medium
from qanat.services.ciphers import FrameSealer, RecordKind, StreamContext
from qanat.services.ciphers.layout import read_header
from qanat.services.conversation import Party, Terms, sender_keys
from qanat.users.hearing import HeardStream, Hearing, announced_key
from qanat.users.mixing import Mixing
from qanat.users.speaking import CallMedia, Speaking, renew


class Wire(Protocol):
    """Datagrams both ways."""

    port: int

    def send(self, data: bytes, address: UdpAddress, /) -> None: ...

    async def receive(self) -> tuple[bytes, UdpAddress]: ...

    def close(self) -> None: ...


TELLING_S = 2.0
"""A call in which nothing came for so long is told as one in which nothing gets through."""
ON_THEIR_WAY_S = 0.3
"""The last word goes by another way than datagrams, and may overtake some of them by so much."""
LOOK_EVERY_S = 0.02


class CallEnd:
    """One end of a call, for one call."""

    def __init__(
        self, party: Party, wire: Wire, media: CallMedia, *, out: StreamContext, back: StreamContext, terms: Terms
    ) -> None:
        """``out``, ``back``: the conversation's streams from here and to here. Raises what ``CallMedia`` leads to."""
        check_recording(media.record)
        out, back = media_context(out), media_context(back)
        self.peer_address: UdpAddress | None = None
        self._party, self._wire, self._record, self._play = party, wire, media.record, media.play
        self._speaking = Speaking(party.clock, media, send=self._send)
        self._keys = sender_keys(party, out, terms)
        self._sealer = FrameSealer(out, self._keys)
        self._stream = HeardStream(party, back)
        self._hearing = Hearing(party.clock, say=self._say)
        self._heard = asyncio.Event()
        self._is_over = self._is_recorded = False
        self._told: LastWord | None = None

    async def word(self) -> CallWord:
        """Return what this end says of itself, once it has its first key; raises KeyShortage."""
        await self._sealer.prepare()
        sources = self._speaking.sources
        return CallWord(Medium.AUDIO in sources, Medium.VIDEO in sources, self._keys.key_id, port=self._wire.port)

    async def talk(self, theirs: CallWord, until: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Send and hear until ``until`` ends.

        Raises KeyShortage when no fresh key comes in time, and what ``until`` raises.
        """
        mix = None
        if self._play is not None:
            mix = await asyncio.to_thread(Mixing, self._party.clock, file=None, loudspeaker=self._play)
        sink = await asyncio.to_thread(
            MediaSink,
            audio=theirs.audio,
            video=theirs.video,
            record=self._record,
            on_sound=None if mix is None else mix.hear("them"),
        )
        self._hearing.begin()
        self._stream.expect(theirs.key)
        works = (
            renew(self._sealer, say=self._say, refused=self._hearing.refused),
            self._listen(),
            self._hearing.show(sink),
            self._say_here(),
            *map(self._speak, self._speaking.sources),
            *([] if mix is None else [mix.keep()]),
        )
        try:
            await work_until(until(), works)
        finally:
            await self._stream.close()
            await asyncio.to_thread(sink.close)
            self._is_recorded = sink.is_recorded
            if mix is not None:
                await mix.close()
            self._sealer.forget()

    @property
    def silent_s(self) -> float:
        """For how long no genuine datagram has come, s."""
        return self._party.clock.monotonic_s() - self._hearing.heard_at_s

    @property
    def has_key(self) -> bool:
        """Whether a key of the other's datagrams is here."""
        return self._stream.num_keys > 0

    def end(self, *, lost: bool = False) -> LastWord:
        """Send no more datagrams, and return what is to be said last; what comes is still heard."""
        self._is_over = True
        self._speaking.end()
        self._hearing.end()
        sent, silent_s = self._speaking.sent, round(self.silent_s, 3)
        return LastWord(self._hearing.num_sent, sent[Medium.AUDIO], sent[Medium.VIDEO], silent_s, lost)

    async def hear_out(self, told: LastWord) -> None:
        """Wait a moment for datagrams that are still on their way; after it, what has not come is lost."""
        end_s = self._party.clock.monotonic_s() + ON_THEIR_WAY_S
        while not self._stream.has_come_to(told.datagrams):
            if self._party.clock.monotonic_s() > end_s:
                break
            await asyncio.sleep(LOOK_EVERY_S)
        self._told = told
        self._hearing.told({Medium.AUDIO: told.audio, Medium.VIDEO: told.video})
        await self._hearing.all_shown()

    def report(self, peer: str, *, ended: str) -> CallReport:
        """Return what this end saw; ``ended``: see ``CallReport``."""
        report = self._hearing.report(
            peer,
            sent=self._speaking.sent,
            num_missing=self._stream.num_missing(None if self._told is None else self._told.datagrams),
            keys_sent=self._sealer.num_keys,
            keys_received=self._stream.num_keys,
            recording=str(self._record) if self._is_recorded else None,
        )
        return replace(
            report,
            ended=ended,
            nothing_came=report.duration_s >= TELLING_S and not report.datagrams_opened,
            unheard_s=0.0 if self._told is None else self._told.silent_s,
        )

    async def _speak(self, medium: Medium) -> None:
        if self.peer_address is None:
            await self._heard.wait()
        await self._speaking.speak(medium)

    async def _say_here(self) -> None:
        while True:
            self._say({"here": True})
            await asyncio.sleep(HERE_EVERY_S)

    def _say(self, word: Mapping[str, str | bool]) -> None:
        if self.peer_address is not None:
            self._send(canonical_json(dict(word)), kind=RecordKind.CONTROL)

    def _send(self, content: bytes, *, kind: RecordKind = RecordKind.DATA) -> None:
        if self._is_over:
            return
        assert self.peer_address is not None
        self._wire.send(self._sealer.seal(content, kind=kind), self.peer_address)
        self._hearing.num_sent += 1

    async def _listen(self) -> None:
        """Open what comes; what cannot be opened is counted by reason, and the call goes on."""
        while True:
            datagram, address = await self._wire.receive()
            try:
                header = read_header(datagram)
                content = await self._stream.open(datagram, header)
                word = self._hearing.take(RecordKind(header.kind), content)
            except QanatError as fault:
                self._hearing.refused[type(fault).__name__] += 1
                continue
            if (key_id := announced_key(word)) is not None:
                self._stream.expect(key_id)
            elif word.get("key_frame") is True:
                self._speaking.ask_for_key()
            self.peer_address = address  # only what proved genuine moves it
            self._heard.set()


async def work_until(end: Coroutine[Any, Any, None], works: tuple[Coroutine[Any, Any, None], ...]) -> None:
    """Run ``works`` until ``end`` ends; the first fault of any of them ends all, and is raised."""
    ending = asyncio.create_task(end)
    tasks = {ending, *map(asyncio.create_task, works)}
    waiting = set(tasks)
    try:
        while not ending.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

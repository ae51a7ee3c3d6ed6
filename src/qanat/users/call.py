"""One end of a call: what its tasks do while it lasts."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from qanat.adapters.datagrams import UdpAddress
from qanat.adapters.media import TEST, AudioSource, Encoded, MediaSink, VideoSource
from qanat.ground.errors import FrameError, QanatError
from qanat.ground.framing import canonical_json
from qanat.services.call import CallReport, CallWord, MediumReport, media_context
from qanat.services.call_frames import Assembler, Delays, MediaFrame, Medium, cut_frame, medium_of
from qanat.services.ciphers import FrameOpener, FrameSealer, RecipientKeys, RecordKind, SenderKeys, StreamContext
from qanat.services.ciphers.layout import read_header
from qanat.services.conversation import Party, Terms

KEYS_EVERY_S = 0.05
"""How often is looked whether the next key is to be asked for, and told."""
ASK_EVERY_S = 0.1
"""Between two requests for a picture that stands by itself."""
STRANGE_KEY_EVERY_S = 1.0
"""A key that nobody announced is asked of the key manager so often at most, whatever comes."""
MOST_TO_SHOW = 512
NOTHING_SHOWN = -2


class Wire(Protocol):
    """Datagrams both ways."""

    port: int

    def send(self, data: bytes, address: UdpAddress, /) -> None: ...

    async def receive(self) -> tuple[bytes, UdpAddress]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class CallMedia:
    """What one end of a call sends, and where it records what it hears.

    ``audio``, ``video``: a file's name, ``"test"`` for a tone and a test picture, or None. ``record``: a new .webm.
    """

    audio: str | None = TEST
    video: str | None = TEST
    record: Path | None = None


class CallEnd:
    """One end of a call, for one call."""

    def __init__(
        self, party: Party, wire: Wire, media: CallMedia, *, out: StreamContext, back: StreamContext, terms: Terms
    ) -> None:
        """``out``, ``back``: the conversation's streams from here and to here. Raises what ``CallMedia`` leads to."""
        out, back = media_context(out), media_context(back)
        self.sources: dict[Medium, AudioSource | VideoSource] = {}
        if media.audio is not None:
            self.sources[Medium.AUDIO] = AudioSource(media.audio)
        if media.video is not None:
            self.sources[Medium.VIDEO] = VideoSource(media.video)
        self.peer_address: UdpAddress | None = None
        self._party, self._wire, self._record = party, wire, media.record
        self._keys = SenderKeys(
            party.supply,
            out.recipient,
            suite=out.suite,
            clock=party.clock,
            refresh=terms.refresh,
            patience_s=terms.patience_s,
        )
        self._sealer = FrameSealer(out, self._keys)
        self._their_keys = RecipientKeys(party.supply, back, clock=party.clock)
        self._opener = FrameOpener(back, self._their_keys)
        self._expected: dict[bytes, asyncio.Task[None]] = {}
        self._may_ask_at_s = 0.0
        self._heard = asyncio.Event()
        self._to_show: asyncio.Queue[MediaFrame] = asyncio.Queue(MOST_TO_SHOW)
        self._sink: MediaSink | None = None
        self._assemblers = {medium: Assembler(medium) for medium in Medium}
        self._delays = Delays()
        self._refused: Counter[str] = Counter()
        self._sent: Counter[Medium] = Counter()
        self._decoded: Counter[Medium] = Counter()
        self._num_sent = self._num_opened = 0
        self._shown_to = -1
        """The number of the last picture that was decoded; the next may be only if it follows, or stands by itself."""
        self._is_asked = False
        self._asked_at_s = -ASK_EVERY_S
        self._began_s = party.clock.monotonic_s()

    async def word(self) -> CallWord:
        """Return what this end says of itself, once it has its first key; raises KeyShortage."""
        await self._sealer.prepare()
        return CallWord(
            Medium.AUDIO in self.sources, Medium.VIDEO in self.sources, self._keys.key_id, port=self._wire.port
        )

    async def talk(self, theirs: CallWord, until: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Send and hear until ``until`` ends.

        Raises KeyShortage when no fresh key comes in time, and what ``until`` raises.
        """
        self._sink = await asyncio.to_thread(MediaSink, audio=theirs.audio, video=theirs.video, record=self._record)
        self._began_s = self._party.clock.monotonic_s()
        self._expect(theirs.key)
        end = asyncio.create_task(until())
        works = (self._renew(), self._listen(), self._show(), *map(self._speak, self.sources))
        tasks = {end, *map(asyncio.create_task, works)}
        waiting = set(tasks)
        try:
            while not end.done():
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in (*tasks, *self._expected.values()):
                task.cancel()
            await asyncio.gather(*tasks, *self._expected.values(), return_exceptions=True)
            await asyncio.to_thread(self._sink.close)
            self._sealer.forget()
            self._opener.forget()

    def report(self, peer: str) -> CallReport:
        """Return what this end saw."""

        def of(medium: Medium) -> MediumReport:
            assembler = self._assemblers[medium]
            return MediumReport(self._sent[medium], assembler.num_whole, assembler.num_lost, self._decoded[medium])

        return CallReport(
            peer=peer,
            duration_s=self._party.clock.monotonic_s() - self._began_s,
            keys_sent=self._sealer.num_keys,
            keys_received=self._their_keys.num_keys,
            datagrams_sent=self._num_sent,
            datagrams_opened=self._num_opened,
            refused=dict(self._refused),
            delay_median_ms=self._delays.share(0.5),
            delay_p99_ms=self._delays.share(0.99),
            audio=of(Medium.AUDIO),
            video=of(Medium.VIDEO),
            recording=None if self._record is None else str(self._record),
        )

    # --- what goes out ---

    async def _renew(self) -> None:
        """Take the next key in good time, and tell its id again and again until it is in use."""
        asking = asyncio.create_task(self._sealer.prepare())
        try:
            while True:
                if asking.done():
                    if (fault := asking.exception()) is not None:
                        self._refused[type(fault).__name__] += 1  # the present key lasts on; sealing tells its end
                    asking = asyncio.create_task(self._sealer.prepare())
                await asyncio.sleep(KEYS_EVERY_S)
                if (coming := self._sealer.next_key_id) is not None:
                    self._say({"next": coming.hex()})
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _speak(self, medium: Medium) -> None:
        if self.peer_address is None:
            await self._heard.wait()
        source, clock = self.sources[medium], self._party.clock
        begun_s = clock.monotonic_s()
        while (encoded := await asyncio.to_thread(source.next, key=self._is_key_due(medium))) is not None:
            await clock.sleep_until(begun_s + encoded.at_ms / 1000)
            self._send_frame(medium, encoded)

    def _is_key_due(self, medium: Medium) -> bool:
        is_due = medium is Medium.VIDEO and self._is_asked
        if is_due:
            self._is_asked = False
        return is_due

    def _send_frame(self, medium: Medium, encoded: Encoded) -> None:
        sent_us = int(self._party.clock.utc_s() * 1e6)
        frame = MediaFrame(medium, self._sent[medium], encoded.data, encoded.is_key, encoded.at_ms, sent_us)
        for content in cut_frame(frame):
            self._send(self._sealer.seal(content))
        self._sent[medium] += 1

    def _say(self, word: Mapping[str, str | bool]) -> None:
        if self.peer_address is not None:
            self._send(self._sealer.seal(canonical_json(dict(word)), kind=RecordKind.CONTROL))

    def _send(self, datagram: bytes) -> None:
        assert self.peer_address is not None
        self._wire.send(datagram, self.peer_address)
        self._num_sent += 1

    # --- what comes in ---

    async def _listen(self) -> None:
        """Open what comes; what cannot be opened is counted by reason, and the call goes on."""
        while True:
            datagram, address = await self._wire.receive()
            try:
                header = read_header(datagram)
                await self._have_key(header.key_id)
                _, content = await self._opener.open_numbered(datagram)
                if header.kind == RecordKind.CONTROL:
                    self._hear_word(content)
                else:
                    self._hear_part(content)
            except QanatError as fault:
                self._refused[type(fault).__name__] += 1
                continue
            self._num_opened += 1
            self.peer_address = address  # only what proved genuine moves it
            self._heard.set()

    async def _have_key(self, key_id: bytes) -> None:
        """Wait for a key that was announced; let others be asked for at a bounded rate only."""
        if (task := self._expected.get(key_id)) is not None:
            if not task.done() or task.exception() is None:
                await task
                return
            del self._expected[key_id]
        now_s = self._party.clock.monotonic_s()
        if now_s < self._may_ask_at_s:
            raise FrameError(
                "a frame under a key that was not announced", remedy="look for who puts frames on the line"
            )
        self._may_ask_at_s = now_s + STRANGE_KEY_EVERY_S

    def _expect(self, key_id: bytes) -> None:
        if key_id not in self._expected:
            self._expected[key_id] = asyncio.create_task(self._opener.expect(key_id))

    def _hear_word(self, content: bytes) -> None:
        try:
            word = json.loads(content)
        except ValueError:
            raise FrameError("this is no word of a call", remedy="update the sender") from None
        match word:
            case {"next": str(key)} if len(key) == 32 and set(key) <= set("0123456789abcdef"):
                self._expect(bytes.fromhex(key))
            case {"key_frame": True}:
                self._is_asked = True

    def _hear_part(self, content: bytes) -> None:
        for frame in self._assemblers[medium_of(content)].add(content):
            self._delays.add(self._party.clock.utc_s() * 1e3 - frame.sent_us / 1e3)
            if not self._to_show.full():
                self._to_show.put_nowait(frame)

    def _ask_for_key(self) -> None:
        now_s = self._party.clock.monotonic_s()
        if now_s > self._asked_at_s + ASK_EVERY_S:
            self._asked_at_s = now_s
            self._say({"key_frame": True})

    async def _show(self) -> None:
        assert self._sink is not None
        while True:
            frame = await self._to_show.get()
            if frame.medium is Medium.VIDEO and not frame.is_key and frame.number != self._shown_to + 1:
                self._ask_for_key()  # it builds on a picture that never came
                continue
            shown = await asyncio.to_thread(
                self._sink.take, frame.medium, frame.data, at_ms=frame.at_ms, is_key=frame.is_key
            )
            self._decoded[frame.medium] += shown
            if frame.medium is Medium.VIDEO:
                self._shown_to = frame.number if shown else NOTHING_SHOWN

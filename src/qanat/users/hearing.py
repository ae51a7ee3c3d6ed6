"""What one end of a call hears of another: frames are opened under keys in good time, put together, and shown."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from qanat.adapters.media import MediaSink
from qanat.ground.errors import FrameError, QanatError
from qanat.ground.ports import Clock
from qanat.services.call import CallReport, MediumReport
from qanat.services.call_frames import Assembler, Delays, MediaFrame, Medium, medium_of
from qanat.services.ciphers import FrameOpener, KeyUnannounced, RecipientKeys, RecordKind, StreamContext
from qanat.services.ciphers.layout import Buffer, RecordHeader
from qanat.services.conversation import Party

ASK_EVERY_S = 0.1
"""Between two requests for a picture that stands by itself."""
STRANGE_KEY_EVERY_S = 1.0
"""A key that nobody announced is asked of the key manager so often at most, whatever comes."""
MOST_TO_SHOW = 512
SHOWN_WITHIN_S = 2.0
"""So long at most what came last is decoded when a call ends; it was there in time, so it counts as shown."""
NOTHING_SHOWN = -2
_KEY_DIGITS = 32

Say = Callable[[Mapping[str, str | bool]], None]


class HeardStream:
    """One stream of frames that another seals, and its keys here."""

    def __init__(self, party: Party, context: StreamContext) -> None:
        self._clock = party.clock
        self._keys = RecipientKeys(party.supply, context, clock=party.clock)
        self._opener = FrameOpener(context, self._keys)
        self._expected: dict[bytes, asyncio.Task[None]] = {}
        self._may_ask_at_s = 0.0
        self._num_opened = 0
        self._first: int | None = None
        self._highest = 0

    def num_missing(self, num_sent: int | None = None) -> int:
        """Return how many frames never came, or not as they were sent: of ``num_sent``, or where that is not known of
        those between the first and the last that did."""
        if num_sent is not None:
            return max(num_sent - self._num_opened, 0)
        return 0 if self._first is None else self._highest - self._first + 1 - self._num_opened

    def has_come_to(self, num_sent: int) -> bool:
        """Return whether the last of ``num_sent`` frames is here."""
        return num_sent <= (0 if self._first is None else self._highest + 1)

    @property
    def num_keys(self) -> int:
        """Keys that were fetched for it."""
        return self._keys.num_keys

    def expect(self, key_id: bytes) -> None:
        """Fetch a key that was announced."""
        if key_id not in self._expected:
            self._expected[key_id] = asyncio.create_task(self._opener.expect(key_id))

    async def open(self, record: Buffer, header: RecordHeader) -> bytes:
        """Return what a frame holds; raises what ``FrameOpener.open`` raises."""
        await self._have_key(header.key_id)
        number, content = await self._opener.open_numbered(record)
        self._num_opened += 1
        self._first = number if self._first is None else min(self._first, number)
        self._highest = max(self._highest, number)
        return content

    async def close(self) -> None:
        """Ask for no more keys, and drop those that are here."""
        for task in self._expected.values():
            task.cancel()
        await asyncio.gather(*self._expected.values(), return_exceptions=True)
        self._opener.forget()

    async def _have_key(self, key_id: bytes) -> None:
        """Wait for a key that was announced; let others be asked for at a bounded rate only."""
        if (task := self._expected.get(key_id)) is not None:
            if not task.done() or task.exception() is None:
                await task
                return
            del self._expected[key_id]
        now_s = self._clock.monotonic_s()
        if now_s < self._may_ask_at_s:
            raise KeyUnannounced(
                "a frame under a key that was not announced",
                remedy="drop it; if they do not end, look for who puts frames on the line",
            )
        self._may_ask_at_s = now_s + STRANGE_KEY_EVERY_S
        self.expect(key_id)
        try:
            await self._expected[key_id]
        except QanatError:
            del self._expected[key_id]  # whoever makes up ids is remembered with none of them
            raise


class Hearing:
    """What is heard of one other end: its frames in order, decoded, and the figures of it.

    ``begins_anywhere``: it may have been speaking for long when it is first heard.
    """

    def __init__(self, clock: Clock, *, say: Say, begins_anywhere: bool = False) -> None:
        self.refused: Counter[str] = Counter()
        self.num_sent = 0
        self.num_opened = 0
        self.heard_at_s = self.began_s = clock.monotonic_s()
        self._ended_s: float | None = None
        self._is_all_told = False
        self._clock = clock
        self._say = say
        self._to_show: asyncio.Queue[MediaFrame] = asyncio.Queue(MOST_TO_SHOW)
        self._assemblers = {medium: Assembler(medium, begins_anywhere=begins_anywhere) for medium in Medium}
        self._delays = Delays()
        self._decoded: Counter[Medium] = Counter()
        self._lacking: Counter[Medium] = Counter()
        self._shown_to = -1
        """The number of the last picture that was decoded; the next may be only if it follows, or stands by itself."""
        self._asked_at_s = -ASK_EVERY_S

    def take(self, kind: RecordKind, content: bytes) -> dict[str, Any]:
        """Take what a genuine datagram holds; returns its word, nothing of one that holds a part. Raises FrameError."""
        word: dict[str, Any] = {}
        if kind is RecordKind.CONTROL:
            word = _word_in(content)
        else:
            self._hear_part(content)
        self.num_opened += 1
        self.heard_at_s = self._clock.monotonic_s()
        return word

    def begin(self) -> None:
        """Let durations count from now on."""
        self.heard_at_s = self.began_s = self._clock.monotonic_s()

    def end(self) -> None:
        """Let durations count no further; what still comes is heard. Idempotent."""
        if self._ended_s is None:
            self._ended_s = self._clock.monotonic_s()

    def told(self, sent: Mapping[Medium, int]) -> None:
        """Take note of how many frames the other has sent in all: what has not come of them by now is lost."""
        for medium, assembler in self._assemblers.items():
            self._have_shown(assembler.finish(sent[medium]))
        self._is_all_told = True

    def told_sent(self, sent: Mapping[Medium, int]) -> None:
        """The same for one whose frames count from when this end came: ``sent`` are those that went here."""
        for medium, assembler in self._assemblers.items():
            self._have_shown(assembler.finish_all(sent[medium]))
        self._is_all_told = True

    async def all_shown(self) -> None:
        """Return when all that has come so far is shown, or could not be; after ``SHOWN_WITHIN_S`` at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SHOWN_WITHIN_S):
                await self._to_show.join()

    async def show(self, sink: MediaSink) -> None:
        """Decode what has come, for ever."""
        while True:
            frame = await self._to_show.get()
            try:
                await self._show(sink, frame)
            finally:
                self._to_show.task_done()

    async def _show(self, sink: MediaSink, frame: MediaFrame) -> None:
        if frame.medium is Medium.VIDEO and not frame.is_key and frame.number != self._shown_to + 1:
            self._lacking[frame.medium] += 1
            self._ask_for_key()  # it builds on a picture that never came
            return
        shown = await asyncio.to_thread(sink.take, frame.medium, frame.data, at_ms=frame.at_ms, is_key=frame.is_key)
        self._decoded[frame.medium] += shown
        if frame.medium is Medium.VIDEO:
            self._shown_to = frame.number if shown else NOTHING_SHOWN

    def report(
        self,
        peer: str,
        *,
        sent: Counter[Medium],
        num_missing: int,
        keys_sent: int,
        keys_received: int,
        recording: str | None,
    ) -> CallReport:
        """Return the figures; ``sent``: frames that went to the other; ``num_missing``: datagrams that never came."""

        def of(medium: Medium) -> MediumReport:
            assembler = self._assemblers[medium]
            whole, lost = assembler.num_whole, assembler.num_lost
            return MediumReport(sent[medium], whole, lost, self._decoded[medium], self._lacking[medium])

        now_s = self._clock.monotonic_s() if self._ended_s is None else self._ended_s
        return CallReport(
            peer=peer,
            duration_s=now_s - self.began_s,
            keys_sent=keys_sent,
            keys_received=keys_received,
            datagrams_sent=self.num_sent,
            datagrams_opened=self.num_opened,
            datagrams_missing=num_missing,
            refused=dict(self.refused),
            delay_median_ms=self._delays.share(0.5),
            delay_p99_ms=self._delays.share(0.99),
            audio=of(Medium.AUDIO),
            video=of(Medium.VIDEO),
            recording=recording,
            silent_s=max(now_s - self.heard_at_s, 0.0),
            losses_known=self._is_all_told,
        )

    def _hear_part(self, content: bytes) -> None:
        self._have_shown(self._assemblers[medium_of(content)].add(content))

    def _have_shown(self, frames: Iterable[MediaFrame]) -> None:
        for frame in frames:
            self._delays.add(self._clock.utc_s() * 1e3 - frame.sent_us / 1e3)
            if not self._to_show.full():
                self._to_show.put_nowait(frame)

    def _ask_for_key(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s > self._asked_at_s + ASK_EVERY_S:
            self._asked_at_s = now_s
            self._say({"key_frame": True})


def announced_key(word: Mapping[str, Any]) -> bytes | None:
    """Return the id of the next key where a word tells one."""
    match word:
        case {"next": str(key)} if len(key) == _KEY_DIGITS and set(key) <= set("0123456789abcdef"):
            return bytes.fromhex(key)
    return None


def _word_in(content: bytes) -> dict[str, Any]:
    try:
        word = json.loads(content)
    except (ValueError, RecursionError):
        word = None
    if not isinstance(word, dict):
        raise FrameError("this is no word of a call", remedy="update the sender")
    return word

"""What one end of a call says: its sources at their pace, and the next key of a stream in good time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from qanat.adapters.media import CALL_QUALITY, TEST, AudioSource, Encoded, Quality, VideoSource, check_source
from qanat.ground.errors import QanatError
from qanat.ground.ports import Clock
from qanat.services.call_frames import MediaFrame, Medium, cut_frame
from qanat.services.ciphers import FrameSealer

KEYS_EVERY_S = 0.05
"""How often is looked whether the next key is to be asked for, and told."""

LATE_S = 0.5
"""A source that is so far behind goes on from there: on a machine that is too slow, hurrying would make it slower."""


@dataclass(frozen=True, slots=True)
class CallMedia:
    """What one end of a call sends, and where it records what it hears.

    ``audio``, ``video``: a file's name, ``"test"`` for a tone and a test picture, ``"microphone"`` and ``"camera"`` for
    devices (``adapters.media_devices``), or None. ``record``: a new .webm, or a pipe that is there; of a conference a
    folder, with one for each member and one for the sound of all. ``play``: ``"speaker"``, where sound is heard.
    """

    audio: str | None = TEST
    video: str | None = TEST
    record: Path | None = None
    play: str | None = None

    def check(self) -> None:
        """Raise ConfigurationError where a file to be sent is not there; that it can be played is seen in a call."""
        for source in (self.audio, self.video):
            check_source(source)


class Speaking:
    """The sources of one end. ``send`` is handed each piece of a frame, to be sealed and sent at once.

    Raises what ``CallMedia`` leads to.
    """

    def __init__(
        self, clock: Clock, media: CallMedia, *, send: Callable[[bytes], None], quality: Quality = CALL_QUALITY
    ) -> None:
        self.sources: dict[Medium, AudioSource | VideoSource] = {}
        if media.audio is not None:
            self.sources[Medium.AUDIO] = AudioSource(media.audio, quality=quality)
        if media.video is not None:
            self.sources[Medium.VIDEO] = VideoSource(media.video, quality=quality)
        self.sent: Counter[Medium] = Counter()
        self._clock = clock
        self._send = send
        self._is_asked = False
        self._is_over = False

    def end(self) -> None:
        """Send nothing more."""
        self._is_over = True

    def ask_for_key(self) -> None:
        """Let the next picture stand by itself: somebody lacks what it would build on."""
        self._is_asked = True

    async def speak(self, medium: Medium) -> None:
        """Send a source to its end. Raises KeyShortage when no fresh key comes in time."""
        source, begun_s = self.sources[medium], self._clock.monotonic_s()
        while (encoded := await asyncio.to_thread(source.next, key=self._is_key_due(medium))) is not None:
            late_s = self._clock.monotonic_s() - begun_s - encoded.at_ms / 1000
            if late_s > LATE_S:
                begun_s += late_s
            await self._clock.sleep_until(begun_s + encoded.at_ms / 1000)
            if self._is_over:
                return
            self._send_frame(medium, encoded)

    def _is_key_due(self, medium: Medium) -> bool:
        is_due = medium is Medium.VIDEO and self._is_asked
        if is_due:
            self._is_asked = False
        return is_due

    def _send_frame(self, medium: Medium, encoded: Encoded) -> None:
        sent_us = int(self._clock.utc_s() * 1e6)
        frame = MediaFrame(medium, self.sent[medium], encoded.data, encoded.is_key, encoded.at_ms, sent_us)
        for content in cut_frame(frame):
            self._send(content)
        self.sent[medium] += 1


async def renew(sealer: FrameSealer, *, say: Callable[[Mapping[str, str | bool]], None], refused: Counter[str]) -> None:
    """Take the next key in good time, and tell its id again and again until it is in use; for ever."""
    asking = asyncio.create_task(sealer.prepare())
    try:
        while True:
            if asking.done():
                if (fault := asking.exception()) is not None:
                    if not isinstance(fault, QanatError):
                        raise fault
                    refused[type(fault).__name__] += 1  # the present key lasts on; sealing tells its end
                asking = asyncio.create_task(sealer.prepare())
            await asyncio.sleep(KEYS_EVERY_S)
            if (coming := sealer.next_key_id) is not None:
                say({"next": coming.hex()})
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

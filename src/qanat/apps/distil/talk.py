"""Words of a run: said and heard on a line, or on a lane of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qanat.apps.distil.terms import Word
from qanat.ground.errors import ChannelClosed, FrameError
from qanat.ground.events import Json
from qanat.ground.framing import Frame, decode_frame, encode_frame
from qanat.ground.ports import ClassicalChannel

PATIENCE_S: Final = 600.0
"""How long a party that is connected may think; a large block takes minutes on a slow machine."""


class Talk:
    """Words on a channel; other frames that are under way when a session has died are passed over."""

    def __init__(self, channel: ClassicalChannel) -> None:
        self.channel = channel

    async def say(self, word: Word, header: Mapping[str, Json], tag: bytes = b"") -> None:
        await self.channel.send(encode_frame(word, header, tag))

    async def hear(self, *words: Word) -> Frame:
        """Return the next frame, which must be one of these words; raises ChannelError."""
        frame = await self._next()
        if frame.kind not in words:
            raise no_word(f"a frame of kind {frame.kind} came out of turn")
        return frame

    async def hear_outcome(self) -> Frame:
        """Return how the other party fared; what is left of the session is passed over."""
        while (frame := await self._next()).kind != Word.OUTCOME:
            if frame.kind in set(Word):
                raise no_word(f"a frame of kind {frame.kind} came out of turn")
        return frame

    async def _next(self) -> Frame:
        data = await self.channel.receive(timeout_s=PATIENCE_S)
        try:
            return decode_frame(data)
        except FrameError as fault:
            raise no_word(fault.message) from None


def no_word(what: str) -> ChannelClosed:
    """Return the error for a line whose other end does not speak as a party does: it is given up, the run goes on."""
    return ChannelClosed(
        f"whoever is at the other end of the line does not speak as the other party would: {what}",
        remedy="let only the other party's host reach this port",
    )

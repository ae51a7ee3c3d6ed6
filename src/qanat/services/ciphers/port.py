"""What a service sees of a cipher on an ordered stream, whichever it is."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from qanat.services.ciphers.layout import Buffer, RecordKind


class Opened(NamedTuple):
    """A record that was sealed for us, next in its stream. ``content`` may be overwritten by the next one."""

    kind: RecordKind
    content: Buffer
    is_last: bool


class Sealer(Protocol):
    """The sender's end of a stream."""

    @property
    def num_keys(self) -> int:
        """Keys that were taken from the network for it."""
        ...

    def room_for(self, content_bytes: int, /) -> int:
        """Return how long a record of so much content is at most."""
        ...

    async def seal_into(
        self, content: Buffer, room: memoryview, /, *, kind: RecordKind = RecordKind.DATA, is_last: bool = False
    ) -> int:
        """Write the next record into ``room`` and return its length. Raises KeyShortage and what the supply raises."""
        ...

    def forget(self) -> None:
        """Drop the keys; the stream is over."""


class Opener(Protocol):
    """The recipient's end of a stream."""

    async def open_into(self, record: Buffer, room: memoryview, /) -> Opened:
        """Return what the record holds, written into ``room``; raises RecordRefused, FrameError."""
        ...

    def finish(self) -> None:
        """Raise Truncated unless the last record of the stream was opened."""

    def forget(self) -> None:
        """Drop the keys; the stream is over."""

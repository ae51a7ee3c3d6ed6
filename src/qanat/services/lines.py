"""What a conversation runs on: frames in order between two ends, large ones without copies."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from qanat.services.ciphers.layout import Buffer


class Line(Protocol):
    """An untrusted line that keeps frames in order while it is open."""

    async def send(self, frame: Buffer, /) -> None:
        """Send one whole frame; the buffer is free again on return. Raises ChannelClosed."""

    async def receive(self, *, timeout_s: float) -> memoryview:
        """Return the next whole frame, valid until the next call. Raises ChannelClosed, ChannelTimeout, FrameError."""
        ...

    def has_news(self) -> bool:
        """Return whether something has come that nobody received yet, without waiting; also at the line's end."""
        ...

    async def close(self) -> None:
        """Close after what was sent has left; idempotent."""


@runtime_checkable
class Provable(Protocol):
    """A line that a stranger's caller has for a while only, until somebody knows who calls."""

    def proven(self) -> None:
        """The caller has sealed a record under a key that it alone could be given; idempotent."""


@runtime_checkable
class Patient(Protocol):
    """A line whose other end can be given longer than usual to take what it is sent, and to send what it began."""

    def give_time(self, limit_s: float) -> None:
        """Give the other end so long; the system's own limit comes later."""

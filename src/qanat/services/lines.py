"""What a conversation runs on: frames in order between two ends, large ones without copies."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Protocol, runtime_checkable

from qanat.ground.errors import ChannelError
from qanat.ground.identifiers import SaeId
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


@contextlib.asynccontextmanager
async def naming(caller: SaeId) -> AsyncIterator[None]:
    """Let what befalls the line of a caller, once it has said who it is, be told with its name: who receives has many
    lines, and the line itself knows no names."""
    try:
        yield
    except ChannelError as fault:
        fault.message = f"in a conversation of {caller}: {fault.message}"
        fault.args = (fault.message,)
        raise

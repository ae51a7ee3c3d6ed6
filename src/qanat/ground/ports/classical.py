"""Ports of the classical world: channels between modules, sessions on them, messages between nodes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol, TypeVar

from qanat.ground.identifiers import NodeId
from qanat.ground.ledger import Ledger
from qanat.ground.messages import Message

R_co = TypeVar("R_co", covariant=True)


class ClassicalChannel(Protocol):
    """A line between two QKD modules: untrusted, ordered while open; authentication is above it."""

    max_frame_bytes: int

    async def send(self, frame: bytes, /) -> None:
        """Send one frame; raises ChannelClosed."""

    async def receive(self, *, timeout_s: float) -> bytes:
        """Return the next frame; raises ChannelClosed or ChannelTimeout."""
        ...

    async def close(self) -> None:
        """Close both directions; idempotent."""


class Session(Protocol[R_co]):
    """One party of a protocol: synchronous and pure, so that any wire can carry it and any test can drive it.

    A check that fails raises out of ``receive``; after that the session is dead and answers nothing.
    """

    ledger: Ledger

    def start(self) -> Sequence[bytes]:
        """Return the frames to send first."""
        ...

    def receive(self, frame: bytes, /) -> Sequence[bytes]:
        """Take one frame of the peer and return the frames to send."""
        ...

    def result(self) -> R_co | None:
        """Return the result, or None while the protocol runs."""
        ...

    def farewell(self) -> Sequence[bytes]:
        """Return the frames that tell the peer why this session died; none when it did not."""
        ...


class Transport(Protocol):
    """Messages, not calls, among key managers and controller (satellites are hours away).

    Messages may be lost, repeated or reordered.
    """

    local: NodeId

    async def send(self, peer: NodeId, message: Message, /) -> None:
        """Hand a message over; returning says nothing about its arrival."""

    def inbox(self) -> AsyncIterator[tuple[NodeId, Message]]:
        """Yield messages with the sender's proven identity, until the transport closes."""
        ...

    def is_reachable(self, peer: NodeId, /) -> bool:
        """Return whether the peer seems to answer just now."""
        ...

    def is_coming(self, peer: NodeId, /) -> bool:
        """Return whether a peer that has said nothing yet may be just coming up: a line with it stands, or its machine
        has taken the first call and its process has yet to take it up."""
        ...

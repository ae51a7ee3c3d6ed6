"""Cutting a stream of bytes into chunks of one length, the last of which is known as such."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeAlias

Chunk: TypeAlias = bytes | bytearray | memoryview


async def cut_into_chunks(
    pieces: AsyncIterator[bytes], *, chunk_bytes: int
) -> AsyncGenerator[tuple[Chunk, bool], None]:
    """Yield (chunk, whether it is the last): all of ``chunk_bytes`` but the last, which is shorter or as long.

    There is always a last one; of an empty stream it is empty. A piece of any length may come; what a piece holds
    whole is not copied.
    """
    if chunk_bytes < 1:
        raise ValueError(f"chunk_bytes must be 1 or more, got {chunk_bytes}")
    held: Chunk = b""
    async for piece in pieces:
        view = memoryview(piece)
        while len(held) + len(view) > chunk_bytes:
            room = chunk_bytes - len(held)
            yield _joined(held, view[:room]), False
            held, view = b"", view[room:]
        held = _joined(held, view)
    yield held, True


def _joined(held: Chunk, view: memoryview) -> Chunk:
    """Return ``held`` and then ``view``, in a buffer that grows when many small pieces come."""
    if not len(held):
        return view
    if not len(view):
        return held
    grown = held if isinstance(held, bytearray) else bytearray(held)
    grown += view
    return grown

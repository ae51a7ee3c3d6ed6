"""Closes a connection whose TLS handshake a caller gave up: httpx leaves it open until the collector finds it.

httpcore (1.0.9) closes the stream of a failed handshake on exceptions, but not on a cancellation. Its ``trace``
extension tells of both, and hands out the stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class _Stream(Protocol):
    async def aclose(self) -> None: ...


def closing_unfinished() -> dict[str, Any]:
    """Return the ``extensions`` of one httpx request that closes what its handshake leaves behind."""
    return {"trace": _Handshake().hear}


class _Handshake:
    """Hears of the steps of one request."""

    def __init__(self) -> None:
        self._stream: _Stream | None = None

    async def hear(self, step: str, info: Mapping[str, Any]) -> None:
        """Take note of a new connection; close it when its handshake failed or was cancelled."""
        if step == "connection.connect_tcp.complete":
            self._stream = info["return_value"]
        elif step == "connection.start_tls.failed" and self._stream is not None:
            await self._stream.aclose()

"""Connections to one server for httpx, each of which is a pool by itself.

At the beginning and at the end of each request a pool of httpcore (1.0.9) goes through its connections, and for each
one that is idle through all of them: with thirty connections a request looks at a thousand, which costs more than the
request.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import AsyncIterator

import httpx


class SingleConnections(httpx.AsyncBaseTransport):
    """As many connections as there are requests at once; the one that was used last is used first.

    One that has had nothing to do for ``keepalive_s`` is closed at a later request; one whose request failed, at once.
    """

    def __init__(self, context: ssl.SSLContext, *, keepalive_s: float) -> None:
        self._context = context
        self._keepalive_s = keepalive_s
        self._idle: deque[tuple[httpx.AsyncHTTPTransport, float]] = deque()
        """With the time at which its last request ended, the oldest first."""
        self._at_work = set[httpx.AsyncHTTPTransport]()

    @property
    def num_connections(self) -> int:
        """How many there are, at work or not."""
        return len(self._idle) + len(self._at_work)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; raises what httpx's own transport raises."""
        await self._close_old()
        one = self._idle.pop()[0] if self._idle else self._new()
        self._at_work.add(one)
        try:
            response = await one.handle_async_request(request)
        except BaseException:
            self._at_work.discard(one)
            await one.aclose()
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Answer(response.stream, self, one)
        return response

    async def aclose(self) -> None:
        """Close all connections; idempotent."""
        while self._idle:
            await self._idle.pop()[0].aclose()
        while self._at_work:
            await self._at_work.pop().aclose()

    def give_back(self, one: httpx.AsyncHTTPTransport) -> None:
        """The answer to its request was read, or left unread: httpcore has closed the connection then."""
        if one in self._at_work:
            self._at_work.remove(one)
            self._idle.append((one, time.monotonic()))

    def _new(self) -> httpx.AsyncHTTPTransport:
        limits = httpx.Limits(max_connections=1, keepalive_expiry=self._keepalive_s)
        return httpx.AsyncHTTPTransport(verify=self._context, limits=limits, trust_env=False)

    async def _close_old(self) -> None:
        while self._idle and time.monotonic() - self._idle[0][1] > self._keepalive_s:
            await self._idle.popleft()[0].aclose()


class _Answer(httpx.AsyncByteStream):
    """An answer's body; its end gives the connection back."""

    def __init__(
        self, body: httpx.AsyncByteStream, connections: SingleConnections, one: httpx.AsyncHTTPTransport
    ) -> None:
        self._body, self._connections, self._one = body, connections, one

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._body:
            yield part

    async def aclose(self) -> None:
        await self._body.aclose()
        self._connections.give_back(self._one)

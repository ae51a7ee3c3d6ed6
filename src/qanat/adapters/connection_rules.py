"""Which connections a door serves, and for how long: certificates that still count, not too many of one SAE, none for
ever."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from qanat.adapters.tls import PeerCertificate

MAX_CONNECTION_AGE_S = 3600.0
MAX_CONNECTIONS_PER_PEER = 256
MAX_CONNECTIONS = 4096
EXPIRED = "the client certificate has expired (connect again with a new one)"
NOT_COUNTED = "this connection is one too many (use those that are open; close those that are not used)"

WhyRefused = Callable[[PeerCertificate], str | None]


class ConnectionRules:
    """The rules of one door, and how many connections it has.

    max_age_s: a connection older than this is closed after its next answer, which says so. max_per_peer: further
    connections of the same identity are answered by 503 until others end. on_refused hears of both kinds of refusal.
    """

    def __init__(
        self,
        *,
        max_age_s: float = MAX_CONNECTION_AGE_S,
        max_per_peer: int = MAX_CONNECTIONS_PER_PEER,
        max_connections: int = MAX_CONNECTIONS,
        on_refused: Callable[[str], None] = lambda _: None,
        utc_s: Callable[[], float] = time.time,
    ) -> None:
        self.max_age_s = max_age_s
        self.max_per_peer = max_per_peer
        self.on_refused = on_refused
        self._max_connections = max_connections
        self._utc_s = utc_s
        self._num_of: Counter[str | None] = Counter()
        self._also: WhyRefused = lambda _: None

    def heed(self, why_refused: WhyRefused) -> None:
        """Ask ``why_refused`` too, at every request."""
        self._also = why_refused

    def entered(self, peer: str | None) -> str | None:
        """Count a new connection; return why it is not served, None when it is."""
        self._num_of[peer] += 1
        is_too_many = self._num_of[peer] > self.max_per_peer or self._num_of.total() > self._max_connections
        return NOT_COUNTED if is_too_many else None

    def left(self, peer: str | None) -> None:
        """Count a connection that ended."""
        self._num_of[peer] -= 1
        if self._num_of[peer] <= 0:
            del self._num_of[peer]

    def why_refused(self, certificate: PeerCertificate | None) -> str | None:
        """Return why a certificate that was good at the handshake is not any more; None when it is."""
        if certificate is None:
            return None
        if self._utc_s() > certificate.ends_utc_s:
            return EXPIRED
        return self._also(certificate)


class FewWords:
    """Passes refusals on, at most ``most_per_s`` in a second; the next one that passes says how many did not. A flood
    of strangers so does not become a flood of the log."""

    def __init__(
        self, tell: Callable[[str], None], *, most_per_s: int = 20, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._most_per_s = most_per_s
        self._monotonic_s = monotonic_s
        self._since_s = -1.0
        self._num_told = 0
        self._num_kept = 0

    def __call__(self, why: str) -> None:
        if (now_s := self._monotonic_s()) - self._since_s >= 1.0:
            self._since_s, self._num_told = now_s, 0
        if self._num_told >= self._most_per_s:
            self._num_kept += 1
            return
        self._num_told += 1
        kept, self._num_kept = self._num_kept, 0
        self._tell(f"{why} (and {kept} more before it)" if kept else why)


def refusing(
    status: int, message: str, *, retry_after_s: int | None = None, closes: bool = True
) -> Callable[..., Awaitable[None]]:
    """Return an ASGI application that answers by an Error object, and ends the connection if it ``closes``."""
    body = json.dumps({"message": message}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    ]
    if closes:
        headers.append((b"connection", b"close"))
    if retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % retry_after_s))

    async def answer(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer

"""The client of a key manager's ETSI GS QKD 014 door: what an application holds to get keys.

One client is one application (SAE), proven by its certificate, at its own site's key manager. It keeps its connections
open, since a TLS handshake costs more than many keys, and opens new ones when the key manager has restarted.

A call whose answer was lost is repeated only where that spends nothing. Every call for keys carries a fresh nonce; a
key manager of ours answers the same nonce by the same keys. Whether this key manager does is asked (by its status)
before the first repetition: if it does not, the keys in that answer were given, once, and are gone, and the caller is
told so.
A connection that could not be opened is tried again in any case, because then nothing was asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, repeat
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from qanat.adapters.loop_thread import LoopThread
from qanat.adapters.single_connections import SingleConnections
from qanat.adapters.system import SystemEntropy
from qanat.adapters.tls import Credentials, client_context, own_identity
from qanat.adapters.unfinished_handshakes import closing_unfinished
from qanat.doors.etsi014 import delivery
from qanat.doors.etsi014.extensions import OPTIONAL_UNHANDLED, Wishes
from qanat.ground.errors import (
    BadParameter,
    ChannelClosed,
    ChannelError,
    ChannelTimeout,
    ConfigurationError,
    PeerProtocolError,
    QanatError,
)
from qanat.ground.identifiers import KeyID, KmeId, NodeId, SaeId, SaePair, slaves_together
from qanat.ground.keys import KeyStatus, SecretKey
from qanat.ground.requirements import Requirements
from qanat.ground.tracing import Trace

R = TypeVar("R")
ANY = Requirements()

DEFAULT_PATIENCE_S = 30.0
ANSWER_MARGIN_S = 10.0
"""Beyond its patience a client waits this long for the answer itself."""
DEFAULT_RETRY_S = 5.0
"""So long after its first failure a call is tried again. Well within the time that a key manager keeps answers."""
PAUSES_S = (0.1, 0.3, 1.0)
"""Before each new try; the last one again and again."""
KEEP_ALIVE_S = 30.0
"""Less than the server's, so that a request never meets a connection that the server is closing."""


class Etsi014Client:
    """Keys for one application (the port ``KeySupply``), from the key manager of its site.

    ``kme``, when given, is the one key manager that will be talked to; any other ends the handshake. ``trace`` is the
    request that keys are asked for: its newest event goes along as their cause, and it goes on from the event that gave
    them. ``patience_s`` is how long a key manager of ours may wait for new key before it reports a shortage,
    ``retry_for_s`` how long a call goes on after its connection failed or its answer was lost.

    Not for several tasks at once where the attributes ``classical_route`` and ``unmet`` matter: they are the last
    answer's.
    """

    def __init__(
        self,
        base_url: str,
        *,
        tls: Credentials,
        sae: SaeId,
        kme: KmeId | str | None = None,
        trace: Trace | None = None,
        patience_s: float = DEFAULT_PATIENCE_S,
        retry_for_s: float = DEFAULT_RETRY_S,
    ) -> None:
        if (proven := own_identity(tls.certificate)) != sae:
            raise ConfigurationError(
                f"{tls.certificate} is the certificate of {proven or 'nobody'}, not of {sae}",
                remedy="name the application whose certificate it is",
            )
        self.sae = sae
        self.trace = trace
        self.patience_s = patience_s
        self.classical_route: tuple[NodeId, ...] = ()
        """The route that the last keys' message should take, where the key manager told it."""
        self.unmet: tuple[str, ...] = ()
        """What was preferred of the last keys, and could not be had."""
        self.retry_for_s = retry_for_s
        self._entropy = SystemEntropy()
        self._nonce_window_s: float | None = None  # not asked yet
        self._takes_extensions = True
        self._http = httpx.AsyncClient(
            base_url=_checked_url(base_url),
            transport=SingleConnections(client_context(tls, expected_peer=kme), keepalive_s=KEEP_ALIVE_S),
            timeout=httpx.Timeout(ANSWER_MARGIN_S, read=patience_s + ANSWER_MARGIN_S),
            trust_env=False,  # keys go through no proxy that the environment names
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; idempotent."""
        await self._http.aclose()

    async def get_status(self, peer: SaeId, /) -> KeyStatus:
        """Return what is in stock with ``peer``. Raises UnknownNode or BadParameter, NotEntitled, ChannelError."""
        return delivery.read_status(await self._call("GET", peer, "status"))

    async def get_keys(
        self,
        peer: SaeId,
        /,
        *,
        count: int,
        size_bits: int,
        more_slaves: Sequence[SaeId] = (),
        require: Requirements = ANY,
        prefer: Requirements = ANY,
        nonce: str | None = None,
        priority: int | None = None,
    ) -> Sequence[SecretKey]:
        """Return fresh keys shared with ``peer``, and with each of ``more_slaves``, as master.

        Every key fulfils what is ``require``d, and what is ``prefer``red where that can be (else ``unmet`` names it).
        A call with the same ``nonce`` (8 to 64 letters, digits and ``. _ ~ -``) and the same wish gets the same keys,
        even from another process; without one each call makes its own. Where key is short the call waits as one of
        ``priority`` (0 to 9, 9 goes first), the application's own at most and by default (``unmet`` tells).

        Raises KeyShortage with ``retry_after_s``, BadParameter, UnknownNode, NoRoute, NotEntitled, RequirementUnmet,
        KeyManagementError, PeerProtocolError; ChannelClosed or ChannelTimeout when the answer is lost, and with it, at
        a key manager that knows no nonces, any keys in it.
        """
        nonce = nonce or self._new_nonce()
        wishes = replace(self._wishes(), require=require, prefer=prefer, nonce=nonce, priority=priority)
        given = await self._enc_keys(peer, wishes, count=count, size_bits=size_bits, more_slaves=more_slaves)
        if len(given.keys) != count or any(key.size_bits != size_bits for key in given.keys):
            raise PeerProtocolError(
                f"{count} keys of {size_bits} bits were asked, the key manager gave others", remedy="use none of them"
            )
        self.classical_route, self.unmet = given.classical_route, given.unmet
        if self.trace is not None and given.event_id is not None:
            self.trace.follow(given.event_id)
        return given.keys

    async def get_keys_by_id(
        self, peer: SaeId, key_ids: Sequence[KeyID], /, *, nonce: str | None = None
    ) -> Sequence[SecretKey]:
        """Return, as slave and in this order, the keys that ``peer`` was given under these ids.

        Raises KeyNotFound, NotEntitled and what ``get_keys`` raises.
        """
        body = delivery.key_ids_body(key_ids, nonce=nonce or self._new_nonce())
        given = delivery.read_keys(await self._call("POST", peer, "dec_keys", body), SaePair(peer, self.sae))
        by_id = {key.key_id: key for key in given.keys}
        if len(given.keys) != len(key_ids) or by_id.keys() != set(key_ids):
            raise PeerProtocolError("the key manager gave keys of other ids than asked", remedy="use none of them")
        return tuple(by_id[key_id] for key_id in key_ids)

    # --- inside ---

    async def _enc_keys(
        self, peer: SaeId, wishes: Wishes, *, count: int, size_bits: int, more_slaves: Sequence[SaeId]
    ) -> delivery.Delivery:
        pair = SaePair(self.sae, slaves_together((peer, *more_slaves)))
        asked = partial(delivery.key_request_body, count=count, size_bits=size_bits, more_slaves=more_slaves)
        if self._takes_extensions:
            try:
                return delivery.read_keys(await self._call("POST", peer, "enc_keys", asked(wishes=wishes)), pair)
            except BadParameter as fault:
                if OPTIONAL_UNHANDLED not in fault.message:
                    raise
                self._takes_extensions = False  # a key manager that refuses what it might have passed over
        plain = Wishes(require=wishes.require)
        return delivery.read_keys(await self._call("POST", peer, "enc_keys", asked(wishes=plain)), pair)

    def _wishes(self) -> Wishes:
        trace = self.trace
        return Wishes(
            cause=trace.last if trace else None,
            request_id=trace.request_id if trace else None,
            patience_s=self.patience_s,
            told=True,
        )

    def _new_nonce(self) -> str:
        return self._entropy.public_bytes(16).hex()

    async def _call(self, method: str, peer: SaeId, call: str, body: bytes | None = None) -> bytes:
        """Return the body of a 200 answer; raises what any other means."""
        url = delivery.path(peer, call)
        headers = {"content-type": "application/json"} if body is not None else {}

        def request() -> httpx.Request:
            extensions = closing_unfinished()
            return self._http.build_request(method, url, content=body, headers=headers, extensions=extensions)

        response = await self._send(request, peer, is_safe=method == "GET")
        if response.status_code != 200:
            retry_after = response.headers.get("retry-after")
            raise delivery.read_error(response.status_code, response.content, retry_after=retry_after)
        return response.content

    async def _send(self, request: Callable[[], httpx.Request], peer: SaeId, *, is_safe: bool) -> httpx.Response:
        """Send a request, again after each failure that spends nothing, until ``retry_for_s`` after the first."""
        clock, pauses = asyncio.get_running_loop().time, chain(PAUSES_S, repeat(PAUSES_S[-1]))
        end_s: float | None = None
        while True:
            try:
                async with _faults_named(self._http.base_url):
                    return await self._http.send(request())
            except _LostAnswer as fault:
                if not is_safe and not await self._knows_nonces(peer):
                    raise fault.told from None
                lost: ChannelError = fault.told
            except NotConnected as fault:
                lost = fault
            end_s = clock() + self.retry_for_s if end_s is None else end_s
            pause_s = next(pauses)
            if clock() + pause_s > end_s:
                raise lost
            await asyncio.sleep(pause_s)

    async def _knows_nonces(self, peer: SaeId) -> bool:
        """Return whether the key manager answers a repeated call by the same keys for long enough."""
        if not self._takes_extensions:
            return False
        if self._nonce_window_s is None:
            try:
                self._nonce_window_s = delivery.nonce_window_s(await self._call("GET", peer, "status"))
            except QanatError:
                return False  # it cannot be asked: then nothing is repeated
        return self._nonce_window_s > self.retry_for_s + self.patience_s + 2 * ANSWER_MARGIN_S


class Client:
    """The same for programs without an event loop; a context manager, like the other.

    A loop in a thread of its own serves all calls, so several threads may share one client and its connections, and it
    may be used (and then blocks) where another loop runs, as in a notebook. After ``close`` it raises ChannelClosed.
    """

    def __init__(
        self,
        base_url: str,
        *,
        tls: Credentials,
        sae: SaeId,
        kme: KmeId | str | None = None,
        patience_s: float = DEFAULT_PATIENCE_S,
        retry_for_s: float = DEFAULT_RETRY_S,
    ) -> None:
        self._client = Etsi014Client(
            base_url, tls=tls, sae=sae, kme=kme, patience_s=patience_s, retry_for_s=retry_for_s
        )
        self._loop = LoopThread(name=f"keys for {sae}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the calls that other threads wait for (ChannelClosed), the connections and the loop; idempotent."""
        self._loop.close(self._client.close)

    def get_status(self, peer: SaeId, /) -> KeyStatus:
        """Return what is in stock with ``peer``; see ``Etsi014Client.get_status``."""
        return self._run(self._client.get_status(peer))

    def get_keys(
        self,
        peer: SaeId,
        /,
        *,
        count: int = 1,
        size_bits: int = 256,
        more_slaves: Sequence[SaeId] = (),
        require: Requirements = ANY,
        prefer: Requirements = ANY,
        nonce: str | None = None,
        priority: int | None = None,
    ) -> Sequence[SecretKey]:
        """Return fresh keys shared with ``peer``; see ``Etsi014Client.get_keys``."""
        return self._run(
            self._client.get_keys(
                peer,
                count=count,
                size_bits=size_bits,
                more_slaves=more_slaves,
                require=require,
                prefer=prefer,
                nonce=nonce,
                priority=priority,
            )
        )

    def get_keys_by_id(
        self, peer: SaeId, key_ids: Sequence[KeyID], /, *, nonce: str | None = None
    ) -> Sequence[SecretKey]:
        """Return the keys that ``peer`` was given; see ``Etsi014Client.get_keys_by_id``."""
        return self._run(self._client.get_keys_by_id(peer, key_ids, nonce=nonce))

    @property
    def unmet(self) -> tuple[str, ...]:
        """What was preferred of the last keys, and could not be had; of any thread's."""
        return self._client.unmet

    def _run(self, work: Coroutine[Any, Any, R]) -> R:
        return self._loop.run(work)


def _checked_url(base_url: str) -> httpx.URL:
    with contextlib.suppress(httpx.InvalidURL):
        url = httpx.URL(base_url)
        if url.scheme == "https" and url.host:
            return url
    raise ConfigurationError(f"{base_url!r} is no address of a key manager", remedy="give https://HOST:PORT")


class NotConnected(ChannelClosed):
    """The key manager could not be reached, or refused this client: nothing was asked."""


class _LostAnswer(ChannelError):
    """A request was sent, and its answer did not come; ``told`` is what the caller hears."""

    def __init__(self, told: ChannelError) -> None:
        super().__init__(told.message, remedy=told.remedy)
        self.told = told


def _another_peer(fault: BaseException | None) -> str | None:
    """Return what ``client_context`` said of a server that is not the expected one, if it is behind a failure."""
    while fault is not None:
        if isinstance(fault, ssl.SSLCertVerificationError) and fault.errno is None:  # raised by us, not by OpenSSL
            return str(fault.args[0])
        fault = fault.__cause__ or fault.__context__
    return None


@contextlib.asynccontextmanager
async def _faults_named(base_url: httpx.URL) -> AsyncIterator[None]:
    """Turn httpx's failures into ours."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as fault:
        if (another := _another_peer(fault)) is not None:
            raise NotConnected(
                f"another key manager answers at {base_url}: {another}; nothing was asked",
                remedy="check the address, and the key manager that you name",
            ) from None
        is_late = isinstance(fault, httpx.ConnectTimeout)
        why = str(fault) or ("it took too long" if is_late else "it was closed before both ends had shown who they are")
        raise NotConnected(
            f"no connection to {base_url}: {why}; nothing was asked",
            remedy="check that the key manager runs, and that both certificates are of one authority and in date",
        ) from None
    except httpx.TimeoutException:
        raise _LostAnswer(
            ChannelTimeout(
                f"{base_url} did not answer in time; keys in that answer are lost",
                remedy="ask anew: other keys will be given",
            )
        ) from None
    except ssl.SSLError as fault:  # the alert that follows a handshake of TLS 1.3; httpx does not translate it
        reason = str(fault.reason or fault).lower().replace("_", " ")
        raise ChannelClosed(
            f"the key manager at {base_url} refused this client's certificate: {reason}; nothing was asked",
            remedy="use a certificate of the key manager's own authority that is in date",
        ) from None
    except httpx.TransportError as fault:
        why = str(fault) or "closed"
        raise _LostAnswer(
            ChannelClosed(
                f"the connection to {base_url} ended before the answer ({why}); keys in that answer are lost",
                remedy="ask anew; at a first call check that the key manager accepts this certificate",
            )
        ) from None

"""An HTTPS server inside the running event loop: HTTP by uvicorn's httptools protocol, identity and limits by ours.

uvicorn hands no peer certificate to its application, so ``PeerProtocol`` reads it once per connection and puts the
proven identity into each request's scope as ``PEER``. ``HttpDoor`` takes the place of uvicorn's own server class: no
signal handlers, several doors in one loop, a stop that idle connections cannot delay.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from qanat.adapters.connection_rules import ConnectionRules, refusing
from qanat.adapters.handshakes import CountedTls, Handshakes
from qanat.adapters.living_tls import LivingTls
from qanat.adapters.machine_faults import not_listening
from qanat.adapters.stream_server import accept_no_more
from qanat.adapters.tls import peer_certificate

PEER = "qanat.peer"
"""Key in the ASGI scope: the identity that the client's certificate proves, or None."""

MAX_HEAD_BYTES = 32 * 1024
"""Of a request line and its headers; a longer head is answered by 431 (RFC 6585, section 5)."""
REQUEST_TIMEOUT_S = 10.0
"""From the first byte of a request, or from the handshake, to the request's last byte."""
KEEP_ALIVE_S = 75
"""An idle connection stays open this long. Clients must give up theirs earlier, or a request may meet the closing."""
WRITE_BUFFER_BYTES = 64 * 1024
"""With more than this waiting for one client, the next answer waits (asyncio's own limit for TLS is 512 KiB)."""
WRITE_TIMEOUT_S = 10.0
"""A client with so much waiting that takes too little of it for this long is cut off."""
MAX_PIPELINED = 32
"""Requests of one connection that wait for answers to those before them; one more ends the connection."""
HANDSHAKE_S = 5.0
CLOSE_TIMEOUT_S = 0.5
GRACE_S = 0.5
"""Calls in work when the door stops get this long to be answered; then they are told that it stops."""
RETRY_AFTER_STOP_S = 10
"""What a caller is told to wait who met the stop: about as long as a restart takes."""

NO_HTTP = "this is no HTTP request that can be understood (send HTTP/1.1 as RFC 9112 has it)"
HEAD_TOO_LONG = (
    f"the request's head is longer than {MAX_HEAD_BYTES} bytes "
    "(shorten path and headers; several key ids go into the body of a POST)"
)
STOPPING = "this key manager is being stopped (ask again when it is up; other keys will be given)"

AsgiApp = Callable[..., Any]
IsToStop = Callable[[], Coroutine[Any, Any, bool]]


def _nothing() -> None:
    pass


class JoinedWrites(asyncio.Transport):
    """Joins what is written in one turn of the loop: head and body of an answer leave in one TLS record.

    ``before`` is called before anything leaves.
    """

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, before: Callable[[], None]
    ) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._before = before
        self._parts: list[bytes | bytearray | memoryview] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def _flush(self) -> None:
        if self._parts:
            joined = b"".join(self._parts)
            self._parts.clear()
            if not self._transport.is_closing():
                self._before()
                self._transport.write(joined)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._parts.clear()
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)


class PeerProtocol(HttpToolsProtocol):
    """One connection: knows who the peer is, answers in one write, and does not wait for slow or endless requests."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        rules: ConnectionRules | None = None,
        on_shaken_hands: Callable[[PeerProtocol], None] = lambda _: None,
        before_writing: Callable[[], None] = _nothing,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._before_writing = before_writing
        self._on_shaken_hands = on_shaken_hands
        self._rules = rules or ConnectionRules()
        self._whole_app = self.app
        self._writing_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin after the handshake: the certificate is read here, once."""
        self._on_shaken_hands(self)
        super().connection_made(JoinedWrites(transport, self.loop, self._before_writing))
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._certificate = peer_certificate(transport.get_extra_info("ssl_object"))
        self._peer = None if self._certificate is None else self._certificate.identity
        self._began_s = self.loop.time()
        self._why_too_many = self._rules.entered(self._peer)
        self._in_head = True
        self._heads_seen = 0
        self._head_bytes = 0
        self._unfinished_bytes = 0
        self._deadline: asyncio.TimerHandle | None = self.loop.call_later(REQUEST_TIMEOUT_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._rules.left(self._peer)
        self._disarm()
        self._disarm_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        was_in_head, heads_seen = self._in_head, self._heads_seen
        super().data_received(data)
        if was_in_head and self._in_head and heads_seen == self._heads_seen:
            # the parser tells of a header when it is whole: one without end is seen here alone
            self._unfinished_bytes += len(data)
            if self._unfinished_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse(431, HEAD_TOO_LONG)
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(REQUEST_TIMEOUT_S, self.transport.abort)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[PEER] = self._peer  # type: ignore[literal-required]
        self._head_bytes = len("GET  HTTP/1.1\r\n\r\n")

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count_head(len(name) + len(value) + len(": \r\n"))

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._heads_seen += 1
        self._unfinished_bytes = 0
        if len(self.pipeline) >= MAX_PIPELINED:
            self.transport.abort()
            raise ValueError("too many requests wait on one connection")  # ends the parsing
        self.app = self._app_now()
        super().on_headers_complete()
        if self.loop.time() - self._began_s > self._rules.max_age_s:
            self.cycle.keep_alive = False  # said in the answer, so the client asks again on a new connection

    def drop_if_refused(self) -> None:
        """Cut the connection off when its certificate does not count any more."""
        if self._rules.why_refused(self._certificate) is not None:
            self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._writing_deadline is None:
            self._writing_deadline = self.loop.call_later(WRITE_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        self._disarm_writing()
        super().resume_writing()

    def _app_now(self) -> Any:
        """Return what answers the request that begins: the door, or who says why it does not."""
        if (why := self._rules.why_refused(self._certificate)) is not None:
            self._rules.on_refused(f"{self._peer!r}: {why}")
            return refusing(401, why)
        if self._why_too_many is not None:
            self._rules.on_refused(f"{self._peer!r}: {self._why_too_many}")
            return refusing(503, self._why_too_many, retry_after_s=1)
        return self._whole_app

    def on_message_complete(self) -> None:
        self._in_head = True
        self._disarm()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the words are ours
        """Answer what the parser stopped at: bytes that are no HTTP, or a head too long."""
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, HEAD_TOO_LONG)
        else:
            self._refuse(400, NO_HTTP)

    def _count_head(self, num_bytes: int) -> None:
        self._head_bytes += num_bytes
        if self._head_bytes > MAX_HEAD_BYTES:
            raise ValueError(HEAD_TOO_LONG)  # ends the parsing; the parser reports it as an error of its own

    def _refuse(self, status: int, message: str) -> None:
        """Answer with an Error object, and close."""
        body = _error_body(message)
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%b"
            % (status, HTTPStatus(status).phrase.encode(), len(body), body)
        )
        self.transport.close()

    def _disarm_writing(self) -> None:
        if self._writing_deadline is not None:
            self._writing_deadline.cancel()
            self._writing_deadline = None

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class HttpDoor:
    """Serves an ASGI application over mutual TLS in the running loop. Binds to the local machine unless told more."""

    def __init__(
        self,
        app: AsgiApp,
        *,
        tls: ssl.SSLContext | LivingTls,
        host: str = "127.0.0.1",
        port: int = 0,
        listening: socket.socket | None = None,
        rules: ConnectionRules | None = None,
        before_writing: Callable[[], None] = _nothing,
        each_second: Callable[[], None] = _nothing,
    ) -> None:
        """``listening``: a socket that listens already, the door's from now on, in place of host and port.

        ``tls`` that is living is followed: new files count from the next second on, and no connection breaks but
        those whose certificate was revoked. ``rules``: which connections are served, and for how long.
        ``before_writing`` is called before any byte of an answer leaves; ``each_second``, while it listens.
        """
        self._before_writing = before_writing
        self._each_second = each_second
        self._living = tls if isinstance(tls, LivingTls) else None
        self._tls = tls if isinstance(tls, ssl.SSLContext) else tls.context
        self._rules = rules or ConnectionRules()
        self._handshakes = Handshakes(on_given_up=self._rules.on_refused)
        if self._living is not None:
            self._rules.heed(self._living.why_refused)
        self._host = host
        self._asked_port = port
        self._listening = listening
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._stopping = False
        self._config = uvicorn.Config(
            self._answering_at_the_stop(app),
            http=PeerProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        self._config.load()

    @property
    def port(self) -> int:
        """The port it listens on; raises ValueError before ``start``."""
        if self._server is None:
            raise ValueError("the door has no port before it is started")
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Begin to listen; raises ConfigurationError when the port cannot be had."""
        loop = asyncio.get_running_loop()

        def accepted() -> CountedTls:
            return self._accepted(loop)

        try:
            if self._listening is None:
                self._server = await loop.create_server(accepted, self._host, self._asked_port)
            else:
                self._server = await loop.create_server(accepted, sock=self._listening)
        except OSError as fault:
            raise not_listening(self._host, self._asked_port, fault) from None
        self._tick(loop)

    def _accepted(self, loop: asyncio.AbstractEventLoop) -> CountedTls:
        """Return what takes a new connection: TLS, and HTTP above it."""
        connection = PeerProtocol(
            self._config,
            self._state,
            {},
            loop,
            rules=self._rules,
            on_shaken_hands=self._handshakes.end,
            before_writing=self._before_writing,
        )
        return CountedTls(
            loop,
            connection,
            self._tls,
            self._handshakes,
            ssl_handshake_timeout=HANDSHAKE_S,
            ssl_shutdown_timeout=CLOSE_TIMEOUT_S,
        )

    async def stop_if_unused(self, is_to_stop: IsToStop) -> bool:
        """Stop, unless a connection stands, or comes in this moment, or ``is_to_stop`` says no after that; then go on.
        Return whether it has stopped. Callers wait at the socket while it is being found out."""
        assert self._server is not None
        loop, sockets = asyncio.get_running_loop(), self._server.sockets
        again = [one.dup() for one in sockets]
        await accept_no_more(self._server)
        if is_stopping := not self._is_used and await is_to_stop():
            await self.stop()
        else:
            self._server.close()
            self._server = await loop.create_server(lambda: self._accepted(loop), sock=again.pop())
        for one in again:
            one.close()
        return is_stopping

    @property
    def _is_used(self) -> bool:
        return bool(self._state.connections or self._handshakes.num_under_way)

    async def stop(self, *, grace_s: float = GRACE_S) -> None:
        """Stop listening, let requests in work finish for up to ``grace_s``, answer the others by 503, close every
        connection. Idempotent."""
        if self._server is None:
            return
        server, self._server = self._server, None
        if self._ticking is not None:
            self._ticking.cancel()
        try:
            await accept_no_more(server)
        finally:
            server.close()
            self._handshakes.give_up_all()
        connections = list(self._state.connections)
        for connection in connections:
            connection.shutdown()
        if self._state.tasks:
            _, late = await asyncio.wait(self._state.tasks, timeout=grace_s)
            self._stopping = True
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await asyncio.sleep(0)  # the last answers leave
        for connection in list(self._state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # these too are closed

    def _answering_at_the_stop(self, app: AsgiApp) -> AsgiApp:
        """Return ``app``, of which a call that is cut short by ``stop`` is answered by 503, if nothing went out yet."""

        async def answering(scope: Any, receive: Any, send: Any) -> None:
            started = False

            async def noting(message: Any) -> None:
                nonlocal started
                started = True
                await send(message)

            try:
                await app(scope, receive, noting)
            except asyncio.CancelledError:
                if not self._stopping or started:
                    raise
                await _send_stopping(send)

        return answering

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """Renew the Date header once per second, and look whether certificates changed, and what else is looked at."""
        self._ticking = loop.call_later(1.0, self._tick, loop)  # first: whatever fails below, the next second comes
        self._each_second()
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        if self._living is not None and self._living.look():
            for connection in list(self._state.connections):
                assert isinstance(connection, PeerProtocol)
                connection.drop_if_refused()


def require_free(host: str, ports: Iterable[int], *, option: str = "") -> None:
    """Raise ConfigurationError when one of the ports cannot be had: asked before anything else is made for a start.
    ``option``: how the reader names others."""
    for port in ports:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the door itself does
            try:
                trial.bind((host, port))
            except OSError as fault:
                raise not_listening(host, port, fault, option=option) from None


async def _send_stopping(send: Any) -> None:
    body = _error_body(STOPPING)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"retry-after", b"%d" % RETRY_AFTER_STOP_S),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _error_body(message: str) -> bytes:
    return json.dumps({"message": message}).encode()

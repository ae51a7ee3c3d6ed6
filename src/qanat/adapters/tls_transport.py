"""The port ``Transport`` over mutual TLS: messages between the key managers of a network, and their controller.

Each node dials each peer it has something for and that has not called it, once, and keeps that line. Both ends speak on
it: a second one would cost a second handshake, which is most of the work of a network that wakes. Where both dial at
once there are two, and each end speaks on its own. A node is who its certificate says: the URI
``urn:qanat:<network>:kme:<node>``. Whoever proves another identity, an application for example, is turned away on
either side before a message passes.

Certificate files are followed: new ones, and a list of revoked certificates, count from the next second on. The line
of a node whose certificate was revoked, or has run out, is cut off.

A line that breaks is dialled again at once, unless its peer sleeps (``is_asleep``): then only when there is something
to say, since the call would wake it.

A line on which the peer says nothing, though it is asked, does not count (``line_pulse``): where another stands, that
one is spoken on. It is not cut off: it may go on.

Messages may be lost: those in flight when a line breaks, and the oldest when a peer stays away for long.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from qanat.adapters.awaited import task_beside
from qanat.adapters.handshakes import Turns
from qanat.adapters.line_pulse import LinePulse, LinePulses
from qanat.adapters.living_tls import LOOK_PERIOD_S, LivingTls
from qanat.adapters.machine_faults import not_listening
from qanat.adapters.stream_server import StreamServer
from qanat.adapters.streams import STREAM_BUFFER_BYTES, FrameReader, notice_dead_peer
from qanat.adapters.tls import Credentials, PeerCertificate, peer_certificate
from qanat.ground.errors import ChannelClosed, FrameError
from qanat.ground.identifiers import NodeId, is_name, kme_id
from qanat.ground.messages import Message, decode_message, encode_message

MAX_MESSAGE_BYTES = 4 * 2**20
QUEUE_MESSAGES = 1024
"""Waiting for one peer, and waiting to be read here."""
CONNECT_TIMEOUT_S = 5.0
SEND_TIMEOUT_S = 10.0
ANSWER_BUFFER_BYTES = 2**20
"""So much waits on a caller's line, and a message more, before a line of one's own is dialled: what waits for a process
that hangs is old news once it goes on."""
CLOSE_TIMEOUT_S = 0.5
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0
"""Between two tries to reach a peer; doubled each time until a line has stood for longer than the longest pause."""

Address = tuple[str, int]
Addresses = Callable[[NodeId], Address | None]
"""Where a node listens now; None when that is not known. Asked at each try, so that port 0 can be resolved late."""

_log = logging.getLogger(__name__)


class TlsTransport:
    """One node's place among the others. Binds to the local machine unless told more."""

    def __init__(
        self,
        local: NodeId,
        *,
        network: str,
        tls: Credentials,
        addresses: Addresses,
        host: str = "127.0.0.1",
        port: int = 0,
        listening: socket.socket | None = None,
        is_asleep: Callable[[NodeId], bool] = lambda _: False,
        turns: Turns | None = None,
    ) -> None:
        """``listening``: a socket that listens already, the transport's from now on, in place of host and port.
        ``turns``: of all transports of a process, to shake hands."""
        self._turns = turns or Turns()
        self._is_asleep = is_asleep
        self.local = local
        self.port = port
        """The port it listens on, known after ``start``."""
        self._network = network
        self._files = tls
        self._tls: LivingTls
        self._addresses = addresses
        self._host = host
        self._listening = listening
        self._server: StreamServer | None = None
        self._lines: dict[NodeId, _Line] = {}
        self._callers: dict[NodeId, asyncio.StreamWriter] = {}
        self._answered: set[asyncio.StreamWriter] = set()
        """Callers to whom something was said on their line: they are dialled when it ends."""
        self._standing: dict[asyncio.StreamWriter, PeerCertificate] = {}
        self._pulses = LinePulses(time.monotonic)
        self._looking: asyncio.TimerHandle | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._inbox: asyncio.Queue[tuple[NodeId, Message] | None] = asyncio.Queue(QUEUE_MESSAGES)
        self._closed = False

    async def start(self) -> None:
        """Begin to listen; raises ConfigurationError when the port cannot be had or the files do not load."""
        self._tls = LivingTls(self._files, on_change=self._note_files)
        self._tls.for_peer("")  # loads the files, which from now on may be at odds for a while
        server = StreamServer(
            self._accept,
            limit=STREAM_BUFFER_BYTES,
            tls=self._tls.context,
            handshake_s=CONNECT_TIMEOUT_S,
            close_s=CLOSE_TIMEOUT_S,
            on_given_up=lambda why: _log.warning("%s: %s", self.local, why),
        )
        try:
            await server.start(self._host, self.port, listening=self._listening)
        except OSError as fault:
            raise not_listening(self._host, self.port, fault) from None
        self._server, self.port = server, server.port
        self._look()

    async def close(self) -> None:
        """End the inbox and all lines; what was not read or sent is lost. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._looking is not None:
            self._looking.cancel()
        if self._server is not None:
            await self._server.stop()
        tasks = [*self._serving, *(line.task for line in self._lines.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while not self._inbox.empty():
            self._inbox.get_nowait()
        self._inbox.put_nowait(None)

    async def send(self, peer: NodeId, message: Message, /) -> None:
        """Hand a message over; returning says nothing about its arrival. Never waits for the peer, never raises."""
        if self._closed:
            return
        if peer == self.local:
            with contextlib.suppress(asyncio.QueueFull):
                self._inbox.put_nowait((peer, message))
            return
        self._put(peer, encode_message(message))

    async def inbox(self) -> AsyncIterator[tuple[NodeId, Message]]:
        """Yield messages with the sender's proven identity, until the transport closes. One reader at a time."""
        while not (self._closed and self._inbox.empty()):
            item = await self._inbox.get()
            if item is None:
                return
            yield item

    def is_reachable(self, peer: NodeId, /) -> bool:
        """Return whether a line with ``peer`` stands on which it is heard. One that nobody has tried yet counts as long
        as it has an address."""
        if peer == self.local or self._hears_caller(peer):
            return True
        line = self._lines.get(peer)
        if line is None:
            return peer not in self._callers and self._addresses(peer) is not None
        return line.is_heard

    def is_coming(self, peer: NodeId, /) -> bool:
        """Return whether a line with ``peer`` stands on which it is heard, or is being made for the first time: it
        waits for its turn, or the peer's machine has taken the call, by which its process may be opened. One call that
        is kept waiting for CONNECT_TIMEOUT_S in vain is the last that counts, until a line has stood."""
        if self._hears_caller(peer):
            return True
        line = self._lines.get(peer)
        return line is not None and (line.is_heard or line.is_coming)

    def _hears_caller(self, peer: NodeId) -> bool:
        caller = self._callers.get(peer)
        return caller is not None and not self._pulses.of(caller).is_lost

    def _put(self, peer: NodeId, frame: bytes) -> None:
        """Say something on the line that stands and is heard, the own one first, or on one to be dialled."""
        line, caller = self._lines.get(peer), self._caller_with_room(peer)
        is_own = line is not None and line.is_up and (line.is_heard or not self._hears_caller(peer))
        if caller is None or is_own:
            self._line_to(peer).put(frame)
        else:
            self._pulses.of(caller).say(frame)
            self._answered.add(caller)

    def _caller_with_room(self, peer: NodeId) -> asyncio.StreamWriter | None:
        caller = self._callers.get(peer)
        if caller is None or caller.is_closing() or caller.transport.get_write_buffer_size() > ANSWER_BUFFER_BYTES:
            return None
        return caller

    def _line_to(self, peer: NodeId) -> _Line:
        if peer not in self._lines:
            expected = kme_id(network=self._network, name=peer)
            context = self._tls.for_peer(expected)
            self._lines[peer] = _Line(
                peer,
                lambda: self._addresses(peer),
                context,
                self._standing,
                self._pulses,
                self._turns,
                is_asleep=lambda: self._is_asleep(peer),
                has_called=lambda: self._caller_with_room(peer) is not None,
                hear=lambda message: self._inbox.put((peer, message)),
                on_given_up=lambda left: self._on_given_up(peer, left),
            )
        return self._lines[peer]

    def _on_given_up(self, peer: NodeId, left: Sequence[bytes]) -> None:
        """A line was given up, since its peer sleeps, or has called meanwhile: then on that call."""
        del self._lines[peer]
        if (caller := self._callers.get(peer)) is not None:
            self._answered.add(caller)
        for frame in left:
            self._put(peer, frame)

    def _look(self) -> None:
        """Take up new certificate files, cut off what stands by a certificate that does not count any more, and ask
        who has long said nothing."""
        self._pulses.look(again_in_s=LOOK_PERIOD_S)
        self._tls.look()
        for writer, certificate in list(self._standing.items()):
            if self._tls.has_ended(certificate):
                _log.warning("%s: cut off %s, whose certificate has ended", self.local, certificate.identity)
                writer.transport.abort()
        self._looking = asyncio.get_running_loop().call_later(LOOK_PERIOD_S, self._look)

    def _note_files(self, why_kept: str | None) -> None:
        if why_kept is not None:
            _log.warning("%s: new certificate files do not count, the former ones do: %s", self.local, why_kept)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one caller's messages until it goes; a new call of the same node takes the place of the old."""
        certificate = peer_certificate(writer.get_extra_info("ssl_object"))
        identity = None if certificate is None else certificate.identity
        node = self._node_of(identity)
        if certificate is None or node is None:
            _log.warning("%s: turned away %s, which is no node of network %s", self.local, identity, self._network)
            writer.transport.abort()
            return
        if (old := self._callers.get(node)) is not None:
            old.transport.abort()
            if old in self._answered:
                self._answered.add(writer)
        frames = FrameReader(reader, max_frame_bytes=MAX_MESSAGE_BYTES)
        pulse = self._pulses.begin(writer, frames)
        self._callers[node] = writer
        self._standing[writer] = certificate
        try:
            notice_dead_peer(writer)
            self._say_what_waits(node)
            await _hear_all(frames, pulse, lambda message: self._inbox.put((node, message)))
        except FrameError as fault:
            _log.warning("%s: %s sent what is no message: %s", self.local, node, fault)
        finally:
            writer.transport.abort()
            del self._standing[writer]
            self._pulses.end(writer)
            was_answered = writer in self._answered
            self._answered.discard(writer)
            if self._callers.get(node) is writer:
                del self._callers[node]
                if was_answered and not self._closed and not self._is_asleep(node):
                    self._line_to(node)  # whether it can still be reached is to be known before there is a word for it

    def _say_what_waits(self, node: NodeId) -> None:
        """Say on a call what waits for a line that does not stand yet, before anything newer."""
        line = self._lines.get(node)
        if line is not None and not line.is_up:
            for frame in line.take_all():
                self._put(node, frame)

    def _node_of(self, identity: str | None) -> NodeId | None:
        prefix = f"urn:qanat:{self._network}:kme:"
        if identity is None or not identity.startswith(prefix) or not is_name(identity.removeprefix(prefix)):
            return None
        return NodeId(identity.removeprefix(prefix))


class _Line:
    """The way out to one peer: a bounded queue, and a task that keeps a connection and empties the queue into it."""

    def __init__(
        self,
        peer: NodeId,
        address: Callable[[], Address | None],
        context: ssl.SSLContext,
        standing: dict[asyncio.StreamWriter, PeerCertificate],
        pulses: LinePulses,
        turns: Turns,
        *,
        is_asleep: Callable[[], bool],
        has_called: Callable[[], bool],
        hear: Callable[[Message], Awaitable[None]],
        on_given_up: Callable[[Sequence[bytes]], None],
    ) -> None:
        """``has_called``: whether the peer can be spoken to on a line that it has dialled. ``hear`` takes what the peer
        says on this one; ``on_given_up`` what was left to be said."""
        self._is_asleep = is_asleep
        self._has_called = has_called
        self._hear = hear
        self._on_given_up = on_given_up
        self.is_up = False
        self.is_coming = False
        """Whether a call waits for its turn or the peer's machine has taken it, and nothing speaks against the peer's
        process taking it up soon."""
        self._was_kept_waiting = False
        self._has_called_peer = False
        self._standing = standing
        self._pulses = pulses
        self._pulse: LinePulse | None = None
        self._turns = turns
        self._peer = peer
        self._address = address
        self._context = context
        self._queue: deque[bytes] = deque(maxlen=QUEUE_MESSAGES)
        self._wake = asyncio.Event()
        self.task = task_beside(self._keep_up(), name=f"line to {peer}")

    @property
    def is_heard(self) -> bool:
        """Whether the line stands, and the peer says something where that is to be expected."""
        return self.is_up and self._pulse is not None and not self._pulse.is_lost

    def put(self, frame: bytes) -> None:
        """Queue a frame; when the queue is full the oldest is lost."""
        self._queue.append(frame)
        self._wake.set()

    def take_all(self) -> list[bytes]:
        """Take out what is queued."""
        frames = list(self._queue)
        self._queue.clear()
        return frames

    async def _keep_up(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        while True:
            began_s = loop.time()
            try:
                if (streams := await self._dial()) is not None:
                    await self._pump(*streams)
            except OSError as fault:  # TLS failures and time-outs are OSErrors too
                _log.info("no line to %s: %s", self._peer, fault)
            if self._has_called() or (not self._queue and self._is_asleep()):
                self._on_given_up(self._queue)  # as if nobody had dialled it; the next word that needs one makes a line
                return
            stood_long = loop.time() - began_s > LONGEST_PAUSE_S
            pause_s = FIRST_PAUSE_S if stood_long else min(2 * pause_s, LONGEST_PAUSE_S)
            await asyncio.sleep(pause_s)

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Return a connection to the peer, None where it has called while this waited for its turn; raises OSError."""
        address = self._address()
        if address is None:
            raise ConnectionError("its address is not known")
        self.is_coming = not self._has_called_peer  # what keeps it waiting is this process
        self._has_called_peer = True
        async with self._turns.turn(), asyncio.timeout(CONNECT_TIMEOUT_S):
            self.is_coming = False
            if self._has_called():
                return None
            connection = await _connect(*address)
            self.is_coming = not self._was_kept_waiting
            self._was_kept_waiting = True
            try:
                reader, writer = await asyncio.open_connection(
                    sock=connection,
                    ssl=self._context,
                    server_hostname=address[0],
                    ssl_shutdown_timeout=CLOSE_TIMEOUT_S,
                )
            finally:
                self.is_coming = False
        self._was_kept_waiting = False
        notice_dead_peer(writer)
        return reader, writer

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send what is queued, and hear what the peer says, until it hangs up."""
        frames = FrameReader(reader, max_frame_bytes=MAX_MESSAGE_BYTES)
        pulse = self._pulse = self._pulses.begin(writer, frames)
        hung_up = asyncio.get_running_loop().create_task(self._hear_until_end(frames, pulse))
        hung_up.add_done_callback(lambda _: self._wake.set())
        self.is_up = True
        if (certificate := peer_certificate(writer.get_extra_info("ssl_object"))) is not None:
            self._standing[writer] = certificate
        try:
            while not hung_up.done():
                self._wake.clear()
                while self._queue and not hung_up.done():
                    pulse.say(self._queue.popleft())
                    async with asyncio.timeout(SEND_TIMEOUT_S):
                        await writer.drain()
                if not hung_up.done():
                    await self._wake.wait()
        finally:
            self.is_up, self._pulse = False, None
            self._standing.pop(writer, None)
            self._pulses.end(writer)
            hung_up.cancel()
            writer.transport.abort()

    async def _hear_until_end(self, frames: FrameReader, pulse: LinePulse) -> None:
        try:
            await _hear_all(frames, pulse, self._hear)
        except FrameError as fault:
            _log.warning("%s answered what is no message: %s", self._peer, fault)


async def _hear_all(frames: FrameReader, pulse: LinePulse, hear: Callable[[Message], Awaitable[None]]) -> None:
    """Take messages until the peer closes or breaks the connection; raises FrameError for what is none."""
    with contextlib.suppress(ChannelClosed):
        while True:
            frame = await frames.next_frame()
            if pulse.hears_message(frame):
                pulse.is_taking_in = True
                await hear(decode_message(frame))
                pulse.is_taking_in = False


async def _connect(host: str, port: int) -> socket.socket:
    """Return a connection that the peer's machine has taken; raises OSError."""
    loop = asyncio.get_running_loop()
    fault = OSError(f"no address is known for {host}")
    for family, kind, protocol, _, place in await _places(host, port):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.setblocking(False)
            await loop.sock_connect(connection, place)
        except OSError as error:
            connection.close()
            fault = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise fault


async def _places(host: str, port: int) -> list[tuple[Any, Any, int, str, Any]]:
    """Return what ``getaddrinfo`` has for a host, from a thread; for a number, which needs none, without one."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)

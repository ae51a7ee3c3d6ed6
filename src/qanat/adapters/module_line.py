"""The line from a site that runs apart to the process with its QKD modules: calls, answers, events, reconnection.

A line that breaks is dialled again for ever, and what was not answered is said again on the next: calls may reach a
module twice, which its port allows. A line on which nothing comes is asked whether somebody lives there; while nobody
answers it is as good as broken, but kept, since a process that goes on answers on it first. What may not happen is that
an order reaches two lives of the modules, because its pads were used in the first: a ``start`` that was not answered
fails when another process answers the next call.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from qanat.adapters.addresses import Address
from qanat.adapters.living_tls import LOOK_PERIOD_S, LivingTls, why_refused
from qanat.adapters.module_wire import (
    Answer,
    Call,
    Done,
    Failed,
    Handed,
    HeardOf,
    Hello,
    Ping,
    Pong,
    Start,
    Told,
    Welcome,
    Word,
    decode_word,
    encode_word,
)
from qanat.adapters.tcp_channel import TcpChannel, connect_channel
from qanat.adapters.tls import Credentials
from qanat.ground.errors import (
    ChannelClosed,
    ChannelError,
    ChannelTimeout,
    ConfigurationError,
    FrameError,
    PeerProtocolError,
    QuantumLayerError,
)
from qanat.ground.identifiers import ModuleId, NodeId, uuid4_from
from qanat.ground.ports import Clock, Entropy, Tasks

CALL_TIMEOUT_S = 5.0
"""How long a call waits for its answer, reconnections included."""
CONNECT_TIMEOUT_S = 2.0
WELCOME_TIMEOUT_S = 5.0
FAR_S = 3600.0
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
"""Between two tries to reach the modules; doubled each time."""
START_GRACE_S = 10.0
"""So long modules may take to come up beside a site before it is told that they do not answer."""
SILENT_LOOKS = 6
"""After so many looks in a row, each LOOK_PERIOD_S long, at which nothing had come, the modules do not answer; the
first of them asks whether they live. Looks are counted and not seconds: a site that stood still itself has looked once.
"""
MAX_TRIES = 3
"""How often a call is said: one that breaks the line again and again is a slip of the other side."""

MakeCall = Callable[[int], Call]
"""Makes a call with the number that the line gives it."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Pending:
    """A call that was not answered yet. ``is_awaited``: its caller still waits. ``said_on`` is the last line it was
    said on."""

    word: Call
    answer: asyncio.Future[Answer]
    is_awaited: bool = True
    tries: int = 0
    said_on: TcpChannel | None = None


class ModuleLine:
    """``address`` is asked at each try, so that modules that listen elsewhere now are found again.

    ``on_welcome`` hears whenever a line stands, and whether another process than before answers; ``on_told`` hears
    each event, some of them twice; ``on_lost`` hears why, once, when the modules do not answer: as soon as a line that
    broke cannot be had again, or one that stands is silent; ``on_back`` hears that it is not any more. ``server``
    names, for people, the command whose process has the modules; ``identity`` is who that process must prove to be.
    """

    def __init__(
        self,
        node: NodeId,
        *,
        identity: str,
        server: str,
        tls: Credentials,
        address: Callable[[], Address | None],
        on_welcome: Callable[[Welcome, bool], None],
        on_lost: Callable[[str], None],
        on_back: Callable[[], None],
        on_told: Callable[[Told], None],
        tasks: Tasks,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self.instance = ""
        """Of the process with the modules, as it was last heard."""
        self._node = node
        self._identity = identity
        self._tls = LivingTls(tls)
        self._context = self._tls.client(expected_peer=identity)
        self._server = server
        self._address = address
        self._on_welcome = on_welcome
        self._on_lost = on_lost
        self._on_back = on_back
        self._on_told = on_told
        self._tasks = tasks
        self._clock = clock
        self._life = uuid4_from(entropy.public_bytes(16))
        self._channel: TcpChannel | None = None
        self._answers_ping = False
        self._is_silent = False
        self._is_lost = False
        self._last_ping = 0
        self._pending: dict[int, _Pending] = {}
        self._last_call = 0

    def certificate_fault(self, why: str) -> ConfigurationError | None:
        """Return whose certificate has ended, where that is why there is no line, of which TLS said ``why``."""
        return self._tls.own_fault() or why_refused(why, own=self._node, peer=self._identity)

    @property
    def is_up(self) -> bool:
        """Whether the line stands, and is not silent."""
        return self._channel is not None and not self._is_silent

    async def connect(self, *, patience_s: float) -> None:
        """Dial until the line stands, and keep it from then on; raises ConfigurationError when nobody answers."""
        deadline_s = self._clock.monotonic_s() + patience_s
        while True:
            try:
                channel = await self._dial()
            except PeerProtocolError as fault:
                if self._clock.monotonic_s() >= deadline_s:
                    raise ConfigurationError(
                        f"the QKD modules of {self._node} do not answer: {fault.message}",
                        remedy=f"start `{self._server}`",
                    ) from None
                await self._clock.sleep_until(self._clock.monotonic_s() + FIRST_PAUSE_S)
            else:
                break
        self._channel = channel
        self.begin(channel)

    def begin(self, channel: TcpChannel | None = None) -> None:
        """Keep the line up from now on: ``channel``, or one that is dialled."""
        self._tasks.start(self._keep_up(channel), name=f"line to the modules of {self._node}")

    async def ask(self, make: MakeCall) -> Answer:
        """Make a call that is of no use without its answer; raises QuantumLayerError when none comes in time."""
        pending = self._open(make)
        try:
            await self._say(pending)
            answer = await self._answer_to(pending)
        finally:
            self._pending.pop(pending.word.call, None)
        if answer is None:
            raise QuantumLayerError(
                f"the QKD modules of {self._node} do not answer within {CALL_TIMEOUT_S:g} s",
                remedy=f"look whether `{self._server}` runs; they are found again by themselves",
            )
        return answer

    async def tell(self, make: MakeCall) -> Answer | None:
        """Make a call that can wait: while the line is not up, or when no answer comes in time, it is remembered and
        said later. Returns the answer if there is one."""
        pending = self._open(make)
        if not self.is_up:
            pending.is_awaited = False
            return None
        await self._say(pending)
        try:
            return await self._answer_to(pending)
        finally:
            pending.is_awaited = False

    async def say_heard(self, module_id: ModuleId, number: int) -> None:
        """Say that a module's events were acted on. Where this is lost, a later one says the same."""
        await self._send(HeardOf(module_id, number))

    # --- inside: calls ---

    def _open(self, make: MakeCall) -> _Pending:
        self._last_call += 1
        pending = _Pending(make(self._last_call), asyncio.get_running_loop().create_future())
        self._pending[self._last_call] = pending
        return pending

    async def _answer_to(self, pending: _Pending) -> Answer | None:
        await asyncio.wait([pending.answer], timeout=CALL_TIMEOUT_S)
        return pending.answer.result() if pending.answer.done() else None

    async def _say(self, pending: _Pending) -> None:
        """Say a call once on each line, as long as it is open. One that is not up hears it when it is again, without a
        line the next one does."""
        call = pending.word.call
        if call not in self._pending or not self.is_up or pending.said_on is self._channel:
            return
        if pending.tries >= MAX_TRIES:
            fault = QuantumLayerError(
                f"{type(pending.word).__name__} broke the line to {pending.word.module_id} {MAX_TRIES} times",
                remedy=f"see the log of `{self._server}`",
            )
            self._resolve(Failed(call, fault))
            return
        pending.tries += 1
        pending.said_on = self._channel
        await self._send(pending.word)

    async def _send(self, word: Word) -> None:
        if self._channel is not None:
            with contextlib.suppress(ChannelError):  # whoever reads the line notices too
                await self._channel.send(encode_word(word))

    def _resolve(self, answer: Answer) -> None:
        pending = self._pending.pop(answer.call, None)
        if pending is None or pending.answer.done():
            return  # its caller has given up
        pending.answer.set_result(answer)
        if isinstance(answer, Failed) and not pending.is_awaited:
            _log.warning("%s, said late to %s: %s", type(pending.word).__name__, pending.word.module_id, answer.fault)

    def _forget_last_instance(self) -> None:
        """What was asked of modules that are gone: starts fail, stops and releases are done. Fetches go on."""
        for call, pending in list(self._pending.items()):
            if isinstance(pending.word, Start):
                self._resolve(Failed(call, gone(self._node)))
            elif not pending.is_awaited:
                self._resolve(Done(call))

    # --- inside: the line ---

    async def _keep_up(self, channel: TcpChannel | None) -> None:
        """Hear what comes on the line; when it breaks, dial until another stands."""
        while True:
            channel = channel or await self._dial_again()
            self._channel = channel
            try:
                await self._hear(channel)
            except FrameError as fault:
                _log.warning("the modules' side of %s said what is no word: %s", self._node, fault)
            except ChannelError as fault:
                _log.info("the line to the modules of %s broke: %s", self._node, fault)
            finally:
                self._channel, self._is_silent = None, False
                channel.abort()
            channel = None

    async def _hear(self, channel: TcpChannel) -> None:
        """Say again what is open, then act on what comes; ends with ChannelError or FrameError."""
        await self._say_open()
        looked_s, silent_looks, num_bytes = self._clock.monotonic_s(), 0, 0
        while True:
            if self._clock.monotonic_s() - looked_s >= LOOK_PERIOD_S:
                self._look(channel)
                looked_s = self._clock.monotonic_s()
            try:
                word = decode_word(await channel.receive(timeout_s=LOOK_PERIOD_S))
            except ChannelTimeout:
                silent_looks = silent_looks + 1 if channel.num_bytes_read == num_bytes else 0  # a long word may come
                num_bytes = channel.num_bytes_read
                if self._answers_ping:
                    await self._note_silence(silent_looks)
                continue
            silent_looks = 0
            if self._is_silent:
                await self._end_silence()
            match word:
                case Done() | Handed() | Failed():
                    self._resolve(word)
                case Told():
                    self._on_told(word)
                case Pong():
                    pass  # that it came says all
                case _:
                    raise FrameError(f"modules do not say {type(word).__name__}")

    async def _say_open(self) -> None:
        for pending in list(self._pending.values()):
            await self._say(pending)

    async def _note_silence(self, looks: int) -> None:
        """Ask whether somebody lives at the other end, and in the end say that nobody does."""
        if looks == 1:
            self._last_ping += 1
            with contextlib.suppress(TimeoutError):  # who takes nothing any more hears of what it has when it goes on
                async with asyncio.timeout(LOOK_PERIOD_S):
                    await self._send(Ping(self._last_ping))
        elif looks == SILENT_LOOKS:
            self._is_silent = True
            self._lose(f"asked whether it lives, it has said nothing for {(SILENT_LOOKS - 1) * LOOK_PERIOD_S:g} s")

    async def _end_silence(self) -> None:
        """Somebody answers again on the line that was kept."""
        _log.info("the modules of %s answer again", self._node)
        self._is_silent = self._is_lost = False
        self._on_back()
        await self._say_open()

    def _lose(self, why: str) -> None:
        """Say that nobody answers for the modules; once, until somebody does."""
        if not self._is_lost:
            self._is_lost = True
            self._on_lost(why)

    def _look(self, channel: TcpChannel) -> None:
        """Take up new certificate files; raises ChannelClosed when the modules' certificate has ended."""
        self._tls.look()
        if self._tls.has_ended(channel.peer_certificate):
            raise ChannelClosed(f"the certificate of {channel.peer_identity} was revoked, or has run out")

    async def _dial_again(self) -> TcpChannel:
        pause_s = FIRST_PAUSE_S
        tell_s = self._clock.monotonic_s() + (0.0 if self.instance else START_GRACE_S)
        while True:
            await self._clock.sleep_until(self._clock.monotonic_s() + pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            try:
                return await self._dial()
            except PeerProtocolError as fault:
                _log.info("no line to the modules of %s: %s", self._node, fault)
                if self._clock.monotonic_s() >= tell_s:
                    self._lose(fault.message)

    async def _dial(self) -> TcpChannel:
        """Return a line on which HELLO was answered; raises PeerProtocolError."""
        address = self._address()
        if address is None:
            raise ChannelClosed("it is not known where they listen")
        self._tls.look()
        channel = await connect_channel(*address, timeout_s=CONNECT_TIMEOUT_S, tls=self._context)
        try:
            await channel.send(encode_word(Hello(self._life)))
            word = decode_word(await channel.receive(timeout_s=WELCOME_TIMEOUT_S))
            if not isinstance(word, Welcome):
                raise FrameError(f"the first answer is WELCOME, not {type(word).__name__}")
        except BaseException:
            channel.abort()
            raise
        is_another = self.instance not in ("", word.instance)
        self.instance, self._answers_ping, self._is_lost = word.instance, word.answers_ping, False
        self._on_welcome(word, is_another)
        if is_another:
            self._forget_last_instance()
        return channel


def gone(node: NodeId) -> QuantumLayerError:
    """Return what became of an order whose modules' process has ended."""
    return QuantumLayerError(
        f"the process with the QKD modules of {node} has ended; the pads of its orders are spent",
        remedy="nothing: a new order brings new pads",
    )

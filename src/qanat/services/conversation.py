"""Two applications in conversation: who calls says who it is and whom it wants, then each direction is a sealed stream.

    conversation = HELLO *RECORD     both ways; only who calls says HELLO
    HELLO   0x70   header: key_life_s, recipient, sender, service, stream, suite
    RECORD  0x71   header: empty; body: a record of this direction's stream (services.ciphers.layout)
    REFUSAL 0x72   header: reason, remedy, later where the same may be taken soon, here where somebody else was called;
                   ends the conversation, from either end
    ALIVE   0x73   header: empty; a sign of life, where both ends agreed on them

The hello is not sealed, but everything in it is bound into every record. Who answers seals under keys of its own, as
their master: so each end proves, by keys that only it could have been given, who it is. A refusal has no seal: who can
forge it could cut the line as well. Its text is shown as the peer's. See docs/formats/service-records.md.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from qanat.ground.errors import (
    AuthenticationFailed,
    ChannelClosed,
    ChannelError,
    ConfigurationError,
    FrameError,
    NoPlaceNow,
    PeerProtocolError,
    QanatError,
)
from qanat.ground.events import Json
from qanat.ground.framing import VERSION, Frame, canonical_json, decode_frame, encode_frame, read_canonical_json
from qanat.ground.identifiers import MAX_ID_CHARACTERS, SaeId, members_of
from qanat.ground.ports import Clock, Entropy, KeySupply
from qanat.services.ciphers import (
    NotForUs,
    Opened,
    Opener,
    PadOpener,
    PadSealer,
    RecipientKeys,
    RecordKind,
    Refresh,
    Sealer,
    SenderKeys,
    StreamContext,
    StreamOpener,
    StreamSealer,
    Suite,
)
from qanat.services.ciphers.layout import Buffer
from qanat.services.lines import Line, Patient, Provable
from qanat.services.shown import harmless

HELLO, RECORD, REFUSAL, ALIVE = 0x70, 0x71, 0x72, 0x73
_HEAD: Final = struct.Struct(">IBBH2s")
"""The beginning of a record's frame: the frame's prefix and an empty header."""
MAX_CONTENT_BYTES = 2**20
PAD_CONTENT_BYTES = 2**15
"""Content of a record, by AES and by one-time pad, at most."""
MAX_REASON_CHARACTERS = 400
MOST_WHOLE_NUMBER: Final = 2**63
MOST_KEY_LIFE_S = 86_400.0
HELLO_PATIENCE_S = 10.0
FIRST_RECORD_PATIENCE_S = 60.0
"""For who has said hello only: it may be anybody, and it may be waiting for a key, for as long as ``Terms`` say."""
DRAIN_S = 5.0
MOST_DRAINED = 64


NOT_READ = (
    "its machine could not read or write a file of its own, and sends no more",
    "its own output says which, and why",
)
NOT_KEPT = (
    "its machine could not write or read a file of its own: what it has not confirmed is not kept there",
    "its own output says which, and why (most often a full disk): mend that, then send it again",
)
"""What a caller, and who answers, tells of a fault whose own words may name files of its machine: reason and remedy."""


ODD_BEGINNING: Final = (
    "a program of qanat may call again: if it did call, this was altered on the way, or its side is older; look "
    "for who changes bytes on the line, or update it"
)
"""What can be done about a line that does not begin with a hello."""


class RefusedByPeer(PeerProtocolError):
    """The other end ended the conversation and said why."""


class RefusedForNow(RefusedByPeer):
    """The same as ``RefusedByPeer``, and the other end may take it soon."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a conversation is sealed and how patient it is.

    ``pad_wait_s``: how long the network is given to make a one-time pad that is not in stock. ``patience_s``: the same
    for a key of AES. ``silence_s``: how long the other end may say nothing where a word of it is due.
    """

    suite: Suite = Suite.AES_128_GCM
    refresh: Refresh = field(default_factory=Refresh)
    patience_s: float = 60.0
    pad_wait_s: float = 0.0
    silence_s: float = 90.0


@dataclass(frozen=True, slots=True)
class Party:
    """One application at work: who it is, where its keys come from, and the machine's clock and entropy."""

    sae: SaeId
    supply: KeySupply
    clock: Clock
    entropy: Entropy

    def sealer(self, context: StreamContext, terms: Terms) -> Sealer:
        """Return what seals this party's direction of a conversation."""
        if context.suite is Suite.ONE_TIME_PAD:
            return PadSealer(context, self.supply, clock=self.clock, patience_s=terms.pad_wait_s)
        return StreamSealer(context, sender_keys(self, context, terms))

    def opener(self, context: StreamContext) -> Opener:
        """Return what opens the other's direction."""
        if context.suite is Suite.ONE_TIME_PAD:
            return PadOpener(context, self.supply)
        return StreamOpener(context, RecipientKeys(self.supply, context, clock=self.clock))


def sender_keys(party: Party, context: StreamContext, terms: Terms) -> SenderKeys:
    """Return the keys of one stream from here; nobody else may be given them."""
    return SenderKeys(
        party.supply,
        context.recipient,
        suite=context.suite,
        clock=party.clock,
        refresh=terms.refresh,
        patience_s=terms.patience_s,
    )


@dataclass(frozen=True, slots=True)
class Hello:
    """What a caller says first."""

    service: str
    context: StreamContext

    def frame(self) -> bytes:
        context = self.context
        header: dict[str, Json] = {
            "key_life_s": context.key_life_s,
            "recipient": context.recipient,
            "sender": context.sender,
            "service": self.service,
            "stream": context.stream,
            "suite": context.suite.value,
        }
        return encode_frame(HELLO, header)

    @classmethod
    def parse(cls, frame: Frame) -> Hello:
        """Return the hello in a frame; raises FrameError."""
        match dict(frame.header):
            case {
                "key_life_s": float() | int() as key_life_s,
                "recipient": str(recipient),
                "sender": str(sender),
                "service": str(service),
                "stream": str(stream),
                "suite": str(suite),
                **others,
            } if (
                frame.kind == HELLO
                and not frame.body
                and not others
                and suite in list(Suite)
                and 0 < key_life_s <= MOST_KEY_LIFE_S
                and all(map(_is_id, (*members_of(SaeId(recipient)), sender)))
                and all(map(_is_word, (service, stream)))
                and stream.startswith(f"{service}/")
            ):
                context = StreamContext(SaeId(sender), SaeId(recipient), stream, Suite(suite), key_life_s)
                return cls(service, context)
        raise FrameError("this is no hello of a service", remedy=ODD_BEGINNING)


def _is_word(text: str) -> bool:
    """Return whether a stranger's word is short and can be printed: on a terminal nothing else may come of it."""
    return 0 < len(text) <= MAX_ID_CHARACTERS and text.isprintable()


def _is_id(text: str) -> bool:
    return _is_word(text) and " " not in text and "/" not in text


def printable(text: str) -> str:
    """Return ``text`` with '?' for whatever could steer a terminal."""
    return "".join(letter if is_harmless else "?" for letter, is_harmless in harmless(text))


class Conversation:
    """One end of it. Buffers are as large as what was said so far, and are used again for each record."""

    def __init__(self, line: Line, *, hello: Hello, sealer: Sealer, opener: Opener, peer: SaeId, terms: Terms) -> None:
        self.hello = hello
        self.peer = peer
        self.sealer = sealer
        self.terms = terms
        self._line = line
        self._opener = opener
        self._out = bytearray()
        self._in = bytearray()
        self._is_midway = False
        self.has_signs_of_life = False
        """Whether the other end knows signs of life: without, one ends the conversation."""
        self.num_heard = 0
        """Frames that came, signs of life too."""
        self.is_listening = False
        """Whether the next frame is waited for."""
        self._is_proven = False
        self._is_open = peer == hello.context.sender
        """Whether the other end knows of this conversation: who calls may fail before it has said hello."""
        self._first_silence_s = terms.silence_s
        self.private_fault = NOT_KEPT if self._is_open else NOT_READ
        """What the other end is told, reason and remedy, where a fault's own words are not for others."""
        if peer == hello.context.sender:  # it called, and has proved nothing yet
            self._first_silence_s = min(terms.silence_s, FIRST_RECORD_PATIENCE_S)

    @property
    def is_proven(self) -> bool:
        """Whether the other end has sealed a record, and so is who it says."""
        return self._is_proven

    @property
    def max_content_bytes(self) -> int:
        """Most content of one record."""
        return PAD_CONTENT_BYTES if self.hello.context.suite is Suite.ONE_TIME_PAD else MAX_CONTENT_BYTES

    async def sealed(self, content: Buffer, *, kind: RecordKind = RecordKind.DATA, is_last: bool = False) -> memoryview:
        """Return the frame of the next record; the buffer serves the next one too."""
        needed = _HEAD.size + self.sealer.room_for(len(content))
        if len(self._out) < needed:
            self._out = bytearray(needed)
        frame = memoryview(self._out)
        size = await self.sealer.seal_into(content, frame[_HEAD.size :], kind=kind, is_last=is_last)
        _HEAD.pack_into(frame, 0, _HEAD.size - 4 + size, VERSION, RECORD, 2, b"{}")
        return frame[: _HEAD.size + size]

    async def greet(self) -> None:
        """Say hello; who calls does so first."""
        self._is_open = True
        await self._line.send(self.hello.frame())

    async def send(self, content: Buffer, *, is_last: bool = False) -> None:
        """Send data. Raises RefusedByPeer when the other end has refused meanwhile, KeyShortage, ChannelError."""
        await self.pass_on(await self.sealed(content, is_last=is_last))

    async def say(self, word: Mapping[str, Json], *, is_last: bool = False) -> None:
        """Send a word of the service's own."""
        await self.pass_on(await self.sealed(canonical_json(word), kind=RecordKind.CONTROL, is_last=is_last))

    async def pass_on(self, frame: Buffer) -> None:
        """Send a frame that was sealed for this conversation."""
        if self._line.has_news():
            await self._opened_next(self.terms.silence_s)  # a refusal, or a record that came before, says so itself
            raise FrameError("the other end spoke out of its turn", remedy="update the older side")
        await self._line.send(frame)

    async def transmit(self, content: Buffer, *, kind: RecordKind = RecordKind.DATA, is_last: bool = False) -> None:
        """Send a record while another task reads what comes, refusals too; one call at a time."""
        await self.send_whole(await self.sealed(content, kind=kind, is_last=is_last))

    def give_time(self, limit_s: float) -> None:
        """Let the other end take nothing of what it is sent, or stand still within a frame, for so long."""
        if isinstance(self._line, Patient):
            self._line.give_time(limit_s)

    async def show_life(self) -> None:
        """Send a sign of life while another task reads what comes; one call at a time, of this and of ``send_whole``.

        It takes no key: who can forge it could hold the line as well. None may go after the last record: the other end
        reads no further, and what it leaves unread resets the line. Raises ChannelError.
        """
        await self.send_whole(encode_frame(ALIVE, {}))

    async def send_whole(self, frame: Buffer) -> None:
        """Send a frame that was sealed for this conversation while another task reads what comes; one call at a time.
        Raises ChannelError, also after a call that was cancelled half-way."""
        if self._is_midway:
            raise ChannelClosed("a frame was left half sent: no other can follow it on this line")
        self._is_midway = True
        await self._line.send(frame)
        self._is_midway = False

    async def next(self) -> Opened:
        """Return the next record; raises RecordRefused, RefusedByPeer, FrameError, ChannelError and the supply's."""
        opened = await self._opened_next(self.terms.silence_s if self._is_proven else self._first_silence_s)
        if not self._is_proven:
            self._is_proven = True
            if isinstance(self._line, Provable):
                self._line.proven()
        return opened

    async def _opened_next(self, silence_s: float) -> Opened:
        frame = await self._next_frame(silence_s)
        while self.has_signs_of_life and frame.kind == ALIVE and not frame.header and not frame.body:
            frame = await self._next_frame(silence_s)
        self._check_refusal(frame)
        if frame.kind != RECORD or frame.header:
            raise FrameError(f"a frame of kind {frame.kind} came where a record was due")
        if len(self._in) < len(frame.body):
            self._in = bytearray(len(frame.body))
        return await self._opener.open_into(frame.body, memoryview(self._in))

    async def _next_frame(self, silence_s: float) -> Frame:
        self.is_listening = True
        try:
            frame = decode_frame(await self._line.receive(timeout_s=silence_s))
        finally:
            self.is_listening = False
        self.num_heard += 1
        return frame

    async def hear(self) -> dict[str, Json]:
        """Return the next word; raises what ``next`` raises, and FrameError where data came instead."""
        return word_in(await self.next())

    def finish(self) -> None:
        """Raise Truncated unless the other end said its last record."""
        self._opener.finish()

    async def refuse(self, fault: QanatError | OSError) -> None:
        """Tell the other end that this one gives up, and why; what it is still sending is read and dropped."""
        if isinstance(fault, ChannelError | RefusedByPeer):
            return
        if self._is_midway or not self._is_open:  # no frame can follow half of one, nor be the first
            return
        if isinstance(fault, OSError | ConfigurationError):  # its text may name files of this machine
            reason, remedy = self.private_fault
        else:
            reason, remedy = fault.message, fault.remedy
        await refuse(self._line, reason, remedy=remedy, later=isinstance(fault, NoPlaceNow))

    def hear_in_clear(self, answer: bytes) -> None:
        """Raise RefusedByPeer where what came in place of a sealed line's first word is a refusal. Nobody has proved to
        have said it: good for giving up alone."""
        with contextlib.suppress(FrameError):
            self._check_refusal(decode_frame(answer))

    def forget(self) -> None:
        """Drop all keys."""
        self.sealer.forget()
        self._opener.forget()

    def _check_refusal(self, frame: Frame) -> None:
        if frame.kind != REFUSAL:
            return
        reason, remedy, here = (_said(frame, name) for name in ("reason", "remedy", "here"))
        if here:
            if here == self.peer:
                raise RefusedByPeer(
                    f"{self.peer} heard another name than its own: what was said was altered on the way",
                    remedy="look for who changes bytes on the line; then try again",
                )
            raise RefusedByPeer(
                f"{here} answers at the address of {self.peer}, and took nothing",
                remedy=f"correct the address of {self.peer} in your directory, or let it run `qanat receive` there",
            )
        kind = RefusedForNow if frame.header.get("later") is True else RefusedByPeer
        raise kind(
            f"{self.peer} refused: {reason or 'no reason given'}",
            remedy=f"{self.peer} says: {remedy}" if remedy else "",
        )


def _said(frame: Frame, name: str) -> str:
    """Return what a refusal says there, fit to be printed."""
    return printable(str(frame.header.get(name, ""))[:MAX_REASON_CHARACTERS])


def word_in(record: Opened) -> dict[str, Json]:
    """Return the word in a control record; raises FrameError, also for what is no canonical JSON (NaN, infinities,
    text that is no Unicode, nesting without end) and for integers beyond 64 bits."""
    if record.kind is not RecordKind.CONTROL:
        raise FrameError("data came where a word of the service was due", remedy="update the older side")
    word = dict(read_canonical_json(bytes(record.content)))
    if any(isinstance(value, int) and abs(value) >= MOST_WHOLE_NUMBER for value in word.values()):
        raise FrameError("a number in a word of the service is out of all bounds", remedy="update the older side")
    return word


def calling(party: Party, line: Line, peer: SaeId, *, service: str, terms: Terms) -> Conversation:
    """Return the caller's end of a conversation with ``peer``; nothing is sent before ``greet``."""
    hello = new_hello(party, peer, service=service, terms=terms)
    opener = party.opener(hello.context.back(peer))
    return Conversation(
        line, hello=hello, sealer=party.sealer(hello.context, terms), opener=opener, peer=peer, terms=terms
    )


def new_hello(party: Party, recipient: SaeId, *, service: str, terms: Terms) -> Hello:
    """Return a hello for a stream that never was before.

    The service is part of its name, and so of what each record is sealed with: no line can exchange it unnoticed.
    """
    stream = f"{service}/{party.entropy.public_bytes(16).hex()}"
    return Hello(service, StreamContext(party.sae, recipient, stream, terms.suite, terms.refresh.every_s))


async def answering(party: Party, line: Line, *, terms: Terms) -> Conversation:
    """Return the answerer's end, once the caller has said hello. The cipher is the caller's choice, refresh is ours.

    Raises NotForUs when somebody else is wanted (and says so), FrameError, ChannelError; and what a line raises that
    was to be sealed and cannot be, such as KeyUnknown: the caller is told of it in clear.
    """
    try:
        hello = Hello.parse(decode_frame(bytes(await line.receive(timeout_s=HELLO_PATIENCE_S))))
    except ChannelError:
        raise
    except QanatError as odd:
        if isinstance(odd, FrameError):
            odd.remedy = odd.remedy or ODD_BEGINNING
        reason, remedy = NOT_KEPT if isinstance(odd, ConfigurationError) else (odd.message, odd.remedy)
        await refuse(line, reason, remedy=remedy, here=party.sae if isinstance(odd, NotForUs) else "")
        raise
    context = hello.context
    if party.sae != context.recipient:  # also where it is one of several: who got a key of all could pose as the caller
        fault = NotForUs(
            f"{context.sender} calls {context.recipient}, and here is {party.sae}",
            remedy="let the caller check the address of its contact",
        )
        await refuse(line, fault.message, remedy=fault.remedy, here=party.sae)
        raise fault
    every_s = min(terms.refresh.every_s, context.key_life_s)
    own = Terms(
        suite=context.suite,
        refresh=Refresh(every_s, terms.refresh.every_bytes, terms.refresh.every_records),
        patience_s=terms.patience_s,
        pad_wait_s=max(terms.pad_wait_s, terms.patience_s),  # for a few words, which the caller is waiting for
        silence_s=terms.silence_s,
    )
    sealer, opener = party.sealer(context.back(party.sae), own), party.opener(context)
    return Conversation(line, hello=hello, sealer=sealer, opener=opener, peer=context.sender, terms=own)


async def refuse(line: Line, reason: str, *, remedy: str = "", later: bool = False, here: str = "") -> None:
    """Send a refusal and read on for a while, so that a busy peer comes to hear it. ``later``: it may be taken soon;
    ``here``: who answers, where that is not who was called."""
    words = {"reason": reason, "remedy": remedy, "here": here}
    header: dict[str, Json] = {name: printable(said[:MAX_REASON_CHARACTERS]) for name, said in words.items() if said}
    with contextlib.suppress(ChannelError, FrameError, AuthenticationFailed):
        await line.send(encode_frame(REFUSAL, header | ({"later": True} if later else {})))
        for _ in range(MOST_DRAINED):
            await line.receive(timeout_s=DRAIN_S)


@contextlib.asynccontextmanager
async def refusing(*conversations: Conversation) -> AsyncIterator[None]:
    """Tell the other ends when the work inside fails, and drop all keys in any case."""
    try:
        yield
    except (QanatError, OSError) as fault:
        for one in conversations:
            await one.refuse(fault)
        raise
    finally:
        for one in conversations:
            one.forget()

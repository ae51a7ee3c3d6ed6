"""Files of any length from one application to another: resumable, checked whole, delivered once.

    sender                                    recipient
    {offer, name, size_bytes}             ->
                                          <-  {have, sha256}     so much is here, of this hash   or {received, name}
    {from}  data ... data                 ->                     from there on, or from 0 where the hashes differ
    {end: SHA-256 of the whole, size_bytes} ->
                                          <-  {received: SHA-256, name}   the file lies under its name, durably

An *offer* is the transfer's own name: random, kept by the sender until the file is received, whatever happens in
between. A recipient that has finished an offer says so again, and writes nothing.

Where both ends keep events, {from} names the sender's of step 9 and its request (cause, request_id), and the receipt
the recipient's of step 10 (event), so that each step of the paper's Fig. 2 is the cause of the next across both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias, TypeGuard

from qanat.ground.errors import BadParameter, FrameError, VerificationFailed
from qanat.ground.events import EventKind, Json
from qanat.ground.identifiers import MAX_ID_CHARACTERS, EventId, RequestId, SaeId
from qanat.ground.tracing import EventRecorder, Trace
from qanat.services.ciphers import PadSealer, RecordKind
from qanat.services.ciphers.layout import Buffer
from qanat.services.conversation import Conversation, refusing, word_in
from qanat.services.file_names import is_file_name

SERVICE = "file"
BEFORE = "before"
"""In place of a hash: the file of this offer was received before."""
FIRST_CONTENT_BYTES = 2**16
"""Content of the first record of data on a line, at most. Each further one has as much as all before it, up to the most
that a record holds: one that breaks off is lost as a whole, and so a line that breaks early has carried some."""
WORDS = 3
WORD_BYTES = 512
"""A sender's words beside the content, and how long each is at most: what a one-time pad is gathered for."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer is, and in how many records so far."""

    done_bytes: int
    total_bytes: int
    num_records: int


ProgressCallback: TypeAlias = Callable[[Progress], None]


class Outgoing(Protocol):
    """A file to be sent; it is read in order and hashed on the way."""

    offer: str
    name: str
    size_bytes: int

    async def start_at(self, offset: int, /) -> str:
        """Go to a place and return the SHA-256, in hexadecimal, of all before it."""
        ...

    async def read_into(self, room: memoryview, /) -> int:
        """Fill ``room`` with what comes next and return how much that is; 0 at the end. Raises BadParameter when
        somebody has changed the file."""
        ...

    def sha256(self) -> str:
        """Return the hash of everything up to here."""
        ...


class Arrival(Protocol):
    """A file that is coming in, kept apart from files until it is whole."""

    have_bytes: int

    async def sha256(self) -> str:
        """Return the SHA-256 of what is here."""
        ...

    async def restart(self) -> None:
        """Forget what is here."""

    async def write(self, content: Buffer, /) -> None:
        """Append."""

    async def finish(self) -> str:
        """Give the file its name, durably, and return that name: another one where a file has it already."""
        ...

    async def close(self) -> None:
        """Let go of it; what is here stays for the next time."""


class Arrivals(Protocol):
    """Where files come in."""

    async def expect(self, *, sender: SaeId, offer: str, name: str, size_bytes: int) -> Arrival | str:
        """Return the place of a file, or the name under which it was finished before. Raises PeerProtocolError when
        it is just coming in over another line."""
        ...


@dataclass(frozen=True, slots=True)
class SentWhole:
    """A file that the recipient has. ``sent_bytes`` of it went over the line this time, under ``num_keys``; 0 where it
    was there before."""

    name: str
    size_bytes: int
    sent_bytes: int
    sha256: str
    num_keys: int


@dataclass(frozen=True, slots=True)
class ArrivedFile:
    """A file that lies whole under ``name``; ``received_bytes`` came this time."""

    name: str
    size_bytes: int
    received_bytes: int
    sha256: str
    sender: SaeId


async def deliver_file(
    conversation: Conversation,
    outgoing: Outgoing,
    *,
    on_progress: ProgressCallback | None = None,
    on_had: Callable[[int], None] = lambda _: None,
    trace: Trace | None = None,
) -> SentWhole:
    """Send a file and return when the recipient has it whole.

    By one-time pad, all of the pad is taken before anything is sent. ``on_progress`` is told of what was handed to the
    line, ``on_had``, before that, of how much the recipient has; what it raises ends the transfer. ``trace``: the
    request that the file is sent for; it goes on to the recipient's event of step 10, where that keeps events.

    Raises PadShortage, KeyShortage, RefusedByPeer, VerificationFailed, RecordRefused, ChannelError (call again: it goes
    on where it stopped), and what the file raises.
    """
    if not is_file_name(outgoing.name):
        raise BadParameter(f"{outgoing.name!r} is no file name", remedy="give the bare name, in 255 bytes")
    await _gather(conversation, outgoing.size_bytes)
    async with refusing(conversation):
        await conversation.greet()
        await conversation.say({"name": outgoing.name, "offer": outgoing.offer, "size_bytes": outgoing.size_bytes})
        sent_bytes, receipt = 0, BEFORE
        match await conversation.hear():
            case {"have": int(have), "sha256": str(theirs)} if 0 <= have <= outgoing.size_bytes:
                if await outgoing.start_at(have) != theirs:
                    have = 0
                    await outgoing.start_at(0)
                on_had(have)
                await conversation.say({"from": have, **_encoded(conversation, outgoing, trace)})
                sent_bytes = await _send_from(conversation, outgoing, have, on_progress)
                receipt = outgoing.sha256()
                answer = await conversation.hear()
            case answer:
                await outgoing.start_at(outgoing.size_bytes)
        match answer:
            case {"name": str(name), "received": str(said)} if said == receipt:
                conversation.finish()
                if trace is not None and _is_id_text(event := answer.get("event")):
                    trace.follow(EventId(event))
                num_keys = conversation.sealer.num_keys
                return SentWhole(name, outgoing.size_bytes, sent_bytes, outgoing.sha256(), num_keys)
        raise FrameError("the recipient did not confirm what was sent", remedy="update the older side")


class Delivery:
    """One delivery of a file over however many lines it takes: what it reports is of all of them."""

    def __init__(self) -> None:
        self._sent_bytes = self._num_keys = self._done_bytes = 0

    async def over(
        self,
        conversation: Conversation,
        outgoing: Outgoing,
        *,
        on_progress: ProgressCallback | None = None,
        on_had: Callable[[int], None] = lambda _: None,
    ) -> SentWhole:
        """Go on over a line; as ``deliver_file``."""

        def had(num_bytes: int) -> None:
            self._done_bytes = num_bytes
            on_had(num_bytes)

        def progress(now: Progress) -> None:
            self._sent_bytes += now.done_bytes - self._done_bytes
            self._done_bytes = now.done_bytes
            if on_progress is not None:
                on_progress(now)

        try:
            sent = await deliver_file(conversation, outgoing, on_progress=progress, on_had=had)
        finally:
            self._num_keys += conversation.sealer.num_keys
        return replace(sent, sent_bytes=self._sent_bytes, num_keys=self._num_keys)


async def _gather(conversation: Conversation, size_bytes: int) -> None:
    sealer, terms = conversation.sealer, conversation.terms
    if isinstance(sealer, PadSealer):
        num_records = -(-size_bytes // conversation.max_content_bytes) + WORDS
        await sealer.gather(
            content_bytes=size_bytes + WORDS * WORD_BYTES, num_records=num_records, wait_s=terms.pad_wait_s
        )


def _encoded(conversation: Conversation, outgoing: Outgoing, trace: Trace | None) -> dict[str, Json]:
    """Record step 9 and return what the recipient is told of it."""
    if trace is None:
        return {}
    cipher = conversation.hello.context.suite.value
    encoded = trace.record(EventKind.MESSAGE_ENCODED, name=outgoing.name, cipher=cipher)
    return {"cause": encoded.id, "request_id": trace.request_id}


async def _send_from(
    conversation: Conversation, outgoing: Outgoing, have: int, on_progress: ProgressCallback | None
) -> int:
    """Send what the recipient lacks, and how it ends; returns how many bytes that were."""
    room = memoryview(bytearray(conversation.max_content_bytes))
    done, num_records = have, 0
    while num_bytes := await outgoing.read_into(room[: max(FIRST_CONTENT_BYTES, done - have)]):
        await conversation.send(room[:num_bytes])
        done, num_records = done + num_bytes, num_records + 1
        if on_progress is not None:
            on_progress(Progress(done, outgoing.size_bytes, num_records))
    await conversation.say({"end": outgoing.sha256(), "size_bytes": done}, is_last=True)
    return done - have


async def take_file(
    conversation: Conversation,
    arrivals: Arrivals,
    *,
    on_progress: ProgressCallback | None = None,
    recorder: EventRecorder | None = None,
) -> ArrivedFile:
    """Receive one file from a caller whose service is SERVICE, and return when it lies under its name.

    ``recorder`` takes the event of step 10, where the sender said what caused it.

    Raises VerificationFailed when the whole does not have the hash that the sender says (what came is dropped),
    RecordRefused, FrameError, RefusedByPeer, ChannelError, and what ``arrivals`` raises. The sender is told.
    """
    async with refusing(conversation):
        match await conversation.hear():
            case {"name": str(name), "offer": str(offer), "size_bytes": int(size_bytes)} if (
                is_file_name(name) and size_bytes >= 0 and is_offer(offer)
            ):
                arrival = await arrivals.expect(sender=conversation.peer, offer=offer, name=name, size_bytes=size_bytes)
            case _:
                raise FrameError("this is no offer of a file", remedy="update the older side")
        if isinstance(arrival, str):
            await conversation.say({"name": arrival, "received": BEFORE}, is_last=True)
            return ArrivedFile(arrival, size_bytes, 0, "", conversation.peer)
        try:
            return await _take(conversation, arrival, size_bytes, on_progress, recorder)
        finally:
            await arrival.close()


async def _take(
    conversation: Conversation,
    arrival: Arrival,
    size_bytes: int,
    on_progress: ProgressCallback | None,
    recorder: EventRecorder | None,
) -> ArrivedFile:
    await conversation.say({"have": arrival.have_bytes, "sha256": await arrival.sha256()})
    match start_word := await conversation.hear():
        case {"from": 0}:
            await arrival.restart()
        case {"from": int(start)} if start == arrival.have_bytes:
            pass
        case _:
            raise FrameError("the sender goes on where nothing ends", remedy="update the older side")
    begun, num_records = arrival.have_bytes, 0
    while (record := await conversation.next()).kind is RecordKind.DATA:
        if arrival.have_bytes + len(record.content) > size_bytes:
            raise FrameError("more came than was offered", remedy="update the sender")
        await arrival.write(record.content)
        num_records += 1
        if on_progress is not None:
            on_progress(Progress(arrival.have_bytes, size_bytes, num_records))
    sha256 = await _checked(arrival, word_in(record), size_bytes)
    conversation.finish()
    name = await arrival.finish()
    receipt: dict[str, Json] = {"name": name, "received": sha256}
    if recorder is not None:
        receipt |= _delivered(start_word, recorder, name, size_bytes)
    await conversation.say(receipt, is_last=True)
    return ArrivedFile(name, size_bytes, arrival.have_bytes - begun, sha256, conversation.peer)


def _delivered(start_word: Mapping[str, Json], recorder: EventRecorder, name: str, size_bytes: int) -> dict[str, Json]:
    """Record step 10 and return what the sender is told of it; nothing where the sender keeps no events."""
    cause, request_id = start_word.get("cause"), start_word.get("request_id")
    if not (_is_id_text(cause) and _is_id_text(request_id)):
        return {}
    event = recorder.record(
        EventKind.MESSAGE_DELIVERED,
        cause=EventId(cause),
        request_id=RequestId(request_id),
        name=name,
        size_bytes=size_bytes,
    )
    return {"event": event.id}


def _is_id_text(said: Json) -> TypeGuard[str]:
    """Return whether what the other end said may stand in our events as an id."""
    return isinstance(said, str) and 0 < len(said) <= MAX_ID_CHARACTERS and said.isprintable()


async def _checked(arrival: Arrival, end: dict[str, Json], size_bytes: int) -> str:
    """Return the hash of the whole file, which both ends agree on; drops what came otherwise."""
    sha256 = await arrival.sha256()
    if end == {"end": sha256, "size_bytes": size_bytes} and arrival.have_bytes == size_bytes:
        return sha256
    await arrival.restart()
    raise VerificationFailed(
        "the file that came is not the one that was sent: what came was dropped",
        remedy="send it again; if that does not help, look for faults of the recipient's disk",
    )


def is_offer(text: str) -> bool:
    """Return whether ``text`` may name a transfer: it also names files of the recipient's."""
    return len(text) == 32 and set(text) <= set("0123456789abcdef")

"""Short texts, delivered once each, when the recipient comes.

    sender                               recipient
    {text: id, body, sent_utc_s}      ->
                                      <-  {received: id, utc_s}     it lies in the inbox, durably
    ... and so on                     ->
    {bye}                             ->

A text is in the sender's outbox until every recipient has confirmed it. Its id is random; a recipient that has one of
this id and sender confirms again and keeps nothing twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from qanat.ground.errors import BadParameter, FrameError, QanatError
from qanat.ground.events import Json
from qanat.ground.framing import canonical_json
from qanat.ground.identifiers import SaeId
from qanat.services.ciphers import PadSealer, RecordKind
from qanat.services.conversation import Conversation, refusing
from qanat.services.file_delivery import is_offer

SERVICE = "text"
MAX_TEXT_BYTES = 16 * 1024
END_OF_TIME_UTC_S = 253_402_300_800.0
"""The first second of the year 10000: no calendar goes on after it."""
BESIDE_TEXT_BYTES = 256
"""More than a text's record has besides the text itself."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text on its way."""

    text_id: str
    body: str
    sent_utc_s: float

    def check(self) -> None:
        """Raise BadParameter when it is too long, or no text."""
        try:
            size = len(self.body.encode())
        except UnicodeEncodeError:
            raise BadParameter("a text with bytes that are no UTF-8", remedy="send it as a file") from None
        if size > MAX_TEXT_BYTES:
            raise BadParameter(f"a text of {size:,} bytes; at most {MAX_TEXT_BYTES:,} go", remedy="send it as a file")


@dataclass(frozen=True, slots=True)
class ReceivedText:
    """A text in the inbox."""

    text_id: str
    sender: SaeId
    body: str
    sent_utc_s: float
    received_utc_s: float


def is_time(utc_s: float) -> bool:
    """Return whether a time that somebody says can be shown: what is no number, or infinite, is none."""
    return 0 <= utc_s < END_OF_TIME_UTC_S


class Inbox(Protocol):
    """Where texts are kept."""

    async def put(self, text: ReceivedText, /) -> bool:
        """Keep a text, durable on return; False when it was here already."""
        ...


Delivered = Callable[[SaeId, Text, float], Awaitable[None]]
"""(recipient, text, when it was received there, UTC): the outbox strikes it off, durably."""


async def deliver_texts(
    conversations: Sequence[Conversation], texts: Iterable[Text], *, delivered: Delivered
) -> dict[SaeId, QanatError]:
    """Say texts to one recipient, or the same to several at once, each sealed once; returns who failed, and how.

    One that fails does not keep the others from hearing. Raises PadShortage and KeyShortage: then nobody hears.
    """
    told = list(texts)
    first = conversations[0]
    failed: dict[SaeId, QanatError] = {}
    async with refusing():
        try:
            if isinstance(first.sealer, PadSealer):
                await first.sealer.gather(
                    content_bytes=sum(len(text.body.encode()) + BESIDE_TEXT_BYTES for text in told),
                    num_records=len(told) + 1,
                    wait_s=first.terms.pad_wait_s,
                )
            await _with_each(conversations, failed, lambda one: one.greet())
            for text in told:
                text.check()
                word: dict[str, Json] = {"body": text.body, "sent_utc_s": text.sent_utc_s, "text": text.text_id}
                frame = await first.sealed(canonical_json(word), kind=RecordKind.CONTROL)

                async def tell(one: Conversation, frame: memoryview = frame, text: Text = text) -> None:
                    await one.pass_on(frame)
                    await delivered(one.peer, text, await _confirmed(one, text))

                await _with_each(conversations, failed, tell)
            frame = await first.sealed(canonical_json({"bye": True}), kind=RecordKind.CONTROL, is_last=True)
            await _with_each(conversations, failed, lambda one: one.pass_on(frame))
        finally:
            for one in conversations:
                one.forget()
    return failed


async def _with_each(
    conversations: Sequence[Conversation],
    failed: dict[SaeId, QanatError],
    work: Callable[[Conversation], Awaitable[None]],
) -> None:
    for one in conversations:
        if one.peer not in failed:
            try:
                await work(one)
            except QanatError as fault:
                failed[one.peer] = fault
                await one.refuse(fault)


async def _confirmed(conversation: Conversation, text: Text) -> float:
    """Return when the recipient has got the text; raises FrameError when it confirms another."""
    match await conversation.hear():
        case {"received": text.text_id, "utc_s": float() | int() as utc_s} if is_time(utc_s):
            return utc_s
    raise FrameError("the recipient confirmed another text than it was told", remedy="update the older side")


async def take_texts(conversation: Conversation, inbox: Inbox, *, utc_s: Callable[[], float]) -> list[ReceivedText]:
    """Receive a caller's texts until it says bye; returns the new ones. Raises what ``Conversation.next`` raises."""
    fresh: list[ReceivedText] = []
    async with refusing(conversation):
        while True:
            match await conversation.hear():
                case {"body": str(body), "sent_utc_s": float() | int() as sent_utc_s, "text": str(text_id)} if (
                    is_offer(text_id) and len(body.encode()) <= MAX_TEXT_BYTES and is_time(sent_utc_s)
                ):
                    text = ReceivedText(text_id, conversation.peer, body, sent_utc_s, utc_s())
                    if await inbox.put(text):
                        fresh.append(text)
                    await conversation.say({"received": text_id, "utc_s": text.received_utc_s})
                case {"bye": True}:
                    conversation.finish()
                    return fresh
                case _:
                    raise FrameError("this is no text", remedy="update the older side")

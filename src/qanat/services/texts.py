"""Short texts, delivered once each, when the recipient comes.

    sender                               recipient
    {text: id, body, sent_utc_s}      ->
                                      <-  {received: id, utc_s}     it lies in the inbox, durably
    ... and so on                     ->
    {bye}                             ->

To several, the first word may hold the text sealed once for all of them (``group_texts``).

A text is in the sender's outbox until every recipient has confirmed it. Its id is random; a recipient that has one of
this id and sender confirms again and keeps nothing twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from qanat.ground.errors import BadParameter, FrameError, QanatError
from qanat.ground.events import Json
from qanat.ground.framing import canonical_json
from qanat.ground.identifiers import SaeId
from qanat.services.ciphers import KeyUnknown, PadSealer, PadShortage, RecordKind
from qanat.services.conversation import Conversation, Party, refusing
from qanat.services.file_delivery import is_offer
from qanat.services.group_texts import SealedForGroup, open_from_group

SERVICE = "text"
MAX_TEXT_BYTES = 16 * 1024
END_OF_TIME_UTC_S = 253_402_300_800.0
"""The first second of the year 10000: no calendar goes on after it."""
BYE: Final[Mapping[str, Json]] = {"bye": True}


@dataclass(frozen=True, slots=True)
class Text:
    """A text on its way."""

    text_id: str
    body: str
    sent_utc_s: float
    sealed: SealedForGroup | None = None

    def word(self) -> dict[str, Json]:
        """Return what says it to one recipient."""
        return {"body": self.body, "sent_utc_s": self.sent_utc_s, "text": self.text_id}

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
    group: tuple[SaeId, ...] = ()
    """All that it was sealed for together, ourselves among them, as its sender says."""


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
    """Say texts, oldest first, to each of several recipients in turn; returns who failed, and how.

    Each conversation is a stream of its own, under keys that nobody but its recipient gets: who held the key of a
    stream to others could say things there in the sender's name. One that fails does not keep the others from hearing.
    """
    told = sorted(texts, key=lambda text: text.sent_utc_s)
    failed: dict[SaeId, QanatError] = {}
    for one in conversations:
        try:
            await _tell(one, told, delivered)
        except QanatError as fault:
            failed[one.peer] = fault
        finally:
            one.forget()
    return failed


async def _tell(conversation: Conversation, texts: Sequence[Text], delivered: Delivered) -> None:
    """Say texts to one recipient, and bye; a pad that falls short ends it before the text that it falls short of."""
    has_greeted = False
    try:
        for text in texts:
            text.check()
            word = canonical_json(text.word() if text.sealed is None else text.sealed.word(text.text_id))
            await _gather(conversation, len(word))
            if not has_greeted:
                await conversation.greet()
                has_greeted = True
            await conversation.pass_on(await conversation.sealed(word, kind=RecordKind.CONTROL))
            await delivered(conversation.peer, text, await _confirmed(conversation, text))
        await conversation.say(BYE, is_last=True)
    except PadShortage as fault:
        if has_greeted:
            await _part(conversation, fault)
        raise
    except QanatError as fault:
        if has_greeted:
            await conversation.refuse(fault)
        raise


async def _gather(conversation: Conversation, word_bytes: int) -> None:
    """Take the pad of one text, and have that of the bye at hand."""
    if isinstance(conversation.sealer, PadSealer):
        await conversation.sealer.gather(
            content_bytes=word_bytes + len(canonical_json(BYE)), num_records=2, wait_s=conversation.terms.pad_wait_s
        )


async def _part(conversation: Conversation, fault: QanatError) -> None:
    """Say bye where the pad for it is still there: the recipient has no fault to hear of."""
    if isinstance(conversation.sealer, PadSealer) and not conversation.sealer.is_over:
        await conversation.say(BYE, is_last=True)
    else:
        await conversation.refuse(fault)


async def _confirmed(conversation: Conversation, text: Text) -> float:
    """Return when the recipient has got the text; raises FrameError when it confirms another.

    One that cannot have the key of a group's text is told it under the keys of the two.
    """
    heard = await conversation.hear()
    if text.sealed is not None and heard == {"again": text.text_id}:
        await conversation.say(text.word())
        heard = await conversation.hear()
    match heard:
        case {"received": text.text_id, "utc_s": float() | int() as utc_s} if is_time(utc_s):
            return utc_s
    raise FrameError("the recipient confirmed another text than it was told", remedy="update the older side")


async def take_texts(
    conversation: Conversation, inbox: Inbox, *, party: Party, utc_s: Callable[[], float]
) -> list[ReceivedText]:
    """Receive a caller's texts until it says bye; returns the new ones. Raises what ``Conversation.next`` raises."""
    fresh: list[ReceivedText] = []
    told_before: tuple[str, tuple[SaeId, ...]] = ("", ())
    async with refusing(conversation):
        while (word := await conversation.hear()) != BYE:
            text_id = str(word.get("text"))
            group = told_before[1] if text_id == told_before[0] else ()
            if "group" in word:
                sealed = SealedForGroup.parse(word)
                told_before = text_id, group = text_id, sealed.recipients
                try:
                    word = await open_from_group(party, sealed, sender=conversation.peer, text_id=text_id)
                except KeyUnknown:
                    await conversation.say({"again": text_id})
                    continue
            text = replace(_text_in(word, text_id, conversation.peer, utc_s()), group=group)
            if await inbox.put(text):
                fresh.append(text)
            await conversation.say({"received": text_id, "utc_s": text.received_utc_s})
        conversation.finish()
        return fresh


def _text_in(word: Mapping[str, Json], text_id: str, sender: SaeId, received_utc_s: float) -> ReceivedText:
    match dict(word):
        case {"body": str(body), "sent_utc_s": float() | int() as sent_utc_s, "text": str(told)} if (
            told == text_id and is_offer(text_id) and len(body.encode()) <= MAX_TEXT_BYTES and is_time(sent_utc_s)
        ):
            return ReceivedText(text_id, sender, body, sent_utc_s, received_utc_s)
    raise FrameError("this is no text", remedy="update the older side")

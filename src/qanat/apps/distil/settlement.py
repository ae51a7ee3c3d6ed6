"""Unsure keys are settled: each party tells, under a tag, which of the other's it has; then they are kept or destroyed.

Both tags cover the whole agreement as its speaker heard it, under pads that are spent for this settlement alone. So a
key is kept or destroyed on the other party's own word; when a tag does not fit, all stay unsure and the line is given
up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qanat.apps.distil.setup import Setup
from qanat.apps.distil.talk import Talk, no_word
from qanat.apps.distil.terms import Word, said_ids, said_range, said_text
from qanat.apps.distil.word_tags import WordTags, word_pad_bits
from qanat.ground.constants import TAG_BITS
from qanat.ground.errors import ChannelClosed, FrameError, KeyManagementError, PadExhausted, QanatError
from qanat.ground.framing import Frame, encode_frame
from qanat.ground.identifiers import BlockId
from qanat.ground.keys import SpentBits

SETTLEMENT_PAD_BITS: Final = word_pad_bits(TAG_BITS)
WHAT: Final = "settling the unsure keys"


async def settle_as_alice(setup: Setup, talk: Talk, *, ours: Frame, theirs: Frame) -> None:
    """Spend pads and name them, hear of her unsure keys, tell of his. ``ours``, ``theirs``: what each said in TERMS.

    Raises PadExhausted, KeyManagementError when he cannot take the pads, ChannelError; then all stay unsure.
    """
    try:
        spent = await setup.account.spend("distil settlement", num_bits=SETTLEMENT_PAD_BITS, what=WHAT)
    except PadExhausted as fault:
        await talk.say(Word.END, {"reason": fault.message})
        raise
    tags = _tags(setup, spent)
    try:
        named = Frame(Word.SETTLE, {"pads": list(spent.bits.to_json())})
        await talk.say(Word.SETTLE, named.header)
        answer = await talk.hear(Word.SETTLE, Word.END)
        if answer.kind == Word.END:
            raise KeyManagementError(
                f"the other party did not take the pads for {WHAT}: {said_text(answer, 'fault')}",
                remedy="look at its messages",
            )
        before = [_bytes(theirs), _bytes(ours), _bytes(named)]
        _check(tags, answer, before)
        await _decide(setup, ours, answer)
        has = Frame(Word.SETTLE, {"has": list(setup.has(ids_of(theirs, "unsure")))})
        await talk.say(Word.SETTLE, has.header, tags.tag(*before, _bytes(answer), _bytes(has)))
    finally:
        tags.wipe()


async def settle_as_bob(setup: Setup, talk: Talk, *, ours: Frame, theirs: Frame) -> None:
    """Spend the pads that she names, tell of her unsure keys, hear of his. ``ours``, ``theirs``: as above.

    Raises PadExhausted when she has none, what kept him from taking them, ChannelError; then all stay unsure.
    """
    named = await talk.hear(Word.SETTLE, Word.END)
    if named.kind == Word.END:
        raise PadExhausted(
            f"the other party has no pads for {WHAT}: {said_text(named, 'reason')}", remedy="look at its messages"
        )
    tags = _tags(setup, await _take(setup, talk, named))
    try:
        before = [_bytes(ours), _bytes(theirs), _bytes(named)]
        has = Frame(Word.SETTLE, {"has": list(setup.has(ids_of(theirs, "unsure")))})
        tag = tags.tag(*before, _bytes(has))
        await talk.say(Word.SETTLE, has.header, tag)
        answer = await talk.hear(Word.SETTLE)
        _check(tags, answer, [*before, _bytes(has._replace(body=tag))])
        await _decide(setup, ours, answer)
    finally:
        tags.wipe()


def ids_of(frame: Frame, name: str) -> list[str]:
    """Return a list of block ids of a word; raises ChannelClosed for what no party would say."""
    try:
        return said_ids(frame, name)
    except FrameError as fault:
        raise no_word(fault.message) from None


def _tags(setup: Setup, spent: SpentBits) -> WordTags:
    return WordTags(spent.secret, role=setup.role, tag_bits=TAG_BITS)


async def _take(setup: Setup, talk: Talk, named: Frame) -> SpentBits:
    try:
        return await setup.account.spend_range(said_range(named), num_bits=SETTLEMENT_PAD_BITS, what=WHAT)
    except QanatError as fault:
        await talk.say(Word.END, {"fault": fault.message, "reason": "the pads cannot be taken"})
        raise


def _bytes(frame: Frame) -> bytes:
    """Return the bytes of a frame as it crossed the line: there is one spelling."""
    return encode_frame(frame.kind, frame.header, frame.body)


def _check(tags: WordTags, answer: Frame, before: Sequence[bytes]) -> None:
    """Raise ChannelClosed unless the other party itself said this, after just these words."""
    if not tags.fits(answer.body, *before, _bytes(answer._replace(body=b""))):
        raise ChannelClosed(
            f"the tag of {WHAT} does not fit: the words of the agreement were altered on the way, or the two ends hold"
            " different pads; all unsure keys stay unsure",
            remedy="look for who alters the line; the keys are settled when both parties are connected again",
        )


async def _decide(setup: Setup, ours: Frame, answer: Frame) -> None:
    """Keep the unsure keys that the other party has, destroy the others: of those that it was asked about."""
    has = ids_of(answer, "has")
    for block_id in map(BlockId, ids_of(ours, "unsure")):
        if block_id in has:
            await setup.keep(block_id)
            setup.tell(f"block {block_id}: the other party has it too; kept")
        else:
            await setup.destroy(block_id)
            setup.tell(f"block {block_id}: the other party does not have it; destroyed")

"""How a block ends: run to its key, written, compared with how the other party fared, kept or destroyed."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from qanat.apps.distil.key_files import description
from qanat.apps.distil.record_files import Role
from qanat.apps.distil.setup import Setup
from qanat.apps.distil.talk import PATIENCE_S, Talk
from qanat.apps.distil.terms import Word, said_text
from qanat.apps.distil.word_tags import WordTags, word_pad_bits
from qanat.ground.errors import ChannelClosed, ChannelError, PeerProtocolError, QanatError, VerificationFailed
from qanat.ground.events import Json
from qanat.ground.framing import Frame, encode_frame
from qanat.ground.identifiers import BlockId
from qanat.ground.keys import SecretBytes, SpentBits
from qanat.ground.ledger import Ledger
from qanat.postprocessing.alice import AliceSession
from qanat.postprocessing.bob import BobSession
from qanat.postprocessing.config import DistilledKey
from qanat.quantum_layer.recorded import RecordedDetections, RecordedPreparations
from qanat.quantum_layer.wire import converse

MOST_DROPPED: Final = 3
"""Blocks in a row whose verification may fail before a run is given up."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A block that was begun: its session, its light, and the first slot that is its own."""

    session: AliceSession | BobSession
    source: RecordedDetections | RecordedPreparations
    first_slot: int
    tags: WordTags


def part_pads(spent: SpentBits, *, role: Role, tag_bits: int) -> tuple[SpentBits, WordTags]:
    """Part a block's pads into its session's and those of its two OUTCOMEs, which are the last."""
    secret, size = spent.secret, len(spent.secret)
    place = size - word_pad_bits(tag_bits) // 8
    parts = SpentBits(spent.pool, spent.bits, secret.part(0, place)), secret.part(place, size)
    secret.wipe()
    return parts[0], WordTags(parts[1], role=role, tag_bits=tag_bits)


async def make_key(setup: Setup, talk: Talk, begun: Begun) -> QanatError | None:
    """Run a session to its key or its fault, hear how the other party fared, and keep or destroy the key.

    Returns the fault that must end the run: a block that failed its verification alone is dropped alone. A key is kept
    or destroyed on the other party's own word; raises ChannelError without one, and the key stays unsure.
    """
    try:
        key, fault = await _distil(setup, talk, begun)
        frame = await _exchange(talk, begun, key, fault)
        if key is None:
            return _drop(setup, begun.session, fault, said_text(frame, "fault"))
        if not begun.tags.fits(frame.body, *_outcome_text(begun, frame.header)):
            raise ChannelClosed(
                "the tag of the other party's outcome of a block does not fit: it was altered on the way; the key stays"
                " unsure",
                remedy="look for who alters the line; the key is settled when both parties are connected again",
            )
    finally:
        begun.tags.wipe()
    if frame.header.get("block") == key.block_id:
        await _finish(setup, key, begun)
        return None
    await setup.destroy(key.block_id)
    return _drop(setup, begun.session, None, said_text(frame, "fault"))


async def _distil(setup: Setup, talk: Talk, begun: Begun) -> tuple[DistilledKey | None, QanatError | None]:
    """Return the key, durable and unsure, or why there is none; raises ChannelError.

    A key that could not be made durable is destroyed before the other party is told: nobody was told that it is here.
    """
    key: DistilledKey | None = None
    try:
        key = await converse(begun.session, talk.channel, timeout_s=PATIENCE_S)
        _count_outcomes(key.ledger)
        await _write(setup, key, begun.first_slot)
    except ChannelError:
        raise
    except QanatError as fault:
        if key is not None:
            await setup.destroy(key.block_id)
        return None, fault
    return key, None


def _count_outcomes(ledger: Ledger) -> None:
    """Count the OUTCOMEs' tags, before they are said: a key's file is written before."""
    ledger.tags_sent += 1
    ledger.tags_checked += 1
    ledger.pad_bits_spent += word_pad_bits(ledger.tag_bits)


async def _exchange(talk: Talk, begun: Begun, key: DistilledKey | None, fault: QanatError | None) -> Frame:
    """Say how this party fared, under a tag, and return what the other one is said to say."""
    text = "" if fault is None else fault.message
    header: dict[str, Json] = {"block": "" if key is None else str(key.block_id), "fault": text}
    await talk.say(Word.OUTCOME, header, begun.tags.tag(*_outcome_text(begun, header)))
    return await talk.hear_outcome()


def _outcome_text(begun: Begun, header: Mapping[str, Json]) -> tuple[bytes, bytes]:
    """Return what the tag of an OUTCOME covers: the session's id, of fixed length, and the word."""
    return begun.session.config.session_id.encode(), encode_frame(Word.OUTCOME, header)


async def _write(setup: Setup, key: DistilledKey, first: int) -> None:
    """Make a key durable, unsure yet: a share for the pads to come, the rest in its file."""
    secret = key.secret.take()
    share = min(setup.terms.replenish_bits // 8, len(secret) // 2)
    if share:
        part = SecretBytes(secret[:share])
        await setup.account.add_share(
            BlockId(str(key.block_id)), part, utc_s=setup.clock.utc_s(), eps=key.eps_sec + key.eps_cor
        )
    said = {
        "finished_utc_s": setup.clock.utc_s(),
        "first_slot": first,
        "link_id": setup.terms.link_id,
        "mode": setup.terms.mode,
        "provenance": setup.provenance,
        "record_sha256": setup.record_digest,
        "replenished_bits": 8 * share,
        "role": setup.role,
        **setup.terms.said(first),
    }
    setup.keys.write(key, secret[share:], first_slot=first, said=said)


async def _finish(setup: Setup, key: DistilledKey, begun: Begun) -> None:
    path = await setup.keep(BlockId(str(key.block_id)))
    made, first = setup.made, begun.first_slot
    events = begun.source.num_given if isinstance(begun.source, RecordedDetections) else 0
    replenished = min(setup.terms.replenish_bits, key.num_bits // 16 * 8)
    said = {"events": events, "file": path, "first_slot": first, "replenished_bits": replenished}
    bisect.insort(
        made.blocks, {**description(key), **setup.terms.said(first), **said}, key=lambda one: int(one["first_slot"])
    )
    made.secret_bits += key.num_bits - replenished
    made.dropped_in_a_row = 0
    f_ec = "-" if key.f_ec is None else f"{key.f_ec:.3f}"
    setup.tell(
        f"block {len(made.blocks)}: {key.key_bits:,} bits at QBER {100 * key.qber:.2f} %, f {f_ec}, give"
        f" {key.num_bits:,} secret bits; {await setup.account.left_bits():,} pad bits left"
    )


def _drop(setup: Setup, session: AliceSession | BobSession, fault: QanatError | None, theirs: str) -> QanatError | None:
    """Tell of a block that was lost; return the fault unless the next one may go better."""
    if fault is None:
        fault = PeerProtocolError(f"the other party dropped the block: {theirs}", remedy="look at its messages")
    elif session.was_stopped_by_peer and theirs:
        fault = type(fault)(f"the other party stopped: {theirs}", remedy=fault.remedy)
    setup.made.dropped.append(fault.message)
    setup.made.dropped_in_a_row += 1
    setup.tell(f"a block was dropped, its pads stay spent: {fault.message}")
    if isinstance(fault, VerificationFailed) and setup.made.dropped_in_a_row < MOST_DROPPED:
        return None
    return fault

"""One party's run over one line: agree, then block by block until the record is over.

Pads are spent durably before a session has them, and places of a record are noted as used before anything is told of
them, so that whatever dies, nothing is used twice. A block whose line is lost is lost; the next begins behind it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from qanat.apps.distil.account import LinkAccount
from qanat.apps.distil.key_files import KeyFolder, description
from qanat.apps.distil.record_files import Role
from qanat.apps.distil.terms import Terms, Word, said_ids, said_number, said_range, said_text
from qanat.ground.errors import (
    ChannelClosed,
    ChannelError,
    FrameError,
    KeyManagementError,
    PadExhausted,
    PeerProtocolError,
    QanatError,
    QuantumLayerError,
    VerificationFailed,
)
from qanat.ground.events import Json
from qanat.ground.framing import Frame, decode_frame, encode_frame
from qanat.ground.identifiers import BlockId
from qanat.ground.keys import SecretBytes, SpentBits
from qanat.ground.ports import ClassicalChannel, Clock, Entropy
from qanat.postprocessing.alice import AliceSession
from qanat.postprocessing.bob import BobSession
from qanat.postprocessing.config import DistilledKey
from qanat.quantum_layer.recorded import (
    CHUNK_EVENTS,
    RawDetections,
    RawPreparations,
    RecordedDetections,
    RecordedPreparations,
    SiftedBits,
)
from qanat.quantum_layer.wire import converse

PATIENCE_S: Final = 600.0
"""How long a party that is connected may think; a large block takes minutes on a slow machine."""
LEAST_CHUNK_EVENTS: Final = 2**10
MOST_DROPPED: Final = 3
"""Blocks in a row whose verification may fail before a run is given up."""


@dataclass(slots=True)
class Made:
    """What came of a run: all that is public about each key, and the blocks that were dropped, with the reason."""

    blocks: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    secret_bits: int = 0
    pad_bits_spent: int = 0
    pad_bits_left: int = 0
    dropped_in_a_row: int = 0


@dataclass(frozen=True, slots=True)
class Setup:
    """What a party brings to a run. ``tell`` hears what happens; ``made`` grows over all lines of the run."""

    role: Role
    terms: Terms
    record: RawDetections | RawPreparations | SiftedBits
    record_digest: str
    account: LinkAccount
    keys: KeyFolder
    entropy: Entropy
    clock: Clock
    provenance: str
    tell: Callable[[str], None]
    made: Made = field(default_factory=Made)

    @property
    def first_slot(self) -> int:
        return self.account.first_slot(self.record_digest)

    def advance(self, slot: int) -> None:
        self.account.advance(self.record_digest, slot)


async def run_party(setup: Setup, channel: ClassicalChannel) -> None:
    """Make blocks over a line until the record is over.

    Raises ChannelError when the line is lost, and what a block or an agreement failed of.
    """
    talk = _Talk(channel)
    await _agree(setup, talk)
    if setup.role == "alice":
        while await _alice_round(setup, talk):
            pass
        return
    try:
        while (first := _next_block(setup)) is not None:
            await _bob_round(setup, talk, first)
    except _RecordTooShort as fault:
        await talk.say(Word.END, {"fault": fault.message, "reason": "the record is too short"})
        raise
    left = _left(setup)
    await talk.say(Word.END, {"reason": f"{left} events are left, too few for a block"})


class _RecordTooShort(QuantumLayerError):
    """What is left of Bob's record fills no block at all."""


class _Talk:
    """Words of a run on a line; other frames that are under way when a session has died are passed over."""

    def __init__(self, channel: ClassicalChannel) -> None:
        self.channel = channel

    async def say(self, word: Word, header: dict[str, Json]) -> None:
        await self.channel.send(encode_frame(word, header))

    async def hear(self, *words: Word) -> Frame:
        """Return the next frame, which must be one of these words; raises ChannelError."""
        frame = await self._next()
        if frame.kind not in words:
            raise _no_word(f"a frame of kind {frame.kind} came out of turn")
        return frame

    async def hear_outcome(self) -> Frame:
        """Return how the other party fared; what is left of the session is passed over."""
        while (frame := await self._next()).kind != Word.OUTCOME:
            if frame.kind in set(Word):
                raise _no_word(f"a frame of kind {frame.kind} came out of turn")
        return frame

    async def _next(self) -> Frame:
        data = await self.channel.receive(timeout_s=PATIENCE_S)
        try:
            return decode_frame(data)
        except FrameError as fault:
            raise _no_word(fault.message) from None


def _no_word(what: str) -> ChannelClosed:
    """Return the error for a line whose other end does not speak as a party does: it is given up, the run goes on."""
    return ChannelClosed(
        f"whoever is at the other end of the line does not speak as the other party would: {what}",
        remedy="let only the other party's host reach this port",
    )


async def _agree(setup: Setup, talk: _Talk) -> None:
    """Compare terms, and settle which keys both parties have."""
    said: dict[str, Json] = {"terms": setup.terms.to_json(), "unsure": list(setup.keys.unsure())}
    if setup.role == "bob":
        await talk.say(Word.TERMS, said)
    frame = await talk.hear(Word.TERMS)
    theirs = frame.header.get("terms")
    unsure = said_ids(frame, "unsure")
    if setup.role == "alice":
        await talk.say(Word.TERMS, {**said, "has": list(setup.keys.kept(unsure))})
    setup.terms.check(theirs if isinstance(theirs, dict) else {})
    if setup.role == "bob":
        await _settle(setup, said_ids(frame, "has"))
        await talk.say(Word.TERMS, {"has": list(setup.keys.kept(unsure))})
    else:
        await _settle(setup, said_ids(await talk.hear(Word.TERMS), "has"))


async def _settle(setup: Setup, has: list[str]) -> None:
    """Keep the unsure keys that the other party has, destroy the others."""
    for block_id in setup.keys.unsure():
        if block_id in has:
            await _keep(setup, block_id)
            setup.tell(f"block {block_id}: the other party has it too; kept")
        else:
            setup.keys.destroy(block_id)
            await setup.account.void(block_id)
            setup.tell(f"block {block_id}: the other party does not have it; destroyed")


async def _keep(setup: Setup, block_id: BlockId) -> str:
    if setup.terms.replenish_bits:
        await setup.account.confirm(block_id)
    return str(setup.keys.keep(block_id))


async def _alice_round(setup: Setup, talk: _Talk) -> bool:
    """Make one block; returns False when the other party has no more."""
    frame = await talk.hear(Word.NEXT, Word.END)
    if frame.kind == Word.END:
        if fault := said_text(frame, "fault"):
            raise QuantumLayerError(f"the other party ends the run: {fault}", remedy="look at its messages")
        setup.tell(f"the other party ends the run: {said_text(frame, 'reason')}")
        return False
    first = max(setup.first_slot, said_number(frame, "first"))
    try:
        spent = await setup.account.spend(f"distil {first}", num_bits=setup.terms.pad_bits)
    except PadExhausted as fault:
        await talk.say(Word.END, {"reason": fault.message})
        raise
    await talk.say(Word.PADS, {"first": first, "pads": list(spent.bits.to_json())})
    answer = await talk.hear(Word.READY, Word.END)
    if answer.kind == Word.END:
        spent.secret.wipe()
        raise KeyManagementError(
            f"the other party did not take the pads: {said_text(answer, 'reason')}", remedy="look at its messages"
        )
    config = setup.terms.session(first_slot=first, pads=spent.bits)
    assert not isinstance(setup.record, RawDetections)
    source = RecordedPreparations(setup.record, first_slot=first, on_taken=setup.advance)
    session = AliceSession(config, source, spent, setup.entropy, proof=setup.terms.proof)
    await _run_session(setup, talk, session, first)
    return True


async def _bob_round(setup: Setup, talk: _Talk, first: int) -> None:
    await talk.say(Word.NEXT, {"first": first})
    frame = await talk.hear(Word.PADS, Word.END)
    if frame.kind == Word.END:
        raise PadExhausted(
            f"the other party begins no block: {said_text(frame, 'reason')}", remedy="look at its messages"
        )
    first = max(first, said_number(frame, "first"))
    try:
        spent = await setup.account.spend_range(said_range(frame), num_bits=setup.terms.pad_bits)
    except QanatError as fault:
        await talk.say(Word.END, {"reason": fault.message})
        raise
    await talk.say(Word.READY, {})
    session = _bob_session(setup, spent, first)
    await _run_session(setup, talk, session, first)


def _bob_session(setup: Setup, spent: SpentBits, first: int) -> BobSession:
    """Return Bob's session; his chunks are as long as what the block still needs, so that little is left unused."""
    config = setup.terms.session(first_slot=first, pads=spent.bits)

    def chunk_events() -> int:
        given = source.num_given
        share = session.sifted.num_bits / given if given else most_yield(setup.terms)
        wanted = (config.key_bits - session.sifted.num_bits) / max(share, 0.01)
        wanted = wanted + 3 * math.sqrt(wanted) if given else 0.9 * wanted
        return max(LEAST_CHUNK_EVENTS, min(CHUNK_EVENTS, math.ceil(wanted)))

    assert not isinstance(setup.record, RawPreparations)
    source = RecordedDetections(setup.record, first_slot=first, chunk_events=chunk_events, on_taken=setup.advance)
    session = BobSession(config, source, spent, setup.entropy, proof=setup.terms.proof)
    return session


def most_yield(terms: Terms) -> float:
    """Return how many key bits an event gives at most, on average."""
    p = terms.protocol.p_rectilinear
    p_equal = 1.0 if terms.mode == "sifted" else p**2 + (1 - p) ** 2
    return p_equal * (1 - terms.protocol.signal_disclosed)


def _left(setup: Setup) -> int:
    assert not isinstance(setup.record, RawPreparations)
    return setup.record.events_from(setup.first_slot)


def _next_block(setup: Setup) -> int | None:
    """Return where Bob's next block begins; None when what is left cannot fill one."""
    share = most_yield(setup.terms)
    if setup.terms.mode == "raw" and setup.made.blocks:
        last = setup.made.blocks[-1]
        share = last["key_bits"] / last["events"]
    expected = _left(setup) * share
    if expected - 5 * math.sqrt(expected) >= setup.terms.key_bits:
        return setup.first_slot
    if not setup.made.blocks and not setup.made.dropped:
        raise _RecordTooShort(
            f"{_left(setup):,} events are left in the record, at most {int(expected):,} bits of key; a block takes"
            f" {setup.terms.key_bits:,}",
            remedy="take smaller blocks with --block-bits at both parties, or record longer",
        )
    return None


async def _run_session(setup: Setup, talk: _Talk, session: AliceSession | BobSession, first: int) -> None:
    """Run a session to its key or its fault, hear how the other party fared, and keep or destroy the key."""
    key: DistilledKey | None = None
    fault: QanatError | None = None
    try:
        key = await converse(session, talk.channel, timeout_s=PATIENCE_S)
        await _write(setup, key, first)
    except ChannelError:
        raise
    except QanatError as failure:
        fault = failure
    text = "" if fault is None else fault.message
    await talk.say(Word.OUTCOME, {"block": "" if key is None or fault else str(key.block_id), "fault": text})
    frame = await talk.hear_outcome()
    theirs = said_text(frame, "fault")
    if key is not None and fault is None and frame.header.get("block") == key.block_id:
        await _finish(setup, key, first)
        return
    if key is not None:
        setup.keys.destroy(str(key.block_id))
        await setup.account.void(BlockId(str(key.block_id)))
    _drop(setup, session, fault, theirs)


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
    }
    setup.keys.write(key, secret[share:], first_slot=first, said=said)


async def _finish(setup: Setup, key: DistilledKey, first: int) -> None:
    path = await _keep(setup, BlockId(str(key.block_id)))
    made, record = setup.made, setup.record
    events = (
        0 if isinstance(record, RawPreparations) else record.events_from(first) - record.events_from(setup.first_slot)
    )
    replenished = min(setup.terms.replenish_bits, key.num_bits // 16 * 8)
    made.blocks.append({**description(key), "events": events, "file": path, "replenished_bits": replenished})
    made.secret_bits += key.num_bits - replenished
    made.dropped_in_a_row = 0
    f_ec = "-" if key.f_ec is None else f"{key.f_ec:.3f}"
    setup.tell(
        f"block {len(made.blocks)}: {key.key_bits:,} bits at QBER {100 * key.qber:.2f} %, f {f_ec}, give"
        f" {key.num_bits:,} secret bits; {await setup.account.left_bits():,} pad bits left"
    )


def _drop(setup: Setup, session: AliceSession | BobSession, fault: QanatError | None, theirs: str) -> None:
    """Tell of a block that was lost; raises unless the next one may go better."""
    if fault is None:
        fault = PeerProtocolError(f"the other party dropped the block: {theirs}", remedy="look at its messages")
    elif session.was_stopped_by_peer and theirs:
        fault = type(fault)(f"the other party stopped: {theirs}", remedy=fault.remedy)
    setup.made.dropped.append(fault.message)
    setup.made.dropped_in_a_row += 1
    setup.tell(f"a block was dropped, its pads stay spent: {fault.message}")
    if not isinstance(fault, VerificationFailed) or setup.made.dropped_in_a_row >= MOST_DROPPED:
        raise fault

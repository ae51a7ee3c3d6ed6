"""How a block ends: run to its key, written, compared with how the other party fared, kept or destroyed."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import Final

from qanat.apps.distil.key_files import description
from qanat.apps.distil.setup import Setup
from qanat.apps.distil.talk import PATIENCE_S, Talk
from qanat.apps.distil.terms import Word, said_text
from qanat.ground.errors import ChannelError, PeerProtocolError, QanatError, VerificationFailed
from qanat.ground.identifiers import BlockId
from qanat.ground.keys import SecretBytes
from qanat.postprocessing.alice import AliceSession
from qanat.postprocessing.bob import BobSession
from qanat.postprocessing.config import DistilledKey
from qanat.quantum_layer.recorded import RawPreparations, RecordedDetections, RecordedPreparations
from qanat.quantum_layer.wire import converse

MOST_DROPPED: Final = 3
"""Blocks in a row whose verification may fail before a run is given up."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A block that was begun: its session, its light, and the first slot that is its own."""

    session: AliceSession | BobSession
    source: RecordedDetections | RecordedPreparations
    first_slot: int


async def make_key(setup: Setup, talk: Talk, begun: Begun) -> QanatError | None:
    """Run a session to its key or its fault, hear how the other party fared, and keep or destroy the key.

    Returns the fault that must end the run: a block that failed its verification alone is dropped alone.
    """
    key: DistilledKey | None = None
    fault: QanatError | None = None
    try:
        key = await converse(begun.session, talk.channel, timeout_s=PATIENCE_S)
        await _write(setup, key, begun.first_slot)
    except ChannelError:
        raise
    except QanatError as failure:
        fault = failure
    text = "" if fault is None else fault.message
    await talk.say(Word.OUTCOME, {"block": "" if key is None or fault else str(key.block_id), "fault": text})
    frame = await talk.hear_outcome()
    if key is not None and fault is None and frame.header.get("block") == key.block_id:
        await _finish(setup, key, begun)
        return None
    if key is not None:
        await setup.destroy(BlockId(str(key.block_id)))
    return _drop(setup, begun.session, fault, said_text(frame, "fault"))


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
    made, record, first = setup.made, setup.record, begun.first_slot
    events = (
        0
        if isinstance(record, RawPreparations)
        else record.events_from(first) - record.events_from(begun.source.next_slot)
    )
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

"""One party's run over one line: agree, then blocks, several side by side, until the record is over.

Pads are spent durably before a session has them, and places of a record are noted as used before anything is told of
them, so that whatever dies, nothing is used twice. Blocks whose line is lost are lost; the next begins behind them.
"""

from __future__ import annotations

from typing import Final

from qanat.apps.distil.alice_blocks import AliceBlocks
from qanat.apps.distil.bob_blocks import BobBlocks
from qanat.apps.distil.in_flight import MOST_IN_FLIGHT, Pace, most_in_flight
from qanat.apps.distil.settlement import ids_of, settle_as_alice, settle_as_bob
from qanat.apps.distil.setup import Setup
from qanat.apps.distil.talk import PATIENCE_S, Talk, no_word
from qanat.apps.distil.terms import MOST_IDS, Word, said_number
from qanat.ground.errors import ChannelError, FrameError
from qanat.ground.events import Json
from qanat.ground.framing import Frame
from qanat.ground.lanes import Lanes
from qanat.ground.ports import ClassicalChannel

NUM_ECHOES: Final = 4
"""Exchanges by which the line's delay is measured, of which the least counts: in one of them a machine may be busy."""


async def run_party(setup: Setup, channel: ClassicalChannel) -> None:
    """Make blocks over a line until the record is over.

    Raises ChannelError when the line is lost, and what a block or an agreement failed of.
    """
    talk = Talk(channel)
    lanes = Lanes(channel, timeout_s=PATIENCE_S, clock=setup.clock)
    blocks = await (_agree_as_alice if setup.role == "alice" else _agree_as_bob)(setup, talk, lanes)
    setup.ending.lanes = lanes
    try:
        await blocks.run()
        _tell_of_before(setup)
    except ChannelError:
        if len(lanes):
            setup.tell(f"{len(lanes)} blocks are lost with the line, their pads stay spent")
        if blocks.fault is not None:
            raise blocks.fault from None
        raise
    finally:
        setup.ending.lanes = None
        lanes.close()


def _tell_of_before(setup: Setup) -> None:
    """Where no block was made, say where those are that the record gave before: it may be used up."""
    if setup.first_slot and not setup.made.blocks and not setup.made.dropped:
        count = setup.keys.num_of(setup.record_digest)
        setup.tell(
            f"this record was used before, up to slot {setup.first_slot:,}; {count:,} key{'s' * (count != 1)} of it"
            f" {'are' if count != 1 else 'is'} in {setup.keys.folder}"
        )


async def _agree_as_alice(setup: Setup, talk: Talk, lanes: Lanes) -> AliceBlocks:
    """Compare terms, and settle which keys both parties have, when either is unsure of some."""
    theirs = await talk.hear(Word.TERMS)
    said = _said(setup)
    said["settle"] = bool(said["unsure"] or ids_of(theirs, "unsure"))
    await talk.say(Word.TERMS, said)
    _check(setup, theirs)
    if said["settle"]:
        await settle_as_alice(setup, talk, ours=Frame(Word.TERMS, said), theirs=theirs)
    for _ in range(NUM_ECHOES):
        await talk.hear(Word.ECHO)
        await talk.say(Word.ECHO, {})
    return AliceBlocks(setup, lanes, most=_most(setup))


async def _agree_as_bob(setup: Setup, talk: Talk, lanes: Lanes) -> BobBlocks:
    """Compare terms, and settle which keys both parties have; measure how long the line takes.

    Whether there is something to settle is hers to say; while he has unsure keys he goes on with nobody who says no.
    """
    said = _said(setup)
    await talk.say(Word.TERMS, said)
    theirs = await talk.hear(Word.TERMS)
    _check(setup, theirs)
    if theirs.header.get("settle") is True:
        await settle_as_bob(setup, talk, ours=Frame(Word.TERMS, said), theirs=theirs)
    elif said["unsure"]:
        raise no_word("it passes over the keys that are unsure here")
    most = min(_most(setup), _said_most(theirs))
    round_trip_s = await _round_trip_s(setup, talk)
    pace = Pace(key_bits=setup.terms.key_bits, round_trip_s=round_trip_s, most=most, fixed=setup.in_flight)
    return BobBlocks(setup, talk, lanes, pace)


async def _round_trip_s(setup: Setup, talk: Talk) -> float:
    """Return how long a word and its answer take on the line, seconds: the least of a few."""
    taken_s = []
    for _ in range(NUM_ECHOES):
        since_s = setup.clock.monotonic_s()
        await talk.say(Word.ECHO, {})
        await talk.hear(Word.ECHO)
        taken_s.append(setup.clock.monotonic_s() - since_s)
    return min(taken_s)


def _said(setup: Setup) -> dict[str, Json]:
    """Return what a party says of itself."""
    return {"in_flight": _most(setup), "terms": setup.terms.to_json(), "unsure": list(setup.keys.unsure()[:MOST_IDS])}


def _most(setup: Setup) -> int:
    """Return how many blocks this party takes at once."""
    return most_in_flight(setup.terms.key_bits, chosen=setup.in_flight)


def _said_most(frame: Frame) -> int:
    try:
        return max(1, min(MOST_IN_FLIGHT, said_number(frame, "in_flight")))
    except FrameError as fault:
        raise no_word(fault.message) from None


def _check(setup: Setup, frame: Frame) -> None:
    theirs = frame.header.get("terms")
    setup.terms.check(theirs if isinstance(theirs, dict) else {})

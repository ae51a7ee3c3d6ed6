"""One party's run over one line: agree, then blocks, several side by side, until the record is over.

Pads are spent durably before a session has them, and places of a record are noted as used before anything is told of
them, so that whatever dies, nothing is used twice. Blocks whose line is lost are lost; the next begins behind them.
"""

from __future__ import annotations

from qanat.apps.distil.alice_blocks import AliceBlocks
from qanat.apps.distil.bob_blocks import BobBlocks
from qanat.apps.distil.in_flight import MOST_IN_FLIGHT, Pace, most_in_flight
from qanat.apps.distil.setup import Setup
from qanat.apps.distil.talk import PATIENCE_S, Talk, no_word
from qanat.apps.distil.terms import Word, said_ids, said_number
from qanat.ground.errors import ChannelError, FrameError
from qanat.ground.events import Json
from qanat.ground.framing import Frame
from qanat.ground.lanes import Lanes
from qanat.ground.ports import ClassicalChannel


async def run_party(setup: Setup, channel: ClassicalChannel) -> None:
    """Make blocks over a line until the record is over.

    Raises ChannelError when the line is lost, and what a block or an agreement failed of.
    """
    talk = Talk(channel)
    lanes = Lanes(channel, timeout_s=PATIENCE_S, clock=setup.clock)
    blocks = await (_agree_as_alice if setup.role == "alice" else _agree_as_bob)(setup, talk, lanes)
    try:
        await blocks.run()
    except ChannelError:
        if len(lanes):
            setup.tell(f"{len(lanes)} blocks are lost with the line, their pads stay spent")
        if blocks.fault is not None:
            raise blocks.fault from None
        raise
    finally:
        lanes.close()


async def _agree_as_alice(setup: Setup, talk: Talk, lanes: Lanes) -> AliceBlocks:
    """Compare terms, and settle which keys both parties have."""
    theirs = await talk.hear(Word.TERMS)
    said = _said(setup)
    await talk.say(Word.TERMS, {**said, "has": list(setup.keys.kept(said_ids(theirs, "unsure")))})
    _check(setup, theirs)
    await _settle(setup, said_ids(await talk.hear(Word.TERMS), "has"))
    return AliceBlocks(setup, lanes, most=_most(setup))


async def _agree_as_bob(setup: Setup, talk: Talk, lanes: Lanes) -> BobBlocks:
    """Compare terms, and settle which keys both parties have; measure how long the line takes."""
    await talk.say(Word.TERMS, _said(setup))
    since_s = setup.clock.monotonic_s()
    theirs = await talk.hear(Word.TERMS)
    round_trip_s = setup.clock.monotonic_s() - since_s
    _check(setup, theirs)
    unsure = said_ids(theirs, "unsure")
    await _settle(setup, said_ids(theirs, "has"))
    await talk.say(Word.TERMS, {"has": list(setup.keys.kept(unsure))})
    most = min(_most(setup), _said_most(theirs))
    pace = Pace(key_bits=setup.terms.key_bits, round_trip_s=round_trip_s, most=most, fixed=setup.in_flight)
    return BobBlocks(setup, talk, lanes, pace)


def _said(setup: Setup) -> dict[str, Json]:
    """Return what a party says of itself."""
    return {"in_flight": _most(setup), "terms": setup.terms.to_json(), "unsure": list(setup.keys.unsure())}


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


async def _settle(setup: Setup, has: list[str]) -> None:
    """Keep the unsure keys that the other party has, destroy the others."""
    for block_id in setup.keys.unsure():
        if block_id in has:
            await setup.keep(block_id)
            setup.tell(f"block {block_id}: the other party has it too; kept")
        else:
            await setup.destroy(block_id)
            setup.tell(f"block {block_id}: the other party does not have it; destroyed")

"""Bob's blocks on one line: he begins them, one lane for each, as many side by side as the line's delay asks for.

A block begins where the last chunk of those before it ends. That is known as soon as the chunk is announced, when it
is sure to fill its block (almost: what is missing now and then comes from behind the blocks that were begun meanwhile);
otherwise when the block before is sifted. So a few blocks are sifted at once, and more are corrected, verified and
amplified side by side. Pads are asked for before. The first block of a line goes alone until its error rate is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from qanat.apps.distil.ending import BY_USER
from qanat.apps.distil.in_flight import MOST_AHEAD, Pace, Progress
from qanat.apps.distil.outcome import Begun, make_key, part_pads
from qanat.apps.distil.setup import Setup
from qanat.apps.distil.talk import Talk, no_word
from qanat.apps.distil.terms import Terms, Word, said_number, said_range, said_text
from qanat.ground.errors import FrameError, PadExhausted, QanatError, QuantumLayerError
from qanat.ground.framing import Frame
from qanat.ground.keys import SpentBits
from qanat.ground.lanes import Lane, Lanes
from qanat.postprocessing.bob import BobSession
from qanat.quantum_layer.recorded import CHUNK_EVENTS, RawPreparations, RecordedDetections, start_near

USED_UP: Final = "this record is used up"
LEAST_CHUNK_EVENTS: Final = 2**10
NO_RANGE: Final = "no range of the counts is left: each makes one block, and one that was begun is used"
MOST_SPARE: Final = 0.005
"""What a chunk that is to fill a block alone may hold too much: it is left unused."""
MOST_SPARE_FAR: Final = 0.02
"""The same over a long line, where waiting for a block to be sifted costs more than the light that is left unused."""
FAR_S: Final = 0.002
SURE: Final = 5.0
"""Standard deviations: a chunk that is to fill a block falls short once in some million."""
MOST_SIFTING: Final = 3
"""Blocks that may still be sifted when one more begins. Each holds its chunk as columns, a dozen bytes an event, at
either party."""


class RecordTooShort(QuantumLayerError):
    """What is left of Bob's record fills no block at all."""


@dataclass(slots=True, eq=False)
class _Block:
    """A block in its lane."""

    number: int
    begun: Begun | None = None
    is_filled: bool = False
    """Whether a chunk was announced that is sure to fill it, almost."""
    is_over: bool = False

    @property
    def is_sifted(self) -> bool:
        """Whether its key is full: Bob has said his tag of sifting."""
        return self.is_over or (self.begun is not None and self.begun.session.ledger.tags_sent > 0)

    @property
    def is_placed(self) -> bool:
        """Whether the next block's place in the record is known."""
        return self.is_filled or self.is_sifted

    @property
    def error_rate_is_known(self) -> bool:
        return self.is_over or (self.begun is not None and self.begun.session.ledger.tags_checked > 0)

    @property
    def tells_nothing_more(self) -> bool:
        """Whether those that come after it wait for it no more."""
        return self.error_rate_is_known if self.number == 1 else self.is_sifted


class BobBlocks:
    """Begins blocks until the record is over. ``fault``: what must end the run, as far as he knows."""

    def __init__(self, setup: Setup, talk: Talk, lanes: Lanes, pace: Pace) -> None:
        self.fault: QanatError | None = None
        self._setup = setup
        self._key_bits = setup.terms.key_bits  # asked for at every frame
        self._talk = talk
        self._lanes = lanes
        self._pace = pace
        self._sifting: list[_Block] = []
        """Blocks in order, until they are sifted; the first, until its error rate is known."""
        self._num_begun = 0
        self._over = ""
        """Why the other party wishes to begin no more, though nothing failed."""
        self._share: float | None = None

    async def run(self) -> None:
        """Make blocks until the record is over; raises ChannelError, RecordTooShort, and what a block failed of."""
        try:
            while True:
                while self._may_begin():
                    await self._lanes.open(self._block)
                if not len(self._lanes):
                    break
                await self._hear()
        except RecordTooShort as fault:
            await self._talk.say(Word.END, {"fault": fault.message, "reason": "the record is too short"})
            raise
        if self.fault is not None:
            await self._talk.say(Word.END, {"fault": self.fault.message, "reason": "a block failed"})
            raise self.fault
        await self._talk.say(Word.END, {"reason": self._why_over()})

    def _why_over(self) -> str:
        if self._over:
            self._setup.tell(f"the other party ends the run: {self._over}")
            return "as you wished"
        if self._setup.ending.is_asked:
            return BY_USER
        left = f"{self._left():,} events are left, too few for a block of {self._key_bits:,} bits"
        why = left if self._setup.terms.counts is None else NO_RANGE
        made = self._setup.made
        return why if self._num_begun or made.blocks or made.dropped else f"{USED_UP}: {why}"

    async def _hear(self) -> None:
        """Take one frame; what is still under way in a lane that was closed is passed over."""
        try:
            heard = await self._lanes.hear()
        except FrameError as fault:
            raise no_word(fault.message) from None
        if heard is not None and not 1 <= heard.lane <= self._lanes.last_opened:
            raise no_word("a frame came for no block")

    def _may_begin(self) -> bool:
        """Return whether the next block should be begun now; raises RecordTooShort when there is none at all."""
        if self.fault is not None or self._over or self._setup.ending.is_asked:
            return False
        if len(self._lanes) >= self._pace.wanted(self._progress()):
            return False
        self._pass_sifted()
        if not self._sifting:
            return self._next_block()
        newest = self._sifting[-1]
        if newest.number == 1 or sum(one.begun is None for one in self._sifting) >= MOST_AHEAD:
            return False
        if self._setup.terms.counts is not None:
            return newest.begun is not None and self._setup.terms.next_start(newest.begun.first_slot + 1) is not None
        return self._fills_a_block(self._left() - sum(map(self._still_wanted, self._sifting)))

    def _pass_sifted(self) -> None:
        """Forget the blocks that are sifted, and learn from them."""
        for one in self._sifting:
            if one.tells_nothing_more:
                self._learn(one)
        self._sifting = [one for one in self._sifting if not one.tells_nothing_more]

    def _is_next(self, block: _Block) -> bool:
        """Return whether a block's place in the record is known, and no more are being sifted than may be."""
        before = [one for one in self._sifting if one.number < block.number and not one.is_sifted]
        return len(before) < MOST_SIFTING and all(one.is_placed for one in before)

    def _next_block(self) -> bool:
        """Return whether what is left fills a block, all blocks before being sifted.

        Raises RecordTooShort when nothing of the record was used and all of it fills none.
        """
        terms, left = self._setup.terms, self._left()
        if terms.counts is not None:
            return terms.next_start(self._setup.first_slot) is not None
        if self._fills_a_block(left):
            return True
        if not self._setup.first_slot:
            raise RecordTooShort(
                f"the record has {left:,} events, at most {int(left * most_yield(terms)):,} bits of key; a block takes"
                f" {self._key_bits:,}",
                remedy="take smaller blocks with --block-bits at both parties, or record longer",
            )
        return False

    def _fills_a_block(self, events: float) -> bool:
        expected = max(0.0, events * self._key_share())
        return expected - 5 * math.sqrt(expected) >= self._key_bits

    def _still_wanted(self, block: _Block) -> float:
        """Return how many events more a block will take, about, at the most."""
        if block.is_sifted:
            return 0.0
        begun, enough = block.begun, enough_events(self._key_bits, share=self._key_share())
        if begun is None:
            return enough
        assert isinstance(begun.source, RecordedDetections)
        return max(float(LEAST_CHUNK_EVENTS), enough - begun.source.num_given)

    def _key_share(self) -> float:
        """Return how many key bits an event gives: what the last blocks gave, before any at most."""
        made = self._setup.made.blocks
        if self._setup.terms.mode == "raw" and self._share is None and made:
            return float(made[-1]["key_bits"] / made[-1]["events"])
        return self._share or most_yield(self._setup.terms)

    def _left(self) -> int:
        record = self._setup.record
        assert not isinstance(record, RawPreparations)
        return record.events_from(self._setup.first_slot)

    def _progress(self) -> Progress:
        now_s = self._setup.clock.monotonic_s()
        return Progress(now_s, self._lanes.waited_s, self._lanes.last_opened)

    async def _block(self, lane: Lane) -> None:
        block = _Block(lane.number)
        self._sifting.append(block)
        try:
            await self._make(lane, Talk(lane), block)
        finally:
            block.is_over = True
        self._pace.note_end(self._progress(), round_trips=lane.num_heard)

    async def _make(self, lane: Lane, talk: Talk, block: _Block) -> None:
        setup = self._setup
        since_s = setup.clock.monotonic_s()
        await talk.say(Word.NEXT, {"first": setup.first_slot})
        frame = await talk.hear(Word.PADS, Word.END)
        self._pace.note_answer(setup.clock.monotonic_s() - since_s)
        if frame.kind == Word.END:
            self._note_over(frame)
            return
        spent = await self._take_pads(talk, frame)
        if spent is None:
            return
        await lane.until(lambda: self._is_next(block))
        self._pass_sifted()
        setup.pass_over(said_number(frame, "first"))  # what she has used already is no use here
        proof = setup.terms.proof_of("bob", spent.secret)
        reason = self._why_not()
        if reason:
            spent.secret.wipe()
            await talk.say(Word.END, {"proof": proof, "reason": reason})
            return
        first = setup.terms.next_start(setup.first_slot)
        assert first is not None
        if not isinstance(setup.record, RawPreparations):
            first = start_near(setup.record, first)
        await talk.say(Word.READY, {"first": first, "proof": proof})
        block.begun = self._begin(block, spent, first)
        self._num_begun += 1
        self.fault = await make_key(setup, talk, block.begun) or self.fault

    def _note_over(self, frame: Frame) -> None:
        """Note why she begins no more blocks: what failed, else that her user ends the run."""
        if fault := said_text(frame, "fault"):
            self.fault = self.fault or PadExhausted(
                f"the other party begins no block: {fault}", remedy="look at its messages"
            )
        self._over = said_text(frame, "reason") or "no reason given"

    def _why_not(self) -> str:
        """Return why a block whose pads were taken cannot begin after all; empty when it can."""
        if self.fault is not None:
            return "a block before it failed"
        try:
            return "" if self._next_block() else "what is left of the record fills no block"
        except RecordTooShort as fault:
            return fault.message  # raised again, for the run, when the lane is closed

    async def _take_pads(self, talk: Talk, frame: Frame) -> SpentBits | None:
        try:
            terms = self._setup.terms
            spent = await self._setup.account.spend_range(said_range(frame), num_bits=terms.pad_bits)
            terms.check_proof(frame, "alice", spent.secret)
            return spent
        except QanatError as fault:
            await talk.say(Word.END, {"fault": fault.message, "reason": "the pads cannot be taken"})
            self.fault = fault
            return None

    def _learn(self, block: _Block) -> None:
        """Take from a block how many key bits an event gives."""
        begun, record = block.begun, self._setup.record
        if begun is None or not begun.session.ledger.tags_sent or self._setup.terms.mode == "sifted":
            return  # of sifted bits there is nothing to learn: every event has equal bases
        assert isinstance(begun.source, RecordedDetections)
        assert not isinstance(record, RawPreparations)
        end = begun.first_slot + begun.session.link_slots
        spare = record.events_from(end) - record.events_from(begun.source.next_slot)
        self._share = self._key_bits / max(1, begun.source.num_given - spare)

    def _begin(self, block: _Block, spent: SpentBits, first: int) -> Begun:
        """Return the block; its chunks are as long as it still needs, so that little is left unused."""
        setup = self._setup
        config = setup.terms.session(first_slot=first, pads=spent.bits)

        def chunk_events() -> int:
            given, sifted_bits = source.num_given, session.sifted.num_bits
            share = max(0.01, sifted_bits / given if given else self._key_share())
            wanted_bits = config.key_bits - sifted_bits
            enough = enough_events(wanted_bits, share=share)
            is_sure = bool(given) or setup.terms.mode == "sifted" or self._share is not None
            most_spare = MOST_SPARE_FAR if self._pace.round_trip_s > FAR_S else MOST_SPARE
            if not given and (not is_sure or enough > (1 + most_spare) * wanted_bits / share):
                is_sure, enough = False, 0.9 * wanted_bits / share
            events = max(LEAST_CHUNK_EVENTS, min(CHUNK_EVENTS, math.ceil(enough)))
            block.is_filled = is_sure and events >= enough and setup.terms.counts is None
            return events

        part = setup.terms.part_for(setup.record, first)
        assert not isinstance(part, RawPreparations)
        source = RecordedDetections(
            part,
            first_slot=first,
            chunk_events=chunk_events,
            first_free=lambda: setup.first_slot,
            on_taken=setup.advance,
        )
        pads, tags = part_pads(spent, role=setup.role, tag_bits=config.tag_bits)
        session = BobSession(config, source, pads, setup.entropy, proof=setup.terms.proof(first))
        return Begun(session, source, first, tags)


def enough_events(key_bits: float, *, share: float) -> float:
    """Return how many events give so many key bits, almost always, where each gives ``share`` of a bit on average."""
    expected = key_bits / share
    return expected + SURE * math.sqrt(expected * max(0.0, 1 - share) / share)


def most_yield(terms: Terms) -> float:
    """Return how many key bits an event gives at most, on average."""
    p = terms.protocol.p_rectilinear
    p_equal = 1.0 if terms.mode == "sifted" else p**2 + (1 - p) ** 2
    return p_equal * (1 - terms.protocol.signal_disclosed)

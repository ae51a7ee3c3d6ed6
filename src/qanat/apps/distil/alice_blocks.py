"""Alice's blocks on one line: she answers, one lane for each block, and spends its pads before she names them."""

from __future__ import annotations

from functools import partial
from typing import Final

from qanat.apps.distil.ending import BY_USER
from qanat.apps.distil.in_flight import MOST_AHEAD
from qanat.apps.distil.outcome import Begun, make_key, part_pads
from qanat.apps.distil.setup import Setup
from qanat.apps.distil.talk import Talk, no_word
from qanat.apps.distil.terms import Word, said_number, said_text
from qanat.ground.errors import (
    ChannelClosed,
    FrameError,
    KeyManagementError,
    PadExhausted,
    PeerProtocolError,
    QanatError,
    QuantumLayerError,
)
from qanat.ground.framing import Frame, decode_frame
from qanat.ground.keys import SpentBits
from qanat.ground.lanes import Heard, Lane, Lanes
from qanat.postprocessing.alice import AliceSession
from qanat.postprocessing.records import Preparations, SlotArray
from qanat.quantum_layer.recorded import RawDetections, RecordedPreparations

NO_LANE: Final = "a block was begun out of turn, or is one more than was agreed"
NO_PROOF: Final = "a block was begun before it was shown for those before that their pads are held there"


class AliceBlocks:
    """Makes the blocks that Bob begins until he ends the run. ``fault``: what must end it, as far as she knows."""

    def __init__(self, setup: Setup, lanes: Lanes, *, most: int) -> None:
        """``most``: how many blocks she takes at once."""
        self.fault: QanatError | None = None
        self._setup = setup
        self._lanes = lanes
        self._most = most
        self._num_ended = 0
        self._num_unproven = 0
        """Lanes whose pads she may have spent, of which nobody has shown yet that he holds them too."""
        self._most_unproven = 1
        """Somebody without the link's key costs her no more blocks' pads than this, however he came by the line."""

    async def run(self) -> None:
        """Answer until Bob ends the run; raises ChannelError, and what a block or Bob's record failed of."""
        while (end := await self._hear()) is None:
            pass
        if self.fault is not None:
            raise self.fault
        if fault := said_text(end, "fault"):
            raise QuantumLayerError(f"the other party ends the run: {fault}", remedy="look at its messages")
        self._setup.tell(f"the other party ends the run: {said_text(end, 'reason')}")

    async def _hear(self) -> Frame | None:
        """Take one frame; returns the one that ends the run."""
        try:
            heard = await self._lanes.hear()
            if heard is None:
                return None
            if heard.lane:
                await self._open(heard)
                return None
            frame = decode_frame(heard.data)
        except FrameError as fault:
            raise no_word(fault.message) from None
        if frame.kind != Word.END or len(self._lanes):
            raise no_word(f"a frame of kind {frame.kind} came out of turn")
        return frame

    async def _open(self, heard: Heard) -> None:
        """Open the lane of a new block; what is still under way in a lane that was closed is passed over."""
        if heard.lane <= self._lanes.last_opened:
            return
        if heard.lane != self._lanes.last_opened + 1 or len(self._lanes) >= self._most:
            raise no_word(NO_LANE)
        if self._num_unproven >= self._most_unproven:
            raise no_word(NO_PROOF)
        self._num_unproven += 1
        await self._lanes.open(self._block, first=heard.data)

    async def _block(self, lane: Lane) -> None:
        try:
            await self._make(lane, Talk(lane))
        finally:
            self._num_ended += 1

    async def _make(self, lane: Lane, talk: Talk) -> None:
        setup = self._setup
        wanted = said_number(await talk.hear(Word.NEXT), "first")
        if self.fault is not None or setup.ending.is_asked:
            await self._begin_none(talk)
            return
        try:
            spent = await self._spend(lane, f"distil {max(setup.first_slot, wanted)}")
        except PadExhausted as fault:
            self.fault = fault
            await self._begin_none(talk)
            return
        proof = setup.terms.proof_of("alice", spent.secret)
        await talk.say(Word.PADS, {"first": setup.first_slot, "pads": list(spent.bits.to_json()), "proof": proof})
        answer = await talk.hear(Word.READY, Word.END)
        if answer.kind == Word.END and said_text(answer, "fault"):
            spent.secret.wipe()
            self._note_refused(answer)
            return
        self._check_proof(answer, spent)
        if answer.kind == Word.END:
            spent.secret.wipe()
            setup.tell(f"a block was not begun, its pads stay spent: {said_text(answer, 'reason')}")
            return
        first = max(setup.first_slot, said_number(answer, "first"))
        if setup.terms.next_start(first) != first:
            raise no_word(f"a block was begun at {first}, where no range of the counts begins")
        begun = self._begin(spent, first)
        self.fault = await make_key(setup, talk, begun) or self.fault

    async def _begin_none(self, talk: Talk) -> None:
        """Say why she begins no block: a fault, or that the run is over as a record is."""
        fault = "" if self.fault is None else self.fault.message
        await talk.say(Word.END, {"fault": fault, "reason": fault or BY_USER})

    def _check_proof(self, answer: Frame, spent: SpentBits) -> None:
        """Let nobody without the link's key move her forward in her record, or begin block after block.

        Raises ChannelClosed: the line is over.
        """
        try:
            self._setup.terms.check_proof(answer, "bob", spent.secret)
        except PeerProtocolError as fault:
            spent.secret.wipe()
            raise ChannelClosed(fault.message, remedy=fault.remedy) from None
        self._num_unproven -= 1
        self._most_unproven = MOST_AHEAD

    async def _spend(self, lane: Lane, request: str) -> SpentBits:
        """Take a block's pads; while there are none, blocks in flight may bring some. Raises PadExhausted."""
        while True:
            num_ended = self._num_ended
            try:
                return await self._setup.account.spend(request, num_bits=self._setup.terms.pad_bits)
            except PadExhausted:
                if not self._setup.terms.replenish_bits or len(self._lanes) == 1:
                    raise
            await lane.until(partial(self._more_have_ended, num_ended))

    def _more_have_ended(self, num_ended: int) -> bool:
        return self._num_ended > num_ended

    def _note_refused(self, answer: Frame) -> None:
        """Note that he cannot take the pads: it needs no proof, for the run ends and no more are spent."""
        self.fault = KeyManagementError(
            f"the other party did not take the pads: {said_text(answer, 'fault')}", remedy="look at its messages"
        )

    def _begin(self, spent: SpentBits, first: int) -> Begun:
        setup = self._setup
        part, choose = setup.terms.part_for(setup.record, first), setup.terms.choice(first)
        assert not isinstance(part, RawDetections)
        config = setup.terms.session(first_slot=first, pads=spent.bits)
        source = _ToldOnce(setup, RecordedPreparations(part, first_slot=first, on_taken=setup.advance))
        pads, tags = part_pads(spent, role=setup.role, tag_bits=config.tag_bits)
        session = AliceSession(config, source, pads, setup.entropy, proof=setup.terms.proof(first), choose=choose)
        return Begun(session, source.source, first, tags)


class _ToldOnce:
    """A block's preparations; what another block was told already is refused, whichever lane asks."""

    def __init__(self, setup: Setup, source: RecordedPreparations) -> None:
        self._setup = setup
        self.source = source

    def reveal(self, slots: SlotArray, /) -> Preparations:
        """Return her preparations; raises QuantumLayerError."""
        if slots.size and int(slots[0]) < self._setup.first_slot:
            raise QuantumLayerError(
                f"preparations were asked for slot {int(slots[0])}; those before {self._setup.first_slot} were told",
                remedy="the announcement is wrong or repeated: the block is lost, start the next one",
            )
        return self.source.reveal(slots)

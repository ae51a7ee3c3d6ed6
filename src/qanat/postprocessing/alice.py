"""Alice's session: she prepared the light, answers, and draws what is random and public."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from qanat.ground.errors import FrameError
from qanat.ground.framing import Frame
from qanat.ground.identifiers import BlockId
from qanat.ground.keys import SecretBytes, SpentBits
from qanat.ground.ports import Entropy
from qanat.postprocessing.config import SecretLengthProof, SessionConfig
from qanat.postprocessing.disclosure import SignalChoice, choose_signal
from qanat.postprocessing.party import Party, as_message
from qanat.postprocessing.reconciliation.methods import METHODS
from qanat.postprocessing.reconciliation.port import Answerer
from qanat.postprocessing.records import PreparationSource, SlotArray
from qanat.postprocessing.sifting import (
    MAX_CHUNK_SLOTS,
    MAX_DELTA_BYTES,
    NONCE_BYTES,
    Told,
    count_ones,
    decode_slots,
)
from qanat.postprocessing.verification import clear_padding, hash_key_bytes, num_hash_bits, verification_hash
from qanat.postprocessing.wire import Kind, PlaneReader, read_int
from qanat.protocols.decoy import DecoyCounts, SecretLength
from qanat.protocols.finite_key import secret_length

SEED_PIECE_BYTES = 2**22
"""A longer Toeplitz seed is cut into pieces of this size."""
MAX_SLOT = 2**62


@dataclass(slots=True)
class _Announced:
    """What Bob announced of a chunk."""

    first_slot: int
    num_slots: int
    slots: SlotArray


class AliceSession(Party):
    """The session of the party that prepares: ``ground.ports.Session[DistilledKey]``."""

    sends_first_half = True

    def __init__(
        self,
        config: SessionConfig,
        preparations: PreparationSource,
        pads: SpentBits | SecretBytes,
        entropy: Entropy,
        *,
        proof: SecretLengthProof = secret_length,
        choose: SignalChoice = choose_signal,
    ) -> None:
        """``choose``: which signal events are disclosed; by default each at the odds of the protocol, by itself."""
        super().__init__(config, pads, entropy, proof=proof)
        self._preparations = preparations
        self._choose = choose
        self._next_slot = 0
        self._announced: _Announced | None = None
        self._told: Told | None = None
        self._key = self._key_bases = self._seed = b""
        self._answerer: Answerer | None = None
        self._length: tuple[DecoyCounts, SecretLength, int] | None = None

    def start(self) -> Sequence[bytes]:
        """Return her greeting with the id of the block to come."""
        self.block_id = BlockId(str(uuid.UUID(bytes=self.entropy.public_bytes(16), version=4)))
        self._expect({Kind.HELLO: self._on_hello})
        header = {"block": self.block_id, "config": self.config.digest(), "session": self.config.session_id}
        return [self._frame(Kind.HELLO, header)]

    def _on_hello(self, frame: Frame) -> list[bytes]:
        self._check_hello(frame)
        self._expect({Kind.SLOTS: self._on_slots})
        return []

    def _on_slots(self, frame: Frame) -> list[bytes]:
        self._count_chunk()
        first_slot = read_int(frame, "first", low=self._next_slot, high=MAX_SLOT)
        num_slots = read_int(frame, "slots", low=1, high=MAX_CHUNK_SLOTS)
        num_events = read_int(frame, "events", low=0, high=self.config.max_chunk_events)
        width = read_int(frame, "width", low=1, high=MAX_DELTA_BYTES)
        slots = decode_slots(frame.body, width=width, num_events=num_events, first_slot=first_slot, num_slots=num_slots)
        self._announced = _Announced(first_slot, num_slots, slots)
        self._expect({Kind.BASES: self._on_bases})
        return [self._frame(Kind.COMMIT, body=self.entropy.public_bytes(NONCE_BYTES))]

    def _on_bases(self, frame: Frame) -> list[bytes]:
        announced = self._announced
        assert announced is not None
        spoken = {"events": announced.slots.size, "first": announced.first_slot, "slots": announced.num_slots}
        if dict(frame.header) != spoken:
            raise FrameError("bases came for another chunk than the slots")
        reader = PlaneReader(frame.body)
        reader.raw(NONCE_BYTES)
        bases = reader.plane(announced.slots.size)
        reader.end()
        message, self._told = self.sifted.sift(
            self._preparations.reveal(announced.slots),
            bases,
            p_disclosed=self.config.protocol.signal_disclosed,
            entropy=self.entropy,
            choose=self._choose,
        )
        self._next_slot = announced.first_slot + announced.num_slots
        self._count_slots(announced, message.num_used)
        self._expect({Kind.DISCLOSED: self._on_disclosed})
        header = {
            "matched": message.num_matched,
            "signal": message.num_signal,
            "told": message.num_told,
            "used": message.num_used,
        }
        return [self._frame(Kind.SIFTED, header, message.body)]

    def _on_disclosed(self, frame: Frame) -> list[bytes]:
        assert self._told is not None
        reader = PlaneReader(frame.body)
        theirs = reader.plane(self._told.num_events)
        reader.end()
        self.sifted.compare(self._told, theirs)
        self.ledger.estimation_bits += self._told.num_events
        self._told = None
        if self.sifted.is_full:
            self._expect({Kind.TAG: self._on_sift_tag})
        else:
            self._expect({Kind.SLOTS: self._on_slots})
        return []

    def _on_sift_tag(self, frame: Frame) -> list[bytes]:
        self._check_tag(frame)
        self._check_qber()
        self._announced = None  # long, and many sessions may be alive at once
        self._key, self._key_bases = self.sifted.packed()
        self._answerer = METHODS[self.config.reconciliation].answerer(self._key, self.config.shape)
        self._expect_questions(self._answerer)
        return [self._tag()]

    def _expect_questions(self, answerer: Answerer) -> None:
        kinds = answerer.expects
        if kinds is not self._reconciling:  # most messages change nothing
            self._reconciling, ends = kinds, Kind.CORRECTED
            self._expect({kind: self._on_corrected if kind == ends else self._on_reconciliation for kind in kinds})

    def _on_reconciliation(self, frame: Frame) -> list[bytes]:
        assert self._answerer is not None
        answers = self._answerer.receive(as_message(frame))
        self._count_disclosed(self._answerer.disclosed)
        self._expect_questions(self._answerer)
        return [self._frame(*answer) for answer in answers]

    def _on_corrected(self, frame: Frame) -> list[bytes]:  # noqa: ARG002 - it says nothing but its kind
        assert self._answerer is not None
        self._answerer.wipe()
        num_bits = num_hash_bits(self.config.security.eps_cor, key_bytes=len(self._key))
        hash_key = self.entropy.public_bytes(hash_key_bytes(num_bits))
        told = verification_hash(self._key, hash_key, num_bits=num_bits)
        self.ledger.leak("verification", num_bits)
        self._expect({Kind.TAG: self._on_reconcile_tag})
        return [self._frame(Kind.HASH, body=hash_key + told)]

    def _on_reconcile_tag(self, frame: Frame) -> list[bytes]:
        self._check_tag(frame)
        self._expect({Kind.ERRORS: self._on_errors})
        return [self._tag()]

    def _on_errors(self, frame: Frame) -> list[bytes]:
        diagonal_bits = count_ones(self._key_bases)
        errors = (
            read_int(frame, "rectilinear", low=0, high=self.config.key_bits - diagonal_bits),
            read_int(frame, "diagonal", low=0, high=diagonal_bits),
        )
        counts, length, num_bits = self._prove(errors, self._key_bases)
        self._length = (counts, length, num_bits)
        seed_bits = self._num_seed_bits(num_bits)
        self._seed = clear_padding(self.entropy.public_bytes((seed_bits + 7) // 8), num_bits=seed_bits)
        self._expect({Kind.TAG: self._on_amplify_tag})
        pieces = range(0, len(self._seed), SEED_PIECE_BYTES)
        header = {"key_bits": self.config.key_bits, "secret_bits": num_bits}
        frames = [self._frame(Kind.SEED, header, self._seed[at : at + SEED_PIECE_BYTES]) for at in pieces]
        return [*frames, self._tag()]

    def _on_amplify_tag(self, frame: Frame) -> list[bytes]:
        assert self._length is not None
        self._check_tag(frame)
        self._distil(self._key, self._seed, *self._length)
        return []

    def _wipe(self) -> None:
        self._key = b""
        self._told = None
        if self._answerer is not None:
            self._answerer.wipe()

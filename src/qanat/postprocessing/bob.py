"""Bob's session: he detected the light, asks, and corrects."""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Iterator, Sequence

import numpy as np

from qanat.ground.errors import FrameError, PeerProtocolError, QanatError, VerificationFailed
from qanat.ground.framing import Frame
from qanat.ground.identifiers import BlockId
from qanat.ground.keys import SecretBytes, SpentBits
from qanat.ground.ports import Entropy
from qanat.postprocessing.config import SecretLengthProof, SessionConfig
from qanat.postprocessing.party import Party, as_message
from qanat.postprocessing.planes import packed_bytes, plane_of_column
from qanat.postprocessing.reconciliation.methods import METHODS
from qanat.postprocessing.reconciliation.port import SEED_BYTES, Corrector, Message
from qanat.postprocessing.records import Detections, DetectionSource
from qanat.postprocessing.sifting import NONCE_BYTES, SiftedMessage, count_ones, cut_detections, encode_slots
from qanat.postprocessing.verification import hash_key_bytes, num_hash_bits, verification_hash
from qanat.postprocessing.wire import Kind, read_int, read_text
from qanat.protocols.decoy import DecoyCounts, SecretLength
from qanat.protocols.finite_key import secret_length


class BobSession(Party):
    """The session of the party that detects: ``ground.ports.Session[DistilledKey]``."""

    sends_first_half = False

    def __init__(
        self,
        config: SessionConfig,
        detections: DetectionSource,
        pads: SpentBits | SecretBytes,
        entropy: Entropy,
        *,
        proof: SecretLengthProof = secret_length,
    ) -> None:
        super().__init__(config, pads, entropy, proof=proof)
        self._source = detections
        self._pieces: Iterator[Detections] = iter(())
        self._piece: Detections | None = None
        self._key = self._key_bases = self._errors = b""
        self._corrector: Corrector | None = None
        self._length: tuple[DecoyCounts, SecretLength, int] | None = None
        self._seed = bytearray()

    def start(self) -> Sequence[bytes]:
        """Return his greeting and the slots of his first detections.

        Raises what the source of light raises; the session is dead then, and ``farewell`` tells the peer.
        """
        self._expect({Kind.HELLO: self._on_hello})
        header = {"config": self.config.digest(), "session": self.config.session_id}
        try:
            return [self._frame(Kind.HELLO, header), self._next_slots()]
        except QanatError as fault:
            self._fault = fault
            self._end()
            raise

    def _next_slots(self) -> bytes:
        self._count_chunk()
        self._piece = next(self._pieces, None)
        if self._piece is None:
            chunk = self._source.next_chunk()
            self._pieces = cut_detections(chunk, max_events=self.config.max_chunk_events)
            self._piece = next(self._pieces)
        width, body = encode_slots(self._piece)
        return self._frame(Kind.SLOTS, {**_describe(self._piece), "width": width}, body)

    def _on_hello(self, frame: Frame) -> list[bytes]:
        self._check_hello(frame)
        self.block_id = _read_block_id(frame)
        self._expect({Kind.COMMIT: self._on_commit})
        return []

    def _on_commit(self, frame: Frame) -> list[bytes]:
        assert self._piece is not None
        if len(frame.body) != NONCE_BYTES:
            raise FrameError(f"a commitment has {NONCE_BYTES} bytes")
        self._expect({Kind.SIFTED: self._on_sifted})
        bases = packed_bytes(plane_of_column(self._piece.bases), self._piece.bases.size)
        body = self.entropy.public_bytes(NONCE_BYTES) + bases
        return [self._frame(Kind.BASES, _describe(self._piece), body)]

    def _on_sifted(self, frame: Frame) -> list[bytes]:
        piece = self._piece
        assert piece is not None
        num_used = read_int(frame, "used", low=0, high=piece.slots.size)
        num_matched = read_int(frame, "matched", low=0, high=num_used)
        num_signal = read_int(frame, "signal", low=0, high=num_matched)
        num_told = read_int(frame, "told", low=num_matched - num_signal, high=num_matched)
        message = SiftedMessage(num_used, num_matched, num_signal, num_told, frame.body)
        told, theirs = self.sifted.read_sifted(message, piece)
        self.sifted.compare(told, theirs)
        self.ledger.estimation_bits += num_told
        if num_used < piece.slots.size and not self.sifted.is_full:
            raise PeerProtocolError("the other party left out events before the key was full")
        self._count_slots(piece, num_used)
        answer = self._frame(Kind.DISCLOSED, body=told.packed())
        if self.sifted.is_full:
            self._expect({Kind.TAG: self._on_sift_tag})
            return [answer, self._tag()]
        self._expect({Kind.COMMIT: self._on_commit})
        return [answer, self._next_slots()]

    def _on_sift_tag(self, frame: Frame) -> list[bytes]:
        self._check_tag(frame)
        self._check_qber()
        self._piece, self._pieces = None, iter(())  # long, and many sessions may be alive at once
        key, self._key_bases = self.sifted.packed()
        seed = self.entropy.public_bytes(SEED_BYTES)
        method = METHODS[self.config.reconciliation]
        self._corrector = method.corrector(key, self.config.shape, qber=self.sifted.sample_qber, seed=seed)
        return self._asked(self._corrector, self._corrector.start())

    def _on_reconciliation(self, frame: Frame) -> list[bytes]:
        assert self._corrector is not None
        questions = self._corrector.receive(as_message(frame))
        self._count_disclosed(self._corrector.disclosed)
        return self._asked(self._corrector, questions)

    def _asked(self, corrector: Corrector, messages: Sequence[Message]) -> list[bytes]:
        """Return the frames of his questions; the word that he has none when the key is corrected."""
        frames = [self._frame(*message) for message in messages]
        kinds = corrector.expects
        if kinds:
            if kinds is not self._reconciling:  # most messages change nothing
                self._reconciling = kinds
                self._expect(dict.fromkeys(kinds, self._on_reconciliation))
            return frames
        self._count_disclosed(corrector.disclosed)
        self._key, self._errors = corrector.corrected()
        self._expect({Kind.HASH: self._on_hash})
        return [*frames, self._frame(Kind.CORRECTED)]

    def _on_hash(self, frame: Frame) -> list[bytes]:
        num_bits = num_hash_bits(self.config.security.eps_cor, key_bytes=len(self._key))
        size = hash_key_bytes(num_bits)
        hash_key, told = frame.body[:size], frame.body[size:]
        if len(told) != (num_bits + 7) // 8:
            raise FrameError(f"a hash of {num_bits} bits and its key were expected, {len(frame.body)} bytes came")
        self.ledger.leak("verification", num_bits)
        if not hmac.compare_digest(verification_hash(self._key, hash_key, num_bits=num_bits), told):
            told_bits = self.ledger.leaked_bits[self.config.reconciliation]
            raise VerificationFailed(
                f"the two keys differ after error correction told {told_bits} bits",
                remedy="the block is dropped; when this recurs, look for who alters the classical channel",
            )
        self._expect({Kind.TAG: self._on_reconcile_tag})
        return [self._tag()]

    def _on_reconcile_tag(self, frame: Frame) -> list[bytes]:
        self._check_tag(frame)
        errors = np.frombuffer(self._errors, dtype=np.uint8)
        diagonal = count_ones((errors & np.frombuffer(self._key_bases, dtype=np.uint8)).tobytes())
        rectilinear = count_ones(self._errors) - diagonal
        self._length = self._prove((rectilinear, diagonal), self._key_bases)
        self._expect({Kind.SEED: self._on_seed})
        return [self._frame(Kind.ERRORS, {"diagonal": diagonal, "rectilinear": rectilinear})]

    def _on_seed(self, frame: Frame) -> list[bytes]:
        assert self._length is not None
        num_bits = self._length[2]
        if dict(frame.header) != {"key_bits": self.config.key_bits, "secret_bits": num_bits}:
            raise PeerProtocolError(f"the other party proved another length of the secret key than {num_bits} bits")
        self._seed += frame.body
        seed_bits = self._num_seed_bits(num_bits)
        num_bytes = (seed_bits + 7) // 8
        if len(self._seed) > num_bytes or not frame.body:
            raise FrameError(f"{num_bytes} bytes of Toeplitz seed were expected, {len(self._seed)} came")
        if len(self._seed) == num_bytes:
            if seed_bits % 8 and self._seed[-1] >> (seed_bits % 8):
                raise FrameError("the padding of the Toeplitz seed is not zero")
            self._expect({Kind.TAG: self._on_amplify_tag})
        return []

    def _on_amplify_tag(self, frame: Frame) -> list[bytes]:
        assert self._length is not None
        self._check_tag(frame)
        self._distil(self._key, bytes(self._seed), *self._length)
        return [self._tag()]

    def _wipe(self) -> None:
        self._key = b""
        self._piece = None
        self._pieces = iter(())
        if self._corrector is not None:
            self._corrector.wipe()


def _describe(piece: Detections) -> dict[str, int]:
    return {"events": int(piece.slots.size), "first": piece.first_slot, "slots": piece.num_slots}


def _read_block_id(frame: Frame) -> BlockId:
    text = read_text(frame, "block")
    try:
        block_id = uuid.UUID(text)
    except ValueError:
        block_id = None
    if block_id is None or block_id.version != 4 or str(block_id) != text:
        raise FrameError("the id of the block is no UUID4 in canonical spelling")
    return BlockId(text)

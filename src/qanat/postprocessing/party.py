"""What Alice's and Bob's sessions share: the life of a session, authentication, and how it ends.

A session is synchronous and pure: frames in, frames out. A frame that is altered, repeated, missing or out of turn ends
it with an error at the latest when the phase's tag is checked; no key leaves before the last tag. After an error the
session is dead; ``farewell`` returns the frames that tell the peer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Protocol, TypeAlias

from qanat.ground.authentication import Authenticator, PadAccount
from qanat.ground.errors import (
    AuthenticationFailed,
    NoSecretKey,
    PadExhausted,
    PeerProtocolError,
    QanatError,
    QberTooHigh,
    QuantumLayerError,
)
from qanat.ground.events import Json
from qanat.ground.framing import KIND_PLACE, Frame, decode_frame, encode_frame
from qanat.ground.identifiers import BlockId
from qanat.ground.keys import BitRange, SecretBytes, SpentBits
from qanat.ground.ledger import Ledger
from qanat.ground.ports import Entropy
from qanat.postprocessing.amplification import amplify, num_seed_bits
from qanat.postprocessing.config import DistilledKey, SecretLengthProof, SessionConfig
from qanat.postprocessing.reconciliation.port import Disclosed, Message
from qanat.postprocessing.records import SlotArray
from qanat.postprocessing.sifting import SiftedKey, count_ones
from qanat.postprocessing.wire import UNAUTHENTICATED, Kind, abort_code, aborted_by_peer, read_text
from qanat.protocols.decoy import DecoyCounts, SecretLength
from qanat.protocols.entropy import binary_entropy

Handler: TypeAlias = Callable[[Frame], list[bytes]]

OUTPUT_GRAIN_BITS = 16
"""The secret key is cut to a multiple of this, so that it can be halved into whole bytes."""


# A session of one block takes some hundred frames of a few bytes: what each costs is settled here, once.
_KINDS = {int(kind): kind for kind in Kind}
_ABORT = int(Kind.ABORT)
_READ_IN_PLACE = frozenset(map(int, (Kind.SLOTS, Kind.BASES, Kind.SIFTED, Kind.SEED)))
LONG_FRAME_BYTES = 2**15
"""A frame so long is not copied where its body is read once."""


def as_message(frame: Frame) -> Message:
    """Return a frame as error correction takes it."""
    return Message(_KINDS[frame.kind], frame.header, frame.body)


class AnnouncedSlots(Protocol):
    """A chunk of detections, as far as both parties know it."""

    @property
    def first_slot(self) -> int: ...

    @property
    def num_slots(self) -> int: ...

    @property
    def slots(self) -> SlotArray: ...


class Party:
    """One party's session. Subclasses say what they start with and how they take each kind of frame."""

    sends_first_half: ClassVar[bool]
    """Whether the first half of the pads authenticates what this party sends."""

    def __init__(
        self, config: SessionConfig, pads: SpentBits | SecretBytes, entropy: Entropy, *, proof: SecretLengthProof
    ) -> None:
        """``pads``: ``config.pad_bits`` bits or more, the same at both parties; they belong to the session from now on.

        Raises PadExhausted when there are fewer.
        """
        self.config = config
        self.entropy = entropy
        self.proof = proof
        self.ledger = Ledger(tag_bits=config.tag_bits, pads=pads.bits if isinstance(pads, SpentBits) else BitRange(()))
        self.sifted = SiftedKey(max_bits=config.key_bits)
        self.link_slots = 0
        self._start_slot: int | None = None
        self._num_chunks = 0
        self.block_id: BlockId | None = None
        self.was_stopped_by_peer = False
        """Whether an ABORT ended this session. Its reason is hearsay: anybody on the line can send one."""
        self._result: DistilledKey | None = None
        self._fault: QanatError | None = None
        self._has_ended = False
        self._expected: Mapping[int, Handler] = {}
        self._told_bits = 0
        self._reconciling: frozenset[Kind] = frozenset()
        """The kinds that error correction takes next, as far as ``_expected`` says so."""
        self._transcript_bytes = {"sent": 0, "heard": 0}
        self._open_pads(pads.secret if isinstance(pads, SpentBits) else pads)

    def _open_pads(self, secret: SecretBytes) -> None:
        pad_bits, tag_bits = self.config.pad_bits, self.config.tag_bits
        if secret.num_bits < pad_bits:
            raise PadExhausted(
                f"a session takes {pad_bits} pad bits, {secret.num_bits} were given",
                remedy="spend the pads of the worst case from the link's reserve before the session starts",
            )
        half = pad_bits // 16
        halves = [PadAccount(secret.part(0, half)), PadAccount(secret.part(half, 2 * half))]
        self._extra_pad_bits = secret.num_bits - pad_bits
        secret.wipe()
        self._accounts = halves
        own, other = halves if self.sends_first_half else reversed(halves)
        self._sending = Authenticator(own, tag_bits=tag_bits)
        self._checking = Authenticator(other, tag_bits=tag_bits)
        self._count_pads()

    @property
    def progress(self) -> float:
        """The share of the key that is sifted, 0 to 1."""
        return self.sifted.num_bits / self.config.key_bits

    def result(self) -> DistilledKey | None:
        """Return the key once the last tag was checked, None before."""
        return self._result

    def receive(self, frame: bytes, /) -> Sequence[bytes]:
        """Take one frame of the peer and return the frames to send.

        Raises FrameError, PeerProtocolError, AuthenticationFailed, VerificationFailed, QberTooHigh, NoSecretKey,
        QuantumLayerError when the machine's arithmetic fails a check, and what the source of light raises. The session
        is dead afterwards. A session that has ended takes no frame.
        """
        if self._has_ended:
            raise PeerProtocolError("a frame came for a session that has ended")
        is_alive = False
        try:
            answer = self._take(frame)
            is_alive = self._result is None
        except QanatError as fault:
            self._fault = fault
            raise
        except ArithmeticError as slip:
            self._fault = QuantumLayerError(
                f"this machine's arithmetic failed a check: {slip}",
                remedy="the block is dropped; when this recurs, do not trust this machine's processor",
            )
            raise self._fault from slip
        finally:
            if not is_alive:
                self._end()
        return answer

    def farewell(self) -> Sequence[bytes]:
        """Return the frames that tell the peer why this session died; none when it lives or has its key."""
        if not self._has_ended or self._result is not None:
            return []
        return [encode_frame(Kind.ABORT, {"reason": abort_code(self._fault)})]

    def _take(self, data: bytes) -> list[bytes]:
        is_long = len(data) >= LONG_FRAME_BYTES and data[KIND_PLACE] in _READ_IN_PLACE
        frame = decode_frame(memoryview(data) if is_long else data)
        kind = frame.kind
        if kind == _ABORT:
            self.was_stopped_by_peer = True
            raise aborted_by_peer(frame)
        handler = self._expected.get(kind)  # kinds are integers
        if handler is None:
            raise PeerProtocolError(f"a frame of kind {kind} came out of turn")
        if kind not in UNAUTHENTICATED:
            self._checking.update(data)
            self._transcript_bytes["heard"] += len(data)
        return handler(frame)

    def _expect(self, handlers: Mapping[int, Handler]) -> None:
        """Say which frames may come next, and who takes them."""
        self._expected = handlers

    def _frame(self, kind: Kind, header: Mapping[str, Json] | None = None, body: bytes | memoryview = b"") -> bytes:
        """Return a frame to send, entered into the transcript of this direction."""
        data = encode_frame(kind, header, body)
        if kind not in UNAUTHENTICATED:
            self._sending.update(data)
            self._transcript_bytes["sent"] += len(data)
        return data

    def _tag(self) -> bytes:
        """Return the frame with the tag of what was sent in this phase."""
        self._check_length()
        self._transcript_bytes["sent"] = 0
        tag = encode_frame(Kind.TAG, body=self._sending.tag())
        self.ledger.tags_sent += 1
        self._count_pads()
        return tag

    def _check_tag(self, frame: Frame) -> None:
        """Raise AuthenticationFailed unless the frame has the tag of what was heard in this phase."""
        self._check_length()
        self._transcript_bytes["heard"] = 0
        if 8 * len(frame.body) != self.config.tag_bits or frame.header:
            raise AuthenticationFailed(f"a tag has {self.config.tag_bits} bits and no header")
        self._checking.check(frame.body)
        self.ledger.tags_checked += 1
        self._count_pads()

    def _check_length(self) -> None:
        """Raise PeerProtocolError when a phase has grown longer than its tag serves."""
        longest, limit = max(self._transcript_bytes.values()), self.config.max_phase_bytes
        if longest > limit:
            raise PeerProtocolError(
                f"{longest} bytes were said in one phase, its tag serves {limit}",
                remedy="give both ends the protocol that the light is made by; when that is so, somebody adds to the"
                " conversation",
            )

    def _count_chunk(self) -> None:
        """Raise QuantumLayerError when the session has had its chunks and the key is not full."""
        self._num_chunks += 1
        self._check_length()
        if self._num_chunks > self.config.max_chunks:
            raise QuantumLayerError(
                f"{self.config.max_chunks} chunks brought {self.sifted.num_bits} of {self.config.key_bits} key bits",
                remedy="too little light arrives: check the link, take smaller blocks, or raise max_chunks",
            )

    def _count_slots(self, chunk: AnnouncedSlots, num_used: int) -> None:
        """Count the slots up to the last event used, or to the chunk's end when all its events were.

        From the first chunk's first slot on: what lies between two chunks was passed over, and counts as used.
        """
        if self._start_slot is None:
            self._start_slot = chunk.first_slot
        is_cut = num_used < chunk.slots.size
        stop = int(chunk.slots[num_used - 1]) + 1 if is_cut else chunk.first_slot + chunk.num_slots
        self.link_slots = stop - self._start_slot

    def _check_hello(self, frame: Frame) -> None:
        """Raise PeerProtocolError when the peer has another session or other parameters."""
        ours = (self.config.session_id, self.config.digest())
        if (read_text(frame, "session"), read_text(frame, "config")) != ours:
            raise PeerProtocolError(
                "the two parties hold different parameters, or different sessions",
                remedy="give both ends of the link the same order and the same configuration",
            )

    def _check_qber(self) -> None:
        """Raise QberTooHigh when the disclosed signal has too many errors; nothing of the key has been told yet."""
        self._check_rate("disclosed", self.sifted.sample_qber)

    def _check_rate(self, which: str, qber: float) -> None:
        if qber > self.config.qber_abort:
            raise QberTooHigh(
                f"the {which} signal has {100 * qber:.2f} % errors, the threshold is"
                f" {100 * self.config.qber_abort:.2f} %",
                remedy="check the alignment of the link; when that is well, somebody listens",
            )

    def _count_disclosed(self, disclosed: Disclosed) -> None:
        """Carry what error correction has disclosed so far into the ledger."""
        told_bits, reply_bits = disclosed
        if told_bits != self._told_bits:
            self.ledger.leak(self.config.reconciliation, told_bits - self._told_bits)
            self._told_bits = told_bits
        self.ledger.reply_bits = reply_bits

    def _charged_bits(self) -> int:
        """Return what the secret length pays for error correction."""
        told = self.ledger.leaked_bits[self.config.reconciliation]
        return told + self.ledger.reply_bits * self.config.charges_replies

    def _prove(self, key_errors: tuple[int, int], key_bases: bytes) -> tuple[DecoyCounts, SecretLength, int]:
        """Return counts, proof and length of the secret key.

        Raises NoSecretKey when there is none, QberTooHigh when all of the signal, disclosed or corrected, has too many
        errors: the disclosed part may be small, or none.
        """
        counts = self.sifted.counts(key_errors=key_errors, diagonal_bits=count_ones(key_bases))
        self._check_rate("corrected", self._qber(counts))
        leaked = self._charged_bits()
        length = self.proof(counts, self.config.protocol, self.config.security, leaked_bits=leaked)
        num_bits = length.num_bits // OUTPUT_GRAIN_BITS * OUTPUT_GRAIN_BITS
        if num_bits <= 0:
            raise NoSecretKey(
                f"the proof ({length.proof}) gives no secret bit from {self.config.key_bits} bits",
                remedy="sift a longer block, or find what makes the errors or takes the light",
            )
        return counts, length, num_bits

    def _num_seed_bits(self, num_bits: int) -> int:
        return num_seed_bits(self.config.amplification, num_key_bits=self.config.key_bits, num_output_bits=num_bits)

    def _distil(self, key: bytes, seed: bytes, counts: DecoyCounts, length: SecretLength, num_bits: int) -> None:
        """Hash the verified key down to its secret length and set the result."""
        config = self.config
        secret = amplify(config.amplification, key, seed, num_key_bits=config.key_bits, num_output_bits=num_bits)
        assert self.block_id is not None
        security = self.config.security
        key_errors = self._signal_errors(counts) - int(self.sifted.told_errors[:, 0].sum())
        entropy = binary_entropy(key_errors / self.config.key_bits)
        told = self.ledger.leaked_bits[self.config.reconciliation]
        sifted_bits = counts.rectilinear.clicks[0] + counts.diagonal.clicks[0]
        self._result = DistilledKey(
            session_id=self.config.session_id,
            block_id=self.block_id,
            secret=SecretBytes(secret),
            num_bits=num_bits,
            counts=counts,
            length=length,
            qber=self._qber(counts),
            f_ec=told / (self.config.key_bits * entropy) if entropy else None,
            key_bits=self.config.key_bits,
            sifted_bits=sifted_bits,
            leaked_bits=self._charged_bits(),
            link_slots=self.link_slots,
            eps_sec=security.eps_sec,
            eps_cor=security.total - security.eps_sec,
            amplification=config.amplification,
            ledger=self.ledger,
        )

    @classmethod
    def _qber(cls, counts: DecoyCounts) -> float:
        return cls._signal_errors(counts) / (counts.rectilinear.clicks[0] + counts.diagonal.clicks[0])

    @staticmethod
    def _signal_errors(counts: DecoyCounts) -> int:
        return counts.rectilinear.errors[0] + counts.diagonal.errors[0]

    def _count_pads(self) -> None:
        self.ledger.pad_bits_spent = sum(account.spent_bits for account in self._accounts)

    def _end(self) -> None:
        """Destroy unused pads and what is left of secrets; nothing is taken any more."""
        self._has_ended = True
        self._expected = {}
        self._count_pads()
        self.ledger.pad_bits_destroyed = self._extra_pad_bits + sum(account.destroy() for account in self._accounts)
        self.sifted.wipe()
        self._wipe()

    def _wipe(self) -> None:
        """Overwrite what a subclass keeps of the key."""

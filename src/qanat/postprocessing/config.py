"""What the two parties of a session agree on beforehand, and what a session gives."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import asdict, dataclass, field
from typing import Final, Protocol, get_args

from qanat.ground.authentication import tag_bits_for
from qanat.ground.constants import HASH_KEY_BITS, QBER_ABORT, TAGGED_PHASES
from qanat.ground.framing import canonical_json
from qanat.ground.identifiers import BlockId, OrderId
from qanat.ground.keys import SecretBytes
from qanat.ground.ledger import Ledger
from qanat.postprocessing.amplification import Amplification
from qanat.postprocessing.reconciliation.port import FrameShape, MethodName
from qanat.postprocessing.transcripts import longest_phase_bytes
from qanat.protocols.decoy import DecoyCounts, DecoyProtocol, SecretLength, SecurityParameters

MAX_CHUNKS: Final = 300_000
MAX_CHUNK_EVENTS: Final = 2**23
"""The slots of so many events take 40 MiB at most, which a frame holds."""
MIN_LOG_FRAME: Final = 8
MAX_LOG_FRAME: Final = 16
MIN_LOG_LDPC_FRAME: Final = 12
"""In shorter frames a sparse code has too few words to be a good one."""


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """The public parameters of one session, which makes one amplification block; the same on both sides.

    ``block_bits``: undisclosed signal bits of both bases together that make one block of the paper (Methods, "Error
    correction": 256 kbit). The session sifts whole blocks until it has ``min_key_bits``; privacy amplification runs
    over all of them at once. ``frame_bits``: what error correction treats as one, a power of two. ``qber_abort``: the
    highest error rate, of the disclosed signal and, after error correction, of all of it. ``max_chunk_events``:
    detections that one message may announce.
    ``max_chunks``: announcements that a session takes before it is given up; enough for 20 hours in chunks of 0.25 s.
    ``reconciliation``: the method of error correction. ``charges_replies``: whether the secret length pays for what
    Bob's messages of error correction tell as well, not for Alice's alone (docs/explanation/reconciliation.md).
    ``amplification``: the hash of privacy amplification.

    The size of the tags follows from ``security.eps_auth`` and the longest transcript of a phase. Raises ValueError for
    what no session can be, and when no tag of 128 bits gives that epsilon.
    """

    session_id: OrderId
    protocol: DecoyProtocol = field(default_factory=DecoyProtocol)
    security: SecurityParameters = field(default_factory=SecurityParameters)
    frame_bits: int = 2**16
    block_bits: int = 2**18
    min_key_bits: int = 4_000_000
    qber_abort: float = QBER_ABORT
    max_chunk_events: int = MAX_CHUNK_EVENTS
    max_chunks: int = MAX_CHUNKS
    reconciliation: MethodName = "cascade"
    charges_replies: bool = False
    amplification: Amplification = "toeplitz"

    def __post_init__(self) -> None:
        if self.frame_bits not in {1 << log for log in range(MIN_LOG_FRAME, MAX_LOG_FRAME + 1)}:
            raise ValueError(f"frame_bits must be a power of two from 2^8 to 2^16, got {self.frame_bits}")
        if self.block_bits < 1 or self.block_bits % self.frame_bits:
            raise ValueError(f"block_bits must be a multiple of frame_bits, got {self.block_bits}")
        if self.min_key_bits < 1 or not 1 <= self.max_chunk_events <= MAX_CHUNK_EVENTS:
            raise ValueError("min_key_bits must be positive, max_chunk_events from 1 to 2^23")
        if self.max_chunks < 1:
            raise ValueError(f"max_chunks must be positive, got {self.max_chunks}")
        if self.reconciliation not in get_args(MethodName):
            raise ValueError(f"reconciliation must be one of {get_args(MethodName)}, got {self.reconciliation!r}")
        if self.reconciliation == "ldpc" and self.frame_bits < 2**MIN_LOG_LDPC_FRAME:
            raise ValueError(f"frame_bits must be 2^{MIN_LOG_LDPC_FRAME} or more for ldpc, got {self.frame_bits}")
        if not 0 < self.qber_abort < 0.5:
            raise ValueError(f"qber_abort must lie between 0 and 0.5, got {self.qber_abort}")
        if self.amplification not in get_args(Amplification):
            raise ValueError(f"amplification must be one of {get_args(Amplification)}, got {self.amplification!r}")
        tag_bits_for(self.security.eps_auth, num_bytes=self.max_phase_bytes)  # raises when there is no such tag

    @property
    def key_bits(self) -> int:
        """Undisclosed signal bits that the session reconciles: whole blocks."""
        return -(-self.min_key_bits // self.block_bits) * self.block_bits

    @property
    def num_frames(self) -> int:
        """Frames of ``frame_bits`` in the session's key."""
        return self.key_bits // self.frame_bits

    @property
    def shape(self) -> FrameShape:
        """The frames of the session's key."""
        return FrameShape(self.num_frames, self.frame_bits)

    @property
    def max_phase_bytes(self) -> int:
        """The most bytes of one direction that one tag serves."""
        return longest_phase_bytes(
            self.protocol,
            key_bits=self.key_bits,
            max_chunks=self.max_chunks,
            max_chunk_events=self.max_chunk_events,
        )

    @property
    def tag_bits(self) -> int:
        """The size of each tag, and of the pad that hides it."""
        return tag_bits_for(self.security.eps_auth, num_bytes=self.max_phase_bytes)

    @property
    def pad_bits(self) -> int:
        """Pads of the session: per direction a hash key and a pad per tag; first Alice's direction, then Bob's."""
        return 2 * (HASH_KEY_BITS + TAGGED_PHASES * self.tag_bits)

    def digest(self) -> str:
        """Return the SHA-256 of all parameters and the tags' size, in hex: two parties that differ find out at once."""
        return _digest(self)


@functools.lru_cache(maxsize=16)
def _digest(config: SessionConfig) -> str:
    return hashlib.sha256(canonical_json({**asdict(config), "tag_bits": config.tag_bits})).hexdigest()


class SecretLengthProof(Protocol):
    """A proof: from what was counted to how many bits are secret (``protocols.finite_key.secret_length``)."""

    def __call__(
        self, counts: DecoyCounts, protocol: DecoyProtocol, security: SecurityParameters, /, *, leaked_bits: int
    ) -> SecretLength: ...


@dataclass(frozen=True, slots=True)
class DistilledKey:
    """The secret key of one amplification block, with all that was counted on the way.

    ``num_bits``: of the secret, a multiple of 16. ``key_bits``: reconciled bits that went into privacy amplification.
    ``sifted_bits``: signal events with equal bases, disclosed or not; ``qber``: the share of them that differed,
    exact after error correction. ``leaked_bits``: what the secret length paid for error correction. ``f_ec``: bits that
    Alice told in it over the Shannon limit of the key's own error rate (None without errors). ``link_slots``: pulses
    from the first to the last event used. ``eps_cor`` holds
    correctness and authentication together, as ``KeyBlock`` wants it. ``amplification``: the hash that made the secret.
    """

    session_id: OrderId
    block_id: BlockId
    secret: SecretBytes = field(compare=False)
    num_bits: int
    counts: DecoyCounts
    length: SecretLength
    qber: float
    f_ec: float | None
    key_bits: int
    sifted_bits: int
    leaked_bits: int
    link_slots: int
    eps_sec: float
    eps_cor: float
    amplification: Amplification
    ledger: Ledger

"""What the two parties of a run must agree on, and the words of a run on the line.

    run     = B TERMS  A TERMS  [ settlement ]  4 echoes  { round, each in a lane of its own }  B END
    settlement = A SETTLE  B SETTLE  A SETTLE
    echo    = B ECHO  A ECHO
    round   = B NEXT  A PADS  B READY  session  B OUTCOME  A OUTCOME
    instead of A PADS or her first SETTLE: A END; instead of B READY or his SETTLE: B END

The words that decide whether a key is kept or destroyed carry tags: OUTCOME, and SETTLE with the TERMS before it. The
others can stop a run, as cutting the line can. What they agree on enters the name of each session, which both parties
authenticate with everything else.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, TypeAlias

from qanat.apps.distil.word_tags import word_pad_bits
from qanat.ground.errors import ConfigurationError, FrameError, PeerProtocolError
from qanat.ground.events import Json
from qanat.ground.framing import Frame, canonical_json
from qanat.ground.identifiers import LinkId, OrderId
from qanat.ground.keys import BitRange, SecretBytes
from qanat.postprocessing.amplification import Amplification
from qanat.postprocessing.config import SecretLengthProof, SessionConfig
from qanat.postprocessing.disclosure import ExactChoice, SignalChoice, choose_signal
from qanat.postprocessing.reconciliation.port import MethodName
from qanat.protocols.decoy import DecoyProtocol, SecurityParameters
from qanat.protocols.finite_key import secret_length
from qanat.quantum_layer.record_counts import ProofFromCounts, RangeCounts, RecordCounts
from qanat.quantum_layer.recorded import RawDetections, RawPreparations, SiftedBits, StatedEntropy

RUN_VERSION: Final = 6
WHOLE_BLOCK_BITS: Final = 2**18
MIN_BLOCK_BITS: Final = 2**11
MAX_BLOCK_BITS: Final = 10**8
PROOF_BITS: Final = 24
"""Of each party's proof that it holds a block's pads: a try costs the pads of a block, of which there are some tens."""
MOST_IDS: Final = 1024
"""Block ids in one word: more than there are ever unsure, with as many blocks in flight as may be."""
MOST_TEXT: Final = 400
"""Characters of a peer's text that are shown."""


class Word(enum.IntEnum):
    """What a frame of a run is."""

    TERMS = 0x78
    NEXT = 0x79
    PADS = 0x7A
    READY = 0x7B
    OUTCOME = 0x7C
    END = 0x7D
    SETTLE = 0x7E
    ECHO = 0x7F


Record: TypeAlias = RawDetections | RawPreparations | SiftedBits


@dataclass(frozen=True, slots=True)
class Terms:
    """What a party was started with, as far as both must have the same.

    ``min_entropy``: bits per sifted bit that the user states, None where the proof goes from decoy counts. ``counts``:
    of a sifted record, when they were given; then each of its ranges is a block, and ``block_bits`` says nothing.
    ``num_bits``: length of a sifted record, 0 for raw ones. ``replenish_bits``: of each block, for the pads to come.
    ``reconciliation``: the method of error correction; ``amplification``: the hash of privacy amplification;
    ``charges_replies``: whether the length pays for Bob's messages of error correction too. Raises ValueError for what
    no session can be.
    """

    link_id: LinkId
    mode: str
    block_bits: int
    protocol: DecoyProtocol
    security: SecurityParameters
    qber_abort: float
    min_entropy: float | None
    num_bits: int
    replenish_bits: int
    reconciliation: MethodName = "cascade"
    amplification: Amplification = "toeplitz"
    charges_replies: bool = False
    counts: RecordCounts | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for start in self._starts():
            self._session("checked here, not when both parties have begun", start)

    def to_json(self) -> dict[str, Json]:
        counts = "none" if self.counts is None else self.counts.digest()
        return {**asdict(replace(self, counts=None)), "counts": counts, "version": RUN_VERSION}

    def proof(self, first_slot: int) -> SecretLengthProof:
        """How long the key of the block that begins at a slot may be."""
        if self.counts is not None:
            return ProofFromCounts(self._range(first_slot), self.counts.proof)
        return secret_length if self.min_entropy is None else StatedEntropy(self.min_entropy)

    def next_start(self, slot: int) -> int | None:
        """Return where a block may begin, from a slot on; None when no range of counts is left."""
        if self.counts is None:
            return slot
        found = self.counts.range_from(slot)
        return None if found is None else found.first_bit

    def choice(self, first_slot: int) -> SignalChoice:
        """Return which signal events the block that begins at a slot discloses."""
        if self.counts is None:
            return choose_signal
        num_bits = self._range(first_slot).num_bits
        return ExactChoice(num_bits, num_bits - self._session("", first_slot).key_bits)

    def part_for(self, record: Record, first_slot: int) -> Record:
        """Return what a block that begins at a slot may use of a record: with counts, up to the end of its range."""
        if self.counts is None or not isinstance(record, SiftedBits):
            return record
        return record.before(self._range(first_slot).stop_bit)

    def said(self, first_slot: int) -> dict[str, Any]:
        """Return what a key's header says of the terms of its block."""
        said: dict[str, Any] = {"charges_replies": self.charges_replies, "reconciliation": self.reconciliation}
        if self.counts is not None:
            given = asdict(self._range(first_slot))
            said["given_counts"] = {**given, "origin": self.counts.origin, "sha256": self.counts.digest()}
        return said

    def _range(self, first_slot: int) -> RangeCounts:
        found = None if self.counts is None else self.counts.range_from(first_slot)
        if found is None or found.first_bit != first_slot:
            raise PeerProtocolError(f"a block cannot begin at bit {first_slot}: no range of the counts begins there")
        return found

    def check(self, theirs: Mapping[str, Json]) -> None:
        """Raise ConfigurationError that names what the other party was started with otherwise."""
        ours = _flat(self.to_json())
        said = _flat(theirs)
        differing = sorted(name for name in ours.keys() | said.keys() if ours.get(name) != said.get(name))
        if differing:
            name = differing[0]
            raise ConfigurationError(
                f"the other party was started otherwise: {name} is {ours.get(name)!r} here and"
                f" {str(said.get(name))[:MOST_TEXT]!r} there",
                remedy="start both parties with the records of one run, the key of one link and the same options",
            )

    def session(self, *, first_slot: int, pads: BitRange) -> SessionConfig:
        """Return the parameters of a session: its name is a digest of all that was agreed."""
        agreed: dict[str, Json] = {"first": first_slot, "pads": list(pads.to_json()), "terms": self.to_json()}
        return self._session(hashlib.sha256(canonical_json(agreed)).hexdigest(), first_slot)

    def _session(self, name: str, first_slot: int) -> SessionConfig:
        frame_bits, grain, key_bits = *grain_of(self.block_bits), self.block_bits
        if self.counts is not None:  # the key takes whole frames, and what fills none is told
            wished = int((1 - self.protocol.signal_disclosed) * self._range(first_slot).num_bits)
            frame_bits = grain = frame_of_range(wished)
            key_bits = max(1, wished // grain) * grain
        return SessionConfig(
            OrderId(name),
            protocol=self.protocol,
            security=self.security,
            frame_bits=frame_bits,
            block_bits=grain,
            min_key_bits=key_bits,
            qber_abort=self.qber_abort,
            reconciliation=self.reconciliation,
            amplification=self.amplification,
            charges_replies=self.charges_replies,
        )

    @property
    def pad_bits(self) -> int:
        """What a block takes from the account, wherever it begins; with counts: what the longest takes.

        First its session's pads, then the two proofs; the last ``word_pad_bits`` are for the tags of its two OUTCOMEs.
        """
        sessions = [self._session("any", start) for start in self._starts()]
        return max(one.pad_bits + word_pad_bits(one.tag_bits) for one in sessions) + 2 * PROOF_BITS

    def _session_pad_bits(self) -> int:
        return max(self._session("any", start).pad_bits for start in self._starts())

    def proof_of(self, role: str, pads: SecretBytes) -> str:
        """Return what a party says once, in clear, to show that it holds a block's pads; no session uses these bits."""
        start = self._session_pad_bits() // 8 + (role == "bob") * PROOF_BITS // 8
        return pads.part(start, start + PROOF_BITS // 8).take().hex()

    def check_proof(self, frame: Frame, role: str, pads: SecretBytes) -> None:
        """Raise PeerProtocolError unless a word of the party of a role shows that it holds a block's pads."""
        if not hmac.compare_digest(said_text(frame, "proof").encode(), self.proof_of(role, pads).encode()):
            raise PeerProtocolError(
                "whoever is at the other end does not hold the pads of this link",
                remedy="give both parties copies of the same initial key, and let only the other party's host call",
            )

    @property
    def key_bits(self) -> int:
        """Undisclosed signal bits of a block; of the longest one where counts say how long each is."""
        return max(self._session("any", start).key_bits for start in self._starts())

    def _starts(self) -> list[int]:
        return [0] if self.counts is None else [one.first_bit for one in self.counts.ranges]


def frame_of_range(key_bits: int) -> int:
    """Return the bits of a frame where a block is as long as its counts: what fills no frame is told, 1/32 at most."""
    return min(2**16, 1 << max(8, key_bits.bit_length() - 6))


def grain_of(block_bits: int) -> tuple[int, int]:
    """Return bits of a frame of error correction, and of what a block is a multiple of."""
    if block_bits >= WHOLE_BLOCK_BITS:
        return 2**16, WHOLE_BLOCK_BITS
    frame_bits = 1 << max(8, block_bits.bit_length() - 3)
    return frame_bits, frame_bits


def said_text(frame: Frame, name: str) -> str:
    """Return a text of a word, cut and printable; empty when there is none. It is hearsay."""
    value = frame.header.get(name, "")
    text = value if isinstance(value, str) else ""
    return "".join(c if c.isprintable() else " " for c in text[:MOST_TEXT])


def said_ids(frame: Frame, name: str) -> list[str]:
    """Return a list of block ids of a word; raises FrameError."""
    value = frame.header.get(name)
    if not isinstance(value, list) or len(value) > MOST_IDS:
        raise FrameError(f"{name!r} must be a list of at most {MOST_IDS} block ids")
    return [one for one in value if isinstance(one, str)]


def said_number(frame: Frame, name: str) -> int:
    """Return a number of a word; raises FrameError."""
    value = frame.header.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 2**62:
        raise FrameError(f"{name!r} must be a number from 0 to 2^62")
    return value


def said_range(frame: Frame) -> BitRange:
    """Return which pads a word names; raises PeerProtocolError."""
    try:
        return BitRange.from_json(frame.header.get("pads"))
    except ValueError as fault:
        raise PeerProtocolError(f"the other party named no range of pads: {fault}") from None


def _flat(said: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested terms by dotted names; sequences as lists, so that JSON's compare with ours."""
    flat: dict[str, Any] = {}
    for name, value in said.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{name}.")
        else:
            flat[before + name] = list(value) if isinstance(value, list | tuple) else value
    return flat

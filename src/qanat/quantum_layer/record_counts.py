"""Decoy counts of a sifted record: what a group's own sifting counted, from which a length is proven.

A sifted record alone says nothing of what an eavesdropper knows. Its group has sifted, though, and has counted: for
each basis and intensity the events in which the two bases agreed, and the differing bits among those that were told in
clear. A *range* is a stretch of the record and the counts of all the light that it came of. **One range is one block**:
a proof speaks of a random sample of the events that were counted, and the first half of a range is no such sample.

So a session on a range uses all its bits: a random choice of fixed size is told, all others make the key
(``postprocessing.disclosure.ExactChoice``). It counts the errors of the signal itself; given are those of the signal
that was told before and is not in the record. Bits that were neither told nor used (a few at a range's end) count as
errors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from qanat.ground.errors import QuantumLayerError
from qanat.ground.framing import canonical_json
from qanat.postprocessing.records import ByteArray
from qanat.protocols.decoy import (
    BASIS_NAMES,
    INTENSITY_NAMES,
    SIGNAL,
    BasisCounts,
    DecoyCounts,
    DecoyProtocol,
    SecretLength,
    SecurityParameters,
)
from qanat.protocols.proofs import DEFAULT_PROOF, PROOFS, proof_named

LEAST_RANGE_BITS: Final = 2**12
MOST_RANGE_BITS: Final = 10**8
MOST_RANGES: Final = 10_000
MOST_SIGMA: Final = 6.0
"""Standard deviations by which the pulses of an intensity may miss what its stated odds expect."""

Fault = tuple[tuple[str | int, ...], str, str]
"""Where something is wrong (names and places from the outside in), what, and the remedy."""

USABLE_PROOFS: Final = tuple(
    name for name, proof in PROOFS.items() if proof.is_composable and proof.key == PROOFS[DEFAULT_PROOF].key
)
"""Proofs whose key is the one that a session makes: undisclosed signal of both bases."""


@dataclass(frozen=True, slots=True)
class GivenBasis:
    """What a group's sifting counted where both parties chose this basis, per intensity (signal, decoy, vacuum).

    ``clicks``: events, told or not. ``errors``: differing bits among those whose bits were told in clear; of decoy and
    vacuum that is all. ``signal_told``: signal events told, which are not in the record.
    """

    clicks: tuple[int, int, int]
    errors: tuple[int, int, int]
    signal_told: int = 0

    def faults(self) -> Iterator[Fault]:
        """Yield what cannot be, whatever the record."""
        told = (self.signal_told, *self.clicks[1:])
        for number, (errors, events) in enumerate(zip(self.errors, told, strict=True)):
            if errors > events:
                kind = f"{INTENSITY_NAMES[number]} events{' that were told' if number == SIGNAL else ''}"
                yield (("errors", number), f"{errors} errors among {events} {kind}", "count both over the same events")
        if self.signal_told > self.clicks[SIGNAL]:
            yield (
                ("signal_told",),
                f"{self.signal_told} of {self.clicks[SIGNAL]} signal events were told",
                "see clicks",
            )

    def merged(self, session: BasisCounts) -> BasisCounts:
        """Return the counts of a proof; ``session``: what the session counted of the bits in the record."""
        signal, decoy, vacuum = self.clicks
        unused = signal - self.signal_told - session.clicks[SIGNAL]
        if unused < 0:
            raise QuantumLayerError(
                f"a session used {session.clicks[SIGNAL]} bits of a basis, {signal - self.signal_told} were counted",
                remedy="give the counts of this record, and of the same range",
            )
        errors = self.errors[SIGNAL] + session.errors[SIGNAL] + unused
        return BasisCounts((signal, decoy, vacuum), (errors, *self.errors[1:]), session.key_bits)


@dataclass(frozen=True, slots=True)
class RangeCounts:
    """Bits ``first_bit`` to ``first_bit + num_bits`` of a record, and the counts of all the light they came of.

    ``pulses_sent``: by intensity, if known; a check of the stated odds, no part of the proof.
    """

    first_bit: int
    num_bits: int
    rectilinear: GivenBasis
    diagonal: GivenBasis
    pulses_sent: tuple[int, int, int] | None = None

    @property
    def stop_bit(self) -> int:
        return self.first_bit + self.num_bits

    def merged(self, session: DecoyCounts) -> DecoyCounts:
        """Return the counts of a proof, of all the light."""
        return DecoyCounts(self.rectilinear.merged(session.rectilinear), self.diagonal.merged(session.diagonal))

    def faults(self, protocol: DecoyProtocol, bases: ByteArray) -> Iterator[Fault]:
        """Yield what cannot be. bases: of the whole record, uint8, shape (n,)."""
        if not LEAST_RANGE_BITS <= self.num_bits <= MOST_RANGE_BITS:
            words = f"from {LEAST_RANGE_BITS} to {MOST_RANGE_BITS}"
            yield ("num_bits",), f"a block cannot be made of {self.num_bits} bits", f"count over ranges {words} bits"
        if self.stop_bit > bases.size:
            yield (
                ("num_bits",),
                f"the range ends at bit {self.stop_bit}, the record at {bases.size}",
                "give the counts of this record",
            )
            return
        ones = int(np.count_nonzero(bases[self.first_bit : self.stop_bit]))
        by_basis = ((self.rectilinear, self.num_bits - ones), (self.diagonal, ones))
        for name, (given, in_record) in zip(BASIS_NAMES, by_basis, strict=True):
            yield from (((name, *path), what, remedy) for path, what, remedy in given.faults())
            if given.clicks[SIGNAL] - given.signal_told != in_record:
                yield (
                    (name, "clicks", SIGNAL),
                    f"{given.clicks[SIGNAL]} signal events less {given.signal_told} told are not the {in_record}"
                    f" {name} bits that the record has in this range",
                    "count each signal event with equal bases once: its bit is in the record, or was told",
                )
        yield from self._faults_of_pulses(protocol)

    def _faults_of_pulses(self, protocol: DecoyProtocol) -> Iterator[Fault]:
        if self.pulses_sent is None:
            return
        total = sum(self.pulses_sent)
        for number, (sent, odds) in enumerate(zip(self.pulses_sent, protocol.p_intensities, strict=True)):
            clicks = self.rectilinear.clicks[number] + self.diagonal.clicks[number]
            name = INTENSITY_NAMES[number]
            if clicks > sent:
                yield ("pulses_sent", number), f"{clicks} clicks of {sent} {name} pulses", "count over the same time"
            elif abs(sent - total * odds) > MOST_SIGMA * (total * odds * (1 - odds)) ** 0.5 + 1:
                yield (
                    ("pulses_sent", number),
                    f"{sent} of {total} pulses were {name}, its stated odds are {odds:g}",
                    "state the odds that the source really has: the proof goes by them",
                )


@dataclass(frozen=True, slots=True)
class RecordCounts:
    """All counts of a record: how its light was made, the proof to use, ranges in order. ``origin``: free text."""

    protocol: DecoyProtocol
    ranges: tuple[RangeCounts, ...]
    proof: str = DEFAULT_PROOF
    origin: str = "not stated"

    def faults(self, bases: ByteArray) -> Iterator[Fault]:
        """Yield what cannot be for a record with these bases (uint8, shape (n,))."""
        if self.proof not in USABLE_PROOFS:
            yield (
                ("proof",),
                f"{self.proof!r} is no composable proof of undisclosed signal of both bases",
                f"name one of {', '.join(USABLE_PROOFS)}",
            )
        if not 1 <= len(self.ranges) <= MOST_RANGES:
            yield ("ranges",), f"{len(self.ranges)} ranges", f"give from 1 to {MOST_RANGES}"
        before = 0
        for number, one in enumerate(self.ranges):
            if one.first_bit < before:
                yield (
                    ("ranges", number, "first_bit"),
                    f"a range begins at bit {one.first_bit}, the one before ends at {before}",
                    "ranges ascend and share no bit: a bit makes one key",
                )
            before = one.stop_bit
            for path, what, remedy in one.faults(self.protocol, bases):
                yield ("ranges", number, *path), what, remedy

    @property
    def num_bits(self) -> int:
        """Bits of the record that lie in a range."""
        return sum(one.num_bits for one in self.ranges)

    def range_from(self, bit: int) -> RangeCounts | None:
        """Return the first range that begins at a bit or behind it; None when there is none."""
        return next((one for one in self.ranges if one.first_bit >= bit), None)

    def digest(self) -> str:
        """Return the SHA-256 of all that enters a proof, in hex; the origin does not."""
        said = asdict(replace(self, origin=""))
        return hashlib.sha256(canonical_json(said)).hexdigest()


@dataclass(frozen=True, slots=True)
class ProofFromCounts:
    """A SecretLengthProof for one range: the session's own counts of the key, the given ones of all other light."""

    given: RangeCounts
    proof: str

    def __call__(
        self, counts: DecoyCounts, protocol: DecoyProtocol, security: SecurityParameters, /, *, leaked_bits: int
    ) -> SecretLength:
        """Return the length; 0 when the proof allows none. Raises QuantumLayerError for counts of another range."""
        chosen = proof_named(self.proof)
        length = chosen.length(self.given.merged(counts), protocol, security, leaked_bits=leaked_bits)
        return replace(length, proof=f"{chosen.name}, by decoy counts that were given with the record: {chosen.source}")

    def said(self) -> dict[str, Any]:
        """Return the given counts as a key's header carries them."""
        return asdict(self.given)

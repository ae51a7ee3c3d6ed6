"""Somebody alters the classical channel: 1,000 seeded trials, and never a key that differs or is weakened.

*Authenticated* frames are all but SLOTS, TAG and ABORT; a TAG is what authenticates. Whatever is done to one of these,
at least one party must refuse and none may hold a key that the other does not share. SLOTS may be altered: a key that
is accepted all the same must be the same at both ends and no longer than the proof gives for the events that the two
parties really paired, which an omniscient recounts from what was sent and measured.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pytest

from distillation_support import ArrayLink, Talk, converse, generous_proof, make_parties, small_config
from qanat.ground.framing import decode_frame, encode_frame
from qanat.postprocessing.sifting import decode_slots
from qanat.postprocessing.wire import Kind
from qanat.protocols.decoy import BasisCounts, DecoyCounts

NUM_TRIALS = 1000
CONFIG = small_config(frame_bits=2**10, block_bits=2**12, min_key_bits=2**12)
EVENTS = 6000
DEEDS = ("flip", "drop", "repeat", "swap", "replace", "cut", "shift")


KINDS = {
    "alice": (Kind.HELLO, Kind.COMMIT, Kind.SIFTED, Kind.PARITIES, Kind.ANSWERS, Kind.HASH, Kind.SEED, Kind.TAG),
    "bob": (
        *(Kind.HELLO, Kind.SLOTS, Kind.BASES, Kind.DISCLOSED, Kind.RECONCILE, Kind.PASS, Kind.QUESTIONS),
        *(Kind.CORRECTED, Kind.ERRORS, Kind.TAG),
    ),
}
TURNS = {Kind.TAG: 3, Kind.COMMIT: 2, Kind.SLOTS: 2, Kind.SIFTED: 2, Kind.BASES: 2, Kind.DISCLOSED: 2}
TURNS |= dict.fromkeys((Kind.PASS, Kind.PARITIES), 4) | dict.fromkeys((Kind.QUESTIONS, Kind.ANSWERS), 7)
"""How many frames of a kind every session sends at least; 1 where nothing is said."""


@dataclass
class Meddler:
    """Alters one frame: the one of ``kind`` whose turn it is after ``skip`` others of that kind."""

    sender: str
    kind: Kind
    skip: int
    deed: str
    draw: np.random.Generator
    was_changed: bool = False
    has_met: bool = False
    held: list[bytes] = field(default_factory=list)

    def __call__(self, sender: str, number: int, frame: bytes) -> list[bytes]:
        if sender != self.sender:
            return [frame]
        if self.held:
            frames, self.held = [frame, *self.held], []
            return frames
        if self.has_met or decode_frame(frame).kind != self.kind:
            return [frame]
        self.skip -= 1
        if self.skip >= 0:
            return [frame]
        self.has_met = True
        arriving = self.alter(frame)
        self.was_changed = arriving != [frame]
        return arriving

    def alter(self, frame: bytes) -> list[bytes]:
        data = bytearray(frame)
        place = int(self.draw.integers(len(data)))
        match self.deed:
            case "flip":
                data[place] ^= 1 << int(self.draw.integers(8))
            case "drop":
                return []
            case "repeat":
                return [frame, frame]
            case "swap":
                self.held = [frame]
                return []
            case "replace":
                data[place:] = self.draw.bytes(len(data) - place)
            case "cut":
                del data[place:]
            case "shift":
                return [self.shifted(frame)]
        return [bytes(data)]

    def shifted(self, frame: bytes) -> bytes:
        """A well-formed frame with one bit of its body turned; for SLOTS often a plausible announcement."""
        read = decode_frame(frame)
        body = bytearray(read.body or b"\0")
        body[-1 - int(self.draw.integers(min(4, len(body))))] ^= 1
        return encode_frame(read.kind, read.header, bytes(body))


def recount(talk: Talk, link: ArrayLink, slots_heard: list[np.ndarray]) -> DecoyCounts:
    """Count, knowing everything, the events that the two parties paired: place by place in each announcement."""
    clicks, errors = np.zeros((2, 3), int), np.zeros((2, 3), int)
    used = [
        int(frame.header["used"])  # type: ignore[call-overload]
        for _, data in talk.sent
        if (frame := decode_frame(data)).kind == Kind.SIFTED
    ]
    for slots, seen, number in zip(slots_heard, link.detected, used, strict=False):
        prepared = link.reveal(slots)
        matched = (prepared.bases == seen.bases)[:number]
        cells = (seen.bases * 3 + prepared.intensities)[:number][matched]
        wrong = (prepared.bits != seen.bits)[:number][matched]
        clicks += np.bincount(cells, minlength=6).reshape(2, 3)
        errors += np.bincount(cells[wrong], minlength=6).reshape(2, 3)
    key = talk.keys["alice"].counts
    rows = [
        BasisCounts(tuple(clicks[b].tolist()), tuple(errors[b].tolist()), basis.key_bits)
        for b, basis in enumerate((key.rectilinear, key.diagonal))
    ]
    return DecoyCounts(*rows)


def slots_that_arrived(frames: list[bytes]) -> list[np.ndarray]:
    heard = []
    for data in frames:
        read = decode_frame(data)
        if read.kind == Kind.SLOTS:
            first, number, events, width = (int(read.header[n]) for n in ("first", "slots", "events", "width"))  # type: ignore[call-overload]
            heard.append(decode_slots(read.body, width=width, num_events=events, first_slot=first, num_slots=number))
    return heard


def run_trial(seed: int) -> tuple[Meddler, Talk]:
    draw = np.random.default_rng(seed)
    sender = ("alice", "bob")[int(draw.integers(2))]
    deed = DEEDS[int(draw.integers(len(DEEDS)))]
    kind = KINDS[sender][int(draw.integers(len(KINDS[sender])))]
    meddler = Meddler(sender, kind, int(draw.integers(TURNS.get(kind, 1))), deed, draw)
    link = ArrayLink(seed=seed, qber=0.01, events=EVENTS)
    arrived: list[bytes] = []

    def listen(sender: str, number: int, frame: bytes) -> list[bytes]:
        frames = meddler(sender, number, frame)
        arrived.extend(frames if sender == "bob" else [])
        return frames

    talk = converse(*make_parties(CONFIG, link, seed=seed), meddle=listen)
    if len(talk.keys) == 2:
        assert talk.keys["alice"].secret == talk.keys["bob"].secret
        assert talk.keys["alice"].counts == talk.keys["bob"].counts
        counts = recount(talk, link, slots_that_arrived(arrived))
        key = talk.keys["alice"]
        assert key.counts == counts
        proof = generous_proof(counts, CONFIG.protocol, CONFIG.security, leaked_bits=key.leaked_bits)
        assert key.num_bits <= proof.num_bits
    return meddler, talk


@pytest.mark.slow
def test_altered_messages_are_refused_or_harmless() -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(NUM_TRIALS):
        meddler, talk = run_trial(seed)
        assert meddler.has_met, (seed, meddler.kind)
        if not meddler.was_changed:
            outcomes["unchanged"] += 1
            assert len(talk.keys) == 2, (seed, talk.faults)
        elif meddler.kind is Kind.SLOTS and len(talk.keys) == 2:
            outcomes["slots altered, accepted"] += 1
        else:
            outcomes["refused"] += 1
            assert is_refused(meddler, talk), (seed, meddler, talk.faults)
    assert outcomes["refused"] > 0.9 * NUM_TRIALS
    assert outcomes["slots altered, accepted"] > 0
    assert outcomes["unchanged"] < 0.05 * NUM_TRIALS


def is_refused(meddler: Meddler, talk: Talk) -> bool:
    """Whether the altered frame was not taken.

    Its receiver raised, or got nothing and waits for ever. A party may hold its key already when the last frame, the
    other's tag, is lost or altered: the key managers never use a key that the other end does not confirm. A repeated
    or late copy that reaches a session after its end is refused there.
    """
    receiver = "bob" if meddler.sender == "alice" else "alice"
    late_copy = meddler.deed == "repeat" and meddler.kind is Kind.TAG and receiver in talk.faults
    return receiver not in talk.keys or late_copy

"""The wire inside a worker: two parties who see only their end of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from distillation_support import SeededEntropy
from qanat.ground.errors import AuthenticationFailed, ChannelClosed, ChannelError, ChannelTimeout, QuantumLayerError
from qanat.ground.identifiers import OrderId
from qanat.ground.keys import SecretBytes
from qanat.ground.ledger import Ledger
from qanat.postprocessing.alice import AliceSession
from qanat.postprocessing.bob import BobSession
from qanat.postprocessing.config import SessionConfig
from qanat.quantum_layer.recorded import RecordedDetections, RecordedPreparations, SiftedBits, StatedEntropy
from qanat.quantum_layer.wire import Outcome, converse, make_wire, run_parties


class CountingParty:
    """Sends numbers in turn with its peer until ``limit``; raises at ``fails_at``."""

    def __init__(self, *, begins: bool, limit: int, fails_at: int | None = None) -> None:
        self.ledger = Ledger()
        self._begins = begins
        self._limit = limit
        self._fails_at = fails_at
        self._seen = 0

    def start(self) -> Sequence[bytes]:
        return [b"\x01"] if self._begins else []

    def receive(self, frame: bytes, /) -> Sequence[bytes]:
        self._seen = frame[0]
        if self._seen == self._fails_at:
            raise AuthenticationFailed("planted")
        return [bytes([self._seen + 1])] if self._seen < self._limit else []

    def farewell(self) -> Sequence[bytes]:
        return []

    def result(self) -> int | None:
        return self._seen if self._seen >= self._limit - 1 else None


def run(first: CountingParty, second: CountingParty) -> list[Outcome[int]]:
    ends = make_wire()
    parties = [converse(session, end, timeout_s=1.0) for session, end in zip((first, second), ends, strict=True)]
    watcher = run_parties(parties, ends)
    turns = 0
    while True:
        try:
            next(watcher)
            turns += 1
            assert turns < 1000
        except StopIteration as end:
            return end.value


def test_two_parties_reach_their_results() -> None:
    outcomes = run(CountingParty(begins=True, limit=9), CountingParty(begins=False, limit=9))
    assert [outcome.fault for outcome in outcomes] == [None, None]
    assert sorted(outcome.result or 0 for outcome in outcomes) == [8, 9]


def test_a_fault_of_one_party_ends_the_other() -> None:
    outcomes = run(CountingParty(begins=True, limit=9), CountingParty(begins=False, limit=9, fails_at=5))
    assert isinstance(outcomes[0].fault, ChannelClosed)
    assert isinstance(outcomes[1].fault, AuthenticationFailed)


def test_parties_that_wait_for_each_other_time_out_at_once() -> None:
    outcomes = run(CountingParty(begins=False, limit=9), CountingParty(begins=False, limit=9))
    assert all(isinstance(outcome.fault, ChannelTimeout) for outcome in outcomes)


def test_a_fault_at_the_start_is_told_to_the_peer() -> None:
    """A record that is over before the first detection was taken: Bob's session dies in ``start``."""
    config = SessionConfig(OrderId("one"), frame_bits=2**11, block_bits=2**13, min_key_bits=2**13)
    bits, pads = np.zeros(100, dtype=np.uint8), bytes(config.pad_bits // 8)
    proof = StatedEntropy(0.5)
    source = RecordedDetections(SiftedBits(bits), first_slot=100)
    bob = BobSession(config, source, SecretBytes(pads), SeededEntropy(1), proof=proof)
    told = RecordedPreparations(SiftedBits(bits))
    alice = AliceSession(config, told, SecretBytes(pads), SeededEntropy(2), proof=proof)
    ends = make_wire()
    watcher = run_parties(
        [converse(one, end, timeout_s=1.0) for one, end in zip((alice, bob), ends, strict=True)], ends
    )
    while True:
        try:
            next(watcher)
        except StopIteration as end:
            outcomes = end.value
            break
    assert isinstance(outcomes[1].fault, QuantumLayerError)
    assert alice.was_stopped_by_peer
    assert not isinstance(outcomes[0].fault, ChannelError)
    assert bob.ledger.pad_bits_destroyed == config.pad_bits - bob.ledger.pad_bits_spent

"""Somebody speaks to Alice in Bob's place and begins block after block: what he can cost her is a number.

Each block that she begins costs her its pads, spent before she names them. An honest Bob answers each, or all but two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from fake_wire_support import Trial
from qanat.apps.distil.in_flight import MOST_AHEAD
from qanat.apps.distil.run import NUM_ECHOES, run_party
from qanat.apps.distil.terms import Word, said_range
from qanat.ground.errors import ChannelClosed, QanatError
from qanat.ground.framing import Frame, decode_frame, encode_frame
from qanat.ground.keys import PoolId
from qanat.ground.lanes import decode_lane, encode_lane
from qanat.quantum_layer.wire import make_wire

LANES = 16
"""As many blocks as the caller asks for, of which Alice would make four at once."""


class Caller:
    """Whoever speaks with Alice: one line, and her answers."""

    def __init__(self) -> None:
        self.trial = Trial(5, in_flight=4)
        self.terms = self.trial.setups["alice"].terms
        alice_end, self._end = make_wire()
        self._alice = run_party(self.trial.setups["alice"], alice_end)
        self.fault: QanatError | None = None
        self.say(0, Word.TERMS, {"in_flight": 256, "terms": self.terms.to_json(), "unsure": []})
        for _ in range(NUM_ECHOES):
            self.say(0, Word.ECHO, {})

    def say(self, lane: int, word: Word, header: Mapping[str, Any]) -> list[Frame]:
        """Say a word in a lane (0: in none); returns what Alice answers until she waits."""
        frame = encode_frame(word, header)
        with pytest.raises(StopIteration):
            self._end.send(encode_lane(lane, frame) if lane else frame).send(None)
        if self.fault is None:
            try:
                self._alice.send(None)
            except QanatError as fault:
                self.fault = fault
        heard = [decode_lane(data) for data in self._end._inbox]
        self._end._inbox.clear()
        return [decode_frame(one.data) for one in heard]

    def hold(self, pads: Frame) -> str:
        """Take the pads that Alice named out of Bob's account; returns the proof that Bob holds them."""
        bits = said_range(pads)
        with pytest.raises(StopIteration) as taken:
            self.trial.accounts["bob"].spend_range(bits, num_bits=self.terms.pad_bits).send(None)
        return self.terms.proof_of("bob", taken.value.value.secret)

    @property
    def blocks_spent(self) -> float:
        with pytest.raises(StopIteration) as told:
            self.trial.accounts["alice"]._store.levels().send(None)
        level = told.value.value[PoolId(self.terms.link_id, None)]
        return float(sum(level.spent_bits.values()) / self.terms.pad_bits)


def test_a_caller_without_the_key_costs_one_block_s_pads_however_many_blocks_he_begins() -> None:
    caller = Caller()
    for lane in range(1, LANES + 1):
        caller.say(lane, Word.NEXT, {"first": 0})
    assert isinstance(caller.fault, ChannelClosed)
    assert "before it was shown" in caller.fault.message
    assert caller.blocks_spent == 1


@pytest.mark.parametrize("proof", ["", "000000"])
def test_a_block_that_is_left_without_a_proof_ends_the_line(proof: str) -> None:
    caller = Caller()
    caller.say(1, Word.NEXT, {"first": 0})
    caller.say(1, Word.END, {"reason": "another time", "proof": proof})
    caller.say(2, Word.NEXT, {"first": 0})
    assert isinstance(caller.fault, ChannelClosed)
    assert caller.blocks_spent == 1


def test_who_takes_over_a_line_of_bob_s_costs_no_more_than_bob_may_ask_ahead() -> None:
    caller = Caller()
    (pads,) = caller.say(1, Word.NEXT, {"first": 0})
    caller.say(1, Word.READY, {"first": 0, "proof": caller.hold(pads)})
    for lane in range(2, LANES + 1):
        caller.say(lane, Word.NEXT, {"first": 0})
    assert isinstance(caller.fault, ChannelClosed)
    assert caller.blocks_spent == 1 + MOST_AHEAD


def test_bob_may_begin_again_after_a_block_whose_pads_he_held_and_left_unused() -> None:
    caller = Caller()
    for lane in range(1, 4):
        (pads,) = caller.say(lane, Word.NEXT, {"first": 0})
        assert pads.kind == Word.PADS
        caller.say(lane, Word.END, {"reason": "no block", "proof": caller.hold(pads)})
    assert caller.fault is None
    assert caller.blocks_spent == 3

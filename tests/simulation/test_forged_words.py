"""Somebody on the line forges the words that decide whether a key counts: no key is kept at one end alone.

After each forgery the parties are connected again over an honest line, and have the same keys and the same pads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from fake_wire_support import LINK, LineEnd, Trial, Wire
from qanat.apps.distil.terms import Word
from qanat.ground.framing import Frame, decode_frame, encode_frame
from qanat.ground.keys import PoolId
from qanat.ground.lanes import decode_lane, encode_lane
from qanat.ground.numbered import LineKind
from qanat.postprocessing.wire import Kind

Deed: TypeAlias = Callable[[str, int, Frame], Frame]
"""From who sent a frame, its lane (0: none) and the frame to what arrives."""


def retold(data: bytes, sender: str, deed: Deed) -> bytes:
    """Return a frame of the line with what it carries forged."""
    outer = decode_frame(data)
    if outer.kind != LineKind.DATA:
        return data
    heard = decode_lane(outer.body)
    inner = encode_frame(*deed(sender, heard.lane, decode_frame(heard.data)))
    return encode_frame(outer.kind, outer.header, encode_lane(heard.lane, inner) if heard.lane else inner)


@pytest.fixture
def forged(monkeypatch: pytest.MonkeyPatch) -> list[Deed]:
    """What is done to the frames of each line, the first line first; lines beyond are honest, and none loses frames."""
    deeds: list[Deed] = []
    outgoing = Wire._outgoing

    def forging(wire: Wire, end: LineEnd) -> list[bytes]:
        number, frames = int(end.line.name, 16), outgoing(wire, end)
        sender = "alice" if end is wire.ends["alice"] else "bob"
        return [retold(data, sender, deeds[number]) for data in frames] if number < len(deeds) else frames

    monkeypatch.setattr(Wire, "_outgoing", forging)
    monkeypatch.setattr(Wire, "_spoilt", lambda wire, frames: frames)
    return deeds


class KeyForBobAlone:
    """Spoils Bob's third tag, so that Alice drops the block, and has her say that she has it."""

    def __init__(self) -> None:
        self.block = ""
        self._num_tags = 0

    def __call__(self, sender: str, lane: int, frame: Frame) -> Frame:
        if lane != 1:
            return frame
        if sender == "bob" and frame.kind == Kind.TAG:
            self._num_tags += 1
            return frame if self._num_tags != 3 else frame._replace(body=bytes(len(frame.body)))
        if sender == "bob" and frame.kind == Word.OUTCOME:
            self.block = str(frame.header["block"])
        if sender == "alice" and frame.kind == Word.OUTCOME:
            return frame._replace(header={"block": self.block, "fault": ""})
        return frame

    def again(self, sender: str, lane: int, frame: Frame) -> Frame:
        """Have Alice say once more, when keys are settled, that she has the block."""
        return frame._replace(header={"has": [self.block]}) if "has" in frame.header else frame


def fault_of(forger: str) -> Deed:
    """Return the deed that has one party say that the first block failed."""

    def deed(sender: str, lane: int, frame: Frame) -> Frame:
        if (sender, lane, frame.kind) != (forger, 1, Word.OUTCOME):
            return frame
        return frame._replace(header={"block": "", "fault": "forged"})

    return deed


def nothing_of(forger: str) -> Deed:
    """Return the deed that has one party say, when keys are settled, that it has none."""
    return lambda sender, _, frame: (
        frame._replace(header={"has": []}) if sender == forger and "has" in frame.header else frame
    )


def nothing_to_settle(sender: str, lane: int, frame: Frame) -> Frame:
    """Have nobody say that keys are unsure."""
    if frame.kind != Word.TERMS:
        return frame
    return frame._replace(header={**frame.header, "unsure": [], **({"settle": False} if sender == "alice" else {})})


def assert_alike(trial: Trial) -> None:
    alice, bob = trial.keys["alice"], trial.keys["bob"]
    assert alice.safe == bob.safe
    assert not alice.doubtful
    assert not bob.doubtful
    assert pads_of(trial, "alice") == pads_of(trial, "bob")


def pads_of(trial: Trial, party: str) -> int:
    """Return how many pad bits a party may spend or has spent: initial ones and shares that count."""
    with pytest.raises(StopIteration) as told:
        trial.accounts[party]._store.levels().send(None)
    level = told.value.value[PoolId(LINK, None)]
    return int(level.available_bits + sum(level.spent_bits.values()))


def spend_all(trial: Trial, party: str) -> None:
    account = trial.accounts[party]
    with pytest.raises(StopIteration) as left:
        account.left_bits().send(None)
    with pytest.raises(StopIteration):
        account.spend("all", num_bits=left.value.value).send(None)


@pytest.mark.parametrize("is_repeated", [False, True])
def test_a_key_that_alice_dropped_is_not_kept_by_bob(forged: list[Deed], is_repeated: bool) -> None:
    forger = KeyForBobAlone()
    forged += [forger, forger.again] if is_repeated else [forger]
    trial = Trial(5, in_flight=1)
    trial.run()
    assert trial.deeds["destroyed later"] == 1
    assert forger.block
    assert forger.block not in trial.keys["bob"].safe
    assert_alike(trial)


@pytest.mark.parametrize("forger", ["alice", "bob"])
def test_a_key_that_both_have_is_destroyed_by_neither(forged: list[Deed], forger: str) -> None:
    forged.append(fault_of(forger))
    trial = Trial(5, in_flight=1)
    assert trial.run() == {"alice": None, "bob": None}
    assert trial.deeds["kept later"] >= 1
    assert trial.deeds["destroyed later"] == 0
    assert len(trial.keys["alice"].safe) == 3
    assert_alike(trial)


@pytest.mark.parametrize("forger", ["alice", "bob"])
def test_a_key_that_was_taken_away_at_one_end_is_not_destroyed_at_the_other(
    forged: list[Deed], forger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for key files takes each as soon as it counts; its maker still knows that it had it."""
    forged.append(fault_of(forger))
    trial, taken = Trial(5, in_flight=1), set()
    files = trial.keys[forger]

    def keep_and_take(block_id: str) -> str:
        if block_id in files.doubtful:
            del files.doubtful[block_id]
            taken.add(block_id)
        return "taken"

    monkeypatch.setattr(files, "keep", keep_and_take)
    assert trial.run() == {"alice": None, "bob": None}
    other = trial.keys["bob" if forger == "alice" else "alice"]
    assert not files.safe
    assert len(taken) == 3
    assert set(other.safe) == taken


@pytest.mark.parametrize("forger", ["alice", "bob"])
@pytest.mark.parametrize("is_left_out", [False, True])
def test_a_forged_settlement_leaves_the_keys_unsure(forged: list[Deed], forger: str, is_left_out: bool) -> None:
    forged += [fault_of(forger), nothing_to_settle if is_left_out else nothing_of(forger)]
    trial = Trial(5, in_flight=1)
    assert trial.run() == {"alice": None, "bob": None}
    assert trial.deeds["kept later"] >= 1
    assert trial.deeds["destroyed later"] == 0
    assert_alike(trial)


def test_no_pads_for_a_settlement_leaves_the_keys_unsure_and_is_refused_by_both(forged: list[Deed]) -> None:
    forged.append(fault_of("alice"))
    trial = Trial(5, in_flight=1)
    trial._run_line("0" * 32)
    assert trial.keys["bob"].doubtful
    spend_all(trial, "alice")
    faults = trial._run_line(f"{1:032x}")
    assert {type(fault).__name__ for fault in faults.values()} == {"PadExhausted"}
    assert "fresh initial key" in str(faults["alice"])
    assert len(trial.keys["bob"].doubtful) == 1

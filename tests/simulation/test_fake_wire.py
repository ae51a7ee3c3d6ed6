"""A wire that drops, repeats, reorders and flips, under two whole parties: lines, runs, sessions, accounts of pads.

Whatever it does, over every line that the parties make anew: no block is kept by both with different bits, no pad is
spent twice by a party, no place of a record is told in two sessions, and each party's account agrees with what its
sessions were given. The parties are the coroutines that ``qanat distil`` runs; sockets and disks are stood in for.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from fake_wire_support import Trial, Wire
from qanat.ground.errors import FrameError, PeerProtocolError, QberTooHigh
from qanat.ground.framing import decode_frame
from qanat.ground.keys import SecretBytes
from qanat.ground.lanes import Lanes
from qanat.ground.numbered import LineKind, NumberedLine
from qanat.postprocessing import bob as bob_session
from qanat.postprocessing.bob import BobSession
from qanat.postprocessing.party import Party
from qanat.postprocessing.verification import verification_hash


@pytest.fixture
def given_pads(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[bytes]]:
    """What pads each role's sessions were given, by value."""
    given: dict[str, list[bytes]] = {"AliceSession": [], "BobSession": []}
    open_pads = Party._open_pads

    def noting(self: Party, secret: SecretBytes) -> None:
        data = secret.reveal()
        given[type(self).__name__] += [data[at : at + 16] for at in range(0, len(data), 16)]
        open_pads(self, secret)

    monkeypatch.setattr(Party, "_open_pads", noting)
    return given


def run_trials(seeds: range, given: dict[str, list[bytes]]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for seed in seeds:
        for pads in given.values():
            pads.clear()
        trial = Trial(seed)
        trial.run()
        for pads in given.values():
            assert len(set(pads)) == len(pads), f"seed {seed}: a pad was given to two sessions"
        alice, bob = (keys.safe | keys.doubtful for keys in trial.keys.values())
        differing = [block for block in alice.keys() & bob.keys() if alice[block] != bob[block]]
        assert differing == [], f"seed {seed}: two different keys were accepted"
        assert_no_key_is_at_one_end_alone(trial, f"seed {seed}")
        totals += trial.deeds
        totals["keys"] += len(trial.keys["alice"].safe.keys() & trial.keys["bob"].safe.keys())
        totals["seeds without a key"] += not alice
    return totals


def assert_no_key_is_at_one_end_alone(trial: Trial, where: str) -> None:
    """What one party takes for safe, the other has, if unsure: what the wire did to the words of an outcome."""
    for one, other in (("alice", "bob"), ("bob", "alice")):
        has = trial.keys[other].safe.keys() | trial.keys[other].doubtful.keys()
        assert trial.keys[one].safe.keys() <= has, f"{where}: {one} keeps a key that {other} has not"


@pytest.mark.slow
def test_no_two_different_keys_and_no_pad_twice(given_pads: dict[str, list[bytes]]) -> None:
    totals = run_trials(range(150), given_pads)
    # the wire did its worst, and the parties made keys all the same: neither half of the test is empty
    assert min(totals[deed] for deed in ("drop", "repeat", "swap", "flip", "break", "lost line")) > 40
    assert totals["kept later"] > 0
    assert totals["keys"] > 150
    assert totals["AuthenticationFailed"] > 5


@pytest.mark.campaign
def test_no_two_different_keys_and_no_pad_twice_in_10_000_runs(given_pads: dict[str, list[bytes]]) -> None:
    totals = run_trials(range(1000, 11_000), given_pads)
    assert totals["keys"] > 10_000


@pytest.fixture
def still_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wire, "_spoilt", lambda self, frames: frames)


def places_of(trial: Trial, party: str) -> list[int]:
    return [block["first_slot"] for block in trial.setups[party].made.blocks]


@pytest.mark.usefixtures("still_wire")
@pytest.mark.parametrize("in_flight", [1, 2, 4])
def test_an_untouched_wire_brings_all_blocks_in_the_order_of_the_record(
    given_pads: dict[str, list[bytes]], in_flight: int
) -> None:
    trial = Trial(5, in_flight=in_flight)
    assert trial.run() == {"alice": None, "bob": None}
    assert trial.keys["alice"].safe == trial.keys["bob"].safe
    assert len(trial.keys["alice"].safe) == 3
    assert trial.deeds["break"] == 0
    assert places_of(trial, "alice") == places_of(trial, "bob") == sorted(places_of(trial, "bob"))
    assert len(given_pads["AliceSession"]) == 3 * 8, "pads of three sessions, and of none besides"


class LaneSpy:
    """Counts lanes that are open at one end at once, from the frames of sessions that it takes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most = 0
        hear = Lanes.hear

        async def noting(lanes: Lanes) -> Any:
            self.most = max(self.most, len(lanes))
            return await hear(lanes)

        monkeypatch.setattr(Lanes, "hear", noting)


@pytest.mark.usefixtures("still_wire")
@pytest.mark.parametrize(("in_flight", "most"), [(1, 1), (2, 2), (3, 3)])
def test_as_many_blocks_are_in_flight_as_were_agreed(
    monkeypatch: pytest.MonkeyPatch, in_flight: int, most: int
) -> None:
    spy = LaneSpy(monkeypatch)
    Trial(5, in_flight=in_flight).run()
    assert spy.most == most


@pytest.mark.usefixtures("still_wire")
def test_a_block_that_fails_its_verification_is_dropped_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def wrong_once(key: bytes, hash_key: bytes, *, num_bits: int) -> bytes:
        calls.append(key)
        told = verification_hash(key, hash_key, num_bits=num_bits)
        return told if len(calls) != 2 else bytes(len(told))

    monkeypatch.setattr(bob_session, "verification_hash", wrong_once)
    trial = Trial(5, in_flight=3)
    assert trial.run() == {"alice": None, "bob": None}
    assert len(trial.keys["alice"].safe) == 2
    assert trial.keys["alice"].safe == trial.keys["bob"].safe
    assert [len(setup.made.dropped) for setup in trial.setups.values()] == [1, 1]


@pytest.mark.usefixtures("still_wire")
def test_a_fault_that_ends_the_run_lets_the_blocks_in_flight_come_to_their_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check, calls = Party._check_qber, []

    def too_high_at_bob_in_the_second_block(self: Party) -> None:
        calls.append(self)
        if isinstance(self, BobSession) and sum(isinstance(one, BobSession) for one in calls) == 2:
            raise QberTooHigh("too many errors", remedy="look")
        check(self)

    monkeypatch.setattr(Party, "_check_qber", too_high_at_bob_in_the_second_block)
    trial = Trial(5, in_flight=3)
    faults = trial.run()
    assert {name: type(fault) for name, fault in faults.items()} == {"alice": QberTooHigh, "bob": QberTooHigh}
    assert trial.keys["alice"].safe == trial.keys["bob"].safe
    assert 1 <= len(trial.keys["alice"].safe) <= 2
    assert not trial.keys["alice"].doubtful


@pytest.mark.usefixtures("still_wire")
@pytest.mark.parametrize("wisher", ["alice", "bob"])
def test_a_user_who_ends_the_run_loses_no_block_and_the_other_party_no_key(
    wisher: str,
) -> None:
    trial = Trial(5, in_flight=1)

    def note(text: str) -> None:
        trial.setups[wisher].ending.is_asked |= text.startswith("block 1")

    trial.setups = {name: replace(setup, tell=note) for name, setup in trial.setups.items()}
    assert trial.run() == {"alice": None, "bob": None}, "the other party hears of it as of a record that is over"
    assert trial.keys["alice"].safe == trial.keys["bob"].safe
    assert 1 <= len(trial.keys["alice"].safe) < 3, "no further block was begun"
    assert not trial.keys["alice"].doubtful
    assert [setup.made.dropped for setup in trial.setups.values()] == [[], []]


def test_the_kinds_of_the_line_are_those_of_the_format() -> None:
    assert {kind.name: int(kind) for kind in LineKind} == {
        "RESUME": 0x70,
        "DATA": 0x71,
        "ACK": 0x72,
        "BYE": 0x73,
        "PING": 0x75,
    }
    assert issubclass(FrameError, PeerProtocolError)
    assert decode_frame(NumberedLine("0" * 32).greeting()).kind == LineKind.RESUME

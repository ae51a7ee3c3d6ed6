"""Alice's and Bob's sessions against each other: equal keys, true ledgers, and clean refusals."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from distillation_support import (
    ArrayLink,
    SeededEntropy,
    Talk,
    converse,
    generous_proof,
    make_parties,
    small_config,
)
from qanat.ground.bits import count_differences
from qanat.ground.errors import (
    FrameError,
    NoSecretKey,
    PadExhausted,
    PeerProtocolError,
    QanatError,
    QberTooHigh,
    QuantumLayerError,
    VerificationFailed,
)
from qanat.ground.framing import decode_frame, encode_frame
from qanat.ground.identifiers import BlockId, LinkId, OrderId
from qanat.ground.keys import BitRange, BlockSlice, PoolId, SecretBytes, SpentBits
from qanat.postprocessing.alice import AliceSession
from qanat.postprocessing.bob import BobSession
from qanat.postprocessing.config import SessionConfig
from qanat.postprocessing.wire import Kind
from qanat.protocols.decoy import DecoyProtocol, SecretLength
from qanat.protocols.finite_key import secret_length


def talk_of(config: SessionConfig, *, seed: int = 1, proof: Any = generous_proof, **link: Any) -> Talk:
    alice, bob = make_parties(config, ArrayLink(seed=seed, **{"qber": 0.01, **link}), seed=seed, proof=proof)
    return converse(alice, bob)


@pytest.mark.parametrize("qber", [0.001, 0.005, 0.01, 0.02, 0.04])
@pytest.mark.parametrize(("events", "blocks"), [(4096, 1), (777, 1), (50_001, 3)])
def test_untouched_runs_give_equal_keys(qber: float, events: int, blocks: int) -> None:
    config = small_config(min_key_bits=blocks * 2**13 - 5)
    talk = talk_of(config, qber=qber, events=events)
    alice, bob = talk.keys["alice"], talk.keys["bob"]
    assert talk.faults == {}
    assert alice.secret == bob.secret
    assert alice.num_bits == alice.secret.num_bits == bob.num_bits
    assert alice.num_bits % 16 == 0
    assert 0 <= alice.length.num_bits - alice.num_bits < 16
    assert replace(alice, ledger=bob.ledger) == bob
    assert alice.key_bits == blocks * 2**13
    assert abs(alice.qber - qber) < 0.015
    assert uuid.UUID(alice.block_id).version == 4


def test_a_burst_of_errors_is_survived() -> None:
    talk = talk_of(small_config(min_key_bits=2**14), qber=0.003, burst=0.05)
    assert talk.keys["alice"].secret == talk.keys["bob"].secret


def test_dark_chunks_are_no_trouble() -> None:
    link = ArrayLink(seed=3, qber=0.01)
    draw = link.next_chunk
    turn = iter(range(10**6))

    def sometimes_dark() -> Any:
        seen = draw()
        if next(turn) % 2:
            return seen
        return replace(seen, slots=seen.slots[:0], bases=seen.bases[:0], bits=seen.bits[:0])

    link.next_chunk = sometimes_dark  # type: ignore[method-assign]
    talk = converse(*make_parties(small_config(), link, seed=3))
    assert talk.keys["alice"].secret == talk.keys["bob"].secret


@pytest.mark.campaign
def test_a_session_of_four_million_bits_with_the_real_proof() -> None:
    config = SessionConfig(OrderId("order-1"))
    talk = talk_of(config, events=600_000, proof=secret_length)
    alice, bob = talk.keys["alice"], talk.keys["bob"]
    assert alice.secret == bob.secret
    assert alice.key_bits == 16 * 2**18
    expected = secret_length(alice.counts, config.protocol, config.security, leaked_bits=alice.leaked_bits)
    assert alice.length == expected
    assert alice.f_ec is not None
    assert 1 < alice.f_ec < 1.12
    assert alice.eps_sec + alice.eps_cor == pytest.approx(config.security.total)
    assert alice.eps_sec + alice.eps_cor <= 1e-9


def test_the_key_looks_uniform_and_depends_on_the_seed() -> None:
    """Ones among n bits at 5 sigma: one false alarm in 1.7 million."""
    keys = [talk_of(small_config(min_key_bits=2**14), seed=seed).keys["alice"] for seed in (1, 2)]
    for key in keys:
        ones = int.from_bytes(key.secret.reveal(), "little").bit_count()
        assert abs(ones - key.num_bits / 2) < 5 * (key.num_bits / 4) ** 0.5
    size = min(key.num_bits for key in keys) // 8
    differing = count_differences(*(key.secret.reveal()[:size] for key in keys))
    assert abs(differing - 4 * size) < 5 * (2 * size) ** 0.5


def spy(talk: Talk, config: SessionConfig) -> dict[str, int]:
    """What an eavesdropper counts on the channel, by reading frames."""
    heard = {"cascade": 0, "verification": 0, "told": 0, "tags": 0}
    for _, data in talk.sent:
        frame = decode_frame(data)
        if frame.kind == Kind.SIFTED:
            heard["told"] += int(frame.header["told"])  # type: ignore[call-overload]
        elif frame.kind == Kind.PASS:
            number = int(frame.header["pass"])  # type: ignore[call-overload]
        elif frame.kind == Kind.RECONCILE:
            logs = [int(frame.header[f"log_k{i}"]) for i in (1, 2, 3)]  # type: ignore[call-overload]
        elif frame.kind == Kind.PARITIES:
            blocks = (config.frame_bits >> logs[number]) - (number > 0) if number < 3 else 20
            assert len(frame.body) == (blocks * config.num_frames + 7) // 8
            heard["cascade"] += blocks * config.num_frames
        elif frame.kind == Kind.QUESTIONS:
            asked = len(frame.body) // 4 - config.num_frames
        elif frame.kind == Kind.ANSWERS:
            assert len(frame.body) == (asked + 7) // 8
            heard["cascade"] += asked
        elif frame.kind == Kind.HASH:
            heard["verification"] += 50
            assert len(frame.body) == 16 + (128 + 50 - 1 + 7) // 8 + (50 + 7) // 8
        elif frame.kind == Kind.TAG:
            heard["tags"] += 1
    return heard


@pytest.mark.parametrize("qber", [0.002, 0.02])
def test_the_ledger_is_what_a_spy_on_the_channel_counts(qber: float) -> None:
    config = small_config(min_key_bits=3 * 2**13)
    talk = talk_of(config, qber=qber)
    heard = spy(talk, config)
    for party in ("alice", "bob"):
        ledger = talk.keys[party].ledger
        assert ledger.leaked_bits == {"cascade": heard["cascade"], "verification": heard["verification"]}
        assert ledger.estimation_bits == heard["told"]
        assert ledger.tags_sent + ledger.tags_checked == heard["tags"] == 6
        assert ledger.pad_bits_spent == config.pad_bits
        assert ledger.pad_bits_destroyed == 0
        assert talk.keys[party].leaked_bits == heard["cascade"]


def test_pads_come_with_their_range_and_surplus_is_destroyed() -> None:
    pool = PoolId(LinkId("a--b"), None)
    config = small_config()
    bits = BitRange((BlockSlice(BlockId("block"), 0, config.pad_bits + 64),))
    link = ArrayLink(seed=1, qber=0.01)
    parties = []
    for kind, seed in ((AliceSession, 5), (BobSession, 6)):
        secret = SecretBytes(bytes(range(config.pad_bits // 8 + 8)))
        pads = SpentBits(pool, bits, secret)
        parties.append(kind(config, link, pads, SeededEntropy(seed), proof=generous_proof))  # type: ignore[operator]
        with pytest.raises(ValueError, match="wiped"):
            secret.reveal()
    talk = converse(*parties)
    assert talk.keys["bob"].ledger.pads == bits
    assert talk.keys["bob"].ledger.pad_bits_destroyed == 64


def test_too_few_pads_are_refused() -> None:
    config = small_config()
    pads = SecretBytes(bytes(config.pad_bits // 8 - 1))
    with pytest.raises(PadExhausted, match=f"takes {config.pad_bits} pad bits, {config.pad_bits - 8} were given"):
        AliceSession(config, ArrayLink(seed=1, qber=0.01), pads, SeededEntropy(1))


def test_qber_above_the_threshold_ends_the_session_before_any_parity() -> None:
    talk = talk_of(small_config(qber_abort=0.05), qber=0.08)
    assert talk.keys == {}
    assert {type(fault) for fault in talk.faults.values()} == {QberTooHigh}
    kinds = {decode_frame(data).kind for _, data in talk.sent}
    assert kinds.isdisjoint({Kind.RECONCILE, Kind.PARITIES, Kind.ANSWERS, Kind.HASH, Kind.SEED})
    assert Kind.ABORT in kinds


def test_qber_above_the_threshold_ends_the_session_when_no_sample_showed_it() -> None:
    config = small_config(qber_abort=0.05, protocol=DecoyProtocol(signal_disclosed=1e-9))
    talk = talk_of(config, qber=0.08)
    assert talk.keys == {}
    assert {type(fault) for fault in talk.faults.values()} == {QberTooHigh}
    assert any("the corrected signal has" in fault.message for fault in talk.faults.values())
    kinds = {decode_frame(data).kind for _, data in talk.sent}
    assert Kind.HASH in kinds, "the errors are known once they are corrected"
    assert kinds.isdisjoint({Kind.ERRORS, Kind.SEED})


def test_alice_counts_the_errors_herself_and_takes_no_key_above_the_threshold() -> None:
    """A Bob who says nothing of it does not make her keep the key."""
    config = small_config(qber_abort=0.05, protocol=DecoyProtocol(signal_disclosed=1e-9))
    alice, bob = make_parties(config, ArrayLink(seed=1, qber=0.08), seed=1)
    bob.config = replace(config, qber_abort=0.2)
    bob._check_hello = alice._check_hello = lambda frame: None  # type: ignore[method-assign]
    talk = converse(alice, bob)
    assert talk.keys == {}
    assert isinstance(talk.faults["alice"], QberTooHigh)


def test_arithmetic_that_fails_its_check_ends_both_sessions_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: Any, **__: Any) -> bytes:
        raise ArithmeticError("a Fourier transform lost more than a quarter")

    monkeypatch.setattr("qanat.postprocessing.amplification.toeplitz_hash", lost)
    talk = talk_of(small_config())
    assert talk.keys == {}
    assert type(talk.faults["bob"]) is QuantumLayerError
    assert "lost more than a quarter" in talk.faults["bob"].message
    assert "alice" in talk.faults


def test_no_secret_bit_is_an_error_at_both_ends() -> None:
    def nothing(*_: Any, leaked_bits: int) -> SecretLength:
        return SecretLength(15, "none", (0, 0), (0, 0), (0, 0), {"leaked": leaked_bits})

    talk = talk_of(small_config(), proof=nothing)
    assert talk.keys == {}
    assert {type(fault) for fault in talk.faults.values()} == {NoSecretKey}


def test_a_frame_that_error_correction_missed_fails_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    link = ArrayLink(seed=1, qber=0.01)
    alice, bob = make_parties(small_config(), link, seed=1)
    monkeypatch.setattr(
        "qanat.postprocessing.reconciliation.cascade.CascadeCorrector.corrected",
        lambda self: (bytes(1024), bytes(1024)),
    )
    talk = converse(alice, bob)
    assert talk.keys == {}
    assert {type(fault) for fault in talk.faults.values()} == {VerificationFailed}


@pytest.mark.parametrize(
    "other", [small_config(qber_abort=0.07), replace(small_config(), session_id=OrderId("order-2"))]
)
def test_different_parameters_are_noticed_at_once(other: SessionConfig) -> None:
    link = ArrayLink(seed=1, qber=0.01)
    alice, _ = make_parties(small_config(), link, seed=1)
    _, bob = make_parties(other, link, seed=1)
    talk = converse(alice, bob)
    assert talk.keys == {}
    assert any("different parameters" in str(fault) for fault in talk.faults.values())


def test_a_dead_session_takes_no_frame_and_has_destroyed_its_pads() -> None:
    link = ArrayLink(seed=1, qber=0.01)
    alice, bob = make_parties(small_config(), link, seed=1)
    hello = bob.start()[0]
    alice.start()
    with pytest.raises(FrameError):
        alice.receive(b"no frame")
    for frame in (hello, b""):
        with pytest.raises(PeerProtocolError, match="ended"):
            alice.receive(frame)
    assert alice.result() is None
    assert alice.ledger.pad_bits_spent + alice.ledger.pad_bits_destroyed == alice.config.pad_bits
    assert decode_frame(alice.farewell()[0]).header == {"reason": "protocol"}
    assert bob.farewell() == []


def test_a_finished_session_takes_no_frame_and_keeps_its_key() -> None:
    link = ArrayLink(seed=1, qber=0.01)
    alice, bob = make_parties(small_config(), link, seed=1)
    talk = converse(alice, bob)
    with pytest.raises(PeerProtocolError, match="ended"):
        alice.receive(talk.sent[-1][1])
    assert alice.result() is not None
    assert alice.farewell() == []


def test_frames_before_the_start_are_refused() -> None:
    link = ArrayLink(seed=1, qber=0.01)
    alice, bob = make_parties(small_config(), link, seed=1)
    with pytest.raises(PeerProtocolError, match="out of turn"):
        alice.receive(bob.start()[0])


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("qber", QberTooHigh),
        ("verification", VerificationFailed),
        ("no-key", NoSecretKey),
        ("?", PeerProtocolError),
        (None, PeerProtocolError),
        ([1], PeerProtocolError),
    ],
)
def test_an_abort_raises_the_matching_error(reason: Any, error: type[QanatError]) -> None:
    alice, _ = make_parties(small_config(), ArrayLink(seed=1, qber=0.01), seed=1)
    alice.start()
    with pytest.raises(error, match="other party stopped"):
        alice.receive(encode_frame(Kind.ABORT, {"reason": reason}))


def test_a_session_takes_so_many_chunks_and_no_more() -> None:
    enough = talk_of(small_config(max_chunks=6), events=4096)
    assert len(enough.keys) == 2
    short = talk_of(small_config(max_chunks=2), events=4096)
    assert short.keys == {}
    assert any(type(fault) is QuantumLayerError and "2 chunks" in str(fault) for fault in short.faults.values())


def test_nobody_keeps_alice_busy_with_empty_chunks() -> None:
    alice, bob = make_parties(small_config(max_chunks=3), ArrayLink(seed=1, qber=0.01), seed=1)
    alice.start()
    alice.receive(bob.start()[0])
    for number in range(3):
        header = {"events": 0, "first": number, "slots": 1}
        alice.receive(encode_frame(Kind.SLOTS, {**header, "width": 1}))
        alice.receive(encode_frame(Kind.BASES, header, bytes(16)))
        alice.receive(encode_frame(Kind.DISCLOSED))
    with pytest.raises(QuantumLayerError, match="3 chunks") as fault:
        alice.receive(encode_frame(Kind.SLOTS, {"events": 0, "first": 3, "slots": 1, "width": 1}))
    assert fault.value.remedy


def test_a_chunk_without_a_slot_is_refused() -> None:
    alice, bob = make_parties(small_config(), ArrayLink(seed=1, qber=0.01), seed=1)
    alice.start()
    alice.receive(bob.start()[0])
    with pytest.raises(FrameError, match="'slots' must be an integer from 1"):
        alice.receive(encode_frame(Kind.SLOTS, {"events": 0, "first": 0, "slots": 0, "width": 1}))


def test_slots_are_not_authenticated_and_all_else_is() -> None:
    """An announcement altered in its spelling only (wider gaps) reaches Alice and no tag objects."""

    def widen(sender: str, number: int, frame: bytes) -> list[bytes]:
        read = decode_frame(frame)
        if read.kind != Kind.SLOTS:
            return [frame]
        width = int(read.header["width"])  # type: ignore[call-overload]
        gaps = np.frombuffer(read.body, np.uint8).reshape(-1, width)
        body = np.pad(gaps, ((0, 0), (0, 1))).tobytes()
        return [encode_frame(Kind.SLOTS, {**read.header, "width": width + 1}, body)]

    link = ArrayLink(seed=1, qber=0.01)
    talk = converse(*make_parties(small_config(), link, seed=1), meddle=widen)
    assert talk.keys["alice"].secret == talk.keys["bob"].secret


@pytest.mark.parametrize(
    "wrong",
    [
        {"frame_bits": 1000},
        {"frame_bits": 2**17, "block_bits": 2**18},
        {"block_bits": 2**13 + 64},
        {"min_key_bits": 0},
        {"max_chunk_events": 0},
        {"max_chunks": 0},
        {"qber_abort": 0.5},
    ],
)
def test_impossible_parameters_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        small_config(**wrong)

"""Every method of error correction: equal keys, honest counts, and what does not fit is refused."""

from __future__ import annotations

import numpy as np
import pytest

from distillation_support import ArrayLink, Talk, converse, make_parties, small_config
from qanat.ground.bits import count_differences
from qanat.ground.errors import FrameError, PeerProtocolError, QberTooHigh
from qanat.ground.framing import decode_frame, encode_frame
from qanat.kernels.reference import winnow as plain_winnow
from qanat.postprocessing.reconciliation.ldpc import choose_joined, choose_num_rows, num_split
from qanat.postprocessing.reconciliation.methods import METHODS
from qanat.postprocessing.reconciliation.port import Disclosed, FrameShape, Message, MethodName
from qanat.postprocessing.reconciliation.winnow import error_rate_after, plan_blocks
from qanat.postprocessing.wire import Kind
from reconciliation_support import METHOD_NAMES, SEED, Run, heard_by_a_spy, noisy_keys

SMALL = FrameShape(3, 2**12)
TINY = FrameShape(2, 2**12)
EACH = pytest.mark.parametrize("method", METHOD_NAMES)
RECONCILING = {Kind.RECONCILE, Kind.PASS, Kind.PARITIES, Kind.QUESTIONS, Kind.ANSWERS}


@EACH
@pytest.mark.parametrize("num_frames", [1, 5, 65])
@pytest.mark.parametrize("qber", [0.0, 0.001, 0.02, 0.08])
def test_all_errors_are_corrected_and_counted(method: MethodName, qber: float, num_frames: int) -> None:
    shape = FrameShape(num_frames, 2**12)
    alice, bob = noisy_keys(num_frames, shape, qber=qber)
    run = Run(method, alice, bob, shape, qber)
    assert run.key == alice
    assert count_differences(run.errors, bytes(len(bob))) == count_differences(alice, bob)
    heard = heard_by_a_spy(method, run.said, shape)
    assert (run.disclosed.told_bits, run.disclosed.reply_bits) == heard


def block_survives(method: MethodName, seed: int, shape: FrameShape = TINY) -> bool:
    """Correct one key; every third has a burst, and the error rate is known to a quarter only."""
    draw = np.random.default_rng(seed)
    qber = float(np.exp(draw.uniform(np.log(0.001), np.log(0.08))))
    burst_bits = int(0.07 * shape.key_bits) if seed % 3 == 0 else 0
    alice, bob = noisy_keys(seed, shape, qber=qber, burst_bits=burst_bits, p_burst=0.2)
    mean = qber + burst_bits / shape.key_bits * max(0.0, 0.2 - qber)
    run = Run(method, alice, bob, shape, mean * draw.uniform(0.8, 1.25))
    assert (run.disclosed.told_bits, run.disclosed.reply_bits) == heard_by_a_spy(method, run.said, shape)
    return run.key == alice


@pytest.mark.slow
@EACH
def test_keys_agree_in_167_blocks(method: MethodName) -> None:
    assert all(block_survives(method, seed) for seed in range(167))


@pytest.mark.campaign
@EACH
def test_keys_agree_in_10_000_blocks(method: MethodName) -> None:
    """At most one block in 10,000 may fail (verification then drops it); more than 6 has odds of 1e-4 at that rate."""
    failures = [seed for seed in range(10_000) if not block_survives(method, seed)]
    assert len(failures) <= 6, failures


@pytest.mark.campaign
@EACH
def test_keys_agree_in_1_000_blocks_of_full_size(method: MethodName) -> None:
    assert all(block_survives(method, seed, FrameShape(4, 2**16)) for seed in range(1000))


@pytest.mark.campaign
def test_keys_agree_in_2_000_blocks_whose_frames_are_joined() -> None:
    assert all(block_survives("ldpc", seed, FrameShape(32, 2**12)) for seed in range(2000))


@pytest.mark.slow
@EACH
@pytest.mark.parametrize("qber", [0.003, 0.005, 0.01, 0.025, 0.05])
def test_frames_of_full_size_tell_what_the_page_says(method: MethodName, qber: float) -> None:
    """f_EC over 32 frames of 2^16 against docs/explanation/reconciliation.md; it varies by some 0.01 to 0.02."""
    most = {
        "cascade": {0.003: 1.12, 0.005: 1.12, 0.01: 1.12, 0.025: 1.12, 0.05: 1.12},
        "winnow": {0.003: 1.38, 0.005: 1.36, 0.01: 1.40, 0.025: 1.40, 0.05: 1.44},
        "ldpc": {0.003: 1.21, 0.005: 1.20, 0.01: 1.21, 0.025: 1.19, 0.05: 1.17},
    }
    shape = FrameShape(32, 2**16)
    alice, bob = noisy_keys(1, shape, qber=qber)
    run = Run(method, alice, bob, shape, qber)
    assert run.key == alice
    assert 1 < run.efficiency < most[method][qber]


@EACH
def test_a_wrong_guess_of_the_error_rate_costs_leak_and_no_correctness(method: MethodName) -> None:
    alice, bob = noisy_keys(3, SMALL, qber=0.03)
    for guess in (0.0, 0.001, 0.2) if method != "ldpc" else (0.02, 0.2):  # one message has to be long enough
        assert Run(method, alice, bob, SMALL, guess).key == alice


@EACH
def test_hopeless_keys_end_before_more_is_told_than_they_hold(method: MethodName) -> None:
    alice, bob = noisy_keys(4, SMALL, qber=0.5)
    with pytest.raises(PeerProtocolError, match="more than the key"):
        Run(method, alice, bob, SMALL, 0.02)


@EACH
def test_a_party_takes_no_other_methods_words(method: MethodName) -> None:
    for other in set(METHOD_NAMES) - {method}:
        first = METHODS[other].corrector(bytes(2**9 * 3), SMALL, qber=0.01, seed=SEED).start()[0]
        with pytest.raises(FrameError, match="other"):
            METHODS[method].answerer(bytes(2**9 * 3), SMALL).receive(first)


def altered(message: Message, deed: int, draw: np.random.Generator) -> Message:
    body = bytearray(message.body)
    if deed == 0:
        return message._replace(body=bytes(body[: len(body) // 2]) if body else b"x")
    if deed == 1:
        return message._replace(body=bytes(body) + b"\0")
    if deed == 2:
        name = next(iter(message.header), "pass")
        return message._replace(header={**message.header, name: int(draw.integers(-2, 2**33))})
    if deed == 3:
        return message._replace(header={**message.header, "more": 1})
    for place in draw.integers(0, max(1, len(body)), 3):
        body[place : place + 1] = draw.bytes(1)
    return message._replace(body=bytes(body))


@EACH
@pytest.mark.parametrize("deed", range(5))
def test_altered_messages_are_refused_or_lead_to_an_end(method: MethodName, deed: int) -> None:
    """Cut, longer, with other or more words: refused. Other bits: refused, or a key that verification will see."""
    alice, bob = noisy_keys(5, SMALL, qber=0.02)
    untouched = Run(method, alice, bob, SMALL, 0.02)
    num_refused = 0
    for target in range(len(untouched.said)):
        draw = np.random.default_rng(target)

        def meddle(number: int, message: Message, target: int = target, draw: np.random.Generator = draw) -> Message:
            return altered(message, deed, draw) if number == target else message

        try:
            Run(method, alice, bob, SMALL, 0.02, meddle)
        except (FrameError, PeerProtocolError, AssertionError):
            num_refused += 1
    if deed in {0, 1, 3}:
        assert num_refused >= len(untouched.said) - 1


def random_message(draw: np.random.Generator) -> Message:
    known = ("log_k1", "log_k2", "log_k3", "pass", "half", "log_block", "method", "rows", "level", "joined")
    names = draw.choice(known, 3)
    values = (0, 1, 5, -1, 2**70, "ldpc", "winnow", None, 0.5, [1])
    header = {str(name): values[draw.integers(len(values))] for name in names[: draw.integers(4)]}
    kind = Kind(int(draw.choice([*RECONCILING])))
    return Message(kind, header, draw.bytes(int(draw.choice([0, 1, 4, 12, 32, 384, 2000]))))  # type: ignore[arg-type]


@EACH
def test_nonsense_is_refused_by_both_sides_at_every_stage(method: MethodName) -> None:
    alice, bob = noisy_keys(7, SMALL, qber=0.02)
    draw = np.random.default_rng(1)
    for stage in range(4):
        for _ in range(100):
            answerer = METHODS[method].answerer(alice, SMALL)
            corrector = METHODS[method].corrector(bob, SMALL, qber=0.02, seed=SEED)
            questions, answers = list(corrector.start()), []
            for _ in range(stage):
                answers = [answer for question in questions for answer in answerer.receive(question)]
                questions = [question for answer in answers for question in corrector.receive(answer)]
            for party in (answerer, corrector):
                message = random_message(draw)
                if message.kind in party.expects:
                    with pytest.raises((FrameError, PeerProtocolError)):
                        party.receive(message)


def talk_of(method: MethodName, *, qber: float = 0.01, charges_replies: bool = False, seed: int = 1) -> Talk:
    config = small_config(frame_bits=2**12, reconciliation=method, charges_replies=charges_replies)
    return converse(*make_parties(config, ArrayLink(seed=seed, qber=qber), seed=seed))


@EACH
@pytest.mark.parametrize("charges_replies", [False, True])
def test_sessions_charge_what_a_spy_on_the_channel_counts(method: MethodName, charges_replies: bool) -> None:
    talk = talk_of(method, charges_replies=charges_replies)
    frames = [decode_frame(data) for _, data in talk.sent]
    said = [Message(Kind(frame.kind), frame.header, frame.body) for frame in frames if frame.kind in RECONCILING]
    told, replied = heard_by_a_spy(method, said, FrameShape(2, 2**12))
    assert talk.keys["alice"].secret == talk.keys["bob"].secret
    for key in talk.keys.values():
        assert key.ledger.leaked_bits[method] == told
        assert key.ledger.reply_bits == replied
        assert key.leaked_bits == told + replied * charges_replies
    assert talk.keys["alice"].leaked_bits == talk.keys["bob"].leaked_bits


@EACH
def test_charging_replies_makes_the_key_shorter(method: MethodName) -> None:
    usual, strict = (talk_of(method, charges_replies=charged).keys["bob"] for charged in (False, True))
    assert strict.num_bits < usual.num_bits
    assert usual.length.num_bits - strict.length.num_bits == strict.ledger.reply_bits


@EACH
def test_above_the_threshold_nothing_is_told(method: MethodName) -> None:
    config = small_config(frame_bits=2**12, reconciliation=method, qber_abort=0.05)
    talk = converse(*make_parties(config, ArrayLink(seed=1, qber=0.09), seed=1))
    assert talk.keys == {}
    assert {type(fault) for fault in talk.faults.values()} == {QberTooHigh}
    assert RECONCILING.isdisjoint({decode_frame(data).kind for _, data in talk.sent})


@EACH
def test_an_altered_frame_of_error_correction_gives_no_key(method: MethodName) -> None:
    for seed in range(12):
        draw = np.random.default_rng(seed)
        left = [int(draw.integers(6))]
        config = small_config(frame_bits=2**12, reconciliation=method)

        def meddle(
            _: str,
            __: int,
            data: bytes,
            left: list[int] = left,
            draw: np.random.Generator = draw,
        ) -> list[bytes]:
            frame = decode_frame(data)
            if frame.kind not in RECONCILING or not frame.body:
                return [data]
            left[0] -= 1
            if left[0] != -1:
                return [data]
            body = bytearray(frame.body)
            body[int(draw.integers(len(body)))] ^= 1 << int(draw.integers(8))
            return [encode_frame(frame.kind, frame.header, bytes(body))]

        talk = converse(*make_parties(config, ArrayLink(seed=seed, qber=0.01), seed=seed), meddle=meddle)
        untouched = converse(*make_parties(config, ArrayLink(seed=seed, qber=0.01), seed=seed))
        was_met = [data for _, data in talk.sent] != [data for _, data in untouched.sent]
        assert talk.keys == {} or not was_met


def test_two_parties_with_different_methods_part_at_once() -> None:
    link = ArrayLink(seed=1, qber=0.01)
    alice, _ = make_parties(small_config(frame_bits=2**12, reconciliation="ldpc"), link, seed=1)
    _, bob = make_parties(small_config(frame_bits=2**12, reconciliation="winnow"), link, seed=1)
    talk = converse(alice, bob)
    assert talk.keys == {}
    assert any("different parameters" in str(fault) for fault in talk.faults.values())


@pytest.mark.parametrize("wrong", [{"reconciliation": "none"}, {"reconciliation": "ldpc", "frame_bits": 2**11}])
def test_impossible_methods_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        small_config(**wrong)


@pytest.mark.parametrize(("error_rate", "log_block"), [(0.01, 5), (0.05, 3), (0.05, 5), (0.002, 7), (0.03, 6)])
def test_a_pass_of_winnow_leaves_the_errors_that_the_plan_expects(error_rate: float, log_block: int) -> None:
    """The twin on 2^17 bits, within 5 sigma of errors that come and go by twos (one false alarm in a million)."""
    size = 2**17
    errors = (np.random.default_rng(1).random(size) < error_rate).astype(int).tolist()
    blocks = np.array(errors).reshape(-1, 1 << log_block)
    told = (1 + log_block * (blocks.sum(axis=1) % 2).mean()) / (1 << log_block)
    plain_winnow.correct([0] * size, errors, range(size), log_block=log_block)
    expected, expected_told = error_rate_after(error_rate, log_block)
    assert abs(sum(errors) - expected * size) < 5 * (4 * expected * size) ** 0.5
    assert told == pytest.approx(expected_told, rel=0.03)


def test_winnow_plans_blocks_that_grow_and_suit_the_error_rate() -> None:
    assert plan_blocks(0.0, frame_bits=2**16, largest=12) == ()
    for qber in (1e-4, 0.01, 0.08, 0.5):
        blocks = plan_blocks(qber, frame_bits=2**16, largest=12)
        assert list(blocks) == sorted(blocks)
        assert blocks[0] >= 3
        assert blocks[-1] <= 12
    first = [plan_blocks(qber, frame_bits=2**16, largest=12)[0] for qber in (0.05, 0.01, 0.001)]
    assert first == sorted(set(first))


def test_a_code_grows_with_the_error_rate_and_every_level_splits_more() -> None:
    rows = [choose_num_rows(qber, frame_bits=2**16) for qber in (0.0, 0.001, 0.01, 0.05, 0.5)]
    assert rows == sorted(rows)
    assert len(set(rows)) == len(rows)
    for num_rows in (9, 100):
        levels = [num_split(level, num_rows) for level in range(8)]
        assert levels == sorted(set(levels))
        assert (levels[0], levels[-1]) == (0, num_rows)


def test_ldpc_is_one_message_when_all_frames_decode() -> None:
    alice, bob = noisy_keys(6, SMALL, qber=0.01)
    run = Run("ldpc", alice, bob, SMALL, 0.03)
    assert run.round_trips == 1
    assert [message.kind for message in run.said] == [Kind.RECONCILE, Kind.PARITIES]
    assert run.disclosed.reply_bits == SMALL.num_frames


@pytest.mark.parametrize(
    ("num_frames", "joined"), [(1, 1), (6, 1), (8, 2), (14, 2), (15, 1), (16, 4), (24, 4), (64, 8)]
)
def test_frames_with_few_errors_are_corrected_together(num_frames: int, joined: int) -> None:
    shape = FrameShape(num_frames, 2**12)
    assert choose_joined(0.003, shape) == joined
    assert choose_joined(0.005, shape) == min(joined, 4)
    assert choose_joined(0.01, shape) == 1
    alice, bob = noisy_keys(6, shape, qber=0.003)
    run = Run("ldpc", alice, bob, shape, 0.003)
    assert run.key == alice
    assert run.said[0].header["joined"] == joined
    assert (run.disclosed.told_bits, run.disclosed.reply_bits) == heard_by_a_spy("ldpc", run.said, shape)


@pytest.mark.parametrize("joined", [0, 3, 4, 5, 6, 8, 2**62])
def test_frames_that_cannot_be_joined_so_are_refused(joined: int) -> None:
    shape = FrameShape(6, 2**12)
    answerer = METHODS["ldpc"].answerer(bytes(shape.key_bits // 8), shape)
    with pytest.raises(FrameError):
        answerer.receive(Message(Kind.RECONCILE, {"joined": joined, "method": "ldpc", "rows": 9}, SEED))


def test_counts_beyond_the_key_are_refused() -> None:
    Disclosed(SMALL.key_bits).check(SMALL)
    with pytest.raises(PeerProtocolError):
        Disclosed(SMALL.key_bits + 1).check(SMALL)

"""Privacy amplification in whole sessions, by either hash: a seed of the right length, and the key of the twin."""

from __future__ import annotations

from typing import Any

import pytest

from distillation_support import ArrayLink, Talk, converse, generous_proof, make_parties, small_config
from qanat.apps.distil.key_files import description
from qanat.ground.errors import ConfigurationError, FrameError, PeerProtocolError
from qanat.ground.framing import decode_frame, encode_frame
from qanat.kernels.reference import toeplitz as plain
from qanat.postprocessing import amplification
from qanat.postprocessing.amplification import amplify, num_seed_bits
from qanat.postprocessing.wire import Kind
from qanat.protocols.decoy import SecretLength
from qanat.quantum_layer.link_plan import LinkTask

HASHES: tuple[Any, ...] = ("toeplitz", "modified-toeplitz")
PLAIN = {"toeplitz": plain.toeplitz_hash, "modified-toeplitz": plain.modified_toeplitz_hash}


def talk_of(method: Any, *, log_key: int = 13, meddle: Any = None, proof: Any = generous_proof, seed: int = 1) -> Talk:
    config = small_config(
        frame_bits=2**8, block_bits=2**log_key, min_key_bits=2**log_key, amplification=method, qber_abort=0.1
    )
    link = ArrayLink(seed=seed, qber=0.01, events=3 * 2**log_key)
    return converse(*make_parties(config, link, seed=seed, proof=proof), meddle=meddle)


def seed_on_the_wire(talk: Talk) -> tuple[dict[str, Any], bytes]:
    frames = [decode_frame(data) for _, data in talk.sent]
    pieces = [frame for frame in frames if frame.kind == Kind.SEED]
    return dict(pieces[0].header), b"".join(frame.body for frame in pieces)


@pytest.mark.parametrize("method", HASHES)
@pytest.mark.parametrize("seed", range(3))
def test_the_secret_is_what_the_plain_twin_makes_of_the_verified_key_and_the_seed_on_the_wire(
    monkeypatch: pytest.MonkeyPatch, method: Any, seed: int
) -> None:
    verified = []

    def noting(method: Any, key: bytes, told: bytes, **sizes: int) -> bytes:
        verified.append((method, key))
        return amplify(method, key, told, **sizes)

    monkeypatch.setattr("qanat.postprocessing.party.amplify", noting)
    talk = talk_of(method, log_key=10, seed=seed)
    header, told = seed_on_the_wire(talk)
    assert verified[0] == verified[1] == (method, verified[0][1])
    sizes = {"num_key_bits": header["key_bits"], "num_output_bits": header["secret_bits"]}
    expected = PLAIN[method](verified[0][1], told, **sizes)
    assert talk.keys["alice"].secret.reveal() == talk.keys["bob"].secret.reveal() == expected


@pytest.mark.parametrize("method", HASHES)
def test_the_seed_has_a_bit_per_diagonal_and_no_more(method: Any) -> None:
    talk = talk_of(method)
    header, told = seed_on_the_wire(talk)
    n, length = header["key_bits"], header["secret_bits"]
    diagonals = n + length - 1 if method == "toeplitz" else (n - length) + length - 1
    assert num_seed_bits(method, num_key_bits=n, num_output_bits=length) == diagonals
    assert len(told) == (diagonals + 7) // 8
    assert told[-1] >> (diagonals % 8 or 8) == 0
    assert 0.3 < int.from_bytes(told, "little").bit_count() / diagonals < 0.7


def test_both_hashes_give_the_same_length_for_the_same_leak_and_the_key_says_which_it_was() -> None:
    made = {method: talk_of(method).keys["bob"] for method in HASHES}
    one, other = made.values()
    assert (one.num_bits, one.leaked_bits, one.ledger.estimation_bits) == (
        other.num_bits,
        other.leaked_bits,
        other.ledger.estimation_bits,
    )
    assert one.secret != other.secret
    assert [description(key)["amplification"] for key in made.values()] == list(HASHES)


@pytest.mark.parametrize("length", [16, 2**13 - 16, 2**13])
@pytest.mark.parametrize("method", HASHES)
def test_the_shortest_and_the_longest_keys_can_be_made(method: Any, length: int) -> None:
    """A proof never grants as many bits as went in; the hashes could."""

    def proof(*_: Any, leaked_bits: int) -> SecretLength:
        return SecretLength(length, "stated", (0, 0), (0, 0), (0, 0), {"leaked": leaked_bits})

    talk = talk_of(method, proof=proof)
    assert talk.keys["alice"].secret == talk.keys["bob"].secret
    assert talk.keys["alice"].num_bits == length


@pytest.mark.parametrize("method", HASHES)
def test_a_seed_whose_padding_is_not_zero_or_that_is_too_long_is_refused(method: Any) -> None:
    def spoilt(change: Any) -> Any:
        def meddle(sender: str, number: int, frame: bytes) -> list[bytes]:
            read = decode_frame(frame)
            return [encode_frame(read.kind, read.header, change(read.body)) if read.kind == Kind.SEED else frame]

        return talk_of(method, meddle=meddle)

    for change, words in (
        (lambda body: body[:-1] + bytes([body[-1] | 0x80]), "padding of the Toeplitz seed"),
        (lambda body: body + b"\0", "of Toeplitz seed were expected"),
        (lambda body: b"", "of Toeplitz seed were expected"),
    ):
        talk = spoilt(change)
        assert talk.keys == {}
        assert type(talk.faults["bob"]) is FrameError
        assert words in talk.faults["bob"].message


def test_parties_that_would_hash_otherwise_find_out_at_once() -> None:
    link = ArrayLink(seed=1, qber=0.01)
    alice, _ = make_parties(small_config(), link, seed=1)
    _, bob = make_parties(small_config(amplification="modified-toeplitz"), link, seed=1)
    talk = converse(alice, bob)
    assert talk.keys == {}
    assert {type(fault) for fault in talk.faults.values()} == {PeerProtocolError}
    assert any("different parameters" in fault.message for fault in talk.faults.values())


def test_a_hash_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="amplification must be one of"):
        small_config(amplification="crc")
    with pytest.raises(ConfigurationError) as refusal:
        LinkTask(system="backbone-625", loss_db=6.0, seconds=1.0, amplification="crc")  # type: ignore[arg-type]
    assert "modified-toeplitz" in refusal.value.remedy


@pytest.mark.parametrize("method", HASHES)
def test_two_keys_meet_under_a_short_hash_just_as_often_as_the_family_lets_them(method: Any) -> None:
    """Every seed of a small family: n = 7 key bits, l = 3; the odds of two keys to meet, exactly.

    Full: 2^-l for every pair. Modified: 2^-l for pairs that differ in the first n - l bits, never for others.
    """
    n, length = 7, 3
    num_seeds = 1 << num_seed_bits(method, num_key_bits=n, num_output_bits=length)
    sizes = {"num_key_bits": n, "num_output_bits": length}
    hashed = [
        [
            amplification.amplify(
                method, bytes([key]), seed.to_bytes((num_seeds.bit_length() + 6) // 8, "little"), **sizes
            )
            for seed in range(num_seeds)
        ]
        for key in (0, 0b1, 0b1000, 0b10000, 0b1100000)
    ]
    for other, key in zip(hashed[1:], (0b1, 0b1000, 0b10000, 0b1100000), strict=True):
        meetings = sum(one == two for one, two in zip(hashed[0], other, strict=True))
        differs_in_front = key & 0b1111
        assert meetings == (num_seeds >> length if method == "toeplitz" or differs_in_front else 0)

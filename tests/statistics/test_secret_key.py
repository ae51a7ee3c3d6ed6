"""Secret keys of whole sessions: uniform, and independent of each other and of everything that was on the wire.

The records are biased on purpose: three bits in ten are one, min-entropy 0.51 per bit. Error correction tells 0.09 of
it and four bits in ten become key, so what is uniform in the end was made so by the hash.

About 130 questions per test (64 lags, 8 offsets of six kinds of words on the wire and of the block before, bytes, runs,
ones), each with a false alarm once in 1.7 million (5 sigma): one in 13,000 for a new seed. The seeds are fixed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from distillation_support import SeededEntropy, Talk, converse
from key_statistics import Evidence, Halves
from qanat.ground.errors import VerificationFailed
from qanat.ground.framing import decode_frame
from qanat.ground.identifiers import OrderId
from qanat.ground.keys import SecretBytes
from qanat.postprocessing.alice import AliceSession
from qanat.postprocessing.amplification import amplify, num_seed_bits
from qanat.postprocessing.bob import BobSession
from qanat.postprocessing.config import SessionConfig
from qanat.postprocessing.wire import Kind
from qanat.protocols.decoy import SecretLength
from qanat.quantum_layer.recorded import RecordedDetections, RecordedPreparations, SiftedBits
from statistics_support import FIVE_SIGMA

HASHES: tuple[Any, ...] = ("toeplitz", "modified-toeplitz")
P_ONE, QBER, SHARE = 0.3, 0.01, 0.4
KINDS = {
    "hash": (Kind.HASH,),
    "her disclosed bits": (Kind.SIFTED,),
    "his disclosed bits": (Kind.DISCLOSED,),
    "parities": (Kind.PARITIES, Kind.ANSWERS),
    "questions": (Kind.QUESTIONS,),
    "seed": (Kind.SEED,),
}


class SwitchedEntropy(SeededEntropy):
    """Draws what has the size of a seed of privacy amplification from a generator of its own."""

    def __init__(self, seed: int, *, seed_bytes: int, seed_of_seed: int) -> None:
        super().__init__(seed)
        self._seed_bytes, self._seeds = seed_bytes, SeededEntropy(seed_of_seed)

    def public_bytes(self, num_bytes: int, /) -> bytes:
        return self._seeds.public_bytes(num_bytes) if num_bytes == self._seed_bytes else super().public_bytes(num_bytes)


class Sessions:
    """Whole sessions over records that are drawn anew for each block."""

    def __init__(self, method: Any, *, seed: int, log_key: int = 18) -> None:
        self._key_bits = 2**log_key
        self._seed = seed
        self.dropped: list[int] = []
        self.config = SessionConfig(
            OrderId("block"),
            frame_bits=min(2**16, self._key_bits),
            block_bits=self._key_bits,
            min_key_bits=self._key_bits,
            amplification=method,
        )
        self._num_secret = int(SHARE * self._key_bits) // 16 * 16
        self._seed_bytes = (
            num_seed_bits(method, num_key_bits=self._key_bits, num_output_bits=self._num_secret) + 7
        ) // 8

    def _length(self, *_: Any, leaked_bits: int) -> SecretLength:
        return SecretLength(self._num_secret, "stated", (0, 0), (0, 0), (0, 0), {"leaked": leaked_bits})

    def talk(self, number: int, *, seed_of_seed: int) -> Talk:
        """Run the session over record ``number``."""
        draw = np.random.default_rng((self._seed, number))
        size = int(1.12 * self._key_bits) + 1000
        bits = (draw.random(size, dtype=np.float32) < P_ONE).astype(np.uint8)
        wrong = bits ^ (draw.random(size, dtype=np.float32) < QBER).astype(np.uint8)
        pads = draw.bytes(self.config.pad_bits // 8)
        first, second = (int(word) for word in draw.integers(0, 2**62, 2))
        hers = SwitchedEntropy(first, seed_bytes=self._seed_bytes, seed_of_seed=first ^ seed_of_seed)
        return converse(
            AliceSession(
                self.config, RecordedPreparations(SiftedBits(bits)), SecretBytes(pads), hers, proof=self._length
            ),
            BobSession(
                self.config,
                RecordedDetections(SiftedBits(wrong)),
                SecretBytes(pads),
                SeededEntropy(second),
                proof=self._length,
            ),
        )

    def blocks(self, numbers: range) -> Iterator[tuple[bytes, dict[str, bytes]]]:
        """Yield each block's key, and what was on the wire. A block that verification dropped made no key."""
        for number in numbers:
            talk = self.talk(number, seed_of_seed=1)
            if {type(fault) for fault in talk.faults.values()} == {VerificationFailed}:
                self.dropped.append(number)
                continue
            assert talk.faults == {}, f"record {number}"
            assert talk.keys["alice"].secret == talk.keys["bob"].secret
            yield talk.keys["alice"].secret.reveal(), said_in(talk)

    def evidence(self, num_blocks: int, *, num_twice: int = 4) -> Evidence:
        found = Evidence()
        for number, (secret, wire) in enumerate(self.blocks(range(num_blocks))):
            found.add(secret, wire)
            if number < num_twice:
                found.add_twice(secret, self.talk(number, seed_of_seed=2).keys["bob"].secret.reveal())
        return found


def said_in(talk: Talk) -> dict[str, bytes]:
    """Return what was said, by what it was; of SIFTED the last section alone, Alice's disclosed bits."""
    said = dict.fromkeys(KINDS, b"")
    for _, data in talk.sent:
        frame = decode_frame(data)
        for name, kinds in KINDS.items():
            if frame.kind in kinds:
                told = int(str(frame.header.get("told", 0)))
                said[name] += frame.body[-((told + 7) // 8) :] if frame.kind == Kind.SIFTED else frame.body
    return said


@pytest.mark.slow
@pytest.mark.parametrize("method", HASHES)
def test_ten_million_secret_bits_are_uniform_and_independent_of_all_that_was_said(method: Any) -> None:
    found = Sessions(method, seed=20).evidence(96)
    assert found.num_bits > 10**7
    assert found.objections(at=FIVE_SIGMA) == []
    assert len(found.odds()) > 120
    assert min(half.trials for half in found.halves.values()) > 10_000


@pytest.mark.campaign
def test_a_billion_secret_bits_are_uniform_and_independent_of_all_that_was_said() -> None:
    """Of 9,600 blocks of 2^18 bits one in ten thousand may fail its verification: more than 6 once in 10^4 tries."""
    sessions = Sessions("toeplitz", seed=21, log_key=20)
    found = sessions.evidence(2400, num_twice=100)
    assert len(sessions.dropped) <= 6
    assert found.num_bits > 10**9
    assert found.objections(at=FIVE_SIGMA) == []


def copies_key(method: Any, key: bytes, seed: bytes, *, num_key_bits: int, num_output_bits: int) -> bytes:
    """No hash at all: the key's first bits."""
    return key[: num_output_bits // 8]


def copies_one_byte_in_ten(method: Any, key: bytes, seed: bytes, **sizes: int) -> bytes:
    hashed = bytearray(amplify(method, key, seed, **sizes))
    hashed[::10] = key[: len(hashed) : 10]
    return bytes(hashed)


def ignores_seed(method: Any, key: bytes, seed: bytes, **sizes: int) -> bytes:
    """The matrix is the same in every block, whatever the seed."""
    return amplify(method, key, b"\x35" + bytes(len(seed) - 2) + b"\x01", **sizes)


def tells_seed(method: Any, key: bytes, seed: bytes, *, num_key_bits: int, num_output_bits: int) -> bytes:
    """What everybody heard is the key."""
    return seed[: num_output_bits // 8]


def has_a_seed_of_zeros(method: Any, key: bytes, seed: bytes, **sizes: int) -> bytes:
    return amplify(method, key, bytes(len(seed)), **sizes)


def repeats_itself(method: Any, key: bytes, seed: bytes, **sizes: int) -> bytes:
    """Of every eight bytes, the last four are the first four."""
    hashed = np.frombuffer(amplify(method, key, seed, **sizes), np.uint8).copy()
    whole = hashed[: hashed.size // 8 * 8].reshape(-1, 8)
    whole[:, 4:] = whole[:, :4]
    return hashed.tobytes()


@pytest.mark.parametrize(
    ("fault", "objection"),
    [
        (copies_key, "ones"),
        (copies_one_byte_in_ten, "ones"),
        (ignores_seed, "the same record under another seed"),
        (tells_seed, "seed on the wire, offset 0"),
        (has_a_seed_of_zeros, "values of bytes"),
        (repeats_itself, "serial correlation, lag 32"),
    ],
)
def test_a_faulty_hash_is_seen(monkeypatch: pytest.MonkeyPatch, fault: Callable[..., bytes], objection: str) -> None:
    """Planted: six hashes by which both parties agree on a key that is none. Eight blocks show each."""
    monkeypatch.setattr("qanat.postprocessing.party.amplify", fault)
    found = Sessions("toeplitz", seed=22, log_key=15).evidence(8)
    assert objection in found.objections(at=FIVE_SIGMA)
    monkeypatch.undo()
    assert Sessions("toeplitz", seed=22, log_key=15).evidence(8).objections(at=FIVE_SIGMA) == []


@pytest.mark.parametrize("method", HASHES)
def test_one_bit_of_the_key_turns_half_of_the_secret(method: Any) -> None:
    """The sum over 200 turned bits is within 5 sigma: one false alarm in 1.7 million.

    A bit among the last l turns one bit alone in the modified hash: its column is one of the identity.
    """
    draw = np.random.default_rng(23)
    n, length = 2**14, 2**12
    seed_bits = num_seed_bits(method, num_key_bits=n, num_output_bits=length)
    sizes = {"num_key_bits": n, "num_output_bits": length}
    turned = Halves()
    for place in draw.integers(0, n, 200).tolist():
        key = draw.bytes(n // 8)
        other = bytearray(key)
        other[place // 8] ^= 1 << place % 8
        seed = np.packbits(draw.integers(0, 2, seed_bits, dtype=np.uint8), bitorder="little").tobytes()
        one, two = (
            np.unpackbits(np.frombuffer(amplify(method, data, seed, **sizes), np.uint8)) for data in (key, bytes(other))
        )
        if method == "toeplitz" or place < n - length:
            turned.add(one ^ two)
        else:
            assert np.count_nonzero(one ^ two) == 1
    assert turned.trials > 100 * length
    assert turned.odds > FIVE_SIGMA


@pytest.mark.parametrize("method", HASHES)
def test_short_hashes_of_two_keys_meet_as_often_as_two_random_strings(method: Any) -> None:
    """5,000 pairs of random keys under a fresh seed each, 6 bits of hash: 2^-6 of them meet, within 5 sigma."""
    draw = np.random.default_rng(24)
    num_trials, length, n = 5_000, 6, 100
    seed_bits = num_seed_bits(method, num_key_bits=n, num_output_bits=length)
    sizes = {"num_key_bits": n, "num_output_bits": length}
    meetings = 0
    for _ in range(num_trials):
        one, two = (int.from_bytes(draw.bytes(13), "little") >> 4 for _ in range(2))
        seed = (int.from_bytes(draw.bytes(14), "little") >> (112 - seed_bits)).to_bytes((seed_bits + 7) // 8, "little")
        hashes = {amplify(method, key.to_bytes(13, "little"), seed, **sizes) for key in (one, two)}
        meetings += len(hashes) == 1
    spread = (num_trials * 2.0**-length * (1 - 2.0**-length)) ** 0.5
    assert abs(meetings - num_trials * 2.0**-length) < 5 * spread

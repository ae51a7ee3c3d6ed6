"""Verification hashes: as long as the proof pays for, and universal; and the wire is as its page says."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.poly1305 import Poly1305

from qanat.ground.framing import encode_frame
from qanat.ground.identifiers import OrderId
from qanat.kernels.toeplitz import toeplitz_hash
from qanat.postprocessing.config import SessionConfig
from qanat.postprocessing.verification import clear_padding, hash_key_bytes, num_hash_bits, verification_hash
from qanat.postprocessing.wire import UNAUTHENTICATED, Kind

PAGE = Path(__file__).parents[2] / "docs" / "formats" / "distillation-wire.md"


@pytest.mark.parametrize("eps_cor", [1e-9, 1e-15, 1e-18])
@pytest.mark.parametrize("key_bytes", [1, 524_288, 12_500_000])
def test_the_hash_tells_no_more_than_the_proof_pays_for(eps_cor: float, key_bytes: int) -> None:
    bits = num_hash_bits(eps_cor, key_bytes=key_bytes)
    assert bits <= math.log2(2 / eps_cor)
    assert 2.0**-bits <= eps_cor


def test_a_hash_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="verifies"):
        num_hash_bits(1e-30, key_bytes=10**9)
    with pytest.raises(ValueError, match="hash key"):
        verification_hash(b"key", bytes(3), num_bits=50)


@pytest.mark.parametrize("num_bits", [1, 8, 50, 63, 128])
def test_the_second_stage_is_the_toeplitz_hash_of_the_first(num_bits: int) -> None:
    draw = np.random.default_rng(num_bits)
    key, hash_key = draw.bytes(1000), draw.bytes(hash_key_bytes(num_bits))
    digest = Poly1305.generate_tag(hash_key[:16] + bytes(16), key)
    matrix = clear_padding(hash_key[16:], num_bits=127 + num_bits)
    expected = toeplitz_hash(digest, matrix, num_key_bits=128, num_output_bits=num_bits)
    assert verification_hash(key, hash_key, num_bits=num_bits) == expected


def test_two_keys_meet_as_seldom_as_a_universal_hash_lets_them() -> None:
    """Collisions of an 8-bit hash over 4,000 hash keys: at most 5 sigma above the mean, one false alarm in 3.5e6."""
    draw = np.random.default_rng(5)
    num_trials, p_meet = 4000, 2.0**-8
    first = draw.bytes(64)
    second = bytes([first[0] ^ 1]) + first[1:]
    keys = [draw.bytes(hash_key_bytes(8)) for _ in range(num_trials)]
    hashes = [[verification_hash(key, hash_key, num_bits=8) for key in (first, second)] for hash_key in keys]
    meetings = sum(one == other for one, other in hashes)
    spread = (num_trials * p_meet * (1 - p_meet)) ** 0.5
    assert abs(meetings - num_trials * p_meet) < 5 * spread
    assert len({one for one, _ in hashes}) == 256


def test_padding_is_cleared_and_nothing_else() -> None:
    assert clear_padding(b"\xff\xff", num_bits=16) == b"\xff\xff"
    assert clear_padding(b"\xff\xff", num_bits=11) == b"\xff\x07"


def test_the_page_of_the_wire_names_every_kind_and_its_example_holds() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for kind in Kind:
        assert f"| {kind:02x} {kind.name} |" in page
    assert "Everything but SLOTS, TAG and ABORT" in page
    assert {kind.name for kind in UNAUTHENTICATED} == {"SLOTS", "TAG", "ABORT"}
    example = encode_frame(Kind.PASS, {"pass": 1}).hex()
    assert example in page.replace(" ", "")
    default = SessionConfig(OrderId("default"))
    assert f"are {default.tag_bits} bits and the pads {default.pad_bits} bits" in page.replace("\n", " ")

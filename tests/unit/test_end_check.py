"""What the ends of a relayed batch compare: equal where all is equal, other for every change, hidden by its mask.

The polynomial is spelled here as in the module's text, term by term and without its blocks of powers.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from qanat.ground.keys import SecretBytes
from qanat.key_management import end_check as module
from qanat.key_management.end_check import CHECK_BYTES, end_check, odds_unnoticed

PRIME = 2**130 - 5
DICE = random.Random(8)
HEADER, KEYS = b"whose keys these are", DICE.randbytes(1000)
SHARES = tuple(DICE.randbytes(1000 + CHECK_BYTES) for _ in range(3))


def check(shares: tuple[bytes, ...] = SHARES, header: bytes = HEADER, keys: bytes = KEYS) -> str:
    return end_check([SecretBytes(share) for share in shares], header, SecretBytes(keys))


def spelled_out(shares: tuple[bytes, ...], header: bytes, keys: bytes) -> str:
    point = sum(int.from_bytes(share[-32:-16], "little") for share in shares) % PRIME
    mask = sum(int.from_bytes(share[-16:], "little") for share in shares)
    lengths = len(header).to_bytes(8, "little") + len(keys).to_bytes(8, "little")
    data = header + bytes(-len(header) % 16) + keys + bytes(-len(keys) % 16) + lengths
    blocks = [int.from_bytes(data[at : at + 16], "little") for at in range(0, len(data), 16)]
    d = len(blocks)
    total = pow(point, d + 2, PRIME) + sum(block * pow(point, d - i, PRIME) for i, block in enumerate(blocks))
    return f"{(total % PRIME + mask) % 2**128:032x}"


@pytest.mark.parametrize("num_bytes", [1, 15, 16, 17, 400, 480, 496, 512, 1000, 5000])
@pytest.mark.parametrize("header", [b"", b"a", bytes(16)])
def test_it_is_the_polynomial_of_the_text_under_its_mask(num_bytes: int, header: bytes) -> None:
    keys = random.Random(num_bytes).randbytes(num_bytes)
    for shares in (SHARES, SHARES[:1], (b"\xff" * 32, b"\xff" * 32, b"\xff" * 32, b"\xff" * 32)):
        assert check(shares, header, keys) == spelled_out(shares, header, keys)


def test_2_to_130_minus_5_is_prime() -> None:
    """Miller and Rabin with 40 bases."""
    odd, twos = PRIME - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(40):
        powers = [pow(DICE.randrange(2, PRIME - 1), odd << square, PRIME) for square in (0,)]
        for _ in range(twos):
            powers.append(powers[-1] ** 2 % PRIME)
        assert powers[0] == 1 or PRIME - 1 in powers[:twos]


def test_every_byte_counts_of_keys_header_and_of_each_share_s_end() -> None:
    whole = check()
    for place in range(len(KEYS)):
        assert check(keys=KEYS[:place] + bytes((KEYS[place] ^ 1,)) + KEYS[place + 1 :]) != whole
    assert check(header=HEADER[:-1]) != whole
    for number, share in enumerate(SHARES):
        for place in range(len(share) - CHECK_BYTES, len(share)):
            other = share[:place] + bytes((share[place] ^ 0x80,)) + share[place + 1 :]
            assert check((*SHARES[:number], other, *SHARES[number + 1 :])) != whole


def test_what_moves_between_header_and_keys_or_is_filled_up_with_zeros_counts() -> None:
    assert len({check(header=b"ab", keys=b"c"), check(header=b"a", keys=b"bc"), check(header=b"ab", keys=b"c\0")}) == 3
    assert check(header=b"", keys=bytes(16)) != check(header=bytes(16), keys=b"")


def test_the_order_of_shares_does_not_matter() -> None:
    assert check(SHARES[::-1]) == check()


def test_over_all_masks_every_check_is_equally_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    """With masks of one byte, all 256 of them give all 256 checks, whatever the point and the keys."""
    monkeypatch.setattr(module, "_MASK", 255)
    for keys in (b"one", b"other"):
        seen = Counter(check((bytes(range(16)) + bytes((mask,)) + bytes(15),), keys=keys)[-2:] for mask in range(256))
        assert set(seen.values()) == {1}
        assert len(seen) == 256


@pytest.mark.parametrize("shift", [0, 1, 5, 100])
def test_no_alteration_goes_unnoticed_more_often_than_the_text_says(
    monkeypatch: pytest.MonkeyPatch, shift: int
) -> None:
    """In a small field, over every point: changes of keys, with shifts of the point, and the best one of the check."""
    prime = 1009
    monkeypatch.setattr(module, "_PRIME", prime)
    keys, others = [5, 7, 11, 13, 17], [[5, 7, 11, 13, 18], [6, 7, 11, 13, 17], [1, 2, 3, 4, 5], [5, 7, 11]]
    for other in others:
        differences = Counter(
            (module._polynomial((point + shift) % prime, [1, 0, *other]) - module._polynomial(point, [1, 0, *keys]))
            % prime
            for point in range(prime)
        )
        assert max(differences.values()) <= len(keys) + 2


def test_without_its_first_term_a_shift_of_the_point_could_hide() -> None:
    """Why the hash begins with a power of its own: m'(r + a) = m(r) for keys of one's choice."""
    prime = module._PRIME
    keys, shift = [3, 8], 4  # 3 r^2 + 8 r
    other = [3, (8 - 2 * shift * 3) % prime]  # the same in r + a, but for a constant
    bare = {(module._polynomial(r + shift, other) - module._polynomial(r, keys)) % prime for r in range(50)}
    begun = {
        (module._polynomial(r + shift, [1, 0, *other]) - module._polynomial(r, [1, 0, *keys])) % prime
        for r in range(50)
    }
    assert (len(bare), len(begun)) == (1, 50)


def test_the_odds_of_a_large_batch() -> None:
    assert odds_unnoticed(header_bytes=300, key_bytes=65_536) < 2.0**-112
    assert odds_unnoticed(header_bytes=0, key_bytes=32) == 8 * 5 / 2**128

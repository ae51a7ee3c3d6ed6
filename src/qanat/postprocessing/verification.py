"""Verification: do both parties have the same key? A universal hash whose key is drawn after error correction.

Two stages. A polynomial over GF(2^130 - 5) at a random point (Poly1305 with no pad) reduces the key to 128 bits, and
two keys that differ meet with odds of at most 8 ceil(L / 16) / 2^106 (Bernstein, FSE 2005). A random Toeplitz matrix
reduces these to ``num_hash_bits`` bits, and two strings that differ meet with odds 2^-num_hash_bits (Krawczyk, CRYPTO
'94). Hash keys are public; the hash tells ``num_hash_bits`` <= log2(2 / eps_cor) bits of the key, which is what the
secret length pays for correctness.

The whole key of a session is verified at once: a frame that error correction missed costs the session. That happens
less than once in a thousand sessions of 4 Mbit and needs no word about events that leave the counts.
"""

from __future__ import annotations

import math

from cryptography.hazmat.primitives.poly1305 import Poly1305

from qanat.ground.authentication import forgery_probability
from qanat.ground.constants import HASH_KEY_BITS, TAG_BITS

POINT_BYTES = HASH_KEY_BITS // 8
DIGEST_BITS = TAG_BITS


def num_hash_bits(eps_cor: float, *, key_bytes: int) -> int:
    """Return the length of the hash that misses a difference with odds of at most ``eps_cor``.

    Raises ValueError when the first stage alone is weaker than that (about 2^60 bytes at 1e-15).
    """
    left = eps_cor - forgery_probability(num_bytes=key_bytes)
    if not 0 < left < 1:
        raise ValueError(f"no hash of {DIGEST_BITS} bits verifies {key_bytes} bytes to {eps_cor}")
    bits = math.ceil(-math.log2(left))
    if bits > math.log2(2 / eps_cor) or bits > DIGEST_BITS:
        raise ValueError(f"a hash of {bits} bits tells more than log2(2 / {eps_cor}) pays for")
    return bits


def hash_key_bytes(num_bits: int) -> int:
    """Return how many random bytes key a hash of ``num_bits`` bits: the point, and the matrix's diagonals."""
    return POINT_BYTES + (DIGEST_BITS + num_bits - 1 + 7) // 8


def verification_hash(key: bytes, hash_key: bytes, *, num_bits: int) -> bytes:
    """Return the hash of ``key`` (packed bits, secret) under a public ``hash_key``: ``num_bits`` bits, packed."""
    if len(hash_key) != hash_key_bytes(num_bits):
        raise ValueError(f"a hash key for {num_bits} bits has {hash_key_bytes(num_bits)} bytes, got {len(hash_key)}")
    digest = Poly1305.generate_tag(hash_key[:POINT_BYTES] + bytes(TAG_BITS // 8), key)
    return _small_toeplitz_hash(digest, hash_key[POINT_BYTES:], num_bits=num_bits)


def _small_toeplitz_hash(digest: bytes, diagonals: bytes, *, num_bits: int) -> bytes:
    """Return what ``toeplitz_hash`` returns, row by row: for so few bits a transform is slower."""
    backwards = int(f"{int.from_bytes(digest, 'little'):0{DIGEST_BITS}b}"[::-1], 2)
    matrix = int.from_bytes(diagonals, "little")
    hashed = sum((matrix >> i & backwards).bit_count() % 2 << i for i in range(num_bits))
    return hashed.to_bytes((num_bits + 7) // 8, "little")


def clear_padding(data: bytes, *, num_bits: int) -> bytes:
    """Return ``data`` with the unused bits of its last byte set to zero."""
    if num_bits % 8 == 0:
        return data
    return data[:-1] + bytes([data[-1] & ((1 << num_bits % 8) - 1)])

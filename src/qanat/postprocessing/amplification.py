"""Privacy amplification: the two hashes that a session may take, and the public random bits that each draws.

Both families are universal_2, with a fresh matrix per block that is told when the key is verified; so by the leftover
hash lemma (Tomamichel, Schaffner, Smith, Renner, IEEE Trans. Inf. Theory 57, 5524, 2011) the same proof gives the same
length with either.

- ``toeplitz``: a matrix of l rows and n columns (Krawczyk, CRYPTO '94): n + l - 1 bits. The paper's.
- ``modified-toeplitz``: a Toeplitz matrix T of n - l columns beside the identity of l, y = T a + b: n - 1 bits. Two
  keys that differ in a meet with odds 2^-l, because T (a + a') is uniform whatever b + b' is; two that differ in b
  alone never meet (Hayashi, Tsurumaru, IEEE Trans. Inf. Theory 62, 2213, 2016).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from qanat.kernels.toeplitz import modified_toeplitz_hash, toeplitz_hash

Amplification: TypeAlias = Literal["toeplitz", "modified-toeplitz"]


def num_seed_bits(amplification: Amplification, *, num_key_bits: int, num_output_bits: int) -> int:
    """Return how many public random bits the matrix of one block takes."""
    if amplification == "modified-toeplitz":
        return num_key_bits - 1
    return num_key_bits + num_output_bits - 1


def amplify(amplification: Amplification, key: bytes, seed: bytes, *, num_key_bits: int, num_output_bits: int) -> bytes:
    """Return the secret key: ``num_output_bits`` bits, packed.

    key: ``num_key_bits`` verified bits, packed. seed: ``num_seed_bits`` public bits, packed, the padding zero. Raises
    ValueError when sizes do not fit, ArithmeticError when the machine's arithmetic fails a check.
    """
    hashed = modified_toeplitz_hash if amplification == "modified-toeplitz" else toeplitz_hash
    return hashed(key, seed, num_key_bits=num_key_bits, num_output_bits=num_output_bits)

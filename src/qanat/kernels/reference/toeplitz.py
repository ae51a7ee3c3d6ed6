"""Toeplitz hashing bit by bit: what ``kernels.toeplitz`` computes, in n times l steps."""

from __future__ import annotations


def toeplitz_hash(key: bytes, seed: bytes, *, num_key_bits: int, num_output_bits: int) -> bytes:
    """Return ``y[i] = xor over j of seed[i - j + n - 1] & key[j]``, packed lowest bit first."""
    key_bits = [key[j // 8] >> (j % 8) & 1 for j in range(num_key_bits)]
    seed_bits = [seed[d // 8] >> (d % 8) & 1 for d in range(num_key_bits + num_output_bits - 1)]
    output = bytearray((num_output_bits + 7) // 8)
    for i in range(num_output_bits):
        parity = 0
        for j in range(num_key_bits):
            parity ^= seed_bits[i - j + num_key_bits - 1] & key_bits[j]
        output[i // 8] |= parity << (i % 8)
    return bytes(output)


def modified_toeplitz_hash(key: bytes, seed: bytes, *, num_key_bits: int, num_output_bits: int) -> bytes:
    """Return ``y[i] = key[n - l + i] ^ xor over j < n - l of seed[i - j + n - l - 1] & key[j]``, packed."""
    num_hashed = num_key_bits - num_output_bits
    output = bytearray((num_output_bits + 7) // 8)
    for i in range(num_output_bits):
        parity = key[(num_hashed + i) // 8] >> ((num_hashed + i) % 8) & 1
        for j in range(num_hashed):
            diagonal = i - j + num_hashed - 1
            parity ^= seed[diagonal // 8] >> (diagonal % 8) & key[j // 8] >> (j % 8) & 1
        output[i // 8] |= parity << (i % 8)
    return bytes(output)

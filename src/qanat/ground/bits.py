"""Bits in bytes: one convention for the whole house.

Bit ``i`` of a string of bits is bit ``i % 8`` (least significant first) of byte ``i // 8``. Unused bits of the last
byte are zero. Arrays of bits belong to the left tower; here are bytes only.
"""

from __future__ import annotations


def num_bytes(num_bits: int) -> int:
    """Return how many bytes hold ``num_bits`` bits."""
    if num_bits < 0:
        raise ValueError(f"num_bits must be zero or more, got {num_bits}")
    return (num_bits + 7) // 8


def whole_bytes(num_bits: int) -> int:
    """Return ``num_bits / 8``; a number of bits that fills no whole number of bytes is a programming slip."""
    if num_bits < 0 or num_bits % 8:
        raise ValueError(f"num_bits must be a multiple of 8 and zero or more, got {num_bits}")
    return num_bits // 8


def xor(left: bytes | bytearray | memoryview, right: bytes | bytearray | memoryview) -> bytes:
    """Return the bitwise sum of two byte strings of one length."""
    if len(left) != len(right):
        raise ValueError(f"xor needs equal lengths, got {len(left)} and {len(right)} bytes")
    return (int.from_bytes(left, "little") ^ int.from_bytes(right, "little")).to_bytes(len(left), "little")


def count_differences(left: bytes, right: bytes) -> int:
    """Return in how many bits two byte strings of one length differ."""
    return int.from_bytes(xor(left, right), "little").bit_count()

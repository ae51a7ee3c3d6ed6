"""Toeplitz hashing of packed bits: the product of a key and a Toeplitz matrix over GF(2).

``y[i] = xor over j of seed[i - j + n - 1] & key[j]`` for n key bits and l output bits; the seed has n + l - 1 bits, one
per diagonal. Bits are packed lowest first. Ways to the same bits (``Tier``), of which the processor decides:

- additive Fourier transforms by products of bytes in 512-bit or 256-bit registers (``toeplitz_bytes``);
- carry-less multiplication in 512-bit or 128-bit registers (``toeplitz_products``);
- Fourier transforms in double precision, everywhere (``toeplitz_transform``).
"""

from __future__ import annotations

from enum import StrEnum

from qanat.kernels import carryless
from qanat.kernels.byte_emitter import Products, way_to_multiply
from qanat.kernels.toeplitz_bytes import hash_by_bytes
from qanat.kernels.toeplitz_products import hash_by_products
from qanat.kernels.toeplitz_transform import hash_by_transform

MAX_KEY_BITS = 2**31


class Tier(StrEnum):
    """A way to compute the hash, by what it asks of the processor; fastest first from 2^14 bits up."""

    BYTES_512 = Products.GFNI_512.value
    BYTES_256 = Products.GFNI_256.value
    LOOKUP_256 = Products.LOOKUP_256.value
    CARRYLESS_512 = "carry-less multiply, 512 bits"
    CARRYLESS_128 = "carry-less multiply, 128 bits"
    FLOATING_POINT = "floating point"


def tiers() -> tuple[Tier, ...]:
    """Return the tiers that this process runs, fastest first; of those that multiply bytes, one at most."""
    way, width = way_to_multiply(), carryless.widest_registers()
    found = [Tier(way.value)] if way else []
    found += [Tier.CARRYLESS_512] if width >= 512 else []
    found += [Tier.CARRYLESS_128] if width >= 128 else []
    return (*found, Tier.FLOATING_POINT)


def toeplitz_hash(key: bytes, seed: bytes, *, num_key_bits: int, num_output_bits: int) -> bytes:
    """Return the Toeplitz hash of a key: ``num_output_bits`` bits, packed.

    key: ``num_key_bits`` packed bits, secret. seed: ``num_key_bits + num_output_bits - 1`` packed bits, public. Unused
    bits of a last byte must be zero. Takes some ``num_key_bits + num_output_bits`` bytes of memory, in floating point
    16 times that. Raises ValueError when sizes do not fit, ArithmeticError when the machine's floating point fails a
    check.
    """
    return hash_by_tier(tiers()[0], key, seed, num_key_bits=num_key_bits, num_output_bits=num_output_bits)


def modified_toeplitz_hash(key: bytes, seed: bytes, *, num_key_bits: int, num_output_bits: int) -> bytes:
    """Return the hash of a key by a Toeplitz matrix beside the identity: l bits more of key for the same seed.

    ``y = T a + b``: b is the last l bits of the key, a the n - l bits before them, T is as in ``toeplitz_hash`` for a
    key of n - l bits, so the seed has n - 1 bits whatever l is. The hash is universal_2, and dual universal_2 (Hayashi,
    Tsurumaru, IEEE Trans. Inf. Theory 62, 2213, 2016), so it amplifies privacy as the full matrix does. Sizes, padding
    and errors are those of ``toeplitz_hash``; l is at most n.
    """
    if not 1 <= num_output_bits <= num_key_bits:
        raise ValueError(f"a key of {num_key_bits} bits has 1 to {num_key_bits} output bits, got {num_output_bits}")
    check_sizes(key, seed, num_key_bits=num_key_bits, num_output_bits=num_output_bits, num_seed_bits=num_key_bits - 1)
    num_hashed = num_key_bits - num_output_bits
    number = int.from_bytes(key, "little")
    kept = number >> num_hashed
    num_bytes = (num_output_bits + 7) // 8
    if not num_hashed:
        return kept.to_bytes(num_bytes, "little")
    hashed = (number & ((1 << num_hashed) - 1)).to_bytes((num_hashed + 7) // 8, "little")
    output = toeplitz_hash(hashed, seed, num_key_bits=num_hashed, num_output_bits=num_output_bits)
    return (int.from_bytes(output, "little") ^ kept).to_bytes(num_bytes, "little")


def hash_by_tier(tier: Tier, key: bytes, seed: bytes, *, num_key_bits: int, num_output_bits: int) -> bytes:
    """Return ``toeplitz_hash`` computed in one way; ValueError when this process cannot (``tiers``)."""
    if tier not in tiers():
        raise ValueError(f"this processor lacks what {tier} needs, or has better")
    num_seed_bits = num_key_bits + num_output_bits - 1
    check_sizes(key, seed, num_key_bits=num_key_bits, num_output_bits=num_output_bits, num_seed_bits=num_seed_bits)
    sizes = {"num_key_bits": num_key_bits, "num_output_bits": num_output_bits}
    match tier:
        case Tier.BYTES_512 | Tier.BYTES_256 | Tier.LOOKUP_256:
            return hash_by_bytes(key, seed, **sizes)
        case Tier.CARRYLESS_512:
            return hash_by_products(key, seed, **sizes, leaf_products=carryless.leaf_products_512)
        case Tier.CARRYLESS_128:
            return hash_by_products(key, seed, **sizes, leaf_products=carryless.leaf_products_128)
        case Tier.FLOATING_POINT:
            return hash_by_transform(key, seed, **sizes)


def check_sizes(key: bytes, seed: bytes, *, num_key_bits: int, num_output_bits: int, num_seed_bits: int) -> None:
    """Raise ValueError unless key and seed have just the bits that they should have."""
    if not 1 <= num_key_bits <= MAX_KEY_BITS or not 1 <= num_output_bits <= MAX_KEY_BITS:
        raise ValueError(f"key and output have 1 to 2^31 bits, got {num_key_bits} and {num_output_bits}")
    for name, data, num_bits in (("key", key, num_key_bits), ("seed", seed, num_seed_bits)):
        if len(data) != (num_bits + 7) // 8:
            raise ValueError(f"a {name} of {num_bits} bits has {(num_bits + 7) // 8} bytes, got {len(data)}")
        if num_bits % 8 and data[-1] >> (num_bits % 8):
            raise ValueError(f"the unused bits of the {name}'s last byte are not zero")

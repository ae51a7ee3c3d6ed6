"""Run with prefixes of processor features: check the fastest tier that is left without them, and print its name.

The hashes are compared with the plain twin's on every size of the other tests, and with floating point on a large one.
"""

from __future__ import annotations

import sys

from llvmlite import binding

features = binding.get_host_cpu_features()
for name in features:
    features[name] = features[name] and not name.startswith(tuple(sys.argv[1:]))
binding.get_host_cpu_features = lambda: features
binding.get_host_cpu_name = lambda: "x86-64"

from qanat.kernels import toeplitz, toeplitz_bytes  # noqa: E402
from qanat.kernels.reference import toeplitz as plain  # noqa: E402
from toeplitz_support import SIZES, draw  # noqa: E402 - numba must see the features from the first

tier = toeplitz.tiers()[0]
for num_key_bits, num_output_bits in SIZES:
    key, seed = draw(1, num_key_bits), draw(2, num_key_bits + num_output_bits - 1)
    sizes = {"num_key_bits": num_key_bits, "num_output_bits": num_output_bits}
    expected = plain.toeplitz_hash(key, seed, **sizes)
    assert toeplitz.hash_by_tier(tier, key, seed, **sizes) == expected, (tier, sizes)
    if tier in (toeplitz.Tier.BYTES_256, toeplitz.Tier.LOOKUP_256):
        for log_points in range(3, 9):
            hashed = toeplitz_bytes.hash_by_bytes(key, seed, **sizes, log_points=log_points)
            assert hashed == expected, (tier, sizes, log_points)
sizes = {"num_key_bits": 700_001, "num_output_bits": 300_001}
key, seed = draw(3, 700_001), draw(4, 1_000_001)
expected = toeplitz.hash_by_tier(toeplitz.Tier.FLOATING_POINT, key, seed, **sizes)
assert toeplitz.hash_by_tier(tier, key, seed, **sizes) == expected, (tier, sizes)
print(tier)

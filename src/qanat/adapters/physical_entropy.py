"""The Entropy port on a physical generator: raw samples, tested all the time, conditioned, accounted.

What the operator claims is the min-entropy per raw sample, from the vendor or from an SP 800-90B assessment. At the
start 1,024 samples must pass both health tests and are thrown away (section 4.3); every later sample passes them too.
Conditioning is HMAC-SHA-256, a vetted function (section 3.1.5.1.1), with a public key; an output block of 256 bits
takes raw samples worth 256 + 64 bits, which SP 800-90C counts as full entropy.

A source that fails stays failed: every later call raises QuantumLayerError, which ends the link's order with an alarm.
Nothing falls back to the operating system's generator. To go on, somebody repairs the source and starts again.

One process opens one source. Sharing a file between processes would hand the same bits out twice, so this object
refuses to travel to another process.
"""

from __future__ import annotations

import hmac
import math
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

from qanat.adapters.noise_health import HealthTests
from qanat.ground.errors import ConfigurationError, QuantumLayerError
from qanat.ground.keys import SecretBytes

STARTUP_SAMPLES: Final = 1024
OUTPUT_BYTES: Final = 32
MARGIN_BITS: Final = 64
CONDITIONING_KEY: Final = b"qanat entropy conditioning, version 1"
"""Public and fixed: the strength is in the input, the key only separates this use from others."""


class PhysicalEntropy:
    """Entropy from raw samples of one byte each; use it from one thread.

    path: of the device or file. min_entropy_bits: claimed, per sample (0 < H <= 8). ``raw_samples_read`` and
    ``bytes_given`` are the account: claimed bits in, bits out.
    """

    def __init__(self, path: Path, *, min_entropy_bits: float) -> None:
        if not 0 < min_entropy_bits <= 8:
            raise ConfigurationError(
                f"a min-entropy of {min_entropy_bits} bits per 8-bit sample", remedy="claim more than 0, at most 8 bits"
            )
        self._path = path
        self._health = HealthTests(min_entropy_bits)
        self._samples_per_block = math.ceil((8 * OUTPUT_BYTES + MARGIN_BITS) / min_entropy_bits)
        self._ready = b""
        self._fault: str | None = None
        self.raw_samples_read = 0
        self.bytes_given = 0
        try:
            self._source: BinaryIO = path.open("rb", buffering=0)
        except OSError as fault:
            raise ConfigurationError(
                f"cannot read the entropy source {path}: {fault.strerror}", remedy="name a device or file that can be"
            ) from None
        try:
            self._raw(STARTUP_SAMPLES)
        except QuantumLayerError:
            self.close()
            raise

    def secret_bytes(self, num_bytes: int, /) -> SecretBytes:
        """Return uniform bytes that nobody else knows; raises QuantumLayerError when the source fails."""
        return SecretBytes(self._bytes(num_bytes))

    def public_bytes(self, num_bytes: int, /) -> bytes:
        """Return uniform bytes that may be told once they have been used; raises as ``secret_bytes``."""
        return self._bytes(num_bytes)

    @property
    def claimed_bits_read(self) -> float:
        """Min-entropy, by the operator's claim, of all samples read so far."""
        return self.raw_samples_read * self._health.min_entropy_bits

    def close(self) -> None:
        """Close the source. Idempotent."""
        self._source.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a physical source stays in the process that opened it")

    def _bytes(self, num_bytes: int) -> bytes:
        parts = [self._ready]
        length = len(self._ready)
        while length < num_bytes:
            parts.append(hmac.digest(CONDITIONING_KEY, self._raw(self._samples_per_block), "sha256"))
            length += OUTPUT_BYTES
        data = b"".join(parts)
        # nothing is taken before all of it is there: a source that fails half-way gives nothing
        self._ready = data[num_bytes:]
        self.bytes_given += num_bytes
        return data[:num_bytes]

    def _raw(self, num_samples: int) -> bytes:
        """Return the next raw samples, all of which passed the health tests."""
        if self._fault is None:
            raw = self._read(num_samples)
            for sample in raw:
                self._fault = self._fault or self._health.take(sample)
            if self._fault is None and len(raw) < num_samples:
                self._fault = f"it ended after {self.raw_samples_read} samples"
        if self._fault is not None:
            self._ready = b""
            raise QuantumLayerError(
                f"the entropy source {self._path} failed: {self._fault}",
                remedy="no key is made without it: have the generator checked, then start this node again",
            )
        return raw

    def _read(self, num_samples: int) -> bytes:
        parts, left = [], num_samples
        try:
            while left and (part := self._source.read(left)):
                parts.append(part)
                left -= len(part)
        except (OSError, ValueError) as fault:
            self._fault = f"it cannot be read: {fault}"
        raw = b"".join(parts)
        self.raw_samples_read += len(raw)
        return raw

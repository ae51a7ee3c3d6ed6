"""The Entropy port on a physical generator: raw samples, tested all the time, conditioned, accounted.

What the operator claims is the min-entropy per raw sample, from the vendor or from an SP 800-90B assessment. At the
start 1,024 samples must pass both health tests and are thrown away (section 4.3); every later sample passes them too,
before anything that it takes part in is given. Conditioning is HMAC-SHA-256, a vetted function (section 3.1.5.1.1),
with a public key; an output block of 256 bits takes raw samples worth 256 + 64 bits, which SP 800-90C counts as full
entropy.

A source that fails stays failed: every later call raises EntropyFailed, which ends the link's order with an alarm.
Nothing falls back to the operating system's generator. To go on, somebody repairs the source and starts again.

One process opens one source, and other processes ask that one (``entropy_server``): this object refuses to travel.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from qanat.adapters.entropy_samples import check_source, open_samples
from qanat.adapters.noise_health import HealthTests
from qanat.ground.errors import ConfigurationError, EntropyFailed
from qanat.ground.keys import SecretBytes

STARTUP_SAMPLES: Final = 1024
OUTPUT_BYTES: Final = 32
MARGIN_BITS: Final = 64
MOST_BLOCKS_AT_ONCE: Final = 512
"""Output blocks whose samples are read and tested together."""
DEFAULT_MIN_ENTROPY_BITS: Final = 4.0
"""Claimed of a sample of 8 bits where nothing is said: half, which is little for a generator that is worth its name."""
P_FALSE_ALARM: Final = 2.0**-40
"""Odds of a false alarm per test. A network draws 10^9 samples in a minute or two; at the 2^-20 of the standard's
examples, uniform bytes claimed as 8 bits would fail the repetition test sixty times meanwhile."""
CONDITIONING_KEY: Final = b"qanat entropy conditioning, version 1"
"""Public and fixed: the strength is in the input, the key only separates this use from others."""
REMEDY: Final = "no key is made without it: have the generator checked, then start again"


@dataclass(frozen=True, slots=True)
class EntropySource:
    """A physical generator as an operator names it; raises ConfigurationError when it cannot be one.

    path: of a device, a FIFO or a recording. min_entropy_bits: claimed per sample of 8 bits, 0 < H <= 8.
    """

    path: Path
    min_entropy_bits: float = DEFAULT_MIN_ENTROPY_BITS

    def __post_init__(self) -> None:
        if not 0 < self.min_entropy_bits <= 8:
            raise ConfigurationError(
                f"a min-entropy of {self.min_entropy_bits} bits per 8-bit sample",
                remedy="claim more than 0, at most 8 bits",
            )
        check_source(self.path)


class PhysicalEntropy:
    """Entropy from raw samples of one byte each; use it from one thread.

    path: of the device or file. min_entropy_bits: claimed, per sample (0 < H <= 8). ``raw_samples_read`` and
    ``bytes_given`` are the account: claimed bits in, bits out.
    """

    def __init__(self, path: Path, *, min_entropy_bits: float) -> None:
        source = EntropySource(path, min_entropy_bits)
        self._path = path
        self._health = HealthTests(source.min_entropy_bits, p_false_alarm=P_FALSE_ALARM)
        self._samples_per_block = math.ceil((8 * OUTPUT_BYTES + MARGIN_BITS) / min_entropy_bits)
        self._ready = bytearray()
        self.fault: str | None = None
        self.raw_samples_read = 0
        self.bytes_given = 0
        self._samples = open_samples(path)
        try:
            self._raw(STARTUP_SAMPLES)
        except EntropyFailed:
            self.close()
            raise

    def secret_bytes(self, num_bytes: int, /) -> SecretBytes:
        """Return uniform bytes that nobody else knows; raises EntropyFailed when the source fails."""
        data = self.draw(num_bytes)
        secret = SecretBytes(data)
        wipe(data)
        return secret

    def public_bytes(self, num_bytes: int, /) -> bytes:
        """Return uniform bytes that may be told once they have been used; raises as ``secret_bytes``."""
        return bytes(self.draw(num_bytes))

    def draw(self, num_bytes: int) -> bytearray:
        """Return secret uniform bytes in a buffer that the caller wipes; raises as ``secret_bytes``."""
        while len(self._ready) < num_bytes:
            num_blocks = math.ceil((num_bytes - len(self._ready)) / OUTPUT_BYTES)
            raw = self._raw(min(num_blocks, MOST_BLOCKS_AT_ONCE) * self._samples_per_block)
            for start in range(0, len(raw), self._samples_per_block):
                self._ready += conditioned(raw[start : start + self._samples_per_block])
        # nothing is taken before all of it is there: a source that fails half-way gives nothing
        data = self._ready[:num_bytes]
        left = self._ready[num_bytes:]
        wipe(self._ready)
        self._ready = left
        self.bytes_given += num_bytes
        return data

    @property
    def claimed_bits_read(self) -> float:
        """Min-entropy, by the operator's claim, of all samples read so far."""
        return self.raw_samples_read * self._health.min_entropy_bits

    def close(self) -> None:
        """Close the source and forget what was not given. Idempotent."""
        wipe(self._ready)
        self._ready = bytearray()
        self._samples.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a physical source stays in the process that opened it")

    def _raw(self, num_samples: int) -> bytes:
        """Return the next raw samples, all of which passed the health tests."""
        raw = b""
        if self.fault is None:
            raw = self._read(num_samples)
            self.fault = self._health.take_all(raw) or self.fault
            if self.fault is None and len(raw) < num_samples:
                self.fault = f"it ended after {self.raw_samples_read} samples"
        if self.fault is not None:
            wipe(self._ready)
            self._ready = bytearray()
            raise EntropyFailed(f"the entropy source {self._path} failed: {self.fault}", remedy=REMEDY)
        return raw

    def _read(self, num_samples: int) -> bytes:
        parts, left = [], num_samples
        try:
            while left and (part := self._samples.read(left)):
                parts.append(part)
                left -= len(part)
        except (OSError, ValueError) as fault:
            self.fault = f"it cannot be read: {fault}"
        raw = b"".join(parts)
        self.raw_samples_read += len(raw)
        return raw


def conditioned(raw: bytes) -> bytes:
    """Return HMAC-SHA-256 of raw samples under the conditioning key (FIPS 198-1), its key already worked in."""
    inner, outer = _INNER.copy(), _OUTER.copy()
    inner.update(raw)
    outer.update(inner.digest())
    return outer.digest()


def wipe(buffer: bytearray) -> None:
    """Overwrite a buffer with zeros."""
    buffer[:] = bytes(len(buffer))


def _keyed(pad: int) -> hashlib._Hash:
    """Return SHA-256 begun with the key, filled up to a block of 64 bytes, under a pad of HMAC."""
    return hashlib.sha256(bytes(byte ^ pad for byte in CONDITIONING_KEY.ljust(64, b"\0")))


_INNER: Final = _keyed(0x36)
_OUTER: Final = _keyed(0x5C)
"""Two digests that are copied, not keyed anew, twice as fast as ``hmac.digest``: a network draws millions of blocks."""

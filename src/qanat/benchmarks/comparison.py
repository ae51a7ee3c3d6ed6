"""Our distillation beside others' in one run, as a page: ``python -m qanat.benchmarks.comparison docs/comparison.md``.

Others are what pip installs and what does the same work: they are asked only when they are there, and the page says
which were not. Each is fed the same input, and what it gives is checked before its time is told.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from qanat.benchmarks.distillation import cascade_row
from qanat.kernels.toeplitz import tiers, toeplitz_hash

REPEATS: Final = 3
OUTPUT_SHARE: Final = 0.4
TOEPLITZ_LOG_BITS: Final = (18, 20, 22)
SMALL_LOG_BITS: Final = 12
"""For ways that build the whole matrix."""
CASCADE_QBER: Final = 0.01
CASCADE_SMALL_BITS: Final = 2**16
OTHERS: Final = ("randextract", "qkdpy")

Bits = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of the page. ``rate_bits_per_s`` is None where the way was not installed or gave another result."""

    work: str
    way: str
    num_bits: int
    rate_bits_per_s: float | None
    note: str = ""


def measure() -> Iterator[Measured]:
    """Yield all lines, one after another."""
    for log_bits in TOEPLITZ_LOG_BITS:
        yield from _toeplitz(log_bits)
    yield from _small_toeplitz()
    yield from _cascade()


def page(lines: list[Measured]) -> str:
    """Return the page."""
    versions = [f"{name} {_version(name)}" for name in ("qanat", "numpy", "scipy", *OTHERS)]
    rows = [
        f"| {line.work} | {line.way} | {line.num_bits:,} | {_mega(line.rate_bits_per_s)} | {line.note} |"
        for line in lines
    ]
    return "\n".join(
        [
            "# Distillation beside others",
            "",
            "Made by `python -m qanat.benchmarks.comparison docs/comparison.md`, one run, one machine, best of"
            f" {REPEATS}; others that",
            "pip installs (`pip install randextract qkdpy`) are measured when they are there.",
            "Rates are of input bits; Cascade's are of both parties' work together. Machines are noisy: read ratios.",
            "",
            f"Machine: {_machine()}. Versions: {', '.join(versions)}.",
            "",
            "| work | way | bits | Mbit/s | note |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _toeplitz(log_bits: int) -> Iterator[Measured]:
    num_bits = 2**log_bits
    key, seed, wanted = _toeplitz_input(num_bits)
    work = "Toeplitz hash to 0.4 n"
    yield Measured(work, "Qanat", num_bits, num_bits / _best_s(lambda: wanted(key, seed)))
    expected = wanted(key, seed)
    yield _checked(work, "scipy.signal.fftconvolve, float64", num_bits, lambda: _by_scipy(key, seed), expected)
    yield _by_other(work, "randextract", num_bits, lambda other: _randextract(other, key, seed), expected)


def _small_toeplitz() -> Iterator[Measured]:
    """The way of qkdpy draws its own matrix, bit by bit, and builds it whole: only its time can be told."""
    num_bits = 2**SMALL_LOG_BITS
    key, _, _ = _toeplitz_input(num_bits)

    def make(_: Any) -> Callable[[], Bits | None]:
        module = importlib.import_module("qkdpy.key_management.privacy_amplification")
        hashing, bits = module.PrivacyAmplification.toeplitz_hashing, key.tolist()
        return lambda: hashing(bits, round(OUTPUT_SHARE * num_bits), 1) and None

    yield _by_other("Toeplitz hash to 0.4 n", "qkdpy", num_bits, make, None, note="draws and builds the whole matrix")


def _cascade() -> Iterator[Measured]:
    row = cascade_row()
    yield Measured("Cascade at 1 %", "Qanat", 2**22, row.rate, row.note)
    dice = np.random.default_rng(1)
    alice = dice.integers(0, 2, CASCADE_SMALL_BITS)
    bob = alice ^ (dice.random(alice.size) < CASCADE_QBER)
    left = -1

    def make(_: Any) -> Callable[[], Bits | None]:
        correction = importlib.import_module("qkdpy.key_management.error_correction").ErrorCorrection

        def correct() -> None:
            nonlocal left
            one, two = correction.cascade(alice.tolist(), bob.tolist())
            left = sum(a != b for a, b in zip(one, two, strict=True))

        return correct

    found = _by_other("Cascade at 1 %", "qkdpy", CASCADE_SMALL_BITS, make, None)
    # its default blocks are 4, 8, 16, 32 bits: their parities alone are 1/4 + 1/8 + 1/16 + 1/32 of the key
    note = found.note or f"{left} errors left; parities of blocks alone tell 0.47 bits per bit, f_EC above 5.8"
    yield Measured(found.work, found.way, found.num_bits, found.rate_bits_per_s, note)


def _toeplitz_input(num_bits: int) -> tuple[Bits, Bits, Callable[[Bits, Bits], Bits]]:
    """Return key and seed bits, and our hash of such."""
    dice = np.random.default_rng(num_bits)
    num_out = round(OUTPUT_SHARE * num_bits)
    key = dice.integers(0, 2, num_bits, dtype=np.uint8)
    seed = dice.integers(0, 2, num_bits + num_out - 1, dtype=np.uint8)

    def ours(key: Bits, seed: Bits) -> Bits:
        packed = [np.packbits(bits, bitorder="little").tobytes() for bits in (key, seed)]
        hashed = toeplitz_hash(*packed, num_key_bits=num_bits, num_output_bits=num_out)
        return np.unpackbits(np.frombuffer(hashed, dtype=np.uint8), count=num_out, bitorder="little")

    return key, seed, ours


def _by_scipy(key: Bits, seed: Bits) -> Bits:
    product: NDArray[np.float64] = signal.fftconvolve(seed.astype(np.float64), key.astype(np.float64), mode="valid")
    return (np.rint(product).astype(np.int64) & 1).astype(np.uint8)


def _randextract(other: Any, key: Bits, seed: Bits) -> Callable[[], Bits | None]:
    """Its matrix has seed(i - j), counted from the end when negative: ours, turned round."""
    num_out = seed.size - key.size + 1
    extractor = other.ToeplitzHashing(input_length=key.size, output_length=num_out)
    turned = np.concatenate([seed[key.size - 1 :], seed[: key.size - 1]])
    return lambda: np.asarray(extractor.extract(key, turned)).astype(np.uint8)


def _by_other(
    work: str,
    name: str,
    num_bits: int,
    make: Callable[[Any], Callable[[], Bits | None]],
    expected: Bits | None,
    *,
    note: str = "",
) -> Measured:
    try:
        run = make(importlib.import_module(name))
    except ImportError as fault:
        return Measured(work, name, num_bits, None, f"not measured: {fault}")
    return _checked(work, name, num_bits, run, expected, note=note)


def _checked(
    work: str, way: str, num_bits: int, run: Callable[[], Bits | None], expected: Bits | None, *, note: str = ""
) -> Measured:
    found = run()
    if expected is not None and (found is None or not np.array_equal(found, expected)):
        return Measured(work, way, num_bits, None, "gives another result")
    return Measured(
        work, way, num_bits, num_bits / _best_s(run), note or ("same result" if expected is not None else "")
    )


def _best_s(run: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def _mega(rate: float | None) -> str:
    if rate is None:
        return "-"
    return f"{rate / 1e6:,.0f}" if rate >= 1e8 else f"{rate / 1e6:.3g}"


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores; Qanat hashes by {tiers()[0].value}"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else "comparison.md").write_text(page(list(measure())), encoding="utf-8")

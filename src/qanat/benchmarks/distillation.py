"""How fast distillation runs: Cascade, Toeplitz hashing, authentication, and the whole chain; one core.

Best of three times. The chain's block takes a few milliseconds: eight blocks in a row are one run, as a link distils
one after the other, and the least of 25 runs counts, in time of the processor: by the clock, other work that shares the
core would be in every one of them. Between runs comes the reference, which leaves the caches cold.

Cascade and chain count the work of both parties; rates are per bit of reconciled key.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from qanat.benchmarks.block import BLOCK_BITS, OUTPUT_SHARE, RecordedLight, distil_block
from qanat.benchmarks.rows import Row
from qanat.ground.authentication import Authenticator, PadAccount
from qanat.ground.constants import HASH_KEY_BITS, TAG_BITS
from qanat.ground.keys import SecretBytes
from qanat.kernels.reference import cascade as plain_cascade
from qanat.kernels.toeplitz import Tier, hash_by_tier, tiers
from qanat.postprocessing.reconciliation.cascade import (
    SEED_BYTES,
    CascadeAnswerer,
    CascadeCorrector,
    CascadePlan,
    Questions,
    choose_log_blocks,
)
from qanat.protocols.entropy import binary_entropy

REPEATS: Final = 3
CHAIN_RUNS: Final = 25
RUN_BLOCKS: Final = 8
"""Blocks that a run of the chain distils in a row."""
FRAME_BITS: Final = 2**16
NUM_FRAMES: Final = 64
AUTHENTICATED_BYTES: Final = 2**26

CHAIN_QBER: Final = {"chain-0.5pct": 0.005, "chain-1pct": 0.01, "chain-2.5pct": 0.025}
TOEPLITZ_LOG_BITS: Final = {"toeplitz-2^18": 18, "toeplitz-2^20": 20, "toeplitz-2^22": 22, "toeplitz-2^24": 24}
GOALS_BITS_PER_S: Final = {
    "cascade-1pct": 150e6,
    "chain-0.5pct": 70e6,
    "chain-1pct": 65e6,
    "chain-2.5pct": 60e6,
    "toeplitz-2^18": 400e6,
    "toeplitz-2^20": 160e6,
    "toeplitz-2^22": 100e6,
    "toeplitz-2^24": 80e6,
}
GOAL_AUTHENTICATION_MB_PER_S: Final = 200.0


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmarks of these names and yield their rows."""
    for name in names:
        if name in CHAIN_QBER:
            yield chain_row(name)
        elif name in TOEPLITZ_LOG_BITS:
            yield toeplitz_row(name)
        elif name == "cascade-1pct":
            yield cascade_row()
        elif name == "authentication":
            yield authentication_row()


def cascade_row() -> Row:
    """Reconcile 64 frames of 65,536 bits at 1 % beside the plain twin on one frame of 4,096."""
    alice, bob = _noisy_keys(NUM_FRAMES * FRAME_BITS, qber=0.01)
    _reconcile(alice, bob)  # compiles
    leaked = 0

    def reconcile() -> None:
        nonlocal leaked
        leaked = _reconcile(alice, bob)

    num_bits = NUM_FRAMES * FRAME_BITS
    rate = num_bits / _best_s(reconcile)
    small_alice, small_bob = _noisy_keys(4096, qber=0.01)
    reference_s = _best_s(lambda: _reconcile_plainly(_bits_of(small_alice), _bits_of(small_bob)))
    return Row(
        name="cascade-1pct",
        rate=rate,
        unit="bit/s",
        goal=GOALS_BITS_PER_S["cascade-1pct"],
        reference_name="plain Python, first pass only",
        reference_rate=4096 / reference_s,
        note=f"f_EC {leaked / (num_bits * binary_entropy(0.01)):.3f}, {NUM_FRAMES} frames of 2^16 at a time",
    )


def _reconcile(alice: bytes, bob: bytes) -> int:
    log_blocks = choose_log_blocks(0.01, frame_bits=FRAME_BITS, num_frames=NUM_FRAMES)
    plan = CascadePlan(NUM_FRAMES, FRAME_BITS, log_blocks, bytes(SEED_BYTES))
    answerer, corrector = CascadeAnswerer(alice, plan), CascadeCorrector(bob, plan)
    while (number := corrector.begin_pass()) is not None:
        questions = corrector.hear_parities(answerer.block_parities(number))
        while questions is not None:
            asked = Questions.decode(questions.encode(), num_frames=NUM_FRAMES, half=questions.half)
            questions = corrector.hear_answers(answerer.answer(asked))
    corrected, _ = corrector.corrected()
    if corrected != alice:
        raise ArithmeticError("the benchmark's keys differ after error correction")
    return corrector.num_parities


def _reconcile_plainly(alice: list[int], bob: list[int]) -> None:
    frame = plain_cascade.Frame(bob)
    order: list[int | None] = [*plain_cascade.order((5, 77, 1001), len(bob))]
    frame.orders[0] = order
    nodes = range(len(bob) // 64, 2 * len(bob) // 64)
    blocks = {node: frame.compared(0, node) for node in nodes}
    odd = {
        node: plain_cascade.parity(alice, places) != plain_cascade.parity(bob, places)
        for node, places in blocks.items()
    }
    frame.open_pass(0, order, odd)
    while frame.questions:
        frame.absorb([plain_cascade.parity(alice, frame.compared(slot, 2 * node)) for slot, node in frame.questions])


def toeplitz_row(name: str) -> Row:
    """Hash 2^k bits to 0.4 of them, in every way that the processor can, beside SciPy's convolution."""
    num_key_bits = 1 << TOEPLITZ_LOG_BITS[name]
    num_output_bits = int(OUTPUT_SHARE * num_key_bits) // 16 * 16
    generator = np.random.default_rng(1)
    key = generator.bytes(num_key_bits // 8)
    seed = generator.bytes((num_key_bits + num_output_bits) // 8)
    seed = seed[:-1] + bytes([seed[-1] & 0x7F])  # one bit fewer

    def hash_key(tier: Tier) -> None:
        hash_by_tier(tier, key, seed, num_key_bits=num_key_bits, num_output_bits=num_output_bits)

    def rate(tier: Tier) -> float:
        hash_key(tier)  # compiles
        return num_key_bits / _best_s(lambda: hash_key(tier))

    x, s = (np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").astype(float) for data in (key, seed))
    rates: dict[Tier, float] = {tier: rate(tier) for tier in tiers() if tier is not Tier.FLOATING_POINT}
    reference_rate = num_key_bits / _best_s(lambda: np.rint(signal.fftconvolve(s, x)) % 2, repeats=1)
    rates = rates or {Tier.FLOATING_POINT: rate(Tier.FLOATING_POINT)}
    others = "; ".join(f"{tier}: {other / 1e6:.0f} Mbit/s" for tier, other in [*rates.items()][1:])
    return Row(
        name=name,
        rate=rates[tiers()[0]],
        unit="bit/s",
        goal=GOALS_BITS_PER_S[name],
        reference_name="scipy.signal.fftconvolve",
        reference_rate=reference_rate,
        note=f"output {OUTPUT_SHARE:g} n by {tiers()[0]}" + (f"; {others}" if others else ""),
    )


def authentication_row() -> Row:
    """Tag 64 MiB in messages of 1 MiB, beside SHA-256."""
    message = bytes(2**20)
    pads = bytes(range((HASH_KEY_BITS + TAG_BITS) // 8))

    def authenticate() -> None:
        authenticator = Authenticator(PadAccount(SecretBytes(pads)))
        for _ in range(AUTHENTICATED_BYTES // len(message)):
            authenticator.update(message)
        authenticator.tag()

    def digest() -> None:
        hasher = hashlib.sha256()
        for _ in range(AUTHENTICATED_BYTES // len(message)):
            hasher.update(message)
        hasher.digest()

    megabytes = AUTHENTICATED_BYTES / 1e6
    return Row(
        name="authentication",
        rate=megabytes / _best_s(authenticate),
        unit="MB/s",
        goal=GOAL_AUTHENTICATION_MB_PER_S,
        reference_name="SHA-256",
        reference_rate=megabytes / _best_s(digest),
        note="Wegman-Carter with Poly1305, 128-bit tag",
    )


def chain_row(name: str) -> Row:
    """Distil one block of 2^18 bits from detections to secret key, both parties, every message framed and tagged."""
    light = RecordedLight.draw(CHAIN_QBER[name])
    distil_block(light)  # compiles
    generator = np.random.default_rng(1)
    x, s = (generator.integers(0, 2, size).astype(np.float64) for size in (BLOCK_BITS, int(1.4 * BLOCK_BITS)))

    def distil_in_a_row() -> None:
        for _ in range(RUN_BLOCKS):
            distil_block(light)

    runs_s, references_s = _times_of_both_s(distil_in_a_row, lambda: signal.fftconvolve(s, x))
    num_bits = RUN_BLOCKS * BLOCK_BITS
    return Row(
        name=name,
        rate=num_bits / min(runs_s),
        unit="bit/s",
        goal=GOALS_BITS_PER_S[name],
        reference_name="scipy.signal.fftconvolve of one party's block",
        reference_rate=BLOCK_BITS / min(references_s),
        note=f"processor time, median {num_bits / median(runs_s):.3g}; {RUN_BLOCKS} blocks of 2^18 in a row, each of"
        f" {light.num_events:,} detections; secret length set to {OUTPUT_SHARE:g} n",
    )


def _noisy_keys(num_bits: int, *, qber: float) -> tuple[bytes, bytes]:
    generator = np.random.default_rng(1)
    alice = generator.integers(0, 2, num_bits, dtype=np.uint8)
    bob = alice ^ (generator.random(num_bits) < qber)
    return _pack(alice), _pack(bob)


def _pack(bits: NDArray[np.uint8]) -> bytes:
    return np.packbits(bits, bitorder="little").tobytes()


def _bits_of(packed: bytes) -> list[int]:
    bits: list[int] = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little").tolist()
    return bits


def _times_of_both_s(work: Callable[[], object], reference: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Return the processor times of two pieces of work, done in turn so that both meet the same noise."""
    own, other = [], []
    for _ in range(CHAIN_RUNS):
        start = time.process_time()
        work()
        middle = time.process_time()
        reference()
        own.append(middle - start)
        other.append(time.process_time() - middle)
    return own, other


def _best_s(work: Callable[[], object], *, repeats: int = REPEATS) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)

"""Sparse codes: the compiled loops against their plain twin, and what a code must be."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qanat.kernels import ldpc, side_by_side
from qanat.kernels.reference import ldpc as plain
from qanat.postprocessing.reconciliation.ldpc_codes import Code, draw_code


def rows_of(code: Code, num_split: int = 0) -> list[list[tuple[int, int]]]:
    starts = code.starts(num_split)
    edges = list(zip(code.columns.tolist(), code.turns.tolist(), strict=True))
    return [edges[first:stop] for first, stop in itertools.pairwise(starts.tolist())]


def packed(bits: np.ndarray) -> np.ndarray:
    return np.packbits(bits.astype(np.uint8), bitorder="little").view(np.uint64)


def unpacked(words: np.ndarray) -> np.ndarray:
    return np.unpackbits(words.view(np.uint8), bitorder="little")


@pytest.mark.parametrize("num_split", [0, 1, 7, 20])
def test_syndromes_are_the_twins(num_split: int) -> None:
    code = draw_code(64, 20)
    bits = np.random.default_rng(num_split).integers(0, 2, 64 * 64)
    starts = code.starts(num_split)
    checks = np.empty(starts.size - 1, dtype=np.uint64)
    ldpc.syndrome(packed(bits), starts, code.columns, code.turns, checks)
    assert unpacked(checks).tolist() == plain.syndrome(bits.tolist(), rows_of(code, num_split))


@pytest.mark.slow
@pytest.mark.parametrize(("qber", "num_split"), [(0.0, 0), (0.02, 0), (0.05, 0), (0.05, 3), (0.3, 5)])
def test_decoding_takes_the_twins_rounds_and_finds_its_pattern(qber: float, num_split: int) -> None:
    """Belief by belief the arithmetic is the same, so rounds and patterns are, found or not."""
    num_columns, num_rows, most_rounds = 12, 5, 9
    code = draw_code(num_columns, num_rows)
    starts = code.starts(num_split)
    errors = np.random.default_rng(1).random(64 * num_columns) < qber
    checks = np.empty(starts.size - 1, dtype=np.uint64)
    ldpc.syndrome(packed(errors), starts, code.columns, code.turns, checks)
    found = np.empty(num_columns, dtype=np.uint64)
    rounds = ldpc.decode(
        *(checks, starts, code.columns, code.turns, code.steps, np.float32(4.6), most_rounds),
        np.empty((num_columns, 128), dtype=np.float32),
        np.empty((code.columns.size, 64), dtype=np.uint16),
        np.empty((code.most_edges, 64), dtype=np.float32),
        found,
    )
    twin_errors, twin_rounds = plain.decode(
        unpacked(checks).tolist(), rows_of(code, num_split), num_columns, 4.6, most_rounds
    )
    assert rounds == twin_rounds
    assert unpacked(found).tolist() == twin_errors
    if qber == 0:
        assert rounds == 1
        assert not any(twin_errors)


@pytest.mark.campaign
def test_a_processor_without_wide_registers_computes_the_same(tmp_path: Path) -> None:
    """Compiled for the least x86-64 there is, in a process of its own, the decoder must agree with the twin too."""
    name = "test_decoding_takes_the_twins_rounds_and_finds_its_pattern"
    settings = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        (sys.executable, "-m", "pytest", "-q", f"{__file__}::{name}"),
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_a_belief_is_its_own_logarithm_up_to_a_tenth() -> None:
    for belief in np.linspace(0, 24, 97, dtype=np.float32):
        doubt = plain.doubt(belief)
        assert abs(np.log2(doubt) + belief) < 0.09
        assert plain.belief_of(doubt) == pytest.approx(belief, rel=2**-7, abs=1e-5)


@pytest.mark.parametrize("num_frames", [1, 3, 63, 64, 65, 130])
@pytest.mark.parametrize("num_words", [1, 3])
def test_frames_become_words_and_back(num_frames: int, num_words: int) -> None:
    bits = np.random.default_rng(num_frames).integers(0, 2, (num_frames, 64 * num_words), dtype=np.uint8)
    stream = np.packbits(bits.T.ravel(), bitorder="little").tobytes()
    words = np.frombuffer(stream + bytes(-len(stream) % 8), dtype=np.uint64)
    spread = np.empty((-(-num_frames // 64), 64 * num_words), dtype=np.uint64)
    side_by_side.spread_frames(words, num_frames, spread)
    frames = np.empty((num_frames, num_words), dtype=np.uint64)
    ldpc.split_frames(spread, frames)
    assert (unpacked(frames.ravel()).reshape(num_frames, -1) == bits).all()
    merged = np.empty_like(spread)
    ldpc.merge_frames(frames, merged)
    assert (merged == spread).all()


@pytest.mark.parametrize("num_masks", [0, 1, 16, 64])
def test_parities_of_masks(num_masks: int) -> None:
    draw = np.random.default_rng(num_masks)
    frame, masks = (draw.integers(0, 2**64, shape, dtype=np.uint64) for shape in (5, (num_masks, 5)))
    parities = int(ldpc.masked_parities(frame, masks))
    expected = [sum(int(word).bit_count() for word in frame & mask) % 2 for mask in masks]
    assert [parities >> i & 1 for i in range(num_masks)] == expected
    assert parities >> num_masks == 0


@pytest.mark.parametrize(("num_columns", "num_rows"), [(64, 4), (64, 20), (1024, 19), (1024, 97), (1024, 512)])
def test_a_code_has_even_rows_and_no_column_twice_in_one(num_columns: int, num_rows: int) -> None:
    code = draw_code(num_columns, num_rows)
    rows = rows_of(code)
    assert len(rows) == num_rows
    assert all(len({column for column, _ in row}) == len(row) for row in rows)
    lengths = [len(row) for row in rows]
    assert max(lengths) - min(lengths) <= 4
    assert set(code.columns.tolist()) == set(range(num_columns))
    halves = rows_of(code, num_rows)
    assert [halves[2 * i] + halves[2 * i + 1] for i in range(num_rows)] == rows
    assert all(abs(len(halves[2 * i]) - len(halves[2 * i + 1])) <= 1 for i in range(num_rows))


@pytest.mark.parametrize("num_rows", [97, 170, 220])
def test_frames_of_full_size_have_no_cycle_of_four(num_rows: int) -> None:
    """Two bits in two checks: two columns that meet twice with the same difference of turns."""
    seen: set[tuple[int, int, int]] = set()
    columns: dict[int, list[tuple[int, int]]] = {}
    for row, edges in enumerate(rows_of(draw_code(1024, num_rows))):
        for column, turn in edges:
            columns.setdefault(column, []).append((row, turn))
    for edges in columns.values():
        for (first, turn), (second, other) in itertools.combinations(edges, 2):
            meeting = (first, second, (other - turn) % 64)
            assert meeting not in seen
            seen.add(meeting)


def test_the_codes_are_the_documented_ones() -> None:
    """Both parties draw their codes; a change of the drawing is a change of the wire format."""
    code = draw_code(1024, 170)
    digest = hashlib.sha256(np.stack((code.columns, code.turns)).astype("<i8").tobytes()).hexdigest()
    assert (code.columns.size, digest[:16]) == (PINNED_EDGES, PINNED_DIGEST)


PINNED_EDGES, PINNED_DIGEST = 6202, "97be977acb0a2408"

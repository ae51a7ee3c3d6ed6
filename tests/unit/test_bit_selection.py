"""Picking bits: the instruction, the loop and the twin do the same."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from numba import njit

from qanat.kernels import bit_selection, processor
from qanat.kernels.reference import bit_selection as plain

EDGES = (0, 1, 2**63, 2**64 - 1, 0x5555555555555555, 2**32 - 1, 2**64 - 2**32)
DRAW = random.Random(5)
WORDS = [(word, mask) for word in EDGES for mask in EDGES]
WORDS += [(DRAW.getrandbits(64), DRAW.getrandbits(64) & DRAW.getrandbits(64)) for _ in range(300)]


def by_instruction() -> tuple[Callable[..., int], Callable[..., int]]:
    if not bit_selection.are_instructions_available():
        pytest.skip("this processor has no instruction for it")
    compress, expand = bit_selection.compress_by_instruction, bit_selection.expand_by_instruction
    return njit(lambda word, mask: compress(word, mask)), njit(lambda word, mask: expand(word, mask))


@pytest.mark.parametrize("tier", ["instruction", "loop"])
def test_bits_are_picked_and_put_back_as_by_the_twin(tier: str) -> None:
    loops = (bit_selection.compress_by_loop, bit_selection.expand_by_loop)
    compress, expand = by_instruction() if tier == "instruction" else loops
    for word, mask in WORDS:
        arguments = np.uint64(word), np.uint64(mask)
        assert int(compress(*arguments)) == plain.compress(word, mask)
        assert int(expand(*arguments)) == plain.expand(word, mask)


def test_a_foreign_processor_gets_the_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor.config, "CPU_NAME", "generic")
    assert not bit_selection.are_instructions_available.__wrapped__()

# ruff: noqa: ARG001 - the signatures of intrinsics are numba's
"""Packed bits: counting them, and setting frames of a long key side by side.

Cascade works on frames of ``n`` bits. *Side by side* means an array of 64-bit words of shape (num_groups, n): bit ``f``
of word ``[g, i]`` is bit ``i`` of frame ``64 g + f``. One exclusive-or then serves 64 frames. Frame ``f`` takes every
``num_frames``-th bit of the key, so that a burst of errors is spread over all frames.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

LANES = 64
"""Frames that share a word."""


@intrinsic
def popcount(typing_context: Any, word: Any) -> Any:
    """Return the number of ones in a 64-bit word; one instruction where the processor has it."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic
def leading_zeros(typing_context: Any, word: Any) -> Any:
    """Return the number of zeros above the highest one of a 64-bit word; 64 for zero."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


@njit(cache=True, nogil=True)
def spread_frames(stream: np.ndarray, num_frames: int, frames: np.ndarray) -> None:
    """Set the bits of ``stream`` side by side: bit ``i * num_frames + f`` becomes bit ``i`` of frame ``f``.

    stream: uint64, shape (ceil(n * num_frames / 64),), lowest bit first.
    frames: uint64, shape (ceil(num_frames / 64), n), overwritten; lanes beyond ``num_frames`` become zero.
    """
    for place in range(frames.shape[1]):
        for group in range(frames.shape[0]):
            bit = place * num_frames + LANES * group
            lanes = min(LANES, num_frames - LANES * group)
            word, shift = bit >> 6, bit & 63
            value = stream[word] >> np.uint64(shift)
            if shift + lanes > LANES:
                value |= stream[word + 1] << np.uint64(LANES - shift)
            if lanes < LANES:
                value &= (np.uint64(1) << np.uint64(lanes)) - np.uint64(1)
            frames[group, place] = value


@njit(cache=True, nogil=True)
def join_frames(frames: np.ndarray, num_frames: int, stream: np.ndarray) -> None:
    """Undo ``spread_frames``. Lanes beyond ``num_frames`` must be zero; ``stream`` must be zeros and is filled."""
    for place in range(frames.shape[1]):
        for group in range(frames.shape[0]):
            bit = place * num_frames + LANES * group
            lanes = min(LANES, num_frames - LANES * group)
            word, shift = bit >> 6, bit & 63
            stream[word] |= frames[group, place] << np.uint64(shift)
            if shift + lanes > LANES:
                stream[word + 1] |= frames[group, place] >> np.uint64(LANES - shift)

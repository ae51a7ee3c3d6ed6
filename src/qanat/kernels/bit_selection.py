# ruff: noqa: ARG001 - the signatures of intrinsics are numba's
"""Bits picked out of a word, and put back: the processor's own instructions where it has them.

``compress(word, mask)`` moves the bits of ``word`` that ``mask`` selects to the low end, in order; ``expand(word,
mask)`` is its inverse: the low bits of ``word`` go to the places that ``mask`` selects. x86 calls them PEXT and PDEP
(extension BMI2). The loops here do the same on any processor.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils

from qanat.kernels.intrinsics import intrinsic
from qanat.kernels.processor import instruction_sets

_WORD = ir.IntType(64)
_ONE, _ZERO = np.uint64(1), np.uint64(0)


@functools.cache
def are_instructions_available() -> bool:
    """Return whether this processor picks bits by one instruction."""
    return bool(instruction_sets().get("bmi2"))


def _call(builder: ir.IRBuilder, name: str, arguments: Any) -> Any:
    kind = ir.FunctionType(_WORD, [_WORD, _WORD])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


@intrinsic
def compress_by_instruction(typing_context: Any, word: Any, mask: Any) -> Any:
    """Pick bits by PEXT."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return _call(builder, "llvm.x86.bmi.pext.64", arguments)

    return types.uint64(types.uint64, types.uint64), generate


@intrinsic
def expand_by_instruction(typing_context: Any, word: Any, mask: Any) -> Any:
    """Put bits back by PDEP."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return _call(builder, "llvm.x86.bmi.pdep.64", arguments)

    return types.uint64(types.uint64, types.uint64), generate


@njit(cache=True, nogil=True)
def compress_by_loop(word, mask):  # type: ignore[no-untyped-def]
    """Pick bits one by one."""
    word, left = np.uint64(word), np.uint64(mask)
    picked, target = _ZERO, _ONE
    while left:
        lowest = left & (~left + _ONE)
        if word & lowest:
            picked |= target
        target <<= _ONE
        left ^= lowest
    return picked


@njit(cache=True, nogil=True)
def expand_by_loop(word, mask):  # type: ignore[no-untyped-def]
    """Put bits back one by one."""
    word, left = np.uint64(word), np.uint64(mask)
    placed = _ZERO
    while left:
        lowest = left & (~left + _ONE)
        if word & _ONE:
            placed |= lowest
        word >>= _ONE
        left ^= lowest
    return placed


# Settled once per process; numba's cache keeps the two apart by processor.
compress = compress_by_instruction if are_instructions_available() else compress_by_loop
expand = expand_by_instruction if are_instructions_available() else expand_by_loop

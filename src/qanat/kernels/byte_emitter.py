"""Arithmetic on bytes of GF(2^8) in registers, written with LLVM's builder: what ``byte_vectors`` is made of.

There are three ways to multiply (``Products``). Values are registers of 64 or 32 bytes; where 64 bytes are one value in
any case, LLVM parts them itself.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from qanat.kernels.byte_fields import BYTE_MODULUS, half_byte_products
from qanat.kernels.processor import instruction_sets

LANES = 64
WORD = ir.IntType(64)
BYTE = ir.IntType(8)
ZERO = ir.Constant(BYTE, 0)
BYTES = ir.VectorType(BYTE, LANES)
WORDS = ir.VectorType(WORD, LANES // 8)

Element = tuple[Any, Any]
"""Low and high bytes of as many elements as a register holds, as values of LLVM."""


class Products(StrEnum):
    """How this processor multiplies bytes: by an instruction, 64 or 32 at a time, or by looking up halves of bytes."""

    GFNI_512 = "products of bytes, 512 bits"
    GFNI_256 = "products of bytes, 256 bits"
    LOOKUP_256 = "look-up of half bytes, 256 bits"


@functools.cache
def way_to_multiply() -> Products | None:
    """Return how bytes are multiplied here, or None when the processor can do it in none of these ways.

    All loops are compiled for the one way, once and for all.
    """
    features = instruction_sets()
    if features.get("gfni") and features.get("avx512f") and features.get("avx512bw"):
        return Products.GFNI_512
    if not features.get("avx2"):
        return None
    return Products.GFNI_256 if features.get("gfni") else Products.LOOKUP_256


class Emitter:
    """Emits what the loops below share, in the way that this processor multiplies."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder
        self.way = way_to_multiply()
        self.width = LANES if self.way is Products.GFNI_512 else LANES // 2
        """Bytes of a register."""

    def at(self, base: Any, offset: Any) -> Any:
        """Return an address moved on by an offset in bytes: an int, or a value."""
        return self.builder.add(base, ir.Constant(WORD, offset) if isinstance(offset, int) else offset)

    def load(self, address: Any, offset: int = 0, *, width: int = LANES) -> Any:
        kind = ir.VectorType(BYTE, width)
        return self.builder.load(self.builder.inttoptr(self.at(address, offset), kind.as_pointer()), align=1)

    def store(self, value: Any, address: Any, offset: int = 0) -> None:
        pointer = self.builder.inttoptr(self.at(address, offset), value.type.as_pointer())
        self.builder.store(value, pointer, align=1)

    def parts(self) -> range:
        """Return where in 64 bytes the registers begin that hold them."""
        return range(0, LANES, self.width)

    def load_row(self, address: Any, part: int) -> Element:
        low, high = (self.load(address, part + half, width=self.width) for half in (0, LANES))
        return low, high

    def store_row(self, row: Element, address: Any, part: int) -> None:
        self.store(row[0], address, part)
        self.store(row[1], address, part + LANES)

    def add(self, left: Element, right: Element) -> Element:
        return self.builder.xor(left[0], right[0]), self.builder.xor(left[1], right[1])

    def call(self, name: str, *arguments: Any) -> Any:
        """Call an instruction that returns what its first argument is."""
        kind = ir.FunctionType(arguments[0].type, [argument.type for argument in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), arguments)

    def multiply_bytes(self, left: Any, right: Any) -> Any:
        """Multiply registers byte by byte."""
        if self.way is not Products.LOOKUP_256:
            return self.call(f"llvm.x86.vgf2p8mulb.{8 * self.width}", left, right)
        total = ir.Constant(left.type, None)
        for bit in range(7, -1, -1):
            folded = self.builder.and_(self._sign(total), self.fill(BYTE_MODULUS & 255))
            total = self.builder.xor(self.builder.add(total, total), folded)
            wanted = self._sign(self.builder.shl(right, self.fill(7 - bit)))
            total = self.builder.xor(total, self.builder.and_(wanted, left))
        return total

    def _sign(self, value: Any) -> Any:
        """Return all ones in the bytes whose highest bit is set."""
        return self.builder.sext(self.builder.icmp_signed("<", value, ir.Constant(value.type, None)), value.type)

    def fill(self, byte: int) -> Any:
        """Return a register of one byte."""
        return ir.Constant(ir.VectorType(BYTE, self.width), [byte] * self.width)

    def fill_words(self, address: Any, offset: int) -> Any:
        """Load a word and return it eight times."""
        word = self.builder.load(self.builder.inttoptr(self.at(address, offset), WORD.as_pointer()), align=8)
        first = self.builder.insert_element(ir.Constant(WORDS, ir.Undefined), word, ir.Constant(ir.IntType(32), 0))
        return self.shuffle(first, [0] * 8)

    def apply_bits(self, data: Any, matrices: Any) -> Any:
        """Multiply 64 bytes by matrices of 8 x 8 bits, one for every eight bytes."""
        name = f"llvm.x86.vgf2p8affineqb.{8 * self.width}"
        halves = [
            self.call(name, *(self.shuffle(value, range(at, at + self.width)) for value in (data, matrices)), ZERO)
            for at in self.parts()
        ]
        if len(halves) == 1:
            return halves[0]
        every = ir.Constant(ir.VectorType(ir.IntType(32), LANES), list(range(LANES)))
        return self.builder.shuffle_vector(*halves, every)

    def constants(self, address: Any, index: Any, *, small: bool) -> list[Any]:
        """Return the constants of a twiddle, as ``scale`` wants them: four, or one when it is a byte."""
        place = self.at(address, self.builder.mul(index, ir.Constant(WORD, 16)))
        load = self._tables if self.way is Products.LOOKUP_256 else self._filled
        return [load(self.at(place, 4 * k)) for k in range(1 if small else 4)]

    def _filled(self, place: Any) -> Any:
        """Load four bytes and fill a register with them."""
        kind = ir.VectorType(ir.IntType(32), self.width // 4)
        four = self.builder.load(self.builder.inttoptr(place, ir.IntType(32).as_pointer()), align=4)
        first = self.builder.insert_element(ir.Constant(kind, ir.Undefined), four, ir.Constant(ir.IntType(32), 0))
        filled = self.builder.shuffle_vector(first, first, ir.Constant(kind, None))
        return self.builder.bitcast(filled, ir.VectorType(BYTE, self.width))

    def _tables(self, place: Any) -> tuple[Any, Any]:
        """Load a byte and return the registers of its products with the 16 low and with the 16 high half bytes."""
        byte = self.builder.load(self.builder.inttoptr(place, BYTE.as_pointer()))
        kind = ir.ArrayType(BYTE, 256 * 32)
        name = "qanat_products_of_half_bytes"
        table = self.builder.module.globals.get(name) or cgutils.global_constant(
            self.builder.module, name, ir.Constant(kind, bytearray(half_byte_products()))
        )
        base = self.builder.ptrtoint(table, WORD)
        first = self.builder.add(base, self.builder.mul(self.builder.zext(byte, WORD), ir.Constant(WORD, 32)))
        twice = [*range(16), *range(16)]
        low, high = (self.shuffle(self.load(first, at, width=16), twice) for at in (0, 16))
        return low, high

    def multiply(self, data: Any, constant: Any) -> Any:
        """Multiply a register by one of ``constants``."""
        if self.way is not Products.LOOKUP_256:
            return self.multiply_bytes(data, constant)
        low = self.builder.and_(data, self.fill(15))
        high = self.builder.and_(self.builder.lshr(data, self.fill(4)), self.fill(15))
        products = (
            self.call("llvm.x86.avx2.pshuf.b", table, half) for table, half in zip(constant, (low, high), strict=True)
        )
        return self.builder.xor(*products)

    def scale(self, row: Element, constants: Sequence[Any]) -> Element:
        """Multiply a row by a twiddle."""
        if len(constants) == 1:
            return self.multiply(row[0], constants[0]), self.multiply(row[1], constants[0])
        low, high, high_c, both = constants
        return (
            self.builder.xor(self.multiply(row[0], low), self.multiply(row[1], high_c)),
            self.builder.xor(self.multiply(row[0], high), self.multiply(row[1], both)),
        )

    def shuffle(self, value: Any, places: Sequence[int]) -> Any:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places))
        return self.builder.shuffle_vector(value, value, mask)

    def rotate_words(self, value: Any, places: int) -> Any:
        words = self.builder.bitcast(value, WORDS)
        return self.builder.bitcast(self.shuffle(words, [(k + places) % 8 for k in range(8)]), BYTES)

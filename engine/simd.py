"""Wide loads for numba kernels: 64 bytes become a 64-bit mask of those in a class, which bit tricks then walk.

LLVM lowers the vectors to whatever the processor has. A mask reads 64 bytes whatever is left of the text, so kernels
run over `engine.columns.padded_parts`, which keeps them inside the buffers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_I1, _I8, _I32, _I64 = ir.IntType(1), ir.IntType(8), ir.IntType(32), ir.IntType(64)
_HALF = ir.VectorType(_I8, 32)


def _address(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [at])


def _loader(width: Any, answer: Any) -> Any:
    @intrinsic
    def load(typing: Any, array: Any, at: Any) -> Any:
        def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            place = _address(context, builder, signature.args[0], args[0], args[1])
            value = builder.load(builder.bitcast(place, width.as_pointer()), typ=width)
            value.align = 1
            return value

        return answer(array, types.int64), lower

    return load


load64 = _loader(_I64, types.uint64)
"""The eight bytes at `array[at:]` as a little-endian number, wherever they lie."""
load32 = _loader(_I32, types.uint32)
"""The four bytes at `array[at:]` as a little-endian number."""


@intrinsic
def _trailing_zeros(typing: Any, bits: Any) -> Any:

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(_I1, 1))

    return types.int64(types.uint64), lower


@intrinsic
def _ones(typing: Any, bits: Any) -> Any:

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), lower


@intrinsic
def _fetch(typing: Any, array: Any, at: Any) -> Any:

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.bitcast(_address(context, builder, signature.args[0], args[0], args[1]), _I8.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [_I8.as_pointer()], kind)
        builder.call(fetch, [place, *(ir.Constant(_I32, n) for n in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.int64), lower


# To a type checker an intrinsic still takes the compiler's own first argument.
trailing_zeros: Any = _trailing_zeros
"""The place of the lowest set bit of a 64-bit number that has one."""
fetch: Any = _fetch
"""Has the processor bring `array[at]` near, for it will be read soon."""
ones: Any = _ones
"""How many bits of a 64-bit number are set."""


class Lanes:
    """The bytes of a vector while a mask is described: comparisons answer a bit for each byte."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def _constant(self, byte: int) -> Any:
        return ir.Constant(_HALF, [ir.Constant(_I8, byte)] * 32)

    def equal(self, byte: int) -> Any:
        return self.builder.icmp_unsigned("==", self.value, self._constant(byte))

    def between(self, low: int, high: int) -> Any:
        shifted = self.builder.sub(self.value, self._constant(low))
        return self.builder.icmp_unsigned("<=", shifted, self._constant(high - low))

    def letter(self) -> Any:
        lower_case = self.builder.or_(self.value, self._constant(0x20))
        return Lanes(self.builder, lower_case).between(0x61, 0x7A)

    def any(self, *tests: Any) -> Any:
        answer = tests[0]
        for test in tests[1:]:
            answer = self.builder.or_(answer, test)
        return answer


def mask(test: Callable[[Lanes], Any]) -> Any:
    """A kernel function `(bytes, at) -> uint64` whose bit `j` says whether byte `at + j` passes the test."""

    @intrinsic
    def bits(typing: Any, array: Any, at: Any) -> Any:
        def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            place = _address(context, builder, signature.args[0], args[0], args[1])
            answer = None
            for half in range(2):
                begin = builder.gep(place, [ir.Constant(_I64, 32 * half)])
                vector = builder.load(builder.bitcast(begin, _HALF.as_pointer()), typ=_HALF)
                vector.align = 1
                found = builder.bitcast(test(Lanes(builder, vector)), _I32)
                wide = builder.zext(found, _I64)
                answer = wide if answer is None else builder.or_(answer, builder.shl(wide, ir.Constant(_I64, 32)))
            return answer

        return types.uint64(array, types.int64), lower

    return bits

"""Loops written by hand with LLVM's builder, with the types that those who call them see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, cast

from numba import extending

Arguments = ParamSpec("Arguments")


def intrinsic(define: Callable[Concatenate[Any, Arguments], Any]) -> Callable[Arguments, Any]:
    """Mark a definition as numba's ``intrinsic`` does.

    define: takes numba's typing context and the types of the arguments, and returns their signature and what emits the
    code. Returns what compiled loops call, without the context; it cannot be called from outside of them.
    """
    # numba's own annotation leaves the context among the arguments, and says that no call returns
    return cast(Callable[Arguments, Any], extending.intrinsic(define))

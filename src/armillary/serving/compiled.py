"""How the simulator's kernels are compiled.

Kernels only read and write arrays that are made before them. Without counts of references to those arrays,
which numba keeps with atomic operations for each view and call, they run four times as fast; a kernel that
made an array would fail to compile. Inlined kernels spare the passing of some hundred words a call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "_nrt": False}


def kernel(function: Function) -> Function:
    """Decorator of a kernel."""
    return cast(Function, numba.njit(**_OPTIONS)(function))


def inlined(function: Function) -> Function:
    """Decorator of a kernel that becomes part of its callers."""
    return cast(Function, numba.njit(**_OPTIONS, forceinline=True)(function))

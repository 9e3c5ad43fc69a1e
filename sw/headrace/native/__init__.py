"""CPU kernels in C++: one shared library, built at install where there is a compiler, loaded on first use.

Everything that they do is done without them too, more slowly; NativeError says so where that is no use.
HEADRACE_NATIVE=0 in the environment leaves them out.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import os
from functools import cache
from pathlib import Path

from ..errors import NativeError

NAME = "_kernels"


def available() -> bool:
    """Whether the kernels can be used."""
    try:
        library()
    except NativeError:
        return False
    return True


@cache
def library() -> ctypes.CDLL:
    """The shared library. NativeError where it was not built, does not load, or is not wanted."""
    if os.environ.get("HEADRACE_NATIVE") == "0":
        raise NativeError("the native kernels are turned off by HEADRACE_NATIVE=0")
    folder = Path(__file__).parent
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        file = folder / f"{NAME}{suffix}"
        if file.exists():
            try:
                return ctypes.CDLL(str(file))
            except OSError as error:
                raise NativeError(f"the native kernels do not load: {error}") from None
    raise NativeError("the native kernels were not built; install a C++ compiler and headrace again")

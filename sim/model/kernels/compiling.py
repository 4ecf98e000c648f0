"""Machine code that is kept on disk as long as no file of this folder changes."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile

__all__ = ["inlined", "kernel"]


def kernel(function: Callable) -> Callable:
    """Compile a function with numba, free of the interpreter's lock, and cache its machine code on disk.

    numba's own ``cache=True`` asks whether the *file of the function* has changed. A kernel holds the code of the
    functions that it calls too, and these are in other files here, so the stamp of a cached kernel is one of all
    sources of the folder.

    When kernels call it, its signed integers have 64 bits and constants are no types of their own: numba would compile
    it anew for every constant and width, a dozen times for one learning run.
    """
    compiled: Any = numba.njit(nogil=True)(function)
    config: Any = numba.config
    if not config.DISABLE_JIT:
        template = compiled.get_call_template
        compiled.get_call_template = lambda args, kws: template([_widest(kind) for kind in args], kws)
        cached = FunctionCache(function)
        cached._cache_file = IndexDataCacheFile(cached.cache_path, cached._impl.filename_base, _sources())
        compiled._cache = cached
    return compiled


def inlined(function: Callable) -> Callable:
    """A part of kernels that numba writes out where it is called, so that what a caller fixes is fixed there."""
    return numba.njit(inline="always")(function)


def _widest(kind):
    """The type that a kernel takes an argument in."""
    kind = numba.types.unliteral(kind)
    narrow = isinstance(kind, numba.types.Integer) and kind.signed and kind.bitwidth < 64
    return numba.types.int64 if narrow else kind


@cache
def _sources():
    """Digest of every source of this folder."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(f"{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()

"""The one way in which kernels are compiled and cached; knows nothing of what they compute."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

_IMPORT = re.compile(rb"from ensue\.model\.kernels\.(\w+) import")


def kernel(function: Kernel) -> Kernel:
    """Compile for one thread, on the first call, and keep the machine code on disk.

    No fastmath: neither reassociation nor contraction, so that equal inputs give equal bits wherever a row stands.
    """
    return cast(Kernel, numba.njit(cache=True, error_model="numpy", nogil=True)(function))


def parallel_kernel(function: Kernel) -> Kernel:
    """The same for a kernel whose `prange` shares out rows among Numba's threads."""
    return cast(Kernel, numba.njit(cache=True, error_model="numpy", nogil=True, parallel=True)(function))


def find_shared_files(folder: Path) -> list[Path]:
    """The files of kernels that kernels in other files call, and those whose own types the cache has to load first."""
    sources = {path: path.read_bytes() for path in folder.glob("[!_]*.py")}
    names = {name.decode() for source in sources.values() for name in _IMPORT.findall(source)}
    return sorted(path for path, source in sources.items() if path.stem in names or b"(NamedTuple)" in source)


def cache_folder(folder: Path) -> str:
    """Numba notices a change of a kernel's own file only; after a change of a shared file we look elsewhere."""
    sources = b"".join(path.read_bytes() for path in find_shared_files(folder))
    return str(folder / "__pycache__" / hashlib.blake2b(sources, digest_size=8).hexdigest())


if "NUMBA_CACHE_DIR" not in os.environ:  # where the operator wants it
    numba.config.CACHE_DIR = cache_folder(Path(__file__).parent)  # type: ignore[attr-defined]

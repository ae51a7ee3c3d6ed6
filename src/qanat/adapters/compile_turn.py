"""Whose turn it is to compile the kernels, where many processes start at once on a machine that has not done so yet.

The compiler keeps what it made on disk, but two processes that both find nothing there both compile. So one does, under
a lock beside the cache that says its process and that the system frees when it ends, however it ends; the others wait,
and then load side by side.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path

import qanat

PAUSE_S = 0.2
LOCK_NAME = "qanat-compiling.lock"


def kernel_cache() -> Path:
    """Return the folder where the compiler looks for kernels first."""
    named = os.environ.get("NUMBA_CACHE_DIR")
    return Path(named) if named else _kernels() / "__pycache__"


def kernel_stamp(processor: str) -> str:
    """Return what tells these kernels, this compiler and the ``processor`` from others: what was compiled by or for
    those is of no use."""
    newest = max(path.stat().st_mtime_ns for path in _kernels().glob("*.py"))
    return f"{version('numba')} {sys.implementation.cache_tag} {processor} {newest}"


@asynccontextmanager
async def compile_turn(
    folder: Path, stamp: str, *, on_compile: Callable[[str], None] = lambda _: None
) -> AsyncIterator[None]:
    """Hold the lock in ``folder`` while the body compiles, unless that was done under the same ``stamp``: then the body
    runs beside others. Waits for who compiles.

    ``on_compile`` hears, in words, that this process waits for another, and that it compiles: each once. Where no lock
    can be had, as in an installation that may not be written or on a disk that knows none, everybody compiles for
    himself; so he does where nothing can be written beside the cache.
    """
    if (descriptor := _open(folder)) is None:
        yield
        return
    try:
        if not await _lock(descriptor, on_compile):
            yield
            return
        if _read(descriptor) == stamp:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            yield
            return
        on_compile("compiles its kernels")
        _write(descriptor, f"process {os.getpid()}")
        yield
        _write(descriptor, stamp)
    finally:
        os.close(descriptor)


def _open(folder: Path) -> int | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError:
        return None


async def _lock(descriptor: int, on_compile: Callable[[str], None]) -> bool:
    """Return whether the lock is held now; it is not where there are no locks."""
    told = ""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            words = f"waits for {_read(descriptor) or 'another process'}, which compiles the kernels of all"
            if words != told:
                on_compile(told := words)
            await asyncio.sleep(PAUSE_S)
        except OSError:
            return False
        else:
            return True


def _read(descriptor: int) -> str:
    return os.pread(descriptor, 256, 0).decode("utf-8", "replace")


def _write(descriptor: int, text: str) -> None:
    with suppress(OSError):  # a full disk: the next one compiles too
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)


def _kernels() -> Path:
    return Path(qanat.__file__).parent / "kernels"

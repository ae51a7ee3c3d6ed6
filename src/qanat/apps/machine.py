"""What this machine is: for the doctor, the report and the benchmarks."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.metadata
import os
import platform
import sys
import time
from asyncio import sslproto
from collections.abc import Callable
from pathlib import Path

TLS_READ_BYTES = 2**15
"""Two records of TLS, which are 16 KiB at most (RFC 8446, 5.1)."""
TURN_OF_A_THREAD_S = 5e-4
SETTLING_SHARE = 0.01
FULL_COLLECTIONS_SPARED = 20
"""In a service, the collector looks through all that is there so many times more seldom."""
LIBRARIES = ("numpy", "numba", "scipy", "cryptography", "fastapi", "uvicorn", "httpx", "pydantic")


def num_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spare_tls_buffers() -> None:
    """Let connections made from now on read at most TLS_READ_BYTES at a time. Each end of one keeps a buffer of that
    size as long as it stands; asyncio's is 256 KiB, and a process of many sites has hundreds of them. An asyncio that
    does not know the attribute keeps its own size."""
    if hasattr(sslproto.SSLProtocol, "max_size"):
        sslproto.SSLProtocol.max_size = TLS_READ_BYTES


def take_turns_often() -> None:
    """Let a thread that waits for another one's turn to end wait TURN_OF_A_THREAD_S, where Python has it wait 5 ms: who
    calls a door needs several turns of its thread, and the one beside it always has something to do."""
    sys.setswitchinterval(TURN_OF_A_THREAD_S)


def num_compiled_kernels() -> int:
    """Return how many compiled kernels lie beside their sources."""
    import qanat.kernels

    return len(list((Path(qanat.kernels.__path__[0]) / "__pycache__").glob("*.nbi")))


def is_search_compiled() -> bool:
    """Return whether the search for passes lies compiled beside its source; another place for caches is not asked."""
    import qanat.orbits

    folder = Path(qanat.orbits.__path__[0])
    since = (folder / "search.py").stat().st_mtime
    return any(index.stat().st_mtime >= since for index in (folder / "__pycache__").glob("search.*.nbi"))


def cpu_flags() -> frozenset[str]:
    """Return the instruction-set flags of the CPU, empty where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(flags.partition(":")[2].split())


CPU_TIERS = {
    "512-bit products of bytes": {"gfni", "avx512f", "avx512bw"},
    "256-bit products of bytes": {"gfni", "avx2"},
    "256-bit look-up of half bytes": {"avx2"},
    "128-bit carry-less multiply": {"pclmulqdq"},
}
"""What privacy amplification is fastest with -> the flags it needs, best first."""


def cpu_tier() -> str:
    """Return which kernels' instructions this CPU offers."""
    flags = cpu_flags()
    return next((tier for tier, needed in CPU_TIERS.items() if needed <= flags), "no special instructions")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that matter."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in LIBRARIES}}


def machine() -> str:
    """Return the machine in a few words: system, processor architecture, cores."""
    return f"{platform.system()} {platform.machine()}, {num_cores()} cores, {cpu_tier()}"


def allow_open_files(number: int) -> None:
    """Let this process have so many files and sockets open, as far as the system's administrator lets it."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < number:
        wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def settle_heap(*, with_kept: bool = False) -> None:
    """Have the collector of cycles pass over all that there is by now; to be called when a service is up, and when a
    site of it was closed.

    What libraries made of themselves, a hundred thousand objects, goes with the process. To look through it takes the
    collector tens of milliseconds, every few thousand requests, in which nobody is answered. ``with_kept``: what
    earlier calls have set aside is looked through too, since a site was closed, and what it has left goes back to the
    system.
    """
    if with_kept:
        gc.unfreeze()
    gc.collect()
    gc.freeze()
    if with_kept:
        _give_memory_back()


def set_young_aside() -> None:
    """Set aside what there is by now, and look through what is young only, some milliseconds instead of a sixth of a
    second: sites were opened, and more callers come soon. What is garbage among the rest waits for a whole pass."""
    gc.collect(1)
    gc.freeze()


def collect_seldom() -> None:
    """Have the collector of cycles look through all that there is more seldom than is usual, where a ``HeapKeeper``
    does so when nobody calls: in a service of many sites it takes up to a tenth of a second."""
    young, middle, old = gc.get_threshold()
    gc.set_threshold(young, middle, old * FULL_COLLECTIONS_SPARED)


class HeapKeeper:
    """Settles the heap of a service whose sites come and go, so seldom that it takes SETTLING_SHARE of the time at
    most: each pass over a large heap takes as long as a hundred requests, which wait meanwhile."""

    def __init__(self, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._is_due = self._with_kept = False
        self._next_s = float("-inf")

    def note(self, *, has_closed: bool) -> None:
        """Sites were opened, or closed."""
        self._is_due = True
        self._with_kept |= has_closed

    def settle_if_due(self) -> bool:
        """Settle the heap when sites have come or gone since, and it is time; return whether it was done."""
        begun_s = self._now_s()
        if not self._is_due or begun_s < self._next_s:
            return False
        if self._with_kept:
            settle_heap(with_kept=True)
        else:
            set_young_aside()
        self._is_due = self._with_kept = False
        ended_s = self._now_s()
        self._next_s = ended_s + (ended_s - begun_s) / SETTLING_SHARE
        return True


def _give_memory_back() -> None:
    """Have the allocator return whole pages that nobody uses: glibc keeps them, and is asked where it is there."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)

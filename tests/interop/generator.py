"""A stand-in for a physical generator: a FIFO that gives good samples, and bad ones from some moment on."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHUNK = 32_768


class Generator:
    """Fills a FIFO from a thread as fast as it is read. ``sour``: from now on, or after ``good_samples``, ``bad``."""

    def __init__(self, path: Path, *, good_samples: int | None, bad: bytes) -> None:
        self.path = path
        self._left = good_samples
        self._bad = bad * (CHUNK // len(bad))
        self._is_sour = threading.Event()
        self._is_over = threading.Event()
        os.mkfifo(path, 0o600)
        self._fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK)  # both ends, so that it never waits for a reader
        self._thread = threading.Thread(target=self._fill, name="generator")
        self._thread.start()

    def sour(self) -> None:
        self._is_sour.set()

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()
        os.close(self._fifo)

    def _fill(self) -> None:
        while not self._is_over.is_set():
            if select.select([], [self._fifo], [], 0.05)[1]:
                written = os.write(self._fifo, self._next())
                if self._left is not None:
                    self._left -= written

    def _next(self) -> bytes:
        if self._is_sour.is_set() or (self._left is not None and self._left <= 0):
            return self._bad
        return os.urandom(CHUNK if self._left is None else min(CHUNK, self._left))


@contextmanager
def generator(folder: Path, *, good_samples: int | None = None, bad: bytes = b"\0") -> Iterator[Generator]:
    """Lend a generator, as the FIFO ``path``; ``bad`` samples are repeated without end."""
    made = Generator(folder / "generator", good_samples=good_samples, bad=bad)
    try:
        yield made
    finally:
        made.close()

"""A lock file that says which process holds it; the system frees it when that process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from qanat.adapters.machine_faults import machine_faults_named
from qanat.ground.errors import ConfigurationError


class ProcessLock:
    """A context manager that holds ``path`` for one holder at a time, in this process or another.

    ``what``: said when somebody holds it already, before the number of its process; ``remedy`` with it.
    """

    def __init__(self, path: Path, *, what: str, remedy: str) -> None:
        self._path = path
        self._what = what
        self._remedy = remedy
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Take it; raises ConfigurationError that names the process that has it."""
        with machine_faults_named(self._path):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise ConfigurationError(f"{self._what}, process {holder}", remedy=self._remedy) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

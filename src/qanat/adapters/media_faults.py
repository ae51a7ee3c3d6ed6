"""FFmpeg's library for sound and pictures, where it is installed, and its failures told as this machine's own."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qanat.ground.errors import ConfigurationError

INSTALL = "install them: pip install 'qanat[services]'"


def load_av() -> Any:
    """Return PyAV; raises ConfigurationError where it is not installed."""
    try:
        return importlib.import_module("av")
    except ImportError:
        raise ConfigurationError("calls need programs that are not installed here", remedy=INSTALL) from None


@contextlib.contextmanager
def named_as_ours(av: Any, path: Path | str) -> Iterator[None]:
    """Tell failures as this machine's own: the other end is not told names of files."""
    try:
        yield
    except (av.FFmpegError, OSError) as fault:
        raise ConfigurationError(
            f"{path}: {getattr(fault, 'strerror', None) or fault}",
            remedy="name a file of sound or pictures that a player opens; a recording goes to a new .webm",
        ) from None

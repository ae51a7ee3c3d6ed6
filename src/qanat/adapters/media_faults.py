"""FFmpeg's library for sound and pictures, where it is installed, and its failures told as this machine's own."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
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


def are_calls_possible() -> bool:
    """Return whether PyAV is installed; it is not loaded."""
    return importlib.util.find_spec("av") is not None


PLAYED = "look at its name, or name another file of sound or pictures that a player opens, or 'test', or 'none'"
RECORDED = "record to a new .webm, in a folder that is there, has room, and lets this user write"


@contextlib.contextmanager
def named_as_ours(av: Any, path: Path | str, *, remedy: str = PLAYED) -> Iterator[None]:
    """Tell failures about a file as this machine's own: the other end is not told names of files. That nobody reads a
    pipe any more is told as it is."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (av.FFmpegError, OSError) as fault:
        reason = getattr(fault, "strerror", None) or fault
        raise ConfigurationError(f"{path}: {reason}", remedy=remedy) from None

"""Where a picture goes: a file whose name says what it is."""

from __future__ import annotations

import sys
from pathlib import Path

from qanat.ground.errors import ConfigurationError


def check_picture_name(out: Path | None) -> None:
    """Raise ConfigurationError unless the name is that of a picture we can draw, or there is none."""
    if out is not None and out.suffix.lower() not in (".svg", ".png"):
        raise ConfigurationError(
            f"{out} is no picture that can be written here", remedy="let its name end in .svg or .png"
        )


def write_picture(out: Path, content: bytes) -> None:
    """Write the file and say so on standard error; raises ConfigurationError when it cannot be written."""
    try:
        out.write_bytes(content)
    except OSError as fault:
        raise ConfigurationError(f"cannot write {out}: {fault.strerror}", remedy="name a file that can be") from None
    print(f"{out}: {len(content):,} bytes", file=sys.stderr)

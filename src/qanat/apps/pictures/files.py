"""Where a picture goes: a file whose name says what it is."""

from __future__ import annotations

import sys
from pathlib import Path

from qanat.ground.errors import ConfigurationError


def check_picture_name(out: Path | None) -> None:
    """Raise ConfigurationError unless the name is that of a picture we can draw and write, or there is none.

    Asked before the work whose picture it is: an hour of light is not to be lost for a folder that is not there.
    """
    if out is None:
        return
    if out.suffix.lower() not in (".svg", ".png"):
        raise ConfigurationError(
            f"{out} is no picture that can be written here", remedy="let its name end in .svg or .png"
        )
    if out.is_dir() or not out.parent.is_dir():
        what = "it is a folder" if out.is_dir() else f"there is no folder {out.parent}"
        raise ConfigurationError(f"cannot write {out}: {what}", remedy="name a file in a folder that is there")


def write_picture(out: Path, content: bytes) -> None:
    """Write the file and say so on standard error; raises ConfigurationError when it cannot be written."""
    try:
        out.write_bytes(content)
    except OSError as fault:
        raise ConfigurationError(f"cannot write {out}: {fault.strerror}", remedy="name a file that can be") from None
    print(f"{out}: {len(content):,} bytes", file=sys.stderr)

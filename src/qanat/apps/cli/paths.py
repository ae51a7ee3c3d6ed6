"""Paths as options of commands."""

from __future__ import annotations

from pathlib import Path

import typer


def named_path(text: str) -> Path:
    """Return the path in an option; an empty one, as an unset variable leaves it, is not the current folder."""
    if not text:
        raise typer.BadParameter("the name is empty; name a file or folder, '.' for the current folder")
    return Path(text)

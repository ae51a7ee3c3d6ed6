"""Names that files may have on their way: bare, printable, and good on every system."""

from __future__ import annotations

from qanat.services.shown import harmless

MAX_NAME_BYTES = 255
REFUSED = '/\\:*?"<>|'
"""What some system takes for something else than a letter of a name."""


def is_file_name(name: str) -> bool:
    """Return whether ``name`` names a file in a folder, and nothing above or below it."""
    return (
        name not in ("", ".", "..")
        and len(name.encode("utf-8", "replace")) <= MAX_NAME_BYTES
        and name == file_name_for_all(name)
    )


def file_name_for_all(name: str) -> str:
    """Return a bare file name as it may stand on any system: '_' for each character that some system refuses.

    The result is a file name in the sense of ``is_file_name`` if ``name`` is one of at most 255 bytes here.
    """
    return "".join(letter if is_harmless and letter not in REFUSED else "_" for letter, is_harmless in harmless(name))

"""Names in a description: what may be one, and which known one was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, Field

from qanat.ground.identifiers import MAX_ID_CHARACTERS, is_name
from qanat.ground.network.part import fault_of_field

MOST_COMPARED = 500
"""Among more names than these the nearest is not looked for: it would take seconds."""


def checked_name(name: str) -> str:
    """Return ``name``; raises a fault that pydantic reports when it cannot stand in an id or a file name."""
    if not is_name(name):
        raise fault_of_field(f"{name!r} is no name", remedy="use lower-case letters, digits, and '.', '_', '-' inside")
    return name


Name = Annotated[str, Field(max_length=MAX_ID_CHARACTERS), AfterValidator(checked_name)]
Heading = Annotated[str, Field(max_length=MAX_ID_CHARACTERS)]
"""Under which heading of a table a thing is counted, such as ``backbone``; empty: under none."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a remedy that lists the names most like ``name``."""
    names = sorted(known)
    if len(names) > MOST_COMPARED:
        names = [other for other in names if other[:3] == name[:3]][:MOST_COMPARED] or names[:8]
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names[:8]
    return f"did you mean {', '.join(close)}?" if close else "there are none"

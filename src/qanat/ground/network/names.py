"""Names in a description: what may be one, and which known one was meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from qanat.ground.identifiers import MAX_ID_CHARACTERS, is_name
from qanat.ground.network.part import fault_of_field

MOST_COMPARED = 500
"""Among more names than these the nearest is not looked for: it would take seconds."""
MOST_LISTED = 8
LEAST_PART = 3
"""Fewer letters than these are in many names by chance."""
_NUMBER = re.compile("[0-9]+")


def checked_name(name: str) -> str:
    """Return ``name``; raises a fault that pydantic reports when it cannot stand in an id or a file name."""
    if not is_name(name):
        raise fault_of_field(f"{name!r} is no name", remedy="use lower-case letters, digits, and '.', '_', '-' inside")
    return name


Name = Annotated[str, Field(max_length=MAX_ID_CHARACTERS), AfterValidator(checked_name)]
Heading = Annotated[str, Field(max_length=MAX_ID_CHARACTERS)]
"""Under which heading of a table a thing is counted, such as ``backbone``; empty: under none."""


def checked_region(region: str) -> str:
    """Return ``region``; raises a fault that pydantic reports for one with spaces around it, which is another one."""
    if region != region.strip():
        raise fault_of_field(f"{region!r} has spaces around it", remedy="write the region without them")
    return region


Region = Annotated[str, Field(max_length=MAX_ID_CHARACTERS), AfterValidator(checked_region)]
"""Where a site is, in words that mean the same at all sites of the file; empty: it is not stated."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a remedy that lists the names most like ``name``; when none is like it, all of few, or their number."""
    names = sorted(known)
    if not names:
        return "there are none"
    if close := _close(name, names):
        return f"did you mean {', '.join(close)}?"
    if len(names) <= MOST_LISTED:
        return f"there are {', '.join(names)}" if len(names) > 1 else f"there is {names[0]} alone"
    return f"there are {len(names)}, such as {', '.join(names[:3])}; `qanat network show` lists those of a network"


def _close(name: str, names: Sequence[str]) -> Sequence[str]:
    """Return the names that are really like one: the same but for zeros before its numbers, which is the likeliest,
    nearly the same letters, or one of the two holds the other."""
    same = [other for other in names if _unpadded(other) == _unpadded(name)]
    if len(names) > MOST_COMPARED:
        names = [other for other in names if other[:3] == name[:3]][:MOST_COMPARED]
    alike = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if len(name) < LEAST_PART:
        return list(dict.fromkeys([*same, *alike]))[:3]
    holding = [other for other in names if name in other or (len(other) >= LEAST_PART and other in name)]
    return list(dict.fromkeys([*same, *alike, *holding]))[:3]


def _unpadded(name: str) -> str:
    """Return a name with its numbers written without zeros before them."""
    return _NUMBER.sub(lambda number: number[0].lstrip("0") or "0", name)

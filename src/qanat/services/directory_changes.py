"""Changing the groups of a directory file as a person would: one entry is written anew, all else stays as it is."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence

from qanat.ground.errors import BadParameter, ConfigurationError, UnknownNode
from qanat.ground.identifiers import is_name
from qanat.services.directory import MOST_MEMBERS, Contact, Directory, parse_directory

LEAST_MEMBERS = 2
_HEADER = re.compile(r"\s*\[([^\[\]]*)\]\s*(#.*)?")
_BY_HAND = "change it there by hand"


def check_group(directory: Directory, name: str, members: Sequence[str], *, me: Contact) -> None:
    """Raise BadParameter or UnknownNode unless ``name`` may be a group of these contacts."""
    if name in directory.contacts:
        raise BadParameter(f"{name!r} is the name of a contact", remedy="give the group a name that nobody has")
    if not is_name(name):
        raise BadParameter(f"{name!r} is no name", remedy="name the group in lower-case letters, digits, '.', '_', '-'")
    for member in members:
        if member not in directory.contacts:
            known = ", ".join(sorted(directory.others(me.sae))) or "nobody"
            fault = "is a group: groups are of contacts" if member in directory.groups else "is no contact"
            raise UnknownNode(f"{member!r} {fault}", remedy=f"known are: {known}")
        if directory.contacts[member].sae == me.sae:
            raise BadParameter(f"{member!r} is you: a group is of those you speak to", remedy="leave yourself out")
    if len(set(members)) < len(members):
        raise BadParameter("somebody is named twice", remedy="name everybody once")
    if len(members) < LEAST_MEMBERS:
        raise BadParameter(f"a group of {len(members)}: who speaks to one needs none", remedy="name two or more")
    if len(members) > MOST_MEMBERS:
        raise BadParameter(f"a group of {len(members)}: at most {MOST_MEMBERS} can be in one", remedy="make two of it")


def with_group(
    text: str, name: str, members: Sequence[str] | None, *, source: str, known: Mapping[str, Contact]
) -> str:
    """Return a directory file's text with the group ``name`` of ``members``, or without it where they are None.

    Raises ConfigurationError for a file that does not hold, or that has its groups in a way that is not changed here,
    and UnknownNode for a group to be taken out that is not there.
    """
    before = parse_directory(text, source=source, known=known)
    if members is None and name not in before.groups:
        there = ", ".join(sorted(before.groups)) or "none"
        raise UnknownNode(f"no group {name!r}", remedy=f"there are: {there}")
    entry: list[str] = []
    if members is not None:
        named = ", ".join(f'"{member}"' for member in members)
        entry = [f'"{name}" = [{named}]' if "." in name else f"{name} = [{named}]"]
    lines = text.splitlines()
    start = next((place for place, line in enumerate(lines) if _table_of(line) == "groups"), None)
    if start is None:
        lines += ["", "[groups]", *entry] if lines else ["[groups]", *entry]
    else:
        first, last = _entry(lines, start + 1, name)
        lines[first:last] = entry
    changed = "\n".join(lines) + "\n"
    _check_only_this_changed(text, changed, name, members, source)
    return changed


def _table_of(line: str) -> str | None:
    """Return the table that a line begins."""
    found = _HEADER.fullmatch(line)
    return None if found is None else found[1].strip()


def _entry(lines: Sequence[str], start: int, name: str) -> tuple[int, int]:
    """Return from where to where an entry of the table at ``start`` stands; a new one has its place behind the last."""
    begins = re.compile(rf"\s*[\"']?{re.escape(name)}[\"']?\s*=")
    end = start
    for place in range(start, len(lines)):
        if _table_of(lines[place]) is not None and not lines[place].startswith((" ", "\t")):
            break
        if begins.match(lines[place]):
            return place, _end_of(lines, place)
        if lines[place].strip():
            end = place + 1
    return end, end


def _end_of(lines: Sequence[str], first: int) -> int:
    """Return where an entry that may be written on several lines is over."""
    for last in range(first + 1, len(lines) + 1):
        try:
            tomllib.loads("\n".join(lines[first:last]))
        except tomllib.TOMLDecodeError:
            continue
        return last
    return first + 1


def _check_only_this_changed(before: str, after: str, name: str, members: Sequence[str] | None, source: str) -> None:
    """Raise ConfigurationError unless the change did what it should, and nothing else."""
    wanted = tomllib.loads(before)
    groups = dict(wanted.get("groups", {}))
    groups.pop(name, None)
    wanted["groups"] = groups if members is None else groups | {name: list(members)}
    try:
        if tomllib.loads(after) == wanted:
            return
    except tomllib.TOMLDecodeError:
        pass
    raise ConfigurationError(f"{source}: its groups are written in a way that is not changed here", remedy=_BY_HAND)

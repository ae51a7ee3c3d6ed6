"""What ``qanat group`` does: the groups of one user's directory, made, changed, shown and taken out."""

from __future__ import annotations

from collections.abc import Sequence

from qanat.apps.cli.service_options import Who
from qanat.apps.cli.service_place import people_of, print_json, tell
from qanat.ground.errors import BadParameter, UnknownNode


def run_group(group: str | None, members: Sequence[str], *, who: Who, remove: bool, as_json: bool) -> int:
    """Make or change a group where members are named, take it out with ``remove``, or show it, or all; 0."""
    people = people_of(who)
    if remove and (group is None or members):
        raise BadParameter("--remove takes out one group", remedy="qanat group GROUP --remove")
    if group in people.directory.contacts and not members:
        there = ", ".join(sorted(people.directory.groups)) or "none"
        raise UnknownNode(
            f"{group!r} is a contact, and no group", remedy=f"groups are: {there}; `qanat contacts` shows both"
        )
    if group is not None and (members or remove):
        people = people.with_group(group, None if remove else members)
        tell(f"{group} is no group any more" if remove else f"{group} is a group of {len(members)}, in {people.path}")
    groups = dict(people.directory.groups)
    if group is not None and not remove:
        if group not in groups:
            there = ", ".join(sorted(groups)) or "none"
            raise UnknownNode(
                f"no group {group!r}", remedy=f"there are: {there}; make it: qanat group GROUP CONTACT..."
            )
        groups = {group: groups[group]}
    if as_json:
        print_json({"groups": groups})
        return 0
    for name, named in sorted(groups.items()):
        print(f"{name:<20} {', '.join(named)}")
    return 0

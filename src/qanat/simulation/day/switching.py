"""The ports of switches in a day: which links have them now, and which links may ever stand in each other's way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set

from qanat.control.switching import areas_of
from qanat.control.turns import PortsOfLink
from qanat.ground.errors import KeyManagementError


class PortTakenTwice(KeyManagementError):
    """Two links through one port or trunk were set to work at once: a fault of this program."""


class PortsInUse:
    """Links by number. Those of one area of ports may wait for each other, those of different areas never do."""

    def __init__(self, links: Sequence[PortsOfLink]) -> None:
        """``links``: what each takes of switches."""
        self._kept = [ports.kept for ports in links]
        areas = areas_of(kept for kept in self._kept if kept)
        self._area = [areas[min(kept)] if kept else None for kept in self._kept]
        self._members: dict[str, set[int]] = {}
        for number, area in enumerate(self._area):
            if area is not None:
                self._members.setdefault(area, set()).add(number)
        self.all_links: Set[int] = frozenset(number for number, kept in enumerate(self._kept) if kept)
        """All links through switches."""
        self._running: dict[str, set[int]] = {area: set() for area in self._members}

    def begin(self, link: int) -> None:
        """Take a link's ports; raises PortTakenTwice where another has one of them."""
        if (area := self._area[link]) is None:
            return
        kept = self._kept[link]
        if any(not kept.isdisjoint(self._kept[other]) for other in self._running[area]):
            raise PortTakenTwice(f"link {link} was ordered while another has a part of {', '.join(sorted(kept))}")
        self._running[area].add(link)

    def end(self, link: int) -> None:
        """Leave a link's ports; the switches stay as they are."""
        if (area := self._area[link]) is not None:
            self._running[area].discard(link)

    def areas_with(self, links: Iterable[int]) -> set[str]:
        """Return the areas that some of these links are in."""
        return {area for area in map(self._area.__getitem__, links) if area is not None}

    def area_of(self, link: int) -> str | None:
        """Return a link's area; None for one through no switch."""
        return self._area[link]

    def members(self, areas: Iterable[str]) -> Set[int]:
        """Return all links of some areas."""
        members: Set[int] = frozenset()
        for area in areas:
            members = members | self._members[area] if members else self._members[area]
        return members

    def running(self, areas: Iterable[str]) -> set[int]:
        """Return the links of some areas that are at work."""
        return {link for area in areas for link in self._running[area]}

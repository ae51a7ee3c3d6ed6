"""Which links through switches may run at once: those that share no port and no trunk. Who cannot waits in turn."""

from __future__ import annotations

from collections.abc import Sequence


class Switchboard:
    """Ports and trunks, by the number of the link that keeps them now."""

    def __init__(self, kept: Sequence[frozenset[str]]) -> None:
        """``kept``: by number of a link, the ports and trunks that it takes while it runs."""
        self._kept = kept
        self._taken: set[str] = set()
        self._running: set[int] = set()
        self._waiting: list[int] = []

    def take_or_wait(self, link: int) -> bool:
        """Return whether a link may run now; else it waits until ``release`` names it."""
        if self._kept[link] & self._taken:
            self._waiting.append(link)
            return False
        self._run(link)
        return True

    def release(self, link: int) -> list[int]:
        """A link has done, or has given up; return those that may run now, who waited longest first."""
        if link not in self._running:
            self._waiting.remove(link)
            return []
        self._running.remove(link)
        self._taken -= self._kept[link]
        begun = []
        for other in self._waiting:
            if not self._kept[other] & self._taken:
                self._run(other)
                begun.append(other)
        self._waiting = [other for other in self._waiting if other not in self._running]
        return begun

    def _run(self, link: int) -> None:
        self._taken |= self._kept[link]
        self._running.add(link)

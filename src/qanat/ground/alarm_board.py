"""The alarms of one node that last: which are told, which were told already, and which are over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from qanat.ground.alarms import ALARMS, AlarmKind, Ends
from qanat.ground.events import Json

Key: TypeAlias = tuple[str, str]
"""Code, and what it is about."""


@dataclass(slots=True)
class Lasting:
    """An alarm that was raised and is not over. ``raised_s``: the moments within the window, or the last one; ``data``:
    what else was said of it last, so that its end is told of the same things."""

    kind: AlarmKind
    about: str
    text: str
    began_s: float
    raised_s: list[float] = field(default_factory=list)
    times: int = 0
    is_told: bool = False
    has_ended: bool = False
    data: Mapping[str, Json] = field(default_factory=dict)

    def note(self, text: str, now_s: float) -> bool:
        """Take note that it is raised; return whether it is to be told now: once, and again where its words tell of
        another fault of the same file."""
        if text != self.text and self.kind.is_of_file:
            self.text, self.is_told = text, False
        window = [moment_s for moment_s in self.raised_s if now_s - moment_s < self.kind.within_s]
        self.raised_s = [*window, now_s]
        self.times += 1
        self.has_ended = False
        tells = not self.is_told and len(self.raised_s) >= self.kind.times
        self.is_told |= tells
        return tells

    def is_over(self, now_s: float) -> bool:
        """Return whether it has ended, and stayed quiet for as long as its row says."""
        kind, quiet_s = self.kind, now_s - self.raised_s[-1]
        if not self.is_told:
            return self.has_ended or quiet_s >= max(kind.within_s, kind.quiet_s)
        return quiet_s >= kind.quiet_s and (self.has_ended or kind.ends in (Ends.QUIET, Ends.NEVER))


class AlarmBoard:
    """Hysteresis, by the table: an alarm that flickers is told once, and its end once. Times are monotonic."""

    def __init__(self) -> None:
        self._lasting: dict[Key, Lasting] = {}

    def raised(self, code: str, about: str, text: str, *, now_s: float, data: Mapping[str, Json] | None = None) -> bool:
        """Take note of an alarm; return whether it is to be told. Raises KeyError for a code that has no row."""
        lasting = self._lasting.get((code, about))
        if lasting is None:
            lasting = self._lasting[code, about] = Lasting(ALARMS[code], about, text, now_s)
        lasting.data = data or {}
        return lasting.note(text, now_s)

    def ended(self, code: str, about: str) -> None:
        """The part that raised it says that it is over. Nothing happens for one that was not raised."""
        if (lasting := self._lasting.get((code, about))) is not None:
            lasting.has_ended = True

    def block_made(self, link: str) -> None:
        """A link has made a block: what was said of it, and ends by that, is over."""
        for (_, about), lasting in self._lasting.items():
            if about.partition(" ")[0] == link and lasting.kind.ends is Ends.BLOCK:
                lasting.has_ended = True

    def over(self, now_s: float) -> list[Lasting]:
        """Forget the alarms that are over, and return those whose end is to be told."""
        if not self._lasting:
            return []
        over = {key: lasting for key, lasting in self._lasting.items() if lasting.is_over(now_s)}
        for key in over:
            del self._lasting[key]
        return [one for one in over.values() if one.is_told and one.kind.ends is not Ends.NEVER]

"""The alarms of one module: each told once when it comes, and once more when it is over."""

from __future__ import annotations

from collections.abc import Callable

from qanat.adapters.key_sources import SourceFault
from qanat.ground.alarms import module_alarm
from qanat.ground.identifiers import LinkId
from qanat.ground.orders import Alarm

SOURCE_CODES = frozenset(
    {
        *("device-unreachable", "device-certificate", "device-refuses", "device-slow", "device-protocol"),
        *("key-files-unreadable", "key-files-empty"),
    }
)
"""Over as soon as the source answers as it should; all others when a block has been agreed on."""


class ModuleAlarms:
    """``tell`` takes each alarm once; while one lasts it is not told again."""

    def __init__(self, link_id: LinkId, tell: Callable[[Alarm], None]) -> None:
        self._link_id = link_id
        self._tell = tell
        self._active: dict[str, Alarm] = {}

    def raise_for(self, fault: SourceFault) -> None:
        """Tell a source's fault."""
        self.raise_one(fault.code, fault.message, fault.remedy)

    def raise_one(self, code: str, text: str, remedy: str) -> None:
        """Tell an alarm of the table, unless it lasts already."""
        if code not in self._active:
            self._active[code] = module_alarm(code, text, remedy, self._link_id)
            self._tell(self._active[code])

    def source_answers(self) -> None:
        """The source has answered as it should."""
        self._clear(SOURCE_CODES & self._active.keys())

    def block_agreed(self) -> None:
        """Both ends hold the same block: nothing is wrong any more."""
        self._clear(set(self._active))

    def _clear(self, codes: set[str] | frozenset[str]) -> None:
        for code in sorted(codes):
            was = self._active.pop(code)
            self._tell(Alarm(code, was.severity, f"over: {was.text}", "nothing", was.link_id, is_cleared=True))

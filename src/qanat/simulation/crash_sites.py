"""At which awaits of the key manager and the controller processes were suspended, and at which they have died."""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine
from types import FrameType
from typing import Any

from qanat.simulation.scheduler import Life, Task

ROOMS = ("key_management", "control")
SELDOM = (
    "Intake.on_blocks_missing",
    "Intake.on_block_stored",
    "Intake._make_durable",
    "Intake._pause",
    "KeyManager._open_epoch",
    "RelayHops._tell_missing",
    "Sessions._refuse",
    "Sessions._stop",
    "missing_blocks",
)
"""Functions that wait seldom in a run: crashes at any effect alike would hardly ever find them."""
HELPER = "courier.py"
"""All that is said goes through it: the site is whoever says it."""


def is_seldom(site: str) -> bool:
    return site.rpartition(" ")[2] in SELDOM


class CrashSites:
    """Await sites, as "file:line function": the innermost await of the two rooms on a suspended task's way."""

    def __init__(self) -> None:
        self.reached: Counter[str] = Counter()
        self.hit: set[str] = set()
        self._names: dict[tuple[object, int], str] = {}

    def suspended(self, task: Task, *, may_die: bool) -> str:
        """Note where a task waits, and return it; an empty text outside of the two rooms. ``may_die``: not in the rest
        after a run, when all that is idle goes on and no process dies."""
        if (site := self._site(task.coroutine)) and may_die:
            self.reached[site] += 1
        return site

    def died(self, life: Life) -> None:
        """Note where the tasks of a process wait as it dies."""
        self.hit.update(site for task in life.tasks if (site := self._site(task.coroutine)))

    def _site(self, coroutine: Coroutine[Any, Any, Any]) -> str:
        found: FrameType | None = None
        inner: Any = coroutine
        while (frame := getattr(inner, "cr_frame", None)) is not None:
            if _is_in_rooms(frame.f_code.co_filename):
                found = frame
            inner = inner.cr_await
        if found is None:
            return ""
        key = (found.f_code, found.f_lasti)
        name = self._names.get(key)
        if name is None:
            place = "/".join(_room_and_module(found.f_code.co_filename))
            name = self._names[key] = f"{place}:{found.f_lineno} {found.f_code.co_qualname}"
        return name


_KNOWN: dict[str, bool] = {}


def _is_in_rooms(filename: str) -> bool:
    if filename not in _KNOWN:
        room, module = _room_and_module(filename)
        _KNOWN[filename] = room in ROOMS and module != HELPER
    return _KNOWN[filename]


def _room_and_module(filename: str) -> tuple[str, str]:
    """Return the last two parts of a path."""
    room, module = ["", *filename.replace("\\", "/").split("/")][-2:]
    return room, module

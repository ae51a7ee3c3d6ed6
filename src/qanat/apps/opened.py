"""What is opened whole or not at all: parts on a stack, closed in the other order."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self


class Opened:
    """``async with`` starts it; a start that fails closes what was opened so far. Subclasses push onto ``_stack``."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, fault, trace)

    async def _start(self) -> None:
        """Open all parts."""
        raise NotImplementedError

"""The sound of all who are heard, mixed and kept going: for a file, a loudspeaker, or both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qanat.adapters.sound_mix import Loudspeaker, SoundFile, SoundMix, SoundOut
from qanat.ground.ports import Clock

MIX_EVERY_S = 0.1


class Mixing:
    """One mix, while it lasts. Raises ConfigurationError where there is no such loudspeaker, or no such file can be."""

    def __init__(self, clock: Clock, *, file: Path | None, loudspeaker: str | None) -> None:
        outs: list[SoundOut] = [] if file is None else [SoundFile(file)]
        if loudspeaker is not None:
            outs.append(Loudspeaker(loudspeaker))
        self._clock, self._begun_s = clock, clock.monotonic_s()
        self._mix = SoundMix(outs)

    def hear(self, who: str) -> Callable[[Any, int], None]:
        """Return what takes somebody's decoded sound, in any thread."""
        return lambda sound, at_ms: self._mix.add(who, sound, at_ms=at_ms, now_ms=self.now_ms())

    def leave(self, who: str) -> None:
        """Forget somebody; it may come again."""
        self._mix.leave(who)

    async def keep(self) -> None:
        """Write out what is due, for ever."""
        while True:
            await asyncio.sleep(MIX_EVERY_S)
            await asyncio.to_thread(self._mix.flush, self.now_ms())

    async def close(self) -> None:
        """Write out what is left, and end the file."""
        await asyncio.to_thread(self._mix.close, self.now_ms())

    def now_ms(self) -> int:
        """Return for how long it lasts, by which each piece of sound takes its place; for any thread."""
        return int(1000 * (self._clock.monotonic_s() - self._begun_s))

"""The file of forecasts beside a controller, followed while it runs: what is written anew is heard within a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qanat.apps.forecast_file import read_forecasts
from qanat.control.forecasting import Forecasts
from qanat.ground.errors import ConfigurationError
from qanat.ground.events import EventKind
from qanat.ground.network import Network
from qanat.ground.ports import Clock
from qanat.ground.tracing import EventRecorder

FORECASTS_NAME = "forecasts.json"
LOOK_PERIOD_S = 1.0

_State = tuple[int, int, int]
"""What tells one state of a file from the next: node number, size, time of change."""


class ForecastWatch:
    """Tells a controller what a file foretells, and tells it anew when the file has changed.

    A file that is not there foretells nothing. One that does not hold is told of by an alarm, and the former forecasts
    hold.
    """

    def __init__(
        self,
        path: Path,
        *,
        network: Network,
        clock: Clock,
        recorder: EventRecorder,
        on_renewed: Callable[[Forecasts], None],
    ) -> None:
        self._path = path
        self._network = network
        self._clock = clock
        self._recorder = recorder
        self._on_renewed = on_renewed
        self._seen: _State | None = None

    def begin(self) -> None:
        """Read the file, if it is there; raises ConfigurationError for one that does not hold."""
        self._seen = _state(self._path)
        if self._seen is not None:
            self._renew()

    async def run(self) -> None:
        """Follow the file for ever."""
        while True:
            await self._clock.sleep_until(self._clock.monotonic_s() + LOOK_PERIOD_S)
            self.look()

    def look(self) -> None:
        """Take up a changed file once."""
        if (state := _state(self._path)) == self._seen:
            return
        self._seen = state
        try:
            self._renew()
        except ConfigurationError as fault:
            text = f"{fault.message}; the former forecasts hold"
            self._recorder.alarm("forecasts-kept", text, fault.remedy)
            return
        self._recorder.alarm_over("forecasts-kept")

    def _renew(self) -> None:
        is_there = self._seen is not None
        forecasts = read_forecasts(self._path, network=self._network) if is_there else Forecasts()
        self._on_renewed(forecasts)
        links = sorted(forecasts.links)
        self._recorder.record(EventKind.SETTINGS_CHANGED, what=self._path.name, links=links)


def _state(path: Path) -> _State | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns

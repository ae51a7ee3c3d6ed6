"""A calibration session: pure and synchronous, frames in and frames out, whatever carries them.

A procedure is a generator: it yields a ``Measure``, is sent the ``Reading``, and returns its result. The session turns
that into frames, so the procedures read like the laboratory's instructions and any wire can carry them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from qanat.quantum_layer.calibration.wire import (
    DeviceInfo,
    Knobs,
    Light,
    Measure,
    Reading,
    decode_info,
    decode_reading,
    encode_command,
)

R = TypeVar("R")
Procedure: TypeAlias = Generator[Measure, Reading, R]


class Bench:
    """A device as a procedure sees it: what it said of itself, its knobs, its clock, and what went wrong so far."""

    def __init__(self, info: DeviceInfo) -> None:
        self.info = info
        self.knobs = Knobs(retardances_rad=((info.max_retardance_rad / 2,) * info.num_squeezers,) * 2)
        self.elapsed_s = 0.0
        self.abnormalities: list[str] = []

    def note(self, abnormality: str) -> None:
        """Record that something was not as it should be, and when."""
        self.abnormalities.append(f"{self.elapsed_s:.2f} s: {abnormality}")

    def send(self, light: Light) -> None:
        """Let the transmitter send this from the next window on."""
        self.knobs = replace(self.knobs, light=light)

    def shine(self, brightness_db: float) -> None:
        """Set the attenuator, as far as it goes."""
        low, high = self.info.brightness_db
        self.knobs = replace(self.knobs, brightness_db=min(max(brightness_db, low), high))

    def num_slots(self, window_s: float) -> int:
        """Return how many pulse slots a window has."""
        return round(window_s * self.info.pulse_rate_hz)

    def read(self, measure: Measure) -> Procedure[Reading]:
        """Measure, and keep the device's clock."""
        reading = yield measure
        self.elapsed_s = reading.elapsed_s
        return reading

    def count(self, window_s: float) -> Procedure[NDArray[np.int64]]:
        """Return the clicks of each detector in a window with the knobs as they stand; int64, shape (4,)."""
        reading = yield from self.read(Measure("counts", window_s, self.knobs))
        assert reading.counts is not None, "the reading was decoded as counts"
        return reading.counts


class CalibrationSession(Generic[R]):
    """Drives one procedure over a device. Raises out of ``receive`` what the procedure raises; then it is dead."""

    def __init__(self, procedure: Callable[[Bench], Procedure[R]]) -> None:
        self._procedure = procedure
        self._running: Procedure[R] | None = None
        self._asked: Measure | None = None
        self._result: R | None = None

    def start(self) -> Sequence[bytes]:
        """Return the frames to send first: the device is asked what it is."""
        return [encode_command(None)]

    def receive(self, frame: bytes, /) -> Sequence[bytes]:
        """Take the device's answer and return the next commands; none when the result is there."""
        if self._running is None:
            self._running = self._procedure(Bench(decode_info(frame)))
            return self._next(None)
        assert self._asked is not None, "every answer follows a command"
        return self._next(decode_reading(frame, self._asked.what))

    def result(self) -> R | None:
        """Return the result, or None while the procedure runs."""
        return self._result

    def _next(self, reading: Reading | None) -> Sequence[bytes]:
        assert self._running is not None, "the device has described itself"
        try:
            self._asked = self._running.send(reading) if reading is not None else next(self._running)
        except StopIteration as end:
            self._result = end.value
            return []
        return [encode_command(self._asked)]


def run_session(session: CalibrationSession[R], exchange: Callable[[bytes], bytes]) -> R:
    """Carry a session to its result; ``exchange`` hands a command to the device and returns its answer."""
    outgoing = list(session.start())
    while (result := session.result()) is None:
        outgoing.extend(session.receive(exchange(outgoing.pop(0))))
    return result

"""The devices of one link as they stand: what calibration set on them, and what light then meets in them.

The calibration sessions drive the twin of the devices by frames, as they would drive hardware. Nature alone looks
inside: it asks for the odds of the cells as fibre, controllers and gates are at that moment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from qanat.physics.clicks import Response, cell_odds
from qanat.quantum_layer.calibration.delay import scan_delays
from qanat.quantum_layer.calibration.feedback import align_polarization
from qanat.quantum_layer.calibration.procedure import calibrate
from qanat.quantum_layer.calibration.results import Calibration, DelayScan, Feedback
from qanat.quantum_layer.calibration.session import Bench, CalibrationSession, Procedure, run_session
from qanat.quantum_layer.calibration.wire import Knobs
from qanat.quantum_layer.device_twin.device import DeviceTwin
from qanat.quantum_layer.device_twin.settings import TwinSettings

R = TypeVar("R")


class LinkOptics:
    """A link's devices and the knobs as the last procedure left them.

    disturbance: odds that somebody on the line flips a photon. Raises ConfigurationError for a system that cannot be
    calibrated.
    """

    def __init__(self, settings: TwinSettings, *, disturbance: float = 0.0) -> None:
        self.device = DeviceTwin(settings)
        self._settings = settings
        self._disturbance = disturbance
        self._moves = settings.drift_rad_per_sqrt_s > 0 or settings.delay_drift_ps_per_sqrt_s > 0
        self._is_told = False
        self._knobs: Knobs | None = None
        self.abnormalities: list[str] = []
        """What the procedures recorded, in order."""

    def calibrate(self) -> Calibration:
        """Carry out all of calibration; raises CalibrationFailed."""
        return self._carry_out(calibrate)

    def realign(self) -> Feedback:
        """Align the polarization again; raises CalibrationFailed."""
        return self._carry_out(align_polarization)

    def rescan(self) -> DelayScan:
        """Set the gates' delays again; raises CalibrationFailed."""
        return self._carry_out(scan_delays)

    @property
    def knobs(self) -> Knobs:
        """The knobs as they stand while key is made."""
        return replace(self._knobs or Knobs(), light="bb84", is_slow=False, brightness_db=0.0)

    def response(self) -> Response:
        """Return what the devices do to each state now; float64, shape (4, 4), as ``physics.clicks`` has it."""
        return self.device.response(self.knobs)

    def odds(self, duration_s: float) -> NDArray[np.float64] | None:
        """Let time pass and return the cells' odds then, as ``nature.Odds`` wants them; None when nothing moved."""
        self.device.wait(duration_s)
        if self._is_told and not self._moves:
            return None
        self._is_told = True
        settings = self._settings
        return cell_odds(
            settings.record, loss_db=settings.loss_db, extra_error=self._disturbance, response=self.response()
        )

    def _carry_out(self, steps: Callable[[Bench], Procedure[R]]) -> R:
        def procedure(bench: Bench) -> Procedure[R]:
            bench.elapsed_s = self.device.elapsed_s
            if self._knobs is not None:
                bench.knobs = self._knobs
            try:
                return (yield from steps(bench))
            finally:
                self._knobs = bench.knobs
                self.abnormalities += bench.abnormalities
                self._is_told = False

        return run_session(CalibrationSession(procedure), self.device.answer)

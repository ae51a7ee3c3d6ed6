"""A calibration of a twin in this process, with what the twin knows beside it."""

from __future__ import annotations

from dataclasses import dataclass

from qanat.physics.timing import circular_distance
from qanat.quantum_layer.calibration.procedure import calibrate
from qanat.quantum_layer.calibration.results import Calibration
from qanat.quantum_layer.calibration.session import Bench, CalibrationSession, Procedure, run_session
from qanat.quantum_layer.calibration.wire import Knobs
from qanat.quantum_layer.device_twin.device import SLOW_PERIOD_PS, DeviceTwin
from qanat.quantum_layer.device_twin.settings import TwinSettings

STEP_PS = 12.5
BIN_PS = 90
LOSSES_DB: dict[str, tuple[float, ...]] = {
    "backbone-625": (5.0, 10.3, 16.0, 20.5, 27.0),
    "backbone-625-upconversion": (16.0, 20.5, 27.0),
    "metro-40-i": (5.8, 9.3, 9.8),
    "metro-40-ii": (5.8, 9.3, 9.8),
}
"""Losses that the paper's links have, for each system there is."""


@dataclass(frozen=True, slots=True)
class Start:
    """One start: what was found, how the knobs stand, and the device."""

    found: Calibration
    knobs: Knobs
    device: DeviceTwin

    @property
    def delay_errors_ps(self) -> list[float]:
        """How far each gate is off its pulse; empty without gates."""
        scan = self.found.delay
        if scan.method == "no gate":
            return []
        pairs = zip(scan.delays_ps, self.device.arrivals_ps.tolist(), strict=True)
        return [circular_distance(set_ps, true_ps, period=scan.period_ps) for set_ps, true_ps in pairs]

    @property
    def clock_errors_ps(self) -> list[float]:
        pairs = zip(self.found.synchronization.corrections_ps, self.device.clock_offsets_ps.tolist(), strict=True)
        return [circular_distance(set_ps, true_ps, period=SLOW_PERIOD_PS) for set_ps, true_ps in pairs]

    @property
    def true_ratios(self) -> list[float]:
        """Extinction of each state at the end, from the twin's own optics."""
        shares = self.device.shares(self.knobs)
        return [float(shares[state, state] / shares[state, state ^ 1]) for state in range(4)]


def calibrated(
    seed: int,
    *,
    system: str = "backbone-625",
    loss_db: float = 16.0,
    faults: tuple[str, ...] = (),
    drift: float = 0.0,
) -> Start:
    """Calibrate a twin; raises what the calibration raises."""
    settings = TwinSettings(system, loss_db, seed, drift_rad_per_sqrt_s=drift, faults=faults)
    device, knobs = DeviceTwin(settings), []

    def procedure(bench: Bench) -> Procedure[Calibration]:
        found = yield from calibrate(bench)
        knobs.append(bench.knobs)
        return found

    found = run_session(CalibrationSession(procedure), device.answer)
    return Start(found, knobs[0], device)


def check_start(system: str, seed: int) -> Start:
    """One start as the paper asks for it: delays within a step, 100:1 in both bases, clocks within a bin."""
    losses_db = LOSSES_DB[system]
    start = calibrated(seed, system=system, loss_db=losses_db[seed % len(losses_db)])
    assert max(start.delay_errors_ps, default=0.0) <= STEP_PS, (system, seed)
    assert min(start.true_ratios) >= 100, (system, seed)
    assert max(start.clock_errors_ps) <= BIN_PS, (system, seed)
    return start

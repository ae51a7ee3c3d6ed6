"""A link's devices on the other side of a pipe: they take commands, let light shine, and answer with what was counted.

Counts of a window are drawn from their exact law, dead time included (``physics.counting``). Detectors are drawn
independently: exact while one state is sent, since the photons of a coherent pulse part independently; with random
states each detector's law is exact, and what their counts have in common (a brighter pulse is brighter for all) is left
out. A window is taken to begin with live detectors and without charges: a click just before it would cost 5 us of 50 ms
at most. Of each click the preparation is drawn after the fact: whether a detector is live, and whether a charge makes
it click, depends on the past alone.

After-pulses are in all counts and tags. Every click of gate or slot is counted; while the protocol runs (light "bb84"),
only those in the coincidence window, which is taken to stand round the pulse.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from qanat.ground.errors import FrameError, QuantumLayerError
from qanat.ground.randomness import SeededChance
from qanat.ground.units import transmittance
from qanat.physics.counting import Counts, Floats, draw_counts_with_charges, share_by_charges
from qanat.physics.detectors import SinglePhotonDetector
from qanat.physics.polarization import (
    NUM_SQUEEZERS,
    STATE_NAMES,
    controller_rotation,
    detector_shares,
    drift_step,
    leak_of,
    optical_errors,
    prepared_states,
    random_rotation,
)
from qanat.quantum_layer.calibration.wire import (
    NUM_DETECTORS,
    NUM_STATES,
    DeviceInfo,
    Knobs,
    Measure,
    Tags,
    decode_command,
    encode_counts,
    encode_fault,
    encode_info,
    encode_tags,
)
from qanat.quantum_layer.device_twin.settings import TwinSettings, before_window
from qanat.quantum_layer.device_twin.time_tags import registered_ps

SLOW_RATE_HZ: Final = 100_000
SLOW_PERIOD_PS: Final = 10_000_000
POOR_EXTINCTION_DB: Final = 17.0


class DeviceTwin:
    """The device. ``answer`` takes a command's frame and returns the answer's; what a frame can tell is not raised."""

    def __init__(self, settings: TwinSettings) -> None:
        self._settings = settings
        self._timing = settings.timing
        self._system = settings.record
        optics = settings.optics
        self._generator = np.random.default_rng(SeededChance(settings.seed).child("device").seed_words())
        self.fibre = random_rotation(self._generator)
        self._idle_turns = self._generator.uniform(0, 2 * math.pi, (2, NUM_SQUEEZERS))
        period_ps = round(self._timing.gate_period_s * 1e12)
        self.arrivals_ps = self._generator.uniform(0, period_ps, NUM_DETECTORS)
        self.clock_offsets_ps = self._generator.uniform(0, SLOW_PERIOD_PS, NUM_DETECTORS)
        efficiency = 1 + optics.mismatch * self._generator.uniform(-1, 1, NUM_DETECTORS)
        self._unwindowed = before_window(self._system)
        self._efficiencies = self._unwindowed.efficiency * efficiency
        self._states = prepared_states(error_rad=optics.state_error_rad)
        extinction_db = POOR_EXTINCTION_DB if "poor-splitter" in settings.faults else optics.extinction_db
        self._leak = leak_of(extinction_db)
        self.elapsed_s = 0.0

    def answer(self, frame: bytes, /) -> bytes:
        """Carry out one command."""
        try:
            command = decode_command(frame)
            return encode_info(self.info()) if command is None else self._measure(command)
        except (FrameError, QuantumLayerError) as fault:
            return encode_fault(fault)

    def info(self) -> DeviceInfo:
        """Return what the device says of itself."""
        optics, timing = self._settings.optics, self._timing
        window_s = self._system.receiver.detector.coincidence_window_s
        has_gates = timing.shape != "none"
        return DeviceInfo(
            system=self._system.name,
            pulse_rate_hz=self._system.source.pulse_rate_hz,
            gate_shape=timing.shape,
            gate_period_ps=round(timing.gate_period_s * 1e12) if has_gates else None,
            gate_width_ps=round(timing.gate_width_s * 1e12) if has_gates else None,
            window_ps=round(window_s * 1e12) if window_s is not None else None,
            delay_step_ps=optics.delay_step_ps,
            hold_off_slots=self._system.hold_off_slots,
            brightness_db=optics.brightness_db,
            num_squeezers=NUM_SQUEEZERS,
            max_retardance_rad=optics.max_retardance_rad,
        )

    def shares(self, knobs: Knobs) -> Floats:
        """Return which share of the light of H, V, +, - arrives at each detector; float64, shape (4, 4)."""
        turns = np.array(knobs.retardances_rad) + self._idle_turns
        if "controller-stuck" in self._settings.faults:
            turns[1] = self._idle_turns[1]
        if "squeezer-stuck" in self._settings.faults:
            turns[:, 1] = self._idle_turns[:, 1]
        return detector_shares(
            self._states,
            fibre=self.fibre,
            controllers=[controller_rotation(some) for some in turns],
            leak=self._leak,
            p_rectilinear=self._system.receiver.p_rectilinear,
        )

    def response(self, knobs: Knobs) -> Floats:
        """Return the odds that a photon at the transmitter's exit makes a click that counts; float64, shape (4, 4).

        By state and detector, as ``physics.clicks`` has it: link, gate at the set delay, efficiency, shares.
        """
        return self._photons(knobs)

    def optical_errors(self, knobs: Knobs) -> tuple[float, float]:
        """Return the truth that the feedback measures: the odds of the wrong port in each basis."""
        return optical_errors(self.shares(knobs))

    def _measure(self, command: Measure) -> bytes:
        _check_ranges(command.knobs, self.info())
        self._let_pass(self._settings.optics.settle_s)
        match command.what:
            case "tags":
                tags = self._tags(command)
                self._let_pass(command.window_s)
                return encode_tags(tags, elapsed_s=self.elapsed_s)
            case "signals":
                counts = self._signals(command)
            case _:
                counts = self._counts(self.firing_odds(command.knobs).mean(axis=0), command)
        self._let_pass(command.window_s)
        return encode_counts(counts, elapsed_s=self.elapsed_s)

    def wait(self, duration_s: float) -> None:
        """Let time pass in which nothing is measured: the protocol runs."""
        self._let_pass(duration_s)

    def _let_pass(self, duration_s: float) -> None:
        """Let the fibre drift for so long. Its delay moves all arrivals alike; the clock of the time tags, which
        travels on the same fibre, moves with them."""
        self.elapsed_s += duration_s
        drift = self._settings.drift_rad_per_sqrt_s
        if drift:
            self.fibre = drift_step(self._generator, drift_rad_per_sqrt_s=drift, duration_s=duration_s) @ self.fibre
        delay_drift_ps = self._settings.delay_drift_ps_per_sqrt_s
        if delay_drift_ps:
            self.arrivals_ps += delay_drift_ps * math.sqrt(duration_s) * self._generator.standard_normal()

    def _detector(self, knobs: Knobs) -> SinglePhotonDetector:
        """Return the detector as the clicks are counted: with its window while the protocol runs, else without."""
        return self._system.receiver.detector if knobs.light == "bb84" else self._unwindowed

    def _photons(self, knobs: Knobs) -> Floats:
        """Return detected photons per pulse of intensity 1; float64, shape (4, 4): state, detector."""
        receiver = self._system.receiver
        eta = transmittance(loss_db=self._settings.loss_db + receiver.loss_db) * 10 ** (knobs.brightness_db / 10)
        delays_ps = np.array(knobs.delay_steps) * self._settings.optics.delay_step_ps
        if "delay-stuck" in self._settings.faults:
            delays_ps[1] = self.arrivals_ps[1] + 60.0
        gate = self._timing.relative_efficiency((self.arrivals_ps - delays_ps) * 1e-12)
        counted = self._detector(knobs).counted_efficiency(pulse_width_s=self._system.source.pulse_width_s)
        kept = counted / self._unwindowed.efficiency
        return np.asarray(eta * kept * self._efficiencies * gate * self.shares(knobs), dtype=np.float64)

    def firing_odds(self, knobs: Knobs) -> Floats:
        """Return the odds that a live detector fires, per equally likely preparation; float64, shape (n, 4).

        n is 1 for one state, 4 for random ones, 12 (intensity, state) for the protocol, weights left to the caller.
        """
        photons = self._photons(knobs)
        signal, *_ = self._system.source.mean_photon_numbers
        match knobs.light:
            case "off":
                means = np.zeros((1, NUM_DETECTORS))
            case "random":
                means = signal * photons
            case "bb84":
                means = np.concatenate([mu * photons for mu in self._system.source.mean_photon_numbers])
            case state:
                means = signal * photons[STATE_NAMES.index(state)][None, :]
        if "no-light" in self._settings.faults:
            means = np.zeros_like(means)
        odds = -np.expm1(-means)
        odds = odds + self._detector(knobs).p_dark_per_gate * (1 - odds)
        if "detector-dead" in self._settings.faults:
            odds[:, 2] = 0.0
        return np.asarray(odds, dtype=np.float64)

    def _counts(self, p_fire: Floats, command: Measure) -> Counts:
        detector, rate_hz = self._detector(command.knobs), self._system.source.pulse_rate_hz
        return draw_counts_with_charges(
            self._generator,
            num_slots=round(command.window_s * rate_hz),
            p_fire=p_fire,
            dead_slots=self._system.hold_off_slots,
            p_afterpulse=detector.p_afterpulse,
            decay_slots=detector.afterpulse_decay_s * rate_hz,
        )

    def _signals(self, command: Measure) -> Counts:
        """Draw the clicks of each detector, then of each click what Alice had sent; the signal's are told.

        Light and darkness fire a detector more often when she sent it light; a charge goes whatever she sent.
        """
        odds = self.firing_odds(command.knobs)
        if len(odds) != 12:
            raise QuantumLayerError("signals are counted while the protocol runs", remedy='set the light to "bb84"')
        prepared = np.repeat(np.array(self._system.source.p_intensities) / 4, 4)
        joint = prepared[:, None] * odds
        p_fire = joint.sum(axis=0)
        counts = self._counts(p_fire, command)
        detector = self._detector(command.knobs)
        by_charges = share_by_charges(
            p_fire,
            p_afterpulse=detector.p_afterpulse,
            decay_slots=detector.afterpulse_decay_s * self._system.source.pulse_rate_hz,
        )
        drawn = np.zeros((NUM_STATES, NUM_DETECTORS), dtype=np.int64)
        for place in np.flatnonzero(counts):
            charges = self._generator.binomial(counts[place], by_charges[place]) if by_charges[place] else 0
            lit = self._generator.multinomial(counts[place] - charges, joint[:, place] / p_fire[place])
            after = self._generator.multinomial(charges, prepared) if charges else np.zeros_like(lit)
            drawn[:, place] = (lit + after)[:NUM_STATES]
        return drawn

    def _tags(self, command: Measure) -> Tags:
        """Draw clicks one by one: slow pulses, dark clicks between them, dead time and after-pulses over both.

        Dark clicks are spread evenly over all time, though a gated detector has them in gates alone: too few to matter.
        """
        num_pulses = round(command.window_s * SLOW_RATE_HZ)
        odds = self.firing_odds(command.knobs).mean(axis=0)
        darks_per_s = self._unwindowed.p_dark_per_gate / self._timing.gate_period_s
        detectors, offsets = [], []
        for detector in range(NUM_DETECTORS):
            pulses = np.flatnonzero(self._generator.random(num_pulses) < odds[detector])
            jitter = self._generator.normal(0, self._timing.arrival_sigma_s * 1e12, pulses.size)
            lit = pulses * float(SLOW_PERIOD_PS) + self.clock_offsets_ps[detector] + jitter
            num_dark = self._generator.poisson(darks_per_s * command.window_s) if odds[detector] else 0
            dark = self._generator.uniform(0, command.window_s * 1e12, num_dark)
            kept = registered_ps(self._generator, np.concatenate([lit, dark]), self._unwindowed)
            if "clock-lost" in self._settings.faults:
                kept = kept * (1 + 2.5e-6)
            offsets.append(np.floor(kept).astype(np.int64) % SLOW_PERIOD_PS)
            detectors.append(np.full(kept.size, detector, dtype=np.uint8))
        return Tags(np.concatenate(detectors), np.concatenate(offsets))


def _check_ranges(knobs: Knobs, info: DeviceInfo) -> None:
    low, high = info.brightness_db
    turns = [turn for controller in knobs.retardances_rad for turn in controller]
    if not low <= knobs.brightness_db <= high or len(turns) != 2 * info.num_squeezers:
        raise QuantumLayerError("the attenuator or the controllers have no such setting", remedy="ask what they have")
    if not all(0 <= turn <= info.max_retardance_rad for turn in turns):
        raise QuantumLayerError("a squeezer was sent beyond its range", remedy="go back by whole turns")


def open_device(settings: TwinSettings) -> DeviceTwin:
    """Return a device: what the process at the other end of the pipe calls to have one."""
    return DeviceTwin(settings)

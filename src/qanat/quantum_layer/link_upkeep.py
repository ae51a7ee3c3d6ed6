"""Keeps a link aligned while it makes key: watches what is disclosed, stops the light, aligns, lets it go on.

It stands between Bob's session and his receiver. Before each chunk of light it looks at what the parties have disclosed
of the chunk before, and at the number of clicks; both are known in a real link. While it aligns, no pulse is sent and
no slot is counted, so the block goes on where it stopped; the time is counted as the link's.

A feedback that does not help (the next second is as bad: not the alignment's fault) is tried again after twice the
time, so that somebody on the line cannot keep the link from making what key there is, or from aborting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qanat.ground.errors import CalibrationFailed
from qanat.physics.analytic import LinkModel
from qanat.postprocessing.records import Detections
from qanat.postprocessing.sifting import SiftedKey
from qanat.protocols.decoy import SIGNAL
from qanat.quantum_layer.calibration.results import Calibration, Integers
from qanat.quantum_layer.calibration.upkeep import NOTHING, SPAN_S, AlignmentWatch, CountsWatch, Sample
from qanat.quantum_layer.link_optics import LinkOptics
from qanat.quantum_layer.link_tally import Tally
from qanat.quantum_layer.nature import Nature

Reason = Literal["polarization", "delay"]


@dataclass(frozen=True, slots=True)
class Stop:
    """One time that the link stopped to be aligned.

    light_s: of key generation before it. link_time_s: since the first light, earlier stops included. duration_s: what
    it took. optical_errors: of each basis, as the samples before had it.
    """

    reason: Reason
    light_s: float
    link_time_s: float
    duration_s: float
    optical_errors: tuple[float, float]


@dataclass(frozen=True, slots=True)
class OpticsFigures:
    """What came of a link's calibration and upkeep.

    optical_errors, optical_error_sigmas: of each basis, as the first calibration measured them. calibration_s: link
    time that it took; stopped_s: that of all stops. link_time_s: light, calibration and stops. duty: the light's share.
    mean_optical_error: of all samples of the run, both bases, noise taken away.
    """

    optical_errors: tuple[float, float]
    optical_error_sigmas: tuple[float, float]
    calibration_s: float
    stops: tuple[Stop, ...]
    stopped_s: float
    link_time_s: float
    duty: float
    mean_optical_error: float
    abnormalities: tuple[str, ...]


class LinkKeeper:
    """Bob's receiver under watch (a DetectionSource).

    expected: the link's model by its record; says which share of the events is dark clicks and after-pulses.
    tally: stands for what would be disclosed while no session runs.
    """

    def __init__(
        self, optics: LinkOptics, nature: Nature, tally: Tally, *, expected: LinkModel, with_feedback: bool
    ) -> None:
        self._optics, self._nature, self._tally = optics, nature, tally
        self._noise_share = expected.noise_per_pulse(SIGNAL) / expected.sifted_per_pulse()[SIGNAL]
        self._with_feedback = with_feedback
        self._alignment, self._counts = AlignmentWatch(), CountsWatch()
        self._whole = NOTHING
        self._sifted: SiftedKey | None = None
        self._heard: Integers = np.zeros((2, 2), dtype=np.int64)
        self._unheard_s = 0.0
        self._patience_s = SPAN_S
        self._is_proven = True
        self.stops: list[Stop] = []

    def follow(self, sifted: SiftedKey | None) -> None:
        """Listen to another session's disclosures from the next chunk on; None: no session runs."""
        self._hear()
        self._sifted, self._heard = sifted, np.zeros((2, 2), dtype=np.int64)

    def next_chunk(self) -> Detections:
        """Align the link if it needs it, then let the light shine for another chunk.

        Raises CalibrationFailed; the keeper then leaves the link as it is.
        """
        self._hear()
        reason = self._reason()
        if reason is not None:
            self._stop(reason)
        before_s = self._nature.elapsed_s
        chunk = self._nature.detections.next_chunk()
        self._unheard_s = self._nature.elapsed_s - before_s
        self._counts.add(self._unheard_s, chunk.slots.size)
        return chunk

    def figures(self, found: Calibration) -> OpticsFigures:
        """Return what came of calibration and upkeep; found: the first calibration."""
        self._hear()
        stopped_s = sum((stop.duration_s for stop in self.stops), 0.0)
        light_s, feedback = self._nature.elapsed_s, found.feedback
        link_time_s = light_s + stopped_s + found.link_time_s
        return OpticsFigures(
            optical_errors=feedback.optical_errors,
            optical_error_sigmas=feedback.optical_error_sigmas,
            calibration_s=found.link_time_s,
            stops=tuple(self.stops),
            stopped_s=stopped_s,
            link_time_s=link_time_s,
            duty=light_s / link_time_s,
            mean_optical_error=self._whole.optical_error,
            abnormalities=tuple(self._optics.abnormalities),
        )

    def _hear(self) -> None:
        """Take what was disclosed of the last chunk."""
        if not self._unheard_s:
            return
        if self._sifted is None:
            events, wrong = self._tally.last_sample
        else:
            told = np.array([self._sifted.told[:, SIGNAL], self._sifted.told_errors[:, SIGNAL]])
            events, wrong = told - self._heard
            self._heard = told
        sample = Sample(
            duration_s=self._unheard_s,
            events=events.astype(np.float64),
            wrong=wrong.astype(np.float64),
            noise=self._noise_share * events,
        )
        self._alignment.add(sample)
        self._whole += sample
        self._unheard_s = 0.0

    def _reason(self) -> Reason | None:
        """Why the link is to stop now, or None."""
        if not self._with_feedback:
            return None
        if self._counts.has_fallen:
            return "delay"
        if self._alignment.is_full and not self._is_proven:
            self._judge_feedback()
        rested_s = self._nature.elapsed_s - (self.stops[-1].light_s if self.stops else 0.0)
        has_rested = rested_s >= self._patience_s - 1e-9
        return "polarization" if has_rested and self._alignment.has_lost else None

    def _judge_feedback(self) -> None:
        """The first whole second after a feedback says whether it helped."""
        self._is_proven = True
        if not self._alignment.has_lost:
            self._patience_s = SPAN_S
            return
        self._patience_s *= 2
        self._optics.abnormalities.append(
            f"{self._optics.device.elapsed_s:.2f} s: the feedback did not bring the error rate down, so it is not the "
            f"alignment; the next one comes after {self._patience_s:.0f} s of light at the earliest"
        )

    def _stop(self, reason: Reason) -> None:
        begun_s, light_s = self._optics.device.elapsed_s, self._nature.elapsed_s
        rectilinear, diagonal = self._alignment.total.optical_errors.tolist()
        try:
            if reason == "delay":
                self._optics.rescan()
                self._counts.forget()
            self._optics.realign()
        except CalibrationFailed:
            self._with_feedback = False
            raise
        finally:
            duration_s = self._optics.device.elapsed_s - begun_s
            link_time_s = light_s + sum(stop.duration_s for stop in self.stops)
            self.stops.append(Stop(reason, light_s, link_time_s, duration_s, (rectilinear, diagonal)))
        self._alignment.forget()
        self._is_proven = reason == "delay"

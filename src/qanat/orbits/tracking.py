"""The cameras that keep two telescopes pointed at each other: a control loop for the exposure time.

A tracking camera sees the other side's beacon. Its signal falls with the square of the distance and with the air; from
508 km overhead to 2,043 km at 5 degrees it is 1/50. With an exposure set for the middle of a pass the spot drowns in
the camera's noise near the horizon; with one set for the horizon it saturates in the middle. So the exposure follows
the last frame's signal, within the limits of the camera, and the link reaches down to 5 degrees (Nature 589, 214, 2021,
main text: automatic in the satellite, by hand on the ground). Without the loop it is lost on the way.

The figures of the camera are stated: a 12-bit sensor with a usual read-out noise. What is meant is the mechanism.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import ConfigurationError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrackingCamera:
    """A camera that follows a beacon.

    full_signal: counts of a spot at ``reference_range_km``, without air, in the exposure ``reference_exposure_ms``.
    noise: rms, counts. A spot is followed while its signal is at least ``least_ratio`` times the noise (with its own
    shot noise) and at most ``saturation``. exposure_ms: shortest and longest. follows: whether the loop adapts the
    exposure to ``target`` counts; else it stays at the reference. gain: share of the needed change, on a logarithmic
    scale, that one step of the loop makes.
    """

    full_signal: float = 2200.0
    reference_range_km: float = 500.0
    reference_exposure_ms: float = 1.0
    exposure_ms: tuple[float, float] = (0.1, 100.0)
    noise: float = 25.0
    least_ratio: float = 5.0
    saturation: float = 4095.0
    target: float = 2000.0
    gain: float = 0.5
    follows: bool = True

    def __post_init__(self) -> None:
        least, most = self.exposure_ms
        if not (0 < least <= self.reference_exposure_ms <= most and 0 < self.gain <= 1):
            raise ConfigurationError(
                f"a camera with exposures {self.exposure_ms} ms and gain {self.gain} cannot follow",
                remedy="give a shortest exposure above 0, a longest, the reference between them, a gain from 0 to 1",
            )


@dataclass(frozen=True, slots=True)
class Tracking:
    """What a camera did in a pass; arrays of shape (n,)."""

    exposure_ms: Floats
    signal: Floats
    is_tracked: NDArray[np.bool_]


def follow(camera: TrackingCamera, *, range_km: Floats, air_loss_db: Floats) -> Tracking:
    """Return how the camera follows a pass, step by step; each step's exposure rests on the steps before alone.

    A camera starts with the exposure for the first step: acquisition tries them all. One that has lost its spot goes on
    with the exposure it has, and finds the spot again when it can see it.
    """
    per_ms = (
        camera.full_signal
        / camera.reference_exposure_ms
        * (camera.reference_range_km / range_km) ** 2
        * 10 ** (-air_loss_db / 10)
    )
    if not camera.follows:
        exposure = np.full(range_km.shape, camera.reference_exposure_ms)
        return _seen(camera, exposure, per_ms)
    least, most = camera.exposure_ms
    exposure = np.empty(range_km.shape)
    now = float(np.clip(camera.target / per_ms[0], least, most))
    for step, rate in enumerate(per_ms):
        exposure[step] = now
        now = float(np.clip(now * (camera.target / (rate * now)) ** camera.gain, least, most))
    return _seen(camera, exposure, per_ms)


def _seen(camera: TrackingCamera, exposure: Floats, per_ms: Floats) -> Tracking:
    signal = per_ms * exposure
    is_seen = signal >= camera.least_ratio * np.sqrt(signal + camera.noise**2)
    return Tracking(exposure, signal, is_seen & (signal <= camera.saturation))

"""Light from a telescope to a telescope through free space: how much arrives, and what light comes with it.

Angles are full angles at which a Gaussian beam has fallen to 1/e^2 of its middle. All functions take arrays.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BeamShape = Literal["gaussian", "top-hat"]
"""How the light is spread over the spot. "gaussian": densest in the middle, where the receiver is. "top-hat": evenly
over a disc as wide as the divergence. Far away the first gives a receiver twice the light (3 dB) of the second."""

LEAST_SHARE: Final = 1e-30
"""A share below is taken for this: 300 dB."""


def captured_share(
    range_km: Floats, *, divergence_urad: float, diameter_m: float, shape: BeamShape = "gaussian"
) -> Floats:
    """Return the share of the light that a round aperture in the middle of the spot takes in; the shape of the range.

    Gaussian: 1 - exp(-D^2 / (2 w^2)) with w = range x divergence / 2, the integral of the intensity over the aperture.
    Top-hat: (D / (range x divergence))^2, at most 1. Raises ValueError unless all are positive.
    """
    if not (divergence_urad > 0 and diameter_m > 0 and np.all(range_km > 0)):
        raise ValueError(f"range, divergence and diameter must be positive, got {divergence_urad} and {diameter_m}")
    spot_m = np.asarray(range_km) * 1e3 * divergence_urad * 1e-6
    ratio = (diameter_m / spot_m) ** 2
    if shape == "top-hat":
        return np.asarray(np.minimum(1.0, ratio))
    return np.asarray(-np.expm1(-2 * ratio))


def pointing_share(*, jitter_urad: float, divergence_urad: float) -> float:
    """Return the mean share of the light that a pointing error leaves, of a small receiver far away.

    The error is Gaussian with ``jitter_urad`` (rms) about each of two axes: 1 / (1 + 4 jitter^2 / w^2), w half the
    divergence: the mean of exp(-2 (angle / w)^2). Half of the light is left at a jitter of half of w.
    """
    if not (jitter_urad >= 0 and divergence_urad > 0):
        raise ValueError(f"jitter must be zero or more and divergence positive: {jitter_urad}, {divergence_urad}")
    return 1 / (1 + 4 * (jitter_urad / (divergence_urad / 2)) ** 2)


def seen_share(*, field_of_view_urad: float, blur_urad: Floats) -> Floats:
    """Return the share of a star's blurred image that a round field of view keeps; the shape of the blur.

    blur_urad: full width at half maximum of the image, taken as Gaussian: 1 - 2^-(field / blur)^2.
    """
    blur = np.maximum(np.asarray(blur_urad, dtype=np.float64), 1e-12)
    return np.asarray(-np.expm1(-math.log(2) * (field_of_view_urad / blur) ** 2))


def background_scale(*, magnification: float, filter_nm: float, diameter_m: float, receiving_share: float) -> float:
    """Return what the light of an evenly bright sky is proportional to, in units that cancel in a ratio.

    The detector's own field is fixed; on the sky it is smaller by the magnification, its solid angle by the square.
    Times the aperture, the width of the filter and what of the light the optics pass.
    """
    return diameter_m**2 / magnification**2 * filter_nm * receiving_share


def share_db(share: Floats | float) -> Floats:
    """Return a share of light as a loss (dB), positive; float64, the shape of the share."""
    return np.asarray(0.0 - 10 * np.log10(np.maximum(np.asarray(share, dtype=np.float64), LEAST_SHARE)))

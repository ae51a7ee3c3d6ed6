"""Polarization on the Poincare sphere: what a fibre does to a state, what a controller undoes, what a splitter sees.

A pure state is a unit vector (s1, s2, s3): s1 horizontal against vertical, s2 diagonal against anti-diagonal, s3
circular. Whatever does not absorb turns the sphere, so a fibre is a rotation matrix, and orthogonal states stay
opposite each other. That is why one setting of a controller is right for H and V together.

A polarization controller squeezes the fibre at several places. A squeezer whose axis stands at 0 degrees to horizontal
turns the sphere about s1, one at 45 degrees about s2; the angle is its retardance (textbook: Born and Wolf, Principles
of Optics, section 1.4; Collett, Field Guide to Polarization, SPIE 2005).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STATE_NAMES: Final = ("H", "V", "+", "-")
STATES: Final[Floats] = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]])
"""Alice's four states in the order of the detectors; float64, shape (4, 3)."""

SQUEEZER_AXES: Final[Floats] = np.array([[1.0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0]])
"""Axes of a controller's four squeezers, in the order in which light meets them: 0, 45, 0, 45 degrees. The last one is
at 45 degrees because a rotation about s1 changes nothing at a splitter for H and V."""

NUM_SQUEEZERS: Final = len(SQUEEZER_AXES)


def rotation(axis: Floats, angle_rad: float) -> Floats:
    """Return the matrix that turns the sphere by ``angle_rad`` about ``axis`` (unit vector); float64, shape (3, 3).

    Rodrigues' formula; counter-clockwise for who looks against the axis.
    """
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + math.sin(angle_rad) * cross + (1 - math.cos(angle_rad)) * (cross @ cross))


def random_rotation(generator: np.random.Generator) -> Floats:
    """Return a rotation that is uniform over all rotations: a fibre of which nothing is known.

    By a uniform unit quaternion (Shoemake, Graphics Gems III (1992), p. 124).
    """
    w, x, y, z = (quaternion := generator.standard_normal(4)) / np.linalg.norm(quaternion)
    half_angle = math.atan2(math.sqrt(x * x + y * y + z * z), w)
    return rotation(np.array([x, y, z]) / math.sin(half_angle), 2 * half_angle)


def drift_step(generator: np.random.Generator, *, drift_rad_per_sqrt_s: float, duration_s: float) -> Floats:
    """Return what a fibre turns by in ``duration_s``: a step of Brownian motion of the sphere.

    Each component of the rotation vector is normal with a standard deviation of drift x sqrt(duration). The mean cosine
    between a state and itself after a time t is exp(-drift^2 t), so the mean odds of the wrong port of a splitter
    grow as (1 - exp(-drift^2 t)) / 2. Exact in the limit of short steps, whose errors are of the order (step angle)^4.
    """
    vector = generator.standard_normal(3) * drift_rad_per_sqrt_s * math.sqrt(duration_s)
    angle_rad = float(np.linalg.norm(vector))
    return np.eye(3) if angle_rad == 0 else rotation(vector / angle_rad, angle_rad)


def controller_rotation(retardances_rad: Sequence[float]) -> Floats:
    """Return the rotation of a controller whose four squeezers have these retardances; float64, shape (3, 3)."""
    turned = np.eye(3)
    for axis, angle_rad in zip(SQUEEZER_AXES, retardances_rad, strict=True):
        turned = rotation(axis, angle_rad) @ turned
    return turned


def prepared_states(*, error_rad: float) -> Floats:
    """Return states of a transmitter that misses each of its four by ``error_rad`` on the sphere; float64, (4, 3).

    The second state of each pair is turned towards s3 and the first is not, so that a pair is not quite orthogonal.
    """
    about_h, about_d = rotation(np.array([0.0, 1, 0]), error_rad), rotation(np.array([1.0, 0, 0]), error_rad)
    return np.array([STATES[0], about_h @ STATES[1], STATES[2], about_d @ STATES[3]])


def port_shares(states: Floats, *, leak: float) -> Floats:
    """Return which share of the light leaves each port of a polarizing beam splitter.

    states: float64, shape (n, 3). leak: share of H that leaves the port of V, and the other way round.
    Returns float64, shape (n, 2): port of H, port of V.
    """
    right = (1 + states[:, 0]) / 2
    h_port = leak + (1 - 2 * leak) * right
    return np.stack([h_port, 1 - h_port], axis=-1)


def detector_shares(
    states: Floats, *, fibre: Floats, controllers: Sequence[Floats], leak: float, p_rectilinear: float
) -> Floats:
    """Return which share of the light of each state arrives at each of Bob's four detectors; float64, shape (n, 4).

    states: float64, shape (n, 3). A beam splitter sends the share ``p_rectilinear`` to the first controller and its
    splitter (detectors 0 and 1), the rest to the second (detectors 2 and 3), which its controller turns from diagonal
    to the splitter's own axes. controllers: two rotations.
    """
    arrived = states @ fibre.T
    arms = [port_shares(arrived @ controller.T, leak=leak) for controller in controllers]
    return np.concatenate([p_rectilinear * arms[0], (1 - p_rectilinear) * arms[1]], axis=1)


def optical_errors(shares: Floats) -> tuple[float, float]:
    """Return the odds that a photon of the right basis takes the wrong port, for each basis.

    shares: float64, shape (4, 4): states H, V, +, - by detectors, as ``detector_shares`` gives them.
    """
    pairs = [shares[2 * basis : 2 * basis + 2, 2 * basis : 2 * basis + 2] for basis in (0, 1)]
    rectilinear, diagonal = (float((pair[0, 1] + pair[1, 0]) / pair.sum()) for pair in pairs)
    return rectilinear, diagonal


def leak_of(extinction_db: float) -> float:
    """Return the share of light in the wrong port of a splitter whose ports differ by ``extinction_db``."""
    ratio: float = 10.0 ** (extinction_db / 10)
    return 1 / (1 + ratio)

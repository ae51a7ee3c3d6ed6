"""The odds of every cell of a slot: what Alice prepares and which of Bob's four detectors fire when all are live.

Photons of a phase-randomised coherent pulse are Poisson distributed, and so, independently, are those that reach each
detector behind beam splitters and losses. Detector j with mean lambda_j of detected photons and dark odds d fires with
1 - (1 - d) exp(-lambda_j), independently of the others once intensity, basis and bit are given.
The coding of cells is that of ``kernels.photon_sampling``.

What the optics do is either the record's scalar error, or a *response*: what devices as they stand do to each state,
float64, shape (4, 4): the odds that a photon at the transmitter's exit makes a click that counts, by the state sent
(H, V, +, -) and the detector. It is a product: link and receiver's transmittance x the detector's efficiency at the
set delay of its gate x the share of that state's light which the controllers and splitters send to it.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from qanat.ground.units import transmittance
from qanat.kernels.click_law import NUM_CELLS, NUM_DETECTORS, NUM_PATTERNS
from qanat.physics.system_record import QKDSystem

Response: TypeAlias = NDArray[np.float64]

CELLS: Final = np.arange(256)
CELL_INTENSITY: Final = (CELLS >> 6).astype(np.uint8)
CELL_ALICE_BASIS: Final = ((CELLS >> 5) & 1).astype(np.uint8)
CELL_ALICE_BIT: Final = ((CELLS >> 4) & 1).astype(np.uint8)
PATTERN_FIRED: Final = (np.arange(NUM_PATTERNS)[:, None] >> np.arange(NUM_DETECTORS)) & 1 == 1
"""bool, shape (16, 4): which detectors fire in each pattern."""

PATTERN_BASIS: Final = np.array([0, 0, 0, 0, *[1, 2, 2, 2] * 3], dtype=np.uint8)
"""uint8, shape (16,): the basis of the detectors that fired, or BOTH_BASES. Pattern 0, silence, has none (0)."""


def detected_photons(
    system: QKDSystem, *, loss_db: float, extra_error: float = 0.0, response: Response | None = None
) -> NDArray[np.float64]:
    """Mean number of photons that each detector would register, in gate and window.

    loss_db: of the link, without the receiver's. extra_error: odds that somebody flips a photon on its way.
    response: float64, shape (4, 4), stands in place of the loss, the record's optical error and its efficiencies.
    Returns float64, shape (3, 2, 2, 4): intensity, Alice's basis, Alice's bit, detector.
    """
    if not 0 <= extra_error <= 0.5:
        raise ValueError(f"extra_error must be in [0, 1/2], got {extra_error}")
    if response is None:
        response = _stated_response(system, loss_db=loss_db, extra_error=extra_error)
    elif extra_error:
        # a flip on the way turns a state into its partner
        response = (1 - extra_error) * response + extra_error * response[(1, 0, 3, 2), :]
    mu = np.array(system.source.mean_photon_numbers)
    return np.asarray(mu[:, None, None, None] * response.reshape(2, 2, NUM_DETECTORS), dtype=np.float64)


def _stated_response(system: QKDSystem, *, loss_db: float, extra_error: float) -> Response:
    """The response of a receiver with the record's optical error, the same in both bases."""
    receiver = system.receiver
    eta = transmittance(loss_db=loss_db + receiver.loss_db) * np.array(system.counted_efficiencies)
    p_wrong = receiver.optical_error * (1 - extra_error) + (1 - receiver.optical_error) * extra_error
    arm = (receiver.p_rectilinear, 1 - receiver.p_rectilinear)
    share = np.empty((2, 2, NUM_DETECTORS))
    for basis in (0, 1):
        for bit in (0, 1):
            matched = np.array([1 - p_wrong, p_wrong] if bit == 0 else [p_wrong, 1 - p_wrong])
            share[basis, bit, 2 * basis : 2 * basis + 2] = arm[basis] * matched
            other = 1 - basis
            share[basis, bit, 2 * other : 2 * other + 2] = arm[other] / 2
    return np.asarray((share * eta).reshape(NUM_DETECTORS, NUM_DETECTORS), dtype=np.float64)


def firing_odds(
    system: QKDSystem, *, loss_db: float, extra_error: float = 0.0, response: Response | None = None
) -> NDArray[np.float64]:
    """Odds that each live detector fires; float64, shape (3, 2, 2, 4) as ``detected_photons``."""
    return fired_by(system, detected_photons(system, loss_db=loss_db, extra_error=extra_error, response=response))


def fired_by(system: QKDSystem, photons: NDArray[np.float64]) -> NDArray[np.float64]:
    """Odds that each live detector fires by so many photons or in the dark; float64, both of shape (..., 4)."""
    # 1 - (1 - d) exp(-x) written without cancellation: at 60 dB the plain form would lose six digits.
    signal: NDArray[np.float64] = -np.expm1(-photons)
    return signal + dark_odds(system) * (1 - signal)


def dark_odds(system: QKDSystem) -> NDArray[np.float64]:
    """Odds per slot that each detector fires in the dark; float64, shape (4,)."""
    return np.array([detector.p_dark_per_gate for detector in system.receiver.detectors])


def pattern_odds(p_fire: NDArray[np.float64]) -> NDArray[np.float64]:
    """Odds of each pattern of independent detectors: float64, shape (..., 4) in, shape (..., 16) out."""
    one_by_one = np.where(PATTERN_FIRED, p_fire[..., None, :], 1 - p_fire[..., None, :])
    return np.asarray(one_by_one.prod(axis=-1))


def preparation_odds(system: QKDSystem) -> NDArray[np.float64]:
    """Odds of Alice's intensity, basis and bit: float64, shape (3, 2, 2), sum 1."""
    source = system.source
    p_bases = np.array([source.p_rectilinear, 1 - source.p_rectilinear])
    odds = np.einsum("k,a,x->kax", np.array(source.p_intensities), p_bases, np.array([0.5, 0.5]))
    return np.asarray(odds, dtype=np.float64)


def cell_odds(
    system: QKDSystem, *, loss_db: float, extra_error: float = 0.0, response: Response | None = None
) -> NDArray[np.float64]:
    """Joint odds of each cell when every detector is live: float64, shape (192,), sum 1 with the silent cells."""
    patterns = pattern_odds(firing_odds(system, loss_db=loss_db, extra_error=extra_error, response=response))
    return (preparation_odds(system)[..., None] * patterns).reshape(NUM_CELLS)

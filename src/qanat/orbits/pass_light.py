"""The light of a pass in numbers: what is expected every second, and what key the sum gives.

Loss and light change every second; the counts of all seconds make one block, because a proof asks only for sums. Passes
with the same source and station's splitter may be joined into one block likewise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import RequestError
from qanat.orbits.downlink import LinkBudget
from qanat.physics.analytic import sifted_odds
from qanat.physics.micius import under_dimmed_sky
from qanat.physics.system_record import QKDSystem
from qanat.protocols.decoy import SIGNAL, BasisCounts, DecoyCounts, DecoyProtocol, SecretLength, SecurityParameters
from qanat.protocols.prediction import protocol_of
from qanat.protocols.proofs import proof_named

Floats = NDArray[np.float64]

SAME_STEP: Final = 1e-6
"""Steps of a pass may differ by this share."""
DARKEST_DB: Final = 200.0
"""A loss beyond is taken for this: not a photon arrives."""


@dataclass(frozen=True, slots=True)
class PassLight:
    """Sifted events of one pass, step by step, as expected. ``quantum_layer.pass_run`` draws every click.

    step_s: seconds of light per entry. clicks, errors: float64, shape (n, 3, 2): sifted events and wrong ones by
    intensity and basis. system: whose they are.
    """

    system: QKDSystem
    step_s: float
    clicks: Floats
    errors: Floats

    @property
    def protocol(self) -> DecoyProtocol:
        return protocol_of(self.system)

    @property
    def sifted_bits(self) -> float:
        """Signal events with equal bases, of the whole pass."""
        return float(self.clicks[:, SIGNAL].sum())

    @property
    def qber(self) -> float:
        """Error rate of the whole pass's sifted bits; 1/2 where there are none."""
        return float(self.errors[:, SIGNAL].sum()) / self.sifted_bits if self.sifted_bits else 0.5

    @property
    def sifted_rate_bits_per_s(self) -> Floats:
        """Signal events with equal bases per second; shape (n,)."""
        return np.asarray(self.clicks[:, SIGNAL].sum(axis=1) / self.step_s)

    @property
    def qber_by_step(self) -> Floats:
        """Error rate of each step's sifted bits; NaN where there are none; shape (n,)."""
        clicks = self.clicks[:, SIGNAL].sum(axis=1)
        errors = self.errors[:, SIGNAL].sum(axis=1)
        return np.asarray(np.where(clicks > 0, errors / np.where(clicks > 0, clicks, 1.0), np.nan))


def expected_light(system: QKDSystem, budget: LinkBudget) -> PassLight:
    """Return what is expected of a pass; nothing comes while the telescopes do not see each other.

    Raises RequestError where the moments of the track are not evenly spaced.
    """
    step_s = step_of(budget.track.utc_s)
    num_pulses = step_s * system.source.pulse_rate_hz
    losses_db = np.minimum(budget.link_loss_db(system), DARKEST_DB)
    clicks, errors = (np.zeros((losses_db.size, 3, 2)) for _ in range(2))
    for share in np.unique(budget.sky_share[budget.is_tracked]):
        steps = np.flatnonzero(budget.is_tracked & (budget.sky_share == share))
        under = system if share == 1 else under_dimmed_sky(system, float(share))
        p_clicks, p_errors = sifted_odds(under, losses_db=losses_db[steps])
        clicks[steps], errors[steps] = num_pulses * p_clicks, num_pulses * p_errors
    return PassLight(system, step_s, clicks, errors)


def block_counts(lights: Sequence[PassLight], *, times: int = 1) -> DecoyCounts:
    """Return the counts of one or several passes as one block, rounded; times: so often all of them.

    Raises RequestError for none, for passes of different sources, whose photon numbers would be mixed up, and for
    passes of stations with different splitters, detectors or optics, whose shares of the bases would be.
    """
    if not lights:
        raise RequestError("no pass makes no block", remedy="give one pass or more")
    protocol = lights[0].protocol
    if any(one.protocol != protocol for one in lights):
        raise RequestError(
            "passes with different intensities, odds or bases cannot make one block",
            remedy="join the passes of one source mode",
        )
    receiver = lights[0].system.receiver
    if any(one.system.receiver != receiver for one in lights):
        raise RequestError(
            "passes over stations with different splitters, detectors or optics cannot make one block",
            remedy="join the passes of one station, with one receiver",
        )
    clicks = times * sum(one.clicks.sum(axis=0) for one in lights)
    errors = times * sum(one.errors.sum(axis=0) for one in lights)
    undisclosed = 1 - protocol.signal_disclosed
    one, other = (_basis(clicks[:, basis], errors[:, basis], undisclosed) for basis in (0, 1))
    return DecoyCounts(one, other)


def block_length(
    counts: DecoyCounts,
    protocol: DecoyProtocol,
    *,
    proof: str,
    f_ec: float,
    security: SecurityParameters | None = None,
) -> SecretLength:
    """Return the secret length of a block by a proof; f_ec: bits told by error correction over the Shannon limit."""
    chosen = proof_named(proof)
    leaked = float(chosen.leaked_bits(counts, f_ec=f_ec))
    return chosen.length(counts, protocol, security or SecurityParameters(), leaked_bits=leaked)


def passes_for_key(light: PassLight, *, proof: str, f_ec: float, most: int) -> int | None:
    """Return how many passes like this one must make a block for it to give any key; None where ``most`` do not.

    More of the same light never gives less, so the number is found by halving.
    """

    def gives_key(times: int) -> bool:
        return block_length(block_counts([light], times=times), light.protocol, proof=proof, f_ec=f_ec).num_bits > 0

    if not gives_key(most):
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if gives_key(middle) else (middle, high)
    return high


def step_of(utc_s: Floats) -> float:
    """Return the seconds from moment to moment; raises RequestError where they differ or there is one moment alone."""
    steps = np.diff(utc_s)
    if not steps.size or steps.min() <= 0 or np.ptp(steps) > SAME_STEP * max(1.0, float(steps.max())):
        raise RequestError(
            "the moments of this pass are not evenly spaced",
            remedy="give two moments or more, each as far from the last",
        )
    return float(steps.mean())


def _basis(clicks: Floats, errors: Floats, undisclosed: float) -> BasisCounts:
    signal, decoy, vacuum = (round(value) for value in clicks.tolist())
    wrong = [min(round(value), most) for value, most in zip(errors.tolist(), (signal, decoy, vacuum), strict=True)]
    return BasisCounts((signal, decoy, vacuum), (wrong[0], wrong[1], wrong[2]), key_bits=round(signal * undisclosed))

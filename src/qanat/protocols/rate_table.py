"""Rates of very many links at once: 10^5 and more losses per second, by any proof.

The link model is evaluated on a grid of losses once; between its points the logarithms of the odds of sifted events and
errors are cubic splines (they differ from the model by less than 1e-8 of its values; tests hold it). The proofs then
work on arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from qanat.physics.analytic import link_model
from qanat.physics.systems import QKDSystem
from qanat.protocols.asymptotic import vacuum_and_weak
from qanat.protocols.decoy import SIGNAL, BasisCountArrays, DecoyCountArrays, SecurityParameters
from qanat.protocols.prediction import protocol_of
from qanat.protocols.proofs import DEFAULT_PROOF, PROOFS, proof_named

MOST_DB: Final = 100.0
_STEP_DB: Final = 0.125
_ENDLESS_BITS: Final = 1e18


@dataclass(frozen=True, slots=True)
class RateArrays:
    """The forecast of many links, each member float64 of shape (n,); meanings as in ``prediction.ExpectedRate``."""

    loss_db: NDArray[np.float64]
    sifted_rate_bits_per_s: NDArray[np.float64]
    verified_rate_bits_per_s: NDArray[np.float64]
    qber: NDArray[np.float64]
    secret_rate_bits_per_s: NDArray[np.float64]
    secret_rate_asymptotic_bits_per_s: NDArray[np.float64]


class RateTable:
    """What links of one system give, as a function of their loss."""

    def __init__(self, system: QKDSystem) -> None:
        self._protocol = protocol_of(system)
        self._pulse_rate_hz = system.source.pulse_rate_hz
        grid_db = np.arange(0, MOST_DB + _STEP_DB, _STEP_DB)
        models = [link_model(system, loss_db=float(loss_db)) for loss_db in grid_db]
        odds = [np.concatenate((model.sifted_per_pulse(), model.sifted_errors_per_pulse())) for model in models]
        self._log_odds = CubicSpline(grid_db, np.log(np.array(odds)), axis=0)

    def sifted_odds(self, loss_db: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Odds per pulse of a sifted event and of a wrong one, each float64 of shape (n, 3, 2): intensity, basis.

        Raises ValueError on losses below 0 or above ``MOST_DB``.
        """
        if not np.all((loss_db >= 0) & (loss_db <= MOST_DB)):
            raise ValueError(f"losses must lie between 0 and {MOST_DB:g} dB")
        odds = np.exp(self._log_odds(loss_db))
        return odds[:, :3], odds[:, 3:]

    def rates(
        self,
        loss_db: NDArray[np.float64],
        *,
        block_bits: int,
        f_ec: float = 1.1,
        security: SecurityParameters | None = None,
        proof: str = DEFAULT_PROOF,
    ) -> RateArrays:
        """Return the forecast of links of these losses (dB), shape (n,); see ``prediction.expected_rate``."""
        if block_bits < 1 or not f_ec >= 1:
            raise ValueError(f"block_bits must be positive and f_ec at least 1, got {block_bits} and {f_ec}")
        chosen, endless = proof_named(proof), PROOFS["asymptotic"]
        clicks, errors = self.sifted_odds(loss_db)
        per_pulse = clicks[:, SIGNAL].sum(axis=-1)
        sifted = per_pulse * self._pulse_rate_hz
        verified = sifted * (1 - self._protocol.signal_disclosed)
        counts = self._counts(clicks, errors, block_bits)
        leaked = chosen.leaked_bits(counts, f_ec=f_ec)
        length = chosen.reckon(counts, self._protocol, security or SecurityParameters(), leaked).length
        many = self._counts(clicks, errors, _ENDLESS_BITS)
        most = vacuum_and_weak(many, self._protocol, leaked_bits=endless.leaked_bits(many, f_ec=f_ec)).length
        return RateArrays(
            loss_db=loss_db,
            sifted_rate_bits_per_s=sifted,
            verified_rate_bits_per_s=verified,
            qber=errors[:, SIGNAL].sum(axis=-1) / per_pulse,
            secret_rate_bits_per_s=np.maximum(0.0, np.floor(length)) * verified / block_bits,
            secret_rate_asymptotic_bits_per_s=np.maximum(0.0, most) * verified / _ENDLESS_BITS,
        )

    def _counts(
        self, clicks: NDArray[np.float64], errors: NDArray[np.float64], num_key_bits: float
    ) -> DecoyCountArrays:
        undisclosed = 1 - self._protocol.signal_disclosed
        num_pulses = num_key_bits / (undisclosed * clicks[:, SIGNAL].sum(axis=-1))
        rectilinear, diagonal = (
            BasisCountArrays(
                clicks=_by_intensity(clicks[:, :, basis], num_pulses),
                errors=_by_intensity(errors[:, :, basis], num_pulses),
                key_bits=np.rint(clicks[:, SIGNAL, basis] * num_pulses * undisclosed),
            )
            for basis in (0, 1)
        )
        return DecoyCountArrays(rectilinear, diagonal)


def _by_intensity(
    odds: NDArray[np.float64], num_pulses: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    signal, decoy, vacuum = np.rint(odds.T * num_pulses)
    return signal, decoy, vacuum

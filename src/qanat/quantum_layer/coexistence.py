"""What classical light on the fibre costs one QKD pair, and how strong it may be; all by formula."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from qanat.physics.channels import with_steady_light
from qanat.physics.clicks import dark_odds
from qanat.physics.raman import MOST_LIGHT_W, ClassicalLight, ClassicalNoise, Span, classical_noise
from qanat.physics.system_record import QKDSystem
from qanat.protocols.prediction import ExpectedRate
from qanat.quantum_layer.shared_fibre import pair_rate

LEAST_DBM: Final = -100.0
STEP_DB: Final = 0.01


@dataclass(frozen=True, slots=True)
class Coexistence:
    """One pair with classical light on its fibre. noise: photons per second at the fibre's end, in the pair's band.

    counted_s: time per slot in which such light counts; odds_per_slot: that it makes one detector click in a slot, the
    greatest of the four; dark_per_slot: that a dark count does. dark, lit: forecasts without and with that light.
    """

    noise: ClassicalNoise
    counted_s: float
    odds_per_slot: float
    dark_per_slot: float
    dark: ExpectedRate
    lit: ExpectedRate

    @property
    def cost(self) -> float:
        """Share of the rate that the light takes; 0 to 1."""
        alone = self.dark.secret_rate_bits_per_s
        return 1 - self.lit.secret_rate_bits_per_s / alone if alone else 0.0


def coexistence(system: QKDSystem, noise: ClassicalNoise, *, loss_db: float) -> Coexistence:
    """Return what so much light does to one pair on a fibre of ``loss_db``."""
    lit = with_steady_light(system, photons_per_s=noise.total_per_s)
    before, after = dark_odds(system), dark_odds(lit)
    slot_s = 1 / system.source.pulse_rate_hz
    return Coexistence(
        noise=noise,
        counted_s=max(each.counted_time_s(slot_s=slot_s) for each in system.receiver.detectors),
        odds_per_slot=float(((after - before) / (1 - before)).max()),
        dark_per_slot=float(before.max()),
        dark=pair_rate(system, loss_db=loss_db),
        lit=pair_rate(lit, loss_db=loss_db),
    )


def launch_that_leaves(
    share: float, system: QKDSystem, light: ClassicalLight, span: Span, *, filter_nm: float
) -> float | None:
    """Return the most launch power per channel (dBm, to 0.01) that leaves more than this share of the dark rate.

    None when even the faintest light considered (-100 dBm) leaves less, or when there is no rate at all.
    """
    alone = pair_rate(system, loss_db=span.loss_db).secret_rate_bits_per_s

    def leaves(dbm: float) -> bool:
        noise = classical_noise(replace(light, launch_dbm=dbm), span, filter_nm=filter_nm)
        lit = with_steady_light(system, photons_per_s=noise.total_per_s)
        return pair_rate(lit, loss_db=span.loss_db).secret_rate_bits_per_s > share * alone

    most_dbm = 10 * math.log10(MOST_LIGHT_W / 1e-3 / light.num_channels) - STEP_DB
    return greatest(leaves, low=LEAST_DBM, high=most_dbm, step=STEP_DB)


def greatest(holds: Callable[[float], bool], *, low: float, high: float, step: float) -> float | None:
    """Return the greatest multiple of ``step`` above ``low``, up to ``high``, for which something holds.

    It must hold up to some value and not beyond; None when it does not hold at ``low``.
    """
    if not holds(low):
        return None
    below, above = 0, round((high - low) / step) + 1
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if holds(low + middle * step) else (below, middle)
    return round(low + below * step, 6)

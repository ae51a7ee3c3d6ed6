"""What several QKD pairs on one fibre give together, and how many of them a multiple of one pair's rate takes."""

from __future__ import annotations

from dataclasses import dataclass

from qanat.ground.errors import ConfigurationError
from qanat.ground.units import transmittance
from qanat.physics.channels import WavelengthMultiplexer, with_steady_light, with_stray_light
from qanat.physics.system_record import QKDSystem
from qanat.protocols.prediction import ExpectedRate, expected_rate

BLOCK_BITS = 2**22
"""Verified bits per amplification block in these forecasts, 16 blocks of the paper."""


@dataclass(frozen=True, slots=True)
class SharedFibre:
    """``num_pairs`` on one fibre: secret rates by formula, of one pair alone and of all together.

    crosstalk: light of other pairs as a share of one pair's own; pair_qber: of the pair that is worst off.
    """

    num_pairs: int
    crosstalk: float
    single_rate_bits_per_s: float
    pair_rate_bits_per_s: float
    pair_qber: float

    @property
    def total_rate_bits_per_s(self) -> float:
        return self.num_pairs * self.pair_rate_bits_per_s

    @property
    def gain(self) -> float:
        """All pairs over one pair alone on the dark fibre, without a multiplexer."""
        return self.total_rate_bits_per_s / self.single_rate_bits_per_s if self.single_rate_bits_per_s else 0.0


def pair_rate(system: QKDSystem, *, loss_db: float) -> ExpectedRate:
    """Return the forecast of one pair on a fibre of ``loss_db``, at these forecasts' block."""
    return expected_rate(system, loss_db=loss_db, block_bits=BLOCK_BITS)


def shared_fibre(
    system: QKDSystem,
    multiplexer: WavelengthMultiplexer,
    *,
    loss_db: float,
    num_pairs: int,
    stray_photons_per_s: float = 0.0,
) -> SharedFibre:
    """Return what ``num_pairs`` equal systems give on a fibre of ``loss_db``; every pair is counted as the worst one.

    stray_photons_per_s: of classical light, in each pair's band, at the end of the fibre: before the multiplexer of the
    receiving end, to which half of the insertion loss belongs. Raises ConfigurationError when the multiplexer has too
    few channels.
    """
    crosstalk = multiplexer.crosstalk(num_pairs)
    total_db = loss_db + multiplexer.insertion_loss_db
    source = system.source
    mean_photons = sum(p * mu for p, mu in zip(source.p_intensities, source.mean_photon_numbers, strict=True))
    stray = mean_photons * transmittance(loss_db=total_db) * crosstalk
    steady = stray_photons_per_s * transmittance(loss_db=multiplexer.insertion_loss_db / 2)
    pair = pair_rate(
        with_steady_light(with_stray_light(system, photons_per_pulse=stray), photons_per_s=steady), loss_db=total_db
    )
    return SharedFibre(
        num_pairs=num_pairs,
        crosstalk=crosstalk,
        single_rate_bits_per_s=pair_rate(system, loss_db=loss_db).secret_rate_bits_per_s,
        pair_rate_bits_per_s=pair.secret_rate_bits_per_s,
        pair_qber=pair.qber,
    )


def pairs_for(
    system: QKDSystem,
    multiplexer: WavelengthMultiplexer,
    *,
    loss_db: float,
    times_rate: float,
    stray_photons_per_s: float = 0.0,
) -> SharedFibre:
    """Return the fewest pairs that together give ``times_rate`` times the rate of one pair alone.

    Raises ConfigurationError when all channels together do not.
    """
    for num_pairs in range(1, multiplexer.num_channels + 1):
        found = shared_fibre(
            system, multiplexer, loss_db=loss_db, num_pairs=num_pairs, stray_photons_per_s=stray_photons_per_s
        )
        if found.gain >= times_rate:
            return found
    raise ConfigurationError(
        f"{multiplexer.num_channels} channels do not give {times_rate:g} times the rate at {loss_db:g} dB",
        remedy="take a multiplexer with more channels or less loss",
    )


def insertion_cost(system: QKDSystem, multiplexer: WavelengthMultiplexer, *, loss_db: float) -> float:
    """Return the share of one pair's rate that the multiplexers' loss alone takes, without cross-talk; 0 to 1."""
    alone = pair_rate(system, loss_db=loss_db).secret_rate_bits_per_s
    through = pair_rate(system, loss_db=loss_db + multiplexer.insertion_loss_db).secret_rate_bits_per_s
    return 1 - through / alone if alone else 0.0

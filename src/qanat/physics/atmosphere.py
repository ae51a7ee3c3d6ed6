"""What air takes from light on its way to a station, by its elevation: a table, a fitted term, turbulence.

**Two descriptions of the air stand beside each other; one of them rules** (``Air.rule``).

- "table": transmittance of clear air at 850 nm down to sea level. Between its entries the loss per air mass is
  interpolated; below 5 degrees the lowest entry's is carried on.
- "fitted": a loss per air mass chosen so that a measured pass comes out. It rules where the passes of the paper are
  reproduced, whose rate falls faster towards the horizon than through the air of the table.

Air masses are those of Kasten and Young, Applied Optics 28, 4735 (1989), for geometric elevations close enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import ConfigurationError
from qanat.physics.free_space import seen_share, share_db

Floats = NDArray[np.float64]
AirRule = Literal["table", "fitted"]

CLEAR_AIR_850_NM: Final = (
    (5.0, 0.310),
    (10.0, 0.539),
    (15.0, 0.657),
    (20.0, 0.726),
    (30.0, 0.802),
    (45.0, 0.855),
    (60.0, 0.880),
    (90.0, 0.895),
)
"""Elevation (degrees) and transmittance of clear air at 850 nm, from space to sea level; stated, after models of a
clear standard atmosphere. The paper: 0.2 at 5, 0.8 at 70 degrees (Nature 589, 214, 2021, Extended Data Table 3)."""

SEEING_FACTOR: Final = 0.98
"""Full width at half maximum of a long exposure, in units of wavelength over Fried's length (Kolmogorov turbulence)."""


@dataclass(frozen=True, slots=True)
class Turbulence:
    """Air that blurs: Fried's length towards the zenith at ``wavelength_nm``. 10 cm is usual at night."""

    fried_length_m: float = 0.1
    wavelength_nm: float = 850.0

    def __post_init__(self) -> None:
        if not (self.fried_length_m > 0 and self.wavelength_nm > 0):
            raise ConfigurationError(
                f"turbulence with a Fried length of {self.fried_length_m} m is none",
                remedy="give a positive length; some centimetres are strong, 0.2 m is little turbulence",
            )

    def blur_urad(self, elevation_deg: Floats) -> Floats:
        """Width of a point's image (microradian, full width at half maximum); it grows with air mass^(3/5)."""
        along = self.fried_length_m * air_mass(elevation_deg) ** -0.6
        return np.asarray(SEEING_FACTOR * self.wavelength_nm * 1e-9 / along * 1e6)

    def loss_db(self, elevation_deg: Floats, *, field_of_view_urad: float) -> Floats:
        """Loss (dB) of what the blur puts outside of the receiver's field of view."""
        return share_db(seen_share(field_of_view_urad=field_of_view_urad, blur_urad=self.blur_urad(elevation_deg)))


@dataclass(frozen=True, slots=True)
class Air:
    """The air over a station.

    rule: which description counts. fitted_db: loss towards the zenith of the fitted one, which is the same for every
    air mass; origin says where it is from. turbulence: None leaves it out.
    """

    rule: AirRule = "table"
    fitted_db: float = 0.0
    turbulence: Turbulence | None = None
    origin: str = "fitted"

    def __post_init__(self) -> None:
        if self.rule not in ("table", "fitted"):
            raise ConfigurationError(f"there is no description of air {self.rule!r}", remedy="known: table, fitted")
        if not (np.isfinite(self.fitted_db) and self.fitted_db >= 0):
            raise ConfigurationError(
                f"air that takes {self.fitted_db} dB is none", remedy="give the loss towards the zenith, 0 dB or more"
            )

    def loss_db(self, elevation_deg: Floats) -> Floats:
        """Loss of the description that rules (dB); float64, the shape of the elevations."""
        return self.table_loss_db(elevation_deg) if self.rule == "table" else self.fitted_loss_db(elevation_deg)

    def table_loss_db(self, elevation_deg: Floats) -> Floats:
        """Loss by the table of clear air (dB), whichever rules."""
        return clear_air_loss_db(elevation_deg)

    def fitted_loss_db(self, elevation_deg: Floats) -> Floats:
        """Loss by the fitted term (dB), whichever rules."""
        return np.asarray(self.fitted_db * air_mass(elevation_deg))


def air_mass(elevation_deg: Floats | float) -> Floats:
    """Return how much air a ray meets, in units of that towards the zenith; float64, the shape of the elevations.

    1 / (sin h + 0.50572 (h + 6.07995)^-1.6364), h the elevation in degrees. Raises ValueError below the horizon.
    """
    h = np.asarray(elevation_deg, dtype=np.float64)
    if not np.all((h >= 0) & (h <= 90)):
        raise ValueError(
            "elevations must lie between 0 and 90 degrees: the station sees no satellite below its horizon"
        )
    return np.asarray(1 / (np.sin(np.radians(h)) + 0.50572 * (h + 6.07995) ** -1.6364))


def clear_air_loss_db(elevation_deg: Floats | float) -> Floats:
    """Return the loss in clear air at 850 nm (dB): exact at the table's entries, smooth between them."""
    angles, shares = np.array(CLEAR_AIR_850_NM).T
    per_air_mass = share_db(shares) / air_mass(angles)
    return np.asarray(np.interp(elevation_deg, angles, per_air_mass) * air_mass(elevation_deg))

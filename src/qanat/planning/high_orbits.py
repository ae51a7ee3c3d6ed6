"""Key from high orbits: Extended Data Table 3 of Nature 589, 214 (2021) row by row, and the same link elsewhere.

A row's efficiency is its printed factors times what the aperture takes of the beam, by a formula that is named: a
Gaussian beam, or one spread evenly over its disc (top-hat), which gives a small receiver half as much. Its key is by
the engine of all links: source ``this-work``, the row's telescope, its receiving efficiency as Nanshan's optics and a
coupling that makes up the rest, the fitted background in proportion to the aperture, one block of light.

By day the sky is brighter by ``DAY_TIMES``, an order of magnitude that is stated, not measured. What is found without
it is how many times the night's background a link stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from qanat.ground.errors import BadParameter
from qanat.orbits.analytic import geostationary
from qanat.orbits.nature2021 import TABLE_3, BeamRow, downlink_share
from qanat.orbits.stations import Station
from qanat.orbits.track import follow
from qanat.physics.analytic import link_model
from qanat.physics.atmosphere import air_mass
from qanat.physics.free_space import BeamShape, share_db
from qanat.physics.micius import FITTED, micius_system
from qanat.physics.source_modes import THIS_WORK
from qanat.physics.system_record import QKDSystem
from qanat.physics.telescope import NANSHAN
from qanat.planning.pass_keys import secret_bits

DAY_TIMES: Final = 1e5
"""A clear day's sky over a moonless night's: stated, an order of magnitude."""
MOST_TIMES: Final = 1e9
HALVINGS: Final = 40
SHAPES: Final[tuple[BeamShape, BeamShape]] = ("gaussian", "top-hat")
FORMULAS: Final = {
    "gaussian": "Gaussian: 1 - exp(-2 (D / (range x divergence))^2)",
    "top-hat": "top-hat: (D / (range x divergence))^2",
}
GPS_RANGE_KM: Final = 20_200.0
"""The height of the navigation satellites: a medium orbit, overhead."""
TEXT_RANGE_KM: Final = 40_000.0
"""The "medium-Earth-orbit satellite" of the paper's main text."""


@dataclass(frozen=True, slots=True)
class HighLink:
    """A link whose place does not change. paper_db: the total that the paper prints; None where it prints none.

    elevation_deg: as printed, or of the station. row: its factors (``BeamRow``).
    """

    name: str
    row: BeamRow
    elevation_deg: float
    paper_db: float | None
    note: str = ""

    @property
    def shape(self) -> BeamShape:
        return self.row.beam.shape

    @property
    def total_db(self) -> float:
        """Total efficiency without detectors (dB, negative)."""
        return self.row.total_db()

    @property
    def loss_db(self) -> float:
        """Loss before the receiver (dB, positive)."""
        row = self.row
        captured = downlink_share(row.beam, range_km=row.range_km, diameter_m=row.diameter_m)
        return float(share_db(captured * row.atmosphere * row.beam.pointing_efficiency))

    def system(self, *, background_times: float = 1.0) -> QKDSystem:
        """Return source and receiver, with so many times the night's background."""
        coupling = self.row.receiving / NANSHAN.optics
        ground = replace(NANSHAN, name=self.name, diameter_m=self.row.diameter_m, coupling=coupling)
        fitted = replace(FITTED, background_hz=FITTED.background_hz * background_times)
        return micius_system(THIS_WORK, ground, fitted=fitted)


@dataclass(frozen=True, slots=True)
class HighKey:
    """What a link gives: sifted and secret bits per second, and the error rate."""

    sifted_bits_per_s: float
    qber: float
    secret_bits_per_s: float


def paper_links() -> tuple[HighLink, ...]:
    """Return the rows of Extended Data Table 3, each with both beams (only the first with the printed total), and the
    link of its GEO column in medium orbits."""
    low, high = TABLE_3
    rows = [
        *_both(low, "LEO, 2,000 km", 5.0, paper=True),
        *_both(high, "GEO, 36,000 km", 70.0, paper=True, note="70 degrees: within 17 degrees of the equator alone"),
    ]
    for range_km, name, note in (
        (GPS_RANGE_KM, "MEO, 20,200 km", "the GEO column's optics nearer"),
        (TEXT_RANGE_KM, "40,000 km", "called a medium orbit in the text; none is as high"),
    ):
        rows += _both(replace(high, range_km=range_km), name, 70.0, paper=False, note=note)
    return tuple(rows)


def station_link(station: Station, *, utc_s: float = 0.0) -> tuple[HighLink, ...]:
    """Return the GEO column's link to a station from the place nearest to it, on its meridian: range and elevation
    worked out, air by the fitted term. Raises BadParameter where the satellite is below the horizon."""
    orbit = geostationary("geo", longitude_deg=station.longitude_deg, start_utc_s=utc_s)
    track = follow(orbit, station, start_utc_s=utc_s, end_utc_s=utc_s)
    elevation_deg, range_km = float(track.elevation_deg[0]), float(track.range_km[0])
    if elevation_deg <= 0:
        raise BadParameter(
            f"{station.name} sees no geostationary satellite: at best {elevation_deg:.1f} degrees",
            remedy="stations within 81 degrees of the equator do",
        )
    atmosphere = 10 ** (-FITTED.air_db * float(air_mass(elevation_deg)) / 10)
    row = replace(TABLE_3[1], range_km=range_km, atmosphere=atmosphere)
    return tuple(_both(row, f"GEO over {station.name}", elevation_deg, paper=False, note="on its meridian, fitted air"))


def high_key(link: HighLink, *, background_times: float, block_s: float, proof: str = "hoeffding") -> HighKey:
    """Return what a link gives under so many times the night's background; raises BadParameter for no block."""
    if not block_s > 0:
        raise BadParameter(f"a block of {block_s:g} s", remedy="give seconds of light, above 0")
    system = link.system(background_times=background_times)
    model = link_model(system, loss_db=link.loss_db)
    per_pulse = np.array([[model.sifted_per_pulse(), model.sifted_errors_per_pulse()]])
    counts = per_pulse * system.source.pulse_rate_hz * block_s
    sifted, wrong = (float(value) for value in counts[0, :, 0].sum(axis=-1))
    secret = float(secret_bits(counts, system, proof=proof, f_ec=1.1)[0])
    return HighKey(sifted / block_s, wrong / sifted if sifted else 0.5, secret / block_s)


def greatest_background(link: HighLink, *, block_s: float, proof: str = "hoeffding") -> float:
    """Return how many times the night's background leaves any key, within 0.1 %; 0 where none does."""

    def gives(times: float) -> bool:
        return high_key(link, background_times=times, block_s=block_s, proof=proof).secret_bits_per_s > 0

    if not gives(0.0):
        return 0.0
    least, most = 1e-3, 1e-3
    while most < MOST_TIMES and gives(most):
        least, most = most, most * 4
    for _ in range(HALVINGS):
        if most / least < 1.001:
            break
        middle = float(np.sqrt(least * most))
        least, most = (middle, most) if gives(middle) else (least, middle)
    return least


def _both(row: BeamRow, name: str, elevation_deg: float, *, paper: bool, note: str = "") -> Sequence[HighLink]:
    """Return a row with its own beam and then with the other; the printed total stands beside both."""
    shapes = (row.beam.shape, *(shape for shape in SHAPES if shape != row.beam.shape))
    return [
        HighLink(
            name=name,
            row=replace(row, beam=replace(row.beam, shape=shape)),
            elevation_deg=elevation_deg,
            paper_db=row.paper_db if paper else None,
            note=note,
        )
        for shape in shapes
    ]

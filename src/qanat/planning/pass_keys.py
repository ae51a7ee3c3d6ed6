"""The key of every pass of many satellites over many stations, by the budget of ``qanat pass``, quickly.

What light gives per second depends on the loss alone. So the link model is asked once per station on a grid of losses
(``LightCurve``), and a cubic through the logarithms stands for it in between. Of each pass the parts by night are taken
at Gauss-Legendre moments: places from the orbit, losses from ``orbits.downlink``, counts from the curve, and the sums
of counts go to the proof together. Counts are within 1e-5 of those of a pass looked at second by second; a test holds
that.

Left out: the tracking camera, which follows all along a usual pass. One part of a pass makes one block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from qanat.ground.errors import BadParameter
from qanat.orbits.downlink import Downlink, link_budget
from qanat.orbits.earth import direction, sidereal_angle_rad, to_earth_fixed
from qanat.orbits.passes import PassTable, Span, find_passes
from qanat.orbits.propagation import Orbit
from qanat.orbits.stations import Station
from qanat.orbits.sun import Light, light_at, nights
from qanat.orbits.track import Track
from qanat.physics.analytic import link_model
from qanat.physics.system_record import QKDSystem
from qanat.protocols.decoy import BasisCountArrays, DecoyCountArrays, SecurityParameters
from qanat.protocols.prediction import protocol_of
from qanat.protocols.proofs import proof_named

Floats = NDArray[np.float64]
Whole = NDArray[np.int32]

CURVE_DB: Final = np.arange(0.0, 100.5, 0.5)
"""Where the link model is asked; a greater loss is taken for the last, where nothing but noise is left."""
NUM_MOMENTS: Final = 32
"""Per part of a pass."""
LEAST_S: Final = 1.0
"""Shorter parts are dropped: nothing is acquired in them."""
MOST_S: Final = 3600.0
"""Longer parts, of high orbits, are cut, so that a satellite can serve several stations in one night."""


@dataclass(frozen=True, slots=True)
class StationLink:
    """What a station needs for a pass: the way down, and the system of the satellite's source and its receiver."""

    downlink: Downlink
    system: QKDSystem


class LightCurve:
    """Sifted events and wrong ones per second of a system, by the loss of the link."""

    def __init__(self, system: QKDSystem) -> None:
        rate_hz = system.source.pulse_rate_hz
        models = [link_model(system, loss_db=float(loss_db)) for loss_db in CURVE_DB]
        rates = [(one.sifted_per_pulse() * rate_hz, one.sifted_errors_per_pulse() * rate_hz) for one in models]
        self._logs = CubicSpline(CURVE_DB, np.log(np.maximum(np.array(rates), 1e-300)))

    def per_second(self, loss_db: Floats) -> Floats:
        """Return counts per second, shape (*loss, 2, 3, 2): sifted and wrong, by intensity, by basis."""
        return np.asarray(np.exp(self._logs(np.minimum(loss_db, CURVE_DB[-1]))))


@dataclass(frozen=True)
class PassKeys:
    """Parts of passes by night with what they give, as columns of the length n in order of their begin.

    start_utc_s, end_utc_s: of the part. max_elevation_deg, min_range_km: of the whole pass. sunlit: whether the
    satellite is out of the Earth's umbra in the middle of the part. counts: float64, shape (n, 2, 3, 2), as
    ``LightCurve`` has them. secret_bits: of the part as one block, whole, 0 where it gives none.
    """

    satellites: tuple[str, ...]
    stations: tuple[Station, ...]
    satellite: Whole
    station: Whole
    start_utc_s: Floats
    end_utc_s: Floats
    max_elevation_deg: Floats
    min_range_km: Floats
    sunlit: NDArray[np.bool_]
    counts: Floats
    secret_bits: Floats

    def __len__(self) -> int:
        return self.start_utc_s.size

    def where(self, kept: NDArray[np.bool_]) -> PassKeys:
        """Return those that are kept, bool of the shape (n,)."""
        columns = {
            one.name: getattr(self, one.name)[kept]
            for one in fields(self)
            if one.name not in ("satellites", "stations")
        }
        return replace(self, **columns)

    @property
    def middle_utc_s(self) -> Floats:
        return 0.5 * (self.start_utc_s + self.end_utc_s)

    @property
    def sifted_bits(self) -> Floats:
        """Signal events with equal bases, shape (n,)."""
        return np.asarray(self.counts[:, 0, 0].sum(axis=-1))

    @property
    def qber(self) -> Floats:
        """Error rate of the sifted bits, shape (n,)."""
        return np.asarray(self.counts[:, 1, 0].sum(axis=-1) / np.maximum(self.sifted_bits, 1e-300))


def pass_keys(
    orbits: Sequence[Orbit],
    stations: Sequence[Station],
    links: Sequence[StationLink],
    span: Span,
    *,
    min_elevation_deg: float | Sequence[float],
    depression_deg: float | None,
    proof: str = "hoeffding",
    f_ec: float = 1.1,
    most_s: float = MOST_S,
    slew_s: float = 0.0,
) -> PassKeys:
    """Return all parts of passes while the Sun is ``depression_deg`` below the station's horizon, with their key.

    links: of each station. depression_deg None: the Sun is not asked, so that day counts as night. Parts longer than
    ``most_s``, of high orbits, are cut into equal ones, each ``slew_s`` before the next, so that any two can follow
    each other with a turn between. Raises BadParameter and RequestError for what cannot be searched (``find_passes``,
    ``nights``).
    """
    if len(links) != len(stations):
        raise BadParameter(f"{len(links)} links for {len(stations)} stations", remedy="give each station its own")
    table = find_passes(orbits, stations, span, min_elevation_deg=min_elevation_deg)
    whose, begin, end = _cut(*_dark_parts(table, span, depression_deg), most_s=most_s, slew_s=slew_s)
    satellite, station = table.satellite[whose], table.station[whose]
    range_km, elevation_deg, sunlit = _seen(orbits, table.stations, satellite, station, begin, end)
    counts = _counts(links, station, range_km, elevation_deg, end - begin)
    secret = np.zeros(whose.size)
    for number, link in enumerate(links):
        mine = station == number
        secret[mine] = secret_bits(counts[mine], link.system, proof=proof, f_ec=f_ec)
    order = np.lexsort((station, satellite, begin))
    return PassKeys(
        satellites=table.satellites,
        stations=table.stations,
        satellite=satellite[order],
        station=station[order],
        start_utc_s=begin[order],
        end_utc_s=end[order],
        max_elevation_deg=table.max_elevation_deg[whose][order],
        min_range_km=table.min_range_km[whose][order],
        sunlit=sunlit[order],
        counts=counts[order],
        secret_bits=secret[order],
    )


def secret_bits(counts: Floats, system: QKDSystem, *, proof: str, f_ec: float) -> Floats:
    """Return the secret length of many blocks, whole and 0 or more; counts: (n, 2, 3, 2). Raises RequestError for an
    unknown proof."""
    chosen, protocol = proof_named(proof), protocol_of(system)
    if not counts.shape[0]:
        return np.zeros(0)
    whole = np.rint(counts)
    clicks, errors = whole[:, 0], np.minimum(whole[:, 1], whole[:, 0])
    one, other = (_basis(clicks[..., basis], errors[..., basis], 1 - protocol.signal_disclosed) for basis in (0, 1))
    arrays = DecoyCountArrays(one, other)
    leaked = chosen.leaked_bits(arrays, f_ec=f_ec)
    with np.errstate(divide="ignore", invalid="ignore"):  # blocks without any count
        reckoned = chosen.reckon(arrays, protocol, SecurityParameters(), leaked)
    length: Floats = np.floor(np.maximum(np.nan_to_num(np.asarray(reckoned.length), nan=0.0), 0.0))
    return length


def _basis(clicks: Floats, errors: Floats, undisclosed: float) -> BasisCountArrays:
    signal, decoy, vacuum = np.moveaxis(clicks, -1, 0)
    wrong = np.moveaxis(errors, -1, 0)
    return BasisCountArrays(
        (signal, decoy, vacuum), (wrong[0], wrong[1], wrong[2]), key_bits=np.rint(signal * undisclosed)
    )


def _dark_parts(table: PassTable, span: Span, depression_deg: float | None) -> tuple[Whole, Floats, Floats]:
    """Return of which pass, begin and end of every part that is dark at its station."""
    whose, begins, ends = [], [], []
    rise, sets, station = table.rise_utc_s, table.set_utc_s, table.station
    for number, place in enumerate(table.stations):
        dark = np.array([[span.start_utc_s, span.end_utc_s]])
        if depression_deg is not None:
            dark = nights(place, start_utc_s=span.start_utc_s, end_utc_s=span.end_utc_s, depression_deg=depression_deg)
        mine = np.flatnonzero(station == number)
        first = np.searchsorted(dark[:, 1], rise[mine], side="right")
        num_parts = np.maximum(np.searchsorted(dark[:, 0], sets[mine], side="left") - first, 0)
        repeated = np.repeat(mine, num_parts)
        since = np.arange(repeated.size) - np.repeat(np.cumsum(num_parts) - num_parts, num_parts)
        night = np.repeat(first, num_parts) + since
        whose.append(repeated)
        begins.append(np.maximum(rise[repeated], dark[night, 0]))
        ends.append(np.minimum(sets[repeated], dark[night, 1]))
    empty = np.empty(0)
    return (
        np.concatenate([empty, *whose]).astype(np.int32),
        np.concatenate([empty, *begins]),
        np.concatenate([empty, *ends]),
    )


def _cut(whose: Whole, begin: Floats, end: Floats, *, most_s: float, slew_s: float) -> tuple[Whole, Floats, Floats]:
    """Return the parts without those that are too short, the long ones in pieces."""
    if not most_s >= slew_s + LEAST_S:
        raise BadParameter(f"pieces of {most_s:g} s leave no light", remedy="give more than the slew and a second")
    num_pieces = np.ceil((end - begin) / most_s - 1e-9).astype(np.int64)
    piece_s = np.repeat((end - begin) / np.maximum(num_pieces, 1), num_pieces)
    number = np.arange(piece_s.size) - np.repeat(np.cumsum(num_pieces) - num_pieces, num_pieces)
    is_last = number == np.repeat(num_pieces, num_pieces) - 1
    begins = np.repeat(begin, num_pieces) + number * piece_s
    ends = begins + piece_s - np.where(is_last, 0.0, slew_s)
    kept = ends - begins >= LEAST_S
    return np.repeat(whose, num_pieces)[kept], begins[kept], ends[kept]


def _seen(
    orbits: Sequence[Orbit], stations: Sequence[Station], satellite: Whole, station: Whole, begin: Floats, end: Floats
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return range (km) and elevation (deg) at the moments of each part, (n, NUM_MOMENTS), and whether it is sunlit."""
    knots, _ = np.polynomial.legendre.leggauss(NUM_MOMENTS)
    moments = 0.5 * (begin + end)[:, None] + 0.5 * (end - begin)[:, None] * knots
    range_km, elevation_deg = np.empty(moments.shape), np.empty(moments.shape)
    sunlit = np.empty(begin.size, dtype=np.bool_)
    places = np.array([one.fixed_km for one in stations]).reshape(-1, 3)
    axes = np.array([one.axes for one in stations]).reshape(-1, 3, 3)
    for number, orbit in enumerate(orbits):
        mine = np.flatnonzero(satellite == number)
        if not mine.size:
            continue
        utc_s = moments[mine]
        inertial, _ = orbit.inertial(utc_s.ravel())
        fixed = to_earth_fixed(inertial, sidereal_angle_rad(utc_s.ravel())).reshape(*utc_s.shape, 3)
        seen = fixed - places[station[mine], None]
        _, elevation, range_km[mine] = direction(seen, axes[station[mine], None])
        elevation_deg[mine] = np.maximum(elevation, 0.0)  # a rise at a mask of 0 may be rounded below the horizon
        middle = inertial.reshape(*utc_s.shape, 3)[:, NUM_MOMENTS // 2]
        sunlit[mine] = light_at(middle, utc_s[:, NUM_MOMENTS // 2]) != Light.UMBRA
    return range_km, elevation_deg, sunlit


def _counts(
    links: Sequence[StationLink], station: Whole, range_km: Floats, elevation_deg: Floats, duration_s: Floats
) -> Floats:
    """Return the counts of each part, (n, 2, 3, 2)."""
    _, weights = np.polynomial.legendre.leggauss(NUM_MOMENTS)
    counts = np.zeros((station.size, 2, 3, 2))
    curves: list[tuple[QKDSystem, LightCurve]] = []
    for number, link in enumerate(links):
        mine = np.flatnonzero(station == number)
        if not mine.size:
            continue
        curve = next((one for system, one in curves if _is_same_light(system, link.system)), None)
        if curve is None:
            curve = LightCurve(link.system)
            curves.append((link.system, curve))
        losses_db = link_losses_db(link, range_km=range_km[mine].ravel(), elevation_deg=elevation_deg[mine].ravel())
        rates = curve.per_second(losses_db.reshape(mine.size, NUM_MOMENTS))
        counts[mine] = np.einsum("k,nk...->n...", weights / 2, rates) * duration_s[mine, None, None, None]
    return counts


def _is_same_light(one: QKDSystem, other: QKDSystem) -> bool:
    """Return whether two systems have the same source and receiver, whatever they are called."""
    return one is other or (one.source == other.source and one.receiver == other.receiver)


def link_losses_db(link: StationLink, *, range_km: Floats, elevation_deg: Floats) -> Floats:
    """Return the losses of the link, without what the receiver takes (dB), at places of shape (n,)."""
    nothing = np.zeros(range_km.size)
    track = Track("any", "any", nothing, range_km, elevation_deg, nothing, nothing, nothing.astype(np.bool_))
    return link_budget(track, link.downlink, link.system).link_loss_db(link.system)

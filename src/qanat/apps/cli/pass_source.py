"""Where the pass of ``qanat pass`` comes from: a CSV file, a satellite's elements and a date, or a circular orbit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qanat.apps.cli.passes_sources import satellites_named, stations_named, unknown_name
from qanat.ground.errors import ConfigurationError, RequestError
from qanat.orbits.circular import circular_track
from qanat.orbits.constellations import is_typed_orbit
from qanat.orbits.described import Pass, describe
from qanat.orbits.earth import DAY_S, utc_s_of, utc_text
from qanat.orbits.passes import Span, find_passes
from qanat.orbits.propagation import Orbit, check_age
from qanat.orbits.stations import Station, packaged_stations
from qanat.orbits.sun import Light
from qanat.orbits.track import Track, follow
from qanat.orbits.track_csv import read_track, station_in
from qanat.physics.telescope import GROUND_TELESCOPES, XINGLONG_2017, GroundTelescope, ground_telescope

MOST_STEPS: Final = 100_000
USUAL: Final = "micius"
"""The satellite of a date without ``--satellite``."""
USUAL_STATION: Final = "nanshan"
"""Where neither ``--station`` nor the file of a pass names one."""
SUN_BELOW_DEG: Final = 12.0
"""Night, for the warning that a pass is not dark: end of nautical twilight."""


@dataclass(frozen=True, slots=True)
class PassSource:
    """What was asked of a pass. date None: a circular orbit, unless ``track`` names a file. satellite None: Micius
    where there is a date. station None: not given. number: which pass of the 24 hours from ``date`` on, from 1; None:
    the highest that is dark."""

    satellite: str | None = None
    station: str | None = None
    track: Path | None = None
    date: str | None = None
    number: int | None = None
    accept_stale: bool = False
    max_elevation_deg: float = 80.0
    min_elevation_deg: float = 5.0
    altitude_km: float = 500.0
    step_s: float = 1.0

    def __post_init__(self) -> None:
        if not self.step_s > 0:
            raise RequestError(f"a step of {self.step_s:g} s is none", remedy="give seconds above 0")
        if 10_000 / self.step_s > MOST_STEPS:
            raise RequestError(f"steps of {self.step_s:g} s are too many", remedy="give 0.1 s or more")
        if self.track is not None and self.date is not None:
            raise RequestError("a pass comes from --track or from --date", remedy="leave one of them out")
        self._check_unused()

    def _check_unused(self) -> None:
        """Raise RequestError for an option that would count for nothing with where the pass is from."""
        plain = {one.name: one.default for one in fields(PassSource)}
        circle = ("max_elevation_deg", "altitude_km")
        unused: tuple[str, ...] = ()
        if self.track is not None:
            unused = (*circle, "min_elevation_deg", "step_s", "number", "accept_stale")
        elif self.date is not None:
            unused = circle
        else:
            unused = ("number", "accept_stale")
        for name in unused:
            if getattr(self, name) != plain[name]:
                where = "--track" if self.track is not None else "--date" if self.date is not None else "no --date"
                option = "--" + name.removesuffix("_deg").replace("_", "-")
                raise RequestError(f"{option} counts for nothing with {where}", remedy=f"leave {option} out")


@dataclass(frozen=True, slots=True)
class FoundPass:
    """The pass: its track, the telescope it is over, measured losses (term -> dB), what to warn of, and what is told
    of it where it is dated, with ``passes``: all of those 24 hours."""

    track: Track
    ground: GroundTelescope
    measured: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    told: Pass | None = None
    passes: Sequence[Pass] = ()


def telescope_of(name: str) -> GroundTelescope:
    """Return the telescope of a station: one with optics of its own, or of a file's or packaged station.

    A station of a file has the optics of Nanshan behind its own aperture and splitter. Raises ConfigurationError.
    """
    if name.lower() in GROUND_TELESCOPES:
        return ground_telescope(name)
    if not ("," in name or Path(name).exists()):
        raise unknown_name(name, what="ground station", known=GROUND_TELESCOPES, else_="name a station's file")
    place = _one_station(name)
    ground = optics_of(place)
    if ground is None:
        raise ConfigurationError(
            f"station {place.name!r} has no telescope", remedy="give telescope_m and z_share in its file"
        )
    return ground


def optics_of(place: Station) -> GroundTelescope | None:
    """Return the telescope of a station: its own optics where it is packaged, else Nanshan's behind its own aperture
    and splitter; None where it has none."""
    if place == packaged_stations().get(place.name):
        return ground_telescope(place.name)
    if place.telescope_m is None or place.z_share is None:
        return None
    return GroundTelescope(
        name=place.name,
        diameter_m=place.telescope_m,
        p_rectilinear=place.z_share,
        provenance={
            **{
                what: f"taken over from Nanshan: {origin}"
                for what, origin in GROUND_TELESCOPES["nanshan"].provenance.items()
            },
            "diameter_m": "input: the station's file",
            "p_rectilinear": "input: the station's file",
        },
    )


def found_pass(source: PassSource) -> FoundPass:
    """Return the pass that is meant; raises ConfigurationError and RequestError, which say what to give instead."""
    if source.track is not None:
        text = _read(source.track)
        label = source.track.name if source.satellite is None else _label(source.satellite, source.track.name)
        ground = _telescope_of_track(source, station_in(text, source=str(source.track)))
        track, measured = read_track(text, source=str(source.track), satellite=label, station=ground.name)
        return FoundPass(track, ground, measured)
    station = USUAL_STATION if source.station is None else source.station
    ground = telescope_of(station)
    if source.date is not None:
        return _dated(source, source.date, station, ground)
    if source.satellite is not None:
        _refuse_undated(source.satellite)
    track = circular_track(
        altitude_km=source.altitude_km,
        max_elevation_deg=source.max_elevation_deg,
        least_elevation_deg=source.min_elevation_deg,
        step_s=source.step_s,
        satellite=f"a circle {source.altitude_km:g} km high",
        station=ground.name,
    )
    return FoundPass(track, ground)


def _label(label: str, track: str) -> str:
    """Return the name of a track's satellite; raises RequestError for an orbit or a file, which would look used."""
    if not label.strip():
        raise RequestError("an empty name", remedy="name the satellite, or leave --satellite out")
    if is_typed_orbit(label) or Path(label).is_file():
        raise RequestError(
            f"--satellite {label} counts for nothing: the satellite is where {track} says",
            remedy="leave --satellite out, or give it a plain name",
        )
    return label


def _refuse_undated(satellite: str) -> None:
    """Raise ConfigurationError for a name that is no satellite, RequestError for one: when it passes is not said."""
    satellites_named(satellite, start_utc_s=0.0)
    raise RequestError(
        f"--satellite {satellite} counts for nothing without a date: when it passes is not said",
        remedy="give the day with --date, such as --date 2016-12-19T10:00; or leave --satellite out for a circle by "
        "--altitude-km and --max-elevation",
    )


def _telescope_of_track(source: PassSource, written: str) -> GroundTelescope:
    """Return the telescope of the station that the file of a pass was written for, or that was given with it. Raises
    RequestError where these are two, or where the file names a station whose optics are in a file of its own."""
    if source.station is None:
        if written and written not in GROUND_TELESCOPES:
            raise RequestError(
                f"{source.track} is of a pass over {written!r}, whose telescope is not known here",
                remedy="give the file of that station with --station",
            )
        return telescope_of(written or USUAL_STATION)
    ground = telescope_of(source.station)
    if written and written != ground.name:
        raise RequestError(
            f"{source.track} is of a pass over {written!r}, and --station says {ground.name!r}",
            remedy="leave --station out; or take the column 'station' out of the file, if the same places and times "
            f"are meant over {ground.name!r}",
        )
    return ground


def _dated(source: PassSource, date: str, station: str, ground: GroundTelescope) -> FoundPass:
    start_utc_s = utc_s_of(date)
    span = Span(start_utc_s, start_utc_s + DAY_S)
    place = _one_station("xinglong" if ground == XINGLONG_2017 else station)
    orbit = _one_orbit(USUAL if source.satellite is None else source.satellite, start_utc_s)
    stale = check_age(orbit, start_utc_s=span.start_utc_s, end_utc_s=span.end_utc_s, accept_stale=source.accept_stale)
    table = find_passes([orbit], [place], span, min_elevation_deg=source.min_elevation_deg)
    told = describe(table, [orbit], span, depression_deg=SUN_BELOW_DEG)
    chosen = _chosen(told, source, date)
    track = follow(
        orbit,
        place,
        start_utc_s=chosen.rise_utc_s + source.step_s / 2,
        end_utc_s=chosen.set_utc_s - source.step_s / 2,
        step_s=source.step_s,
    )
    warnings = [stale] if stale else []
    if not chosen.dark:
        warnings.append(
            f"{place.name} is not dark during this pass (Sun at {chosen.sun_elevation_deg:.0f} degrees): the "
            "background of the day is not in the model, so read the figures as those of the same pass by night"
        )
    elif chosen.light[1] != Light.UMBRA:
        warnings.append(
            f"the satellite is not in the Earth's umbra at its culmination: what light it throws into {place.name}'s "
            "telescope is not in the model"
        )
    return FoundPass(track, ground, warnings=tuple(warnings), told=chosen, passes=told)


def _chosen(told: Sequence[Pass], source: PassSource, date: str) -> Pass:
    if not told:
        raise RequestError(
            f"no pass of {source.satellite or USUAL} above {source.min_elevation_deg:g} degrees in the 24 hours from "
            f"{date}",
            remedy="take another date or a lower --min-elevation; `qanat passes` lists what there is",
        )
    if source.number is None:
        return max(told, key=lambda one: (one.dark, one.max_elevation_deg))
    if not 1 <= source.number <= len(told):
        raise RequestError(
            f"there is no pass number {source.number} from {date} on", remedy=f"there are {listed_passes(told)}"
        )
    return told[source.number - 1]


def listed_passes(passes: Sequence[Pass]) -> str:
    """Return the passes by number in a line: rise, greatest elevation, whether it is dark."""
    return "; ".join(
        f"{place}: {utc_text(one.rise_utc_s, digits=0)}, {one.max_elevation_deg:.1f} degrees, "
        f"{'dark' if one.dark else 'partly dark' if one.dark_parts else 'not dark'}"
        for place, one in enumerate(passes, start=1)
    )


def _one_orbit(name: str, start_utc_s: float) -> Orbit:
    orbits = satellites_named(name, start_utc_s=start_utc_s)
    if len(orbits) != 1:
        raise RequestError(
            f"{name} has {len(orbits)} satellites, a pass has one", remedy="name a file with one satellite's elements"
        )
    return orbits[0]


def _one_station(name: str) -> Station:
    stations = stations_named(name)
    if len(stations) != 1:
        raise RequestError(
            f"{name} has {len(stations)} stations, a pass has one", remedy="name a file with one station"
        )
    return stations[0]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else "it is no text"
        raise ConfigurationError(f"cannot read {path}: {why}", remedy="name a CSV file of a pass") from None

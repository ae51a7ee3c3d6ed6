"""Satellites and stations as they are named on a command line: files, packaged names, or typed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import yaml

from qanat.ground.errors import ConfigurationError
from qanat.ground.network.names import nearest
from qanat.orbits.constellations import FORMS, is_typed_orbit, orbits_typed
from qanat.orbits.elements import packaged_elements, packaged_names, read_elements
from qanat.orbits.propagation import Orbit, Sgp4Orbit
from qanat.orbits.stations import Station, packaged_stations, station_typed, stations_of


def satellites_named(name: str, *, start_utc_s: float) -> list[Orbit]:
    """Return the satellites of a file, of a packaged element set or of a typed orbit; raises ConfigurationError.

    Typed orbits have their node and phase at ``start_utc_s``.
    """
    if is_typed_orbit(name):
        return list(orbits_typed(name, start_utc_s=start_utc_s))
    if name.lower() in packaged_names():
        return [Sgp4Orbit(packaged_elements(name.lower()))]
    text = _read(name, what="satellite", known=packaged_names(), else_=f"name a file of elements, or write {FORMS}")
    return [Sgp4Orbit(elements) for elements in read_elements(text, source=name)]


def stations_named(name: str) -> list[Station]:
    """Return the stations of a file, a packaged one, or one typed as LAT,LON,ALT; raises ConfigurationError."""
    packaged = packaged_stations()
    if name.lower() in packaged:
        return [packaged[name.lower()]]
    if "," in name and not Path(name).exists():
        return [station_typed(name)]
    text = _read(name, what="station", known=packaged, else_="name a file of stations, or write LAT,LON,ALT")
    try:
        records = yaml.safe_load(text)  # JSON too
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        where = name if mark is None else f"{name}, line {mark.line + 1}"
        why = getattr(fault, "problem", None) or "it cannot be read"
        raise ConfigurationError(
            f"{where}: no YAML: {why}", remedy="see docs/reference-passes.md for a file of stations"
        ) from None
    return stations_of(records, source=name)


def unknown_name(name: str, *, what: str, known: Collection[str], else_: str) -> ConfigurationError:
    """Return the error over a name that is none of those that come with the package: which was meant, or what else."""
    return ConfigurationError(f"there is no {what} {name!r}", remedy=f"{nearest(name.lower(), known)} (or {else_})")


def _read(name: str, *, what: str, known: Collection[str], else_: str) -> str:
    remedy = f"name one of {', '.join(known)}, or {else_}"
    if not name.strip():
        raise ConfigurationError("an empty name", remedy=remedy)
    if not _is_path(name):
        raise unknown_name(name, what=what, known=known, else_=else_)
    try:
        return Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigurationError(f"cannot read {name}: it is no text", remedy=remedy) from None
    except (OSError, ValueError) as fault:
        why = getattr(fault, "strerror", None) or "no file can be called so"
        raise ConfigurationError(f"cannot read {name}: {why}", remedy=remedy) from None


def _is_path(name: str) -> bool:
    """Return whether a file is meant: there is one, or the name has a folder or an ending."""
    try:
        return Path(name).exists() or "/" in name or Path(name).suffix != ""
    except (OSError, ValueError):  # too long, or a zero in it: reading it says so
        return True

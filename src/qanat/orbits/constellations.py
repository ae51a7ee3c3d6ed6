"""Walker constellations: t satellites in p equally spaced planes, with f steps of phase from plane to plane.

Delta: the nodes go round the whole equator; star: round half of it, so that the planes meet over the poles (Walker,
J. Br. Interplanet. Soc. 37, 559, 1984).
"""

from __future__ import annotations

import re
from typing import Final, Literal

from qanat.ground.errors import BadParameter
from qanat.orbits.analytic import CircularOrbit, geostationary

Pattern = Literal["delta", "star"]
MOST_SATELLITES: Final = 10_000
FORMS: Final = (
    "circular:ALTITUDE_KM,INCLINATION[,NODE[,PHASE]]; geo:LONGITUDE; "
    "walker-delta:ALTITUDE_KM,INCLINATION,T/P/F; walker-star:ALTITUDE_KM,INCLINATION,T/P/F"
)


def walker(
    name: str,
    *,
    pattern: Pattern,
    altitude_km: float,
    inclination_deg: float,
    num_satellites: int,
    num_planes: int,
    phasing: int,
    start_utc_s: float,
) -> list[CircularOrbit]:
    """Return the satellites, plane by plane, named ``name-PLANE-PLACE`` from 1; raises BadParameter.

    Satellite j of plane k has its node at k S / p (S: 360 degrees, of a star 180) and its phase at 360 (j p + k f) / t.
    """
    if num_satellites > MOST_SATELLITES:
        raise BadParameter(f"{num_satellites} satellites are too many", remedy=f"give at most {MOST_SATELLITES:,}")
    if not (1 <= num_planes <= num_satellites and num_satellites % num_planes == 0):
        raise BadParameter(
            f"{num_satellites} satellites cannot be spread over {num_planes} planes",
            remedy="give as many to each plane: T a multiple of P",
        )
    if not 0 <= phasing < num_planes:
        raise BadParameter(f"a phasing of {phasing} among {num_planes} planes", remedy="give F from 0 to P - 1")
    spread_deg = 360.0 if pattern == "delta" else 180.0
    return [
        CircularOrbit(
            name=f"{name}-{plane + 1}-{place + 1}",
            altitude_km=altitude_km,
            inclination_deg=inclination_deg,
            node_deg=spread_deg * plane / num_planes,
            phase_deg=360.0 * ((place * num_planes + plane * phasing) % num_satellites) / num_satellites,
            start_utc_s=start_utc_s,
        )
        for plane in range(num_planes)
        for place in range(num_satellites // num_planes)
    ]


def is_typed_orbit(text: str) -> bool:
    """Return whether a text is one of ``FORMS`` by its first word."""
    return re.match(r"(circular|geo|walker-delta|walker-star):", text) is not None


def orbits_typed(text: str, *, start_utc_s: float) -> list[CircularOrbit]:
    """Return the satellites of a text in one of ``FORMS``; raises BadParameter, which shows the forms."""
    kind, _, rest = text.partition(":")
    parts = rest.split(",")
    try:
        if kind == "geo":
            return [geostationary(text, longitude_deg=_longitude(rest), start_utc_s=start_utc_s)]
        if kind == "circular" and 2 <= len(parts) <= 4:
            altitude, inclination, node, phase = (*map(float, parts), 0.0, 0.0)[:4]
            return [CircularOrbit(text, altitude, inclination, node, phase, start_utc_s)]
        if kind in ("walker-delta", "walker-star") and len(parts) == 3:
            total, planes, phasing = map(int, parts[2].split("/"))
            return walker(
                kind,
                pattern="delta" if kind == "walker-delta" else "star",
                altitude_km=float(parts[0]),
                inclination_deg=float(parts[1]),
                num_satellites=total,
                num_planes=planes,
                phasing=phasing,
                start_utc_s=start_utc_s,
            )
    except ValueError:
        pass
    raise BadParameter(f"{text!r} is no orbit", remedy=f"write one of {FORMS}")


def _longitude(text: str) -> float:
    longitude_deg = float(text)
    if not -180 <= longitude_deg <= 360:
        raise BadParameter(f"a longitude of {longitude_deg:g} degrees", remedy="give -180 to 360, east above zero")
    return longitude_deg

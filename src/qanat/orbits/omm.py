"""Orbit mean-elements messages (CCSDS 502.0-B-3) as CelesTrak and Space-Track publish them: JSON, XML, key = value."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as Tree
from calendar import isleap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from sgp4.api import WGS72, Satrec

from qanat.ground.errors import ConfigurationError
from qanat.orbits.earth import DAY_S, POSIX_JD

SGP4_EPOCH_JD: Final = 2_433_281.5
"""1949-12-31 00:00, from which SGP4 counts days."""

RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "MEAN_MOTION": (0.0, 18.0),
    "ECCENTRICITY": (0.0, 0.999_999_9),
    "INCLINATION": (0.0, 180.0),
    "RA_OF_ASC_NODE": (0.0, 360.0),
    "ARG_OF_PERICENTER": (0.0, 360.0),
    "MEAN_ANOMALY": (0.0, 360.0),
    "BSTAR": (-10.0, 10.0),
}
"""Fields that must be there, in revolutions a day, degrees, and per Earth radius."""

RULES: Final[Mapping[str, frozenset[str]]] = {
    "REF_FRAME": frozenset({"TEME"}),
    "TIME_SYSTEM": frozenset({"UTC"}),
    "MEAN_ELEMENT_THEORY": frozenset({"SGP4", "SGP/SGP4"}),
    "CENTER_NAME": frozenset({"EARTH"}),
}
"""What a field must say where it stands: SGP4 knows nothing else."""


MANY: Final = frozenset({"COMMENT", "USER_DEFINED"})
"""Elements of the XML form that may stand in a message several times."""
DAY_OF_YEAR: Final = re.compile(r"(\d{4})-(\d{3})T(\d{2}):(\d{2}):(\d{2}(?:\.\d*)?)")
"""The other form of a moment in CCSDS messages (301.0-B-4, ASCII time code B), such as 2016-354T13:39:32."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MeanElements:
    """One message, ready for SGP4."""

    name: str
    number: int
    satrec: Satrec


def looks_like_omm(text: str) -> bool:
    """Return whether a text is no two-line elements but one of the forms of an OMM."""
    return text.lstrip("\ufeff \t\r\n").startswith(("{", "[", "<", "CCSDS_OMM_VERS"))


def elements_of_omm(text: str, *, source: str) -> list[MeanElements]:
    """Return the messages of a text. Raises ConfigurationError with the number of the message and its field."""
    return [
        _elements(fields, f"{source}, message {number}") for number, fields in enumerate(_fields(text, source), start=1)
    ]


def _fields(text: str, source: str) -> Iterator[Mapping[str, str]]:
    text = text.lstrip("\ufeff \t\r\n")
    if text.startswith("<"):
        yield from _from_xml(text, source)
    elif text.startswith("CCSDS"):
        yield from _from_lines(text, source)
    else:
        yield from _from_json(text, source)


def _from_json(text: str, source: str) -> Iterator[Mapping[str, str]]:
    def each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        return dict(_each_once(pairs, source))

    try:
        read = json.loads(text, object_pairs_hook=each_once)
    except ValueError as fault:
        raise ConfigurationError(f"{source}: no JSON: {fault}", remedy="fetch the OMM again") from None
    for message in read if isinstance(read, list) else [read]:
        if not isinstance(message, dict):
            raise ConfigurationError(f"{source}: a message that is no object", remedy="fetch the OMM again")
        yield {str(key): str(value) for key, value in message.items() if value is not None}


def _from_xml(text: str, source: str) -> Iterator[Mapping[str, str]]:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ConfigurationError(f"{source}: an OMM has no document type", remedy="take the declaration out")
    try:
        root = Tree.fromstring(text.encode())  # noqa: S314 - no entities, see above
    except Tree.ParseError as fault:
        raise ConfigurationError(f"{source}: no XML: {fault}", remedy="fetch the OMM again") from None
    for number, body in enumerate(root.iter("segment"), start=1):
        words = (
            (element.tag, element.text.strip()) for element in body.iter() if element.text and element.text.strip()
        )
        yield dict(_each_once([pair for pair in words if pair[0] not in MANY], f"{source}, message {number}"))


def _each_once(pairs: Sequence[tuple[str, T]], where: str) -> Sequence[tuple[str, T]]:
    """Return the pairs; raises ConfigurationError where a field stands twice: nobody knows which is meant."""
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(
                f"{where}: {name} stands twice in one message", remedy="leave the right one, or fetch the OMM again"
            )
    return pairs


def _from_lines(text: str, source: str) -> Iterator[Mapping[str, str]]:
    """Yield the messages of KVN; each begins with its version."""
    fields: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.strip()
        if not words or words.startswith("COMMENT"):
            continue
        key, equals, value = words.partition("=")
        if not equals:
            raise ConfigurationError(f"{source}, line {number}: no '=' in {words[:30]!r}", remedy="write KEY = VALUE")
        if key.strip() == "CCSDS_OMM_VERS" and fields:
            yield fields
            fields = {}
        if key.strip() in fields:
            raise ConfigurationError(
                f"{source}, line {number}: {key.strip()} stands twice in one message",
                remedy="leave the right one; a further message begins with CCSDS_OMM_VERS",
            )
        fields[key.strip()] = value.partition("[")[0].strip()  # a unit may follow in brackets
    yield fields


def _elements(fields: Mapping[str, str], where: str) -> MeanElements:
    if missing := sorted({*RANGES, "EPOCH", "NORAD_CAT_ID"} - set(fields)):
        raise ConfigurationError(f"{where}: no {', '.join(missing)}", remedy="fetch the OMM again, whole")
    for key, allowed in RULES.items():
        if key in fields and fields[key].upper() not in allowed:
            raise ConfigurationError(
                f"{where}: {key} is {fields[key]}", remedy=f"only {', '.join(sorted(allowed))} can be used here"
            )
    numbers = {key: _number(fields, key, where, *limits) for key, limits in RANGES.items()}
    number = int(_number(fields, "NORAD_CAT_ID", where, 0, 999_999_999))
    satrec = _satrec(numbers, _epoch_days(fields["EPOCH"], where), number)
    if satrec.error or not numbers["MEAN_MOTION"] > 0:
        raise ConfigurationError(
            f"{where}: SGP4 takes no such elements (error {satrec.error})", remedy="fetch it again"
        )
    return MeanElements(fields.get("OBJECT_NAME", str(number)), number, satrec)


def _satrec(numbers: Mapping[str, float], epoch_days: float, number: int) -> Satrec:
    angles = {key: math.radians(numbers[key]) for key in RANGES if key not in ("MEAN_MOTION", "ECCENTRICITY", "BSTAR")}
    satrec = Satrec()
    satrec.sgp4init(
        *(WGS72, "i", number % 340_000, epoch_days, numbers["BSTAR"]),  # a label; the package takes no greater one
        *(0.0, 0.0),  # derivatives of the mean motion: SGP4 does not use them
        *(numbers["ECCENTRICITY"], angles["ARG_OF_PERICENTER"], angles["INCLINATION"], angles["MEAN_ANOMALY"]),
        *(2 * math.pi * numbers["MEAN_MOTION"] / 1440.0, angles["RA_OF_ASC_NODE"]),
    )
    return satrec


def _number(fields: Mapping[str, str], key: str, where: str, least: float, most: float) -> float:
    try:
        value = float(fields[key])
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise ConfigurationError(
            f"{where}: {key} {fields[key]!r} is no number from {least:g} to {most:g}", remedy="fetch the OMM again"
        )
    return value


def _epoch_days(text: str, where: str) -> float:
    """Return the days since ``SGP4_EPOCH_JD``; CCSDS writes the day as month and day or as day of the year."""
    words = text.removesuffix("Z")
    moment = _moment(words)
    if moment is None:
        raise ConfigurationError(
            f"{where}: EPOCH {text!r} is no moment",
            remedy="it is written like 2016-12-19T13:39:33.069248 or 2016-354T13:39:33.069248",
        )
    if moment.tzinfo is not None:  # CCSDS knows none but Z, which is taken off above
        raise ConfigurationError(
            f"{where}: EPOCH {text!r} is at an offset from UTC",
            remedy="write the moment in UTC, with Z or nothing after",
        )
    return moment.replace(tzinfo=UTC).timestamp() / DAY_S + POSIX_JD - SGP4_EPOCH_JD


def _moment(text: str) -> datetime | None:
    """Return the moment of a text; None where it is none."""
    try:
        if found := DAY_OF_YEAR.fullmatch(text):
            year, day, hours, minutes = (int(word) for word in found.groups()[:4])
            first = datetime(year, 1, 1, tzinfo=UTC)
            if not (
                1 <= day <= (366 if isleap(year) else 365) and hours < 24 and minutes < 60 and float(found[5]) < 60
            ):
                return None
            return (first + timedelta(days=day - 1, hours=hours, minutes=minutes, seconds=float(found[5]))).replace(
                tzinfo=None
            )
        return datetime.fromisoformat(text)
    except ValueError:
        return None

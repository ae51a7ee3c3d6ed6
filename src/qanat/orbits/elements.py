"""Element sets from text: two-line elements (TLE), and orbit mean-elements messages (OMM) as JSON, XML or key = value.

TLE: the columns are those of Space Track's and CelesTrak's descriptions of the format; OMM: CCSDS 502.0-B-3. What is
wrong is refused with its line; nothing is guessed, but for the fields of an OMM that do not move the orbit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sgp4.api import WGS72, Satrec

from qanat.ground.data import list_names, read_text
from qanat.ground.errors import ConfigurationError
from qanat.orbits.earth import DAY_S, POSIX_JD
from qanat.orbits.omm import elements_of_omm, looks_like_omm

LINE_LENGTH: Final = 69
PATTERNS: Final[Mapping[str, re.Pattern[str]]] = {
    "1": re.compile(
        r"1 [ 0-9A-HJ-NP-Z][ 0-9]{3}[0-9][ A-Z] .{8} [ 0-9]{2}[ 0-9]{3}\.[0-9]{8} [-+ ][. ][0-9]{8} "
        r"[-+ ][ 0-9]{5}[-+ ][0-9] [-+ ][ 0-9]{5}[-+ ][0-9] [ 0-9] [ 0-9]{4}[0-9]"
    ),
    "2": re.compile(
        r"2 [ 0-9A-HJ-NP-Z][ 0-9]{3}[0-9] [ 0-9]{3}\.[0-9]{4} [ 0-9]{3}\.[0-9]{4} [0-9]{7} [ 0-9]{3}\.[0-9]{4} "
        r"[ 0-9]{3}\.[0-9]{4} [ 0-9]{2}\.[0-9]{8}[ 0-9]{5}[0-9]"
    ),
}
COPY_AGAIN: Final = "copy the two lines again, whole, from where they were published"


@dataclass(frozen=True, slots=True)
class ElementSet:
    """A satellite's mean elements, ready for SGP4. Compare and show by name, number and epoch."""

    name: str
    number: str
    """Of the satellite catalogue."""
    epoch_utc_s: float
    satrec: Satrec

    def __repr__(self) -> str:
        return f"ElementSet({self.name!r}, {self.number}, epoch_utc_s={self.epoch_utc_s})"


def packaged_names() -> list[str]:
    """Return the names of the element sets that come with the package."""
    return list_names("orbits", ".tle")


def packaged_elements(name: str) -> ElementSet:
    """Return an element set that comes with the package; raises ConfigurationError, which lists the names."""
    if name not in packaged_names():
        raise ConfigurationError(
            f"no element set {name!r} is packaged", remedy=f"there are: {', '.join(packaged_names())}"
        )
    return read_elements(read_text("orbits", f"{name}.tle"), source=name)[0]


def read_elements(text: str, *, source: str) -> list[ElementSet]:
    """Return all satellites of a text, whichever of the formats it has. Raises ConfigurationError with the place."""
    if looks_like_omm(text):
        found = [
            ElementSet(one.name, str(one.number), _epoch_utc_s(one.satrec), one.satrec)
            for one in elements_of_omm(text, source=source)
        ]
    else:
        found = list(_from_lines(text, source))
    if not found:
        raise ConfigurationError(f"{source}: no satellite in it", remedy="give two-line elements or an OMM")
    return found


def _from_lines(text: str, source: str) -> Iterator[ElementSet]:
    name, first, where_first = "", "", ""
    for number, whole in enumerate(text.splitlines(), start=1):
        line, where = whole.rstrip(), f"{source}, line {number}"
        if not line or line.startswith("#"):
            continue
        if first:
            yield _pair(name, first, line, where_first, where)
            name = first = ""
        elif re.match(r"1 [ 0-9A-Z]{5}", line) and len(line) > 24:  # a title may begin with a 1 too
            first, where_first = line, where
        elif re.match(r"2 [ 0-9A-Z]{5} ", line) and len(line) > 24:
            raise ConfigurationError(f"{where}: a second line without a first one before it", remedy=COPY_AGAIN)
        elif name:
            raise ConfigurationError(f"{where}: {line[:30]!r} is no line of two-line elements", remedy=COPY_AGAIN)
        else:
            name = line.removeprefix("0 ").strip()
    if first or name:
        raise ConfigurationError(f"{source}: ends after {(first or name)[:30]!r}", remedy=COPY_AGAIN)


def _pair(name: str, first: str, second: str, where_first: str, where_second: str) -> ElementSet:
    _check_line(first, "1", where_first)
    _check_line(second, "2", where_second)
    if first[2:7] != second[2:7]:
        raise ConfigurationError(
            f"{where_second}: satellite number {second[2:7]}, but {first[2:7]} in the line before",
            remedy="the two lines belong to different satellites; " + COPY_AGAIN,
        )
    _check_ranges(first, second, where_first, where_second)
    satrec = Satrec.twoline2rv(first, second, WGS72)
    check_usable(satrec, where_second)
    number = first[2:7].strip()
    return ElementSet(name or number, number, _epoch_utc_s(satrec), satrec)


def _check_line(line: str, kind: str, where: str) -> None:
    if len(line) != LINE_LENGTH:
        raise ConfigurationError(f"{where}: {len(line)} characters, not {LINE_LENGTH}", remedy=COPY_AGAIN)
    if not line.startswith(f"{kind} "):
        raise ConfigurationError(f"{where}: begins with {line[:2]!r}, not with '{kind} '", remedy=COPY_AGAIN)
    due = checksum(line)
    if line[-1] != str(due):
        raise ConfigurationError(
            f"{where}: checksum {line[-1]}, but its characters sum to {due}",
            remedy="a character is wrong; " + COPY_AGAIN,
        )
    if not PATTERNS[kind].fullmatch(line):
        raise ConfigurationError(f"{where}: its columns are not those of two-line elements", remedy=COPY_AGAIN)


def checksum(line: str) -> int:
    """Return the sum of the first 68 characters modulo 10: digits as they are, each minus sign as 1, others as 0."""
    return sum(int(char) if char.isdigit() else char == "-" for char in line[: LINE_LENGTH - 1]) % 10


def _check_ranges(first: str, second: str, where_first: str, where_second: str) -> None:
    _in_range("day of the year", float(first[20:32]), 1.0, 367.0, where_first)
    _in_range("inclination", float(second[8:16]), 0.0, 180.0, where_second)
    for what, columns in (
        ("right ascension of the node", slice(17, 25)),
        ("argument of perigee", slice(34, 42)),
        ("mean anomaly", slice(43, 51)),
    ):
        _in_range(what, float(second[columns]), 0.0, 360.0, where_second)
    _in_range("mean motion", float(second[52:63]), 0.0, 18.0, where_second)


def _in_range(what: str, value: float, least: float, most: float, where: str) -> None:
    if not least <= value <= most:
        raise ConfigurationError(f"{where}: {what} {value:g} is not from {least:g} to {most:g}", remedy=COPY_AGAIN)


def check_usable(satrec: Satrec, where: str) -> None:
    """Raise ConfigurationError where SGP4 cannot begin with these elements."""
    if satrec.error or not satrec.no_kozai > 0:
        raise ConfigurationError(f"{where}: SGP4 takes no such elements (error {satrec.error})", remedy=COPY_AGAIN)


def _epoch_utc_s(satrec: Satrec) -> float:
    return float((satrec.jdsatepoch - POSIX_JD) * DAY_S + satrec.jdsatepochF * DAY_S)

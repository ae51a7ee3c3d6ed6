"""The file of what is foretold of links: maintenance, weather, passes of a satellite.

    {"format": "qanat-forecasts/1",
     "forecasts": [
        {"link": "suzhou-kunshan", "from": "2026-12-01T02:00:00Z", "until": "2026-12-01T04:00:00Z",
         "expected_bits": 0, "why": "splicing at Kunshan"}]}

``expected_bits`` is the secret key that the link will give in that time, both directions together: 0 when it is out.
Where nothing is said it gives what it gives. ``why`` may be left out, and is for people.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from qanat.control.forecasting import Forecasts
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import LinkId
from qanat.ground.network import Network
from qanat.ground.network.names import nearest
from qanat.ground.orders import LinkForecast

FORMAT = "qanat-forecasts/1"
DAY_S = 86_400.0
MOST_BYTES = 4 * 2**20
FIRST_YEAR, LAST_YEAR = 2000, 2099
"""A time outside of these is a slip: of the pen, or of a program that had none to give."""
_ORDER = "mend its times: 'until' comes after 'from'"
_NEEDED = ("link", "from", "until", "expected_bits")
_HINT = 'write {"link": NAME, "from": TIME, "until": TIME, "expected_bits": BITS}, "why" beside it if you like'


def read_forecasts(path: Path, *, network: Network) -> Forecasts:
    """Return what a file foretells of a network's links; raises ConfigurationError, which names the entry at fault."""
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise ConfigurationError(f"cannot read {path}: {fault.strerror}", remedy="check its name and mode") from None
    return parse_forecasts(data, source=str(path), network=network)


def parse_forecasts(data: bytes, *, source: str, network: Network) -> Forecasts:
    """Return what the text of a file foretells; raises ConfigurationError. ``source`` names it in errors."""
    if len(data) > MOST_BYTES:
        raise ConfigurationError(f"{source} has {len(data)} bytes", remedy=f"give at most {MOST_BYTES}")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as fault:
        raise ConfigurationError(f"{source} is no JSON: {fault}", remedy="mend it there") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT or set(found) != {"format", "forecasts"}:
        raise ConfigurationError(
            f"{source} is no file of forecasts", remedy=f'write {{"format": "{FORMAT}", "forecasts": [...]}}'
        )
    rows = found["forecasts"]
    if not isinstance(rows, list):
        raise ConfigurationError(f"{source}: forecasts is no list", remedy=_HINT)
    spans = [_forecast(row, f"{source}, entry {place}", network) for place, row in enumerate(rows, 1)]
    _refuse_overlap(spans, source)
    return Forecasts(spans)


def from_midnight(forecasts: Forecasts) -> Forecasts:
    """Return forecasts in seconds from the midnight (UTC) before the first of them begins, as a run has its time."""
    begin_s = min((one.from_utc_s for one in forecasts), default=0.0) // DAY_S * DAY_S
    return Forecasts(
        replace(one, from_utc_s=one.from_utc_s - begin_s, until_utc_s=one.until_utc_s - begin_s) for one in forecasts
    )


def _forecast(row: object, where: str, network: Network) -> LinkForecast:
    if not isinstance(row, dict) or not set(_NEEDED) <= set(row) <= {*_NEEDED, "why"}:
        missing = [name for name in _NEEDED if not isinstance(row, dict) or name not in row]
        fault = f"lacks {', '.join(missing)}" if missing else "says what no forecast says"
        raise ConfigurationError(f"{where} {fault}", remedy=_HINT)
    found = LinkForecast(
        link_id=_link(row["link"], where, network),
        from_utc_s=_utc_s(row["from"], f"{where}: from"),
        until_utc_s=_utc_s(row["until"], f"{where}: until"),
        expected_bits=_bits(row["expected_bits"], where),
    )
    if found.until_utc_s <= found.from_utc_s:
        raise ConfigurationError(f"{where}: the forecast of {found.link_id!r} ends before it begins", remedy=_ORDER)
    return found


def _refuse_overlap(spans: Sequence[LinkForecast], source: str) -> None:
    """Raise ConfigurationError, which names both entries, where two spans of one link overlap."""
    placed = sorted(enumerate(spans, 1), key=lambda one: (one[1].link_id, one[1].from_utc_s, one[0]))
    for (one, before), (other, after) in pairwise(placed):
        if before.link_id == after.link_id and after.from_utc_s < before.until_utc_s:
            raise ConfigurationError(
                f"{source}, entry {other}: the forecast of {after.link_id!r} overlaps that of entry {one}",
                remedy="let one end before the other begins",
            )


def _link(name: Any, where: str, network: Network) -> LinkId:
    names: Sequence[str] = [link.link_id for link in network.links]
    if name not in names:
        raise ConfigurationError(
            f"{where}: {name!r} is no link of {network.name!r}", remedy=nearest(str(name), list(names))
        )
    return LinkId(name)


def _utc_s(text: Any, where: str) -> float:
    """Return the Unix time of an ISO 8601 text with its offset from UTC."""
    try:
        moment = datetime.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigurationError(
            f"{where} {text!r} is no time with its offset from UTC", remedy="write it like 2026-12-01T02:00:00Z"
        )
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ConfigurationError(
            f"{where} {text!r} lies in the year {moment.year}",
            remedy=f"give a time in the years {FIRST_YEAR} to {LAST_YEAR}; a link that is out for good is taken out of"
            " the network file",
        )
    return moment.timestamp()


def _bits(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigurationError(
            f"{where}: expected_bits {value!r}", remedy="give a whole number, 0 for a link that is out"
        )
    return value

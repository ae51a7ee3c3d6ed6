"""How much one application may ask: requests per second, key bits per day, connections; read from ``limits.toml``.

    [default]
    requests_per_s = 10000
    burst_requests = 20000
    key_bits_per_day = 0          # 0: no quota
    [sae."urn:qanat:three-nodes:sae:alice"]
    key_bits_per_day = 1_000_000

Without the file the defaults hold: they stop a runaway loop and nobody who uses keys. The day is that of UTC.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from qanat.ground.errors import ConfigurationError
from qanat.ground.network.names import nearest

DAY_S = 86_400
MOST = 10**18
"""No limit is larger; a number of hundreds of digits is a slip."""
LIMITS_NAME = "limits.toml"
QUOTA_STEPS = 256
"""A quota is written down ahead in steps of this part of it: a killed process forgets nothing, and counts at most one
step too much."""


@dataclass(frozen=True, slots=True)
class SaeLimits:
    """What one application may do. ``key_bits_per_day`` 0 means no quota."""

    requests_per_s: float = 10_000.0
    burst_requests: float = 20_000.0
    key_bits_per_day: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a door: a default, and what differs for some."""

    default: SaeLimits = SaeLimits()
    of: Mapping[str, SaeLimits] | None = None

    def for_sae(self, sae: str) -> SaeLimits:
        return (self.of or {}).get(sae, self.default)


def read_limits(path: Path, *, saes: Collection[str]) -> Limits:
    """Return what ``path`` says, the defaults when it is not there. ``saes``: all applications of the network. Raises
    ConfigurationError, also for an application that is none: whom it was meant for would have no limits of its own."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Limits()
    except OSError as fault:
        raise ConfigurationError(f"cannot read {path}: {fault.strerror}", remedy="check its owner and mode") from None
    except (ValueError, RecursionError) as fault:
        raise ConfigurationError(f"{path} is no TOML: {fault}", remedy="mend that line") from None
    of = found.pop("sae", {})
    default = _limits(path, "default", found.pop("default", {}), SaeLimits())
    if found or not isinstance(of, dict):
        raise ConfigurationError(
            f"{path}: what is {', '.join(found) or 'sae'}?", remedy='write [default] or [sae."ID"]'
        )
    for sae in of:
        if sae not in saes:
            raise ConfigurationError(f'{path}: [sae."{sae}"] is no application here', remedy=nearest(sae, saes))
    return Limits(default, {sae: _limits(path, sae, one, default) for sae, one in of.items()})


def _limits(path: Path, name: str, said: object, default: SaeLimits) -> SaeLimits:
    known = {field.name for field in fields(SaeLimits)}
    if not isinstance(said, dict) or set(said) - known:
        raise ConfigurationError(
            f"{path}: [{name}] has more than limits", remedy=f"known are {', '.join(sorted(known))}"
        )
    for key, value in said.items():
        low = 0 if key == "key_bits_per_day" else 1
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= value <= MOST or (low == 0 and value != int(value)):
            raise ConfigurationError(
                f"{path}: [{name}] {key} = {str(value)[:40]}", remedy=f"give a number from {low} to {MOST:.0e}"
            )
    return replace(default, **said)


@dataclass(slots=True)
class _Bucket:
    """Requests that may come at once; refilled with time."""

    left: float
    at_s: float

    def take(self, limits: SaeLimits, now_s: float) -> float:
        """Take one request; return 0, or the seconds until there will be one."""
        self.left = min(limits.burst_requests, self.left + max(0.0, now_s - self.at_s) * limits.requests_per_s)
        self.at_s = now_s
        if self.left >= 1:
            self.left -= 1
            return 0.0
        return (1 - self.left) / limits.requests_per_s


class RequestRates:
    """A bucket per application."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}

    def wait_s(self, sae: str, limits: SaeLimits, *, now_monotonic_s: float) -> float:
        """Count a request; return 0 when it may be served, else after how many seconds one may."""
        bucket = self._buckets.get(sae)
        if bucket is None:
            bucket = self._buckets[sae] = _Bucket(limits.burst_requests, now_monotonic_s)
        return bucket.take(limits, now_monotonic_s)


class Quotas:
    """Key bits that each application was given today, remembered in a file.

    A clock that is set back does not begin a new day: the later day counts until it is over.
    """

    def __init__(self, path: Path) -> None:
        """Raises ConfigurationError when the file cannot be read or is none of ours."""
        self._path = path
        self._day = 0
        self._used: dict[str, int] = {}
        self._written: dict[str, int] = {}
        self._load()

    def used_bits(self, sae: str, *, utc_s: float) -> int:
        """Return what an application was given today."""
        self._turn_day(utc_s)
        return self._used.get(sae, 0)

    def spend(self, sae: str, num_bits: int, *, limits: SaeLimits, utc_s: float) -> None:
        """Count bits as given, durable on return. Raises OSError when they cannot be written down; they count then."""
        self._turn_day(utc_s)
        used = self._used[sae] = self._used.get(sae, 0) + num_bits
        if limits.key_bits_per_day and used > self._written.get(sae, 0):
            step = -(-limits.key_bits_per_day // QUOTA_STEPS)
            self._write({**self._written, sae: used + step})

    def until_tomorrow_s(self, *, utc_s: float) -> float:
        return (self._day + 1) * DAY_S - utc_s

    def _turn_day(self, utc_s: float) -> None:
        if (day := int(utc_s // DAY_S)) > self._day:
            self._day = day
            self._used.clear()
            self._written.clear()

    def _load(self) -> None:
        try:
            found: Any = json.loads(self._path.read_bytes())
            self._day = int(found["day"])
            self._used = {str(sae): int(bits) for sae, bits in found["used_bits"].items()}
            self._written = dict(self._used)
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
            raise ConfigurationError(
                f"{self._path} does not say what was given today: {fault}",
                remedy="remove it; the quotas of today then begin anew",
            ) from None

    def _write(self, ahead: dict[str, int]) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = self._path.with_name(f"{self._path.name}.part")
        with partial.open("w", encoding="utf-8") as file:
            json.dump({"day": self._day, "used_bits": ahead}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(self._path)
        self._written = ahead

"""Units: a suffix in every name, decibels converted in one place, figures printed one way."""

from __future__ import annotations

import math

ROUNDS_UP = 0.99995
"""From here on "999.95 kbit/s" would be printed as 1000.0; the next unit says it better."""


def transmittance(*, loss_db: float) -> float:
    """Return the fraction of photons that survive ``loss_db`` (dB, zero or more)."""
    if not loss_db >= 0:
        raise ValueError(f"loss_db must be zero or more, got {loss_db}")
    return float(10.0 ** (-loss_db / 10.0))


def loss_db(*, transmittance: float) -> float:
    """Return the loss in dB of a channel that passes the fraction ``transmittance`` (0 < t <= 1)."""
    if not 0 < transmittance <= 1:
        raise ValueError(f"transmittance must be in (0, 1], got {transmittance}")
    return -10.0 * math.log10(transmittance)


def format_rate(bits_per_s: float) -> str:
    """Return a bit rate as people print it: ``"235.4 kbit/s"``."""
    for factor, unit in ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s")):
        if abs(bits_per_s) >= ROUNDS_UP * factor:
            return f"{bits_per_s / factor:.1f} {unit}"
    return f"{bits_per_s:.1f} bit/s"


def format_size(num_bytes: float) -> str:
    """Return a size in bytes with decimal prefixes: ``"10.0 MB"``."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(num_bytes) >= ROUNDS_UP * factor:
            return f"{num_bytes / factor:.1f} {unit}"
    return f"{num_bytes:.0f} bytes"

"""Numbers as the report prints them."""

from __future__ import annotations

_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def count(number: float) -> str:
    """Return a whole number with separated thousands: ``4,194,304``."""
    return f"{number:,.0f}"


def keys(number: int) -> str:
    """Return how many keys, in words: one key, or so many."""
    return f"{count(number)} key{'s' if number != 1 else ''}"


def percent(fraction: float, *, digits: int = 2) -> str:
    """Return a fraction in percent: ``0.92 %``."""
    return f"{100 * fraction:.{digits}f} %"


def scientific(value: float, *, digits: int = 1) -> str:
    """Return ``1.0 × 10⁻⁹``; zero stays ``0``."""
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPTS)}"


def kilobits_per_s(bits_per_s: float) -> str:
    """Return a rate as a bare number of kbit/s, for columns: ``162.3``."""
    return f"{bits_per_s / 1e3:,.1f}"


def seconds(value_s: float) -> str:
    """Return a span of time with three significant places: ``12.3 s``, ``45 ms``."""
    if abs(value_s) < 0.9995:
        return f"{1e3 * value_s:.0f} ms"
    return f"{value_s:.2f} s" if abs(value_s) < 10 else f"{value_s:.1f} s"


def short_bits(num_bits: float) -> str:
    """Return a number of bits in short: ``4.2 Mbit``."""
    for factor, unit in ((1e9, "Gbit"), (1e6, "Mbit"), (1e3, "kbit")):
        if abs(num_bits) >= factor:
            return f"{num_bits / factor:.3g} {unit}"
    return f"{num_bits:.0f} bit"


def milliseconds(value_s: float) -> str:
    """Return a short span of time in milliseconds, to a tenth below ten: ``3.2 ms``, ``41 ms``."""
    return f"{1e3 * value_s:.1f} ms" if value_s < 0.00995 else f"{1e3 * value_s:,.0f} ms"

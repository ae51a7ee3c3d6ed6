"""What ``qanat network check`` prints of a network's satellites."""

from __future__ import annotations

from typing import Final

from rich.console import Console

from qanat.apps.cli.presentation import show_table
from qanat.apps.satellite_review import SkyReview

WEATHER: Final = ("clear, %", "mean, Mbit")
"""Columns of a network that declares its weather: how often it is clear, and the secret key in the mean over it."""


def print_sky(console: Console, sky: SkyReview) -> None:
    """Print a row for each downlink."""
    has_weather = any(row.p_clear < 1 for row in sky.downlinks if row.passes_with_key)
    has_rivals = any(row.passes_excluded for row in sky.downlinks)
    show_table(
        console,
        f"Downlinks in the week from {sky.downlinks[0].from_utc} (predicted by the model, under a clear sky)",
        (
            "downlink",
            "dark passes",
            *(("not made",) if has_rivals else ()),
            "with key",
            "highest, deg",
            "nearest, km",
            "sifted, Mbit",
            "secret, Mbit",
            *(WEATHER if has_weather else ()),
        ),
        [
            (
                row.link_id,
                str(row.passes),
                *((str(row.passes_excluded),) if has_rivals else ()),
                str(row.passes_with_key),
                "-" if row.highest_deg is None else f"{row.highest_deg:.1f}",
                "-" if row.nearest_km is None else f"{row.nearest_km:,.0f}",
                f"{row.sifted_bits / 1e6:.1f}",
                f"{row.secret_bits / 1e6:.1f}",
                *((f"{100 * row.p_clear:.0f}", f"{row.mean_bits / 1e6:.1f}") if has_weather else ()),
            )
            for row in sky.downlinks
        ],
    )
    if has_rivals:
        console.print(
            "  not made: satellite or station was with another then, one at a time; all figures are of the passes made",
            highlight=False,
        )

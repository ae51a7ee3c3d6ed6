"""What ``qanat network check`` prints of a network's satellites."""

from __future__ import annotations

from rich.console import Console

from qanat.apps.cli.presentation import show_table
from qanat.apps.satellite_review import SkyReview


def print_sky(console: Console, sky: SkyReview) -> None:
    """Print a row for each downlink."""
    show_table(
        console,
        f"Downlinks in the week from {sky.downlinks[0].from_utc} (predicted by the model, under a clear sky)",
        ("downlink", "dark passes", "with key", "highest, deg", "nearest, km", "sifted, Mbit", "secret, Mbit"),
        [
            (
                row.link_id,
                str(row.passes),
                str(row.passes_with_key),
                "-" if row.highest_deg is None else f"{row.highest_deg:.1f}",
                "-" if row.nearest_km is None else f"{row.nearest_km:,.0f}",
                f"{row.sifted_bits / 1e6:.1f}",
                f"{row.secret_bits / 1e6:.1f}",
            )
            for row in sky.downlinks
        ],
    )

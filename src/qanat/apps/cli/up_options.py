"""Options of ``qanat up`` that are told from their values, apart from the command that has them."""

from __future__ import annotations

from typing import Annotated

import typer

from qanat.ground.errors import ConfigurationError

LEAST_MIN = 2.0
"""A site answers a word that comes again for a minute, so it must not have forgotten it before."""

SleepAfterOption = Annotated[
    float,
    typer.Option(
        "--sleep-after",
        min=0.0,
        metavar="MINUTES",
        help="A site that nobody has used for so long, 2 or more, sleeps until it is called; 0: none does.",
    ),
]


def sleep_after_s(minutes: float) -> float | None:
    """Return after how many seconds an unused site sleeps, None for never; raises ConfigurationError."""
    if not minutes:
        return None
    if not minutes >= LEAST_MIN:
        raise ConfigurationError(
            f"sites cannot sleep after {minutes:g} minutes: their peers may still say words again",
            remedy=f"name {LEAST_MIN:g} minutes or more, or 0 so that none sleeps",
        )
    return 60.0 * minutes

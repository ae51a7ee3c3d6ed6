"""What the commands of users have in common: whose command it is, and how it seals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import typer

from qanat.ground.errors import BadParameter

UP_NETWORK = "nature2021"
"""The network that is meant where none is named."""
CIPHERS = ("aes-128-gcm", "aes-256-gcm", "one-time-pad")


@dataclass(frozen=True, slots=True)
class Who:
    """Whose command it is, and where that is looked up."""

    name: str | None
    data: Path | None
    directory: Path | None


KEY_WAIT_S = 60.0
LEAST_WAIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Sealing:
    """How a command seals, and how long it waits: for a one-time pad, for a fresh key of AES, and for a word of the
    other end where one is due (None: as long as ``Terms`` has it)."""

    cipher: str
    refresh_s: float
    pad_wait_s: float
    key_wait_s: float = KEY_WAIT_S
    silence_s: float | None = None

    @classmethod
    def within(cls, cipher: str, refresh_s: float, pad_wait_s: float, *, patience_s: float) -> Sealing:
        """Return how a command seals that is to be patient for so long: it waits no longer for a key of AES, nor for a
        word of the other end, but LEAST_WAIT_S at least."""
        wait_s = max(patience_s, LEAST_WAIT_S)
        return cls(cipher, refresh_s, pad_wait_s, min(KEY_WAIT_S, wait_s), wait_s + pad_wait_s)

    def __post_init__(self) -> None:
        if self.cipher not in CIPHERS:
            raise BadParameter(f"no cipher {self.cipher!r}", remedy=f"there are: {', '.join(CIPHERS)}")


def seconds(least_s: float, most_s: float = 86_400.0 * 365) -> Callable[[str | float], float]:
    """Return what reads a span of time from ``least_s`` to ``most_s``, of an option's value; it raises
    typer.BadParameter, also for infinity and for what is no number."""

    def read(value: str | float) -> float:
        try:
            value_s = float(value)
        except ValueError:
            value_s = math.nan
        if not math.isfinite(value_s):
            raise typer.BadParameter(f"{value} is no number of seconds")
        if not least_s <= value_s <= most_s:
            raise typer.BadParameter(f"{value} is not from {least_s:g} to {most_s:.0f} seconds")
        return value_s

    return read

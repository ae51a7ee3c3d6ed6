"""What the commands of users have in common: whose command it is, and how it seals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True, slots=True)
class Sealing:
    """How a command seals, and how long it waits for key: for a one-time pad, and for a fresh key of AES."""

    cipher: str
    refresh_s: float
    pad_wait_s: float
    key_wait_s: float = 60.0

    def __post_init__(self) -> None:
        if self.cipher not in CIPHERS:
            raise BadParameter(f"no cipher {self.cipher!r}", remedy=f"there are: {', '.join(CIPHERS)}")

"""Which cipher, and how long one of its keys lasts."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from qanat.ground.identifiers import SaeId, members_of

MOST_BYTES_PER_KEY: Final = 2**36
"""AES-GCM loses its margin slowly with what one key seals; at this amount, in records of 16 KiB or more, an attacker's
advantage is still below 2^-57 (RFC 8446, section 5.5, allows 2^24.5 such records)."""
MOST_RECORDS_PER_KEY: Final = 2**32


class Suite(enum.StrEnum):
    """What seals records, as it is named on the wire and on the command line."""

    AES_128_GCM = "aes-128-gcm"
    AES_256_GCM = "aes-256-gcm"
    ONE_TIME_PAD = "one-time-pad"

    @property
    def key_bits(self) -> int:
        """Bits of a key of AES; raises ValueError for the pad, whose keys are as long as what it seals."""
        if self is Suite.ONE_TIME_PAD:
            raise ValueError("a one-time pad has no key of fixed length")
        return 128 if self is Suite.AES_128_GCM else 256

    @property
    def group_key_bits(self) -> int:
        """Bits that are asked for where several get the key: so many as no key of two has.

        Each key manager gives a key out in its own size, whoever names its id. So a member that holds a key of a group
        cannot pass it off to another, who has not fetched it yet, as a key between the sender and that one alone.
        """
        return self.key_bits + 64


@dataclass(frozen=True, slots=True)
class Refresh:
    """When a key gives way to a fresh one: whichever comes first. None: never for that reason.

    The paper's users take "a 128-bit key per minute", its banks update 10 times per minute (Nature 589, 214, Methods,
    Practicality). Bytes and records are also bounded by what AES-GCM allows.
    """

    every_s: float = 60.0
    every_bytes: int | None = None
    every_records: int | None = None

    def __post_init__(self) -> None:
        limits = (self.every_bytes, self.every_records)
        if self.every_s <= 0 or any(limit is not None and limit < 1 for limit in limits):
            raise ValueError(f"a key must last for something: {self}")

    @classmethod
    def bank(cls) -> Refresh:
        """Return the refresh of the paper's banks: ten keys a minute."""
        return cls(every_s=6.0)

    @classmethod
    def per_message(cls) -> Refresh:
        """Return the refresh that gives every record a key of its own."""
        return cls(every_records=1)

    def spent_share(self, *, age_s: float, num_bytes: int, num_records: int) -> float:
        """Return how much of a key is used up; at 1 it must not seal any more."""
        most_bytes = min(self.every_bytes or MOST_BYTES_PER_KEY, MOST_BYTES_PER_KEY)
        most_records = min(self.every_records or MOST_RECORDS_PER_KEY, MOST_RECORDS_PER_KEY)
        return max(age_s / self.every_s, num_bytes / most_bytes, num_records / most_records)


GROUP_KEY_BITS: Final = frozenset(suite.group_key_bits for suite in (Suite.AES_128_GCM, Suite.AES_256_GCM))
"""No key of two has one of these sizes, of a pad neither."""


def key_bits_of(suite: Suite, recipient: SaeId) -> int:
    """Return how many bits a key of AES has that goes to ``recipient``, who may stand for several."""
    return suite.key_bits if len(members_of(recipient)) == 1 else suite.group_key_bits

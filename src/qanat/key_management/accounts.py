"""The book-keeping of link key, in integers: what may be spent, and what it costs.

A batch of keys that goes over ``hops`` links takes from each link's pool its own bits (the one-time pad), as many as
its ends use up to compare it (``end_check``), and one message key (hash key and pad of the tag;
``ground.authentication``). The last two are its authentication bits. So, to the bit:

    QKD bits spent = hops x key bits + hops x (CHECK_BITS + MESSAGE_KEY_BITS) per batch

Pure functions of counts: the service and the simulated year call the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from qanat.ground.authentication import MESSAGE_KEY_BITS
from qanat.ground.constants import SESSION_PAD_BITS
from qanat.ground.keys import PoolId, Use
from qanat.key_management.end_check import CHECK_BITS

BATCH_BITS = CHECK_BITS + MESSAGE_KEY_BITS
"""What one hop of a batch takes besides the keys' own pad, however many they are."""


def may_spend(pool: PoolId, use: Use) -> bool:
    """Return whether ``pool`` may pay for ``use``: the reserve pays for authentication alone and is never sold."""
    return pool.is_reserve == (use is Use.AUTHENTICATION)


def relay_bits(*, count: int, size_bits: int) -> int:
    """Return what one hop of a batch of ``count`` keys takes from its link's pool, in bits."""
    return count * size_bits + BATCH_BITS


def batch_costs_bits(*, count: int, size_bits: int, hops: int) -> int:
    """Return what a batch of keys has cost over all its hops, in bits; its keys share it (``KeyBatch``)."""
    return hops * relay_bits(count=count, size_bits=size_bits)


def keys_payable(*, available_bits: int, size_bits: int) -> int:
    """Return how many keys of this size one batch over one hop could carry."""
    return max(0, (available_bits - BATCH_BITS) // size_bits)


def session_bits(*, num_blocks: int) -> int:
    """Return what an order of ``num_blocks`` sessions takes from the authentication reserve, in bits."""
    return num_blocks * SESSION_PAD_BITS


def reserve_bits(*, days: float, sessions_per_day: float) -> int:
    """Return the reserve that keeps a link authenticated for ``days``, rounded up to whole sessions, in bits."""
    sessions = days * sessions_per_day
    return session_bits(num_blocks=int(sessions) + (sessions > int(sessions)))


@dataclass(slots=True)
class ReserveWatch:
    """Raises the alarm of one link's reserve once, and again only after it had recovered to twice the level."""

    alarm_bits: int
    is_low: bool = False

    def crosses_down(self, available_bits: int) -> bool:
        """Take note of the level; return True when the alarm is to be raised now."""
        if self.is_low:
            self.is_low = available_bits < 2 * self.alarm_bits
            return False
        self.is_low = available_bits < self.alarm_bits
        return self.is_low

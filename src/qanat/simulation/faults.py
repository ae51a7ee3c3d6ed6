"""What goes wrong in a simulated world, and how often."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Faults:
    """Odds per occasion. The default is a world in which nothing goes wrong, only takes its time."""

    p_crash_per_effect: float = 0.0
    """A node dies during a store call, a module call, a send, a sleep or a wait; before or after what was to happen."""
    p_crash_at_seldom: float = 0.0
    """A node dies at one of the awaits that are seldom reached (``crash_sites.SELDOM``)."""
    p_store_fails: float = 0.0
    """A write raises StoreFailed and changes nothing."""
    disk_full_per_hour: float = 0.0
    """A node's disk is full for some seconds."""
    p_lost: float = 0.0
    p_repeated: float = 0.0
    p_late: float = 0.0
    """A message takes seconds: others overtake it."""
    p_altered: float = 0.0
    """A relay's body, tag or another of its fields is changed on the way."""
    p_share_altered: float = 0.0
    """A relay hands on other keys than it was given, under a tag that is right."""
    partitions_per_hour: float = 0.0
    """Two nodes cannot hear each other for some seconds."""
    clock_jumps_per_hour: float = 0.0
    """A node's UTC jumps by up to an hour; monotonic time does not."""
    p_answer_lost: float = 0.0
    """An application does not get its key manager's answer."""
    p_session_fails: float = 0.0
    """A distillation session ends without a block (QBER too high)."""

    @property
    def any(self) -> bool:
        return self != Faults()


NO_FAULTS = Faults()

ALL_FAULTS = Faults(
    p_crash_per_effect=0.004,
    p_crash_at_seldom=0.3,
    p_store_fails=0.01,
    disk_full_per_hour=60.0,
    p_lost=0.04,
    p_repeated=0.05,
    p_late=0.03,
    p_altered=0.02,
    p_share_altered=0.1,
    partitions_per_hour=60.0,
    clock_jumps_per_hour=120.0,
    p_answer_lost=0.05,
    p_session_fails=0.1,
)
"""A bad day: every fault, often enough that most short runs see most of them."""

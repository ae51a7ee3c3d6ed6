"""What is said about stock besides its bits: how old it may grow, what expired, and which store a peer was known by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qanat.ground.identifiers import LinkId, SaePair
from qanat.ground.keys import PoolId


@dataclass(frozen=True, slots=True)
class AgeLimits:
    """How old stock may grow, in seconds; what is not named lives for ever, as the authentication reserve does.

    Only one end begins to use a piece of stock: of a key the master's node, of a pool the node that sends under it.
    That end keeps it for its time to live, the other one ``grace_s`` longer, so that what was begun at the last moment
    can be ended.
    """

    links: Mapping[LinkId, float] = field(default_factory=dict)
    pairs: Mapping[SaePair, float] = field(default_factory=dict)
    other_pairs_s: float | None = None
    grace_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Expired:
    """What a store destroyed because of its age."""

    num_keys: int = 0
    bits: Mapping[PoolId, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.num_keys or self.bits)


@dataclass(slots=True)
class StockTime:
    """The time by which stock ages, in seconds since its store was made.

    While a process holds the store, it runs with the monotonic clock. Between the last saving and the next process it
    has run on as far as UTC says, and never back: when UTC was set back meanwhile, the pause does not count.

    ``saved_s`` and ``saved_utc_s`` are what the store kept; ``saved_utc_s`` None for a new one.
    """

    saved_s: float = 0.0
    saved_utc_s: float | None = None
    now_s: float = 0.0
    _heard_monotonic_s: float | None = None

    def __post_init__(self) -> None:
        self.now_s = max(self.now_s, self.saved_s)

    def tick(self, *, monotonic_s: float, utc_s: float) -> float:
        """Take note of the clocks and return the time now."""
        if self._heard_monotonic_s is None:
            pause_s = 0.0 if self.saved_utc_s is None else utc_s - self.saved_utc_s
            self.now_s = max(self.now_s, self.saved_s + pause_s)
        else:
            self.now_s += max(0.0, monotonic_s - self._heard_monotonic_s)
        self._heard_monotonic_s = monotonic_s
        return self.now_s

    def save(self, utc_s: float) -> None:
        """Note that the time was kept durably."""
        self.saved_s, self.saved_utc_s = self.now_s, utc_s


@dataclass(frozen=True, slots=True)
class NamedEpoch:
    """An epoch of a key store and the random name that it was given when it began.

    While it lasts, marks are added to the name: ``<name>.1``, ``<name>.2`` and so on. A store that has come to one of
    them has lived through those before it, and an older copy of it has not come so far.
    """

    number: int
    name: str

    @property
    def next_mark(self) -> NamedEpoch:
        name, mark = self._parts
        return NamedEpoch(self.number, f"{name}.{mark + 1}")

    def has_lived_through(self, other: NamedEpoch) -> bool:
        """Return whether a store at this mark has been at the ``other`` one."""
        (name, mark), (others_name, others_mark) = self._parts, other._parts
        return self.number == other.number and name == others_name and mark >= others_mark

    @property
    def _parts(self) -> tuple[str, int]:
        name, dot, mark = self.name.rpartition(".")
        return (name, int(mark)) if dot and mark.isascii() and mark.isdecimal() else (self.name, 0)

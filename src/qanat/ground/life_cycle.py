"""The life of stock, as one table: which stages a key and a block of link key go through, and what moves them on.

Every key store takes its next stage from here (``next_stage``) and asks here from which stages an act is allowed
(``stages_before``); the figure in docs/formats/key-store.md is drawn from the same rows.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass


class Stage(enum.StrEnum):
    """Where a key or a block stands. The last three are ends: nothing is left but the memory of the id."""

    RECEIVED = "received"
    """Durable here; that the other end has it too is not known yet. Nobody is supplied from it."""
    STORED = "stored"
    """Durable at both ends."""
    RESERVED = "reserved"
    """A key that one application has, kept for the others that it was made for."""
    SUPPLIED = "supplied"
    """Given away whole: a key to all its applications, a block to the last bit."""
    EXPIRED = "expired"
    """Destroyed because it grew too old."""
    DESTROYED = "destroyed"
    """Destroyed for any other reason: in doubt, unknown at the other end, restored, zeroized."""


class Act(enum.StrEnum):
    """What is done to a key or a block."""

    TAKE_IN = "take in"
    TAKE_IN_CONFIRMED = "take in, confirmed"
    CONFIRM = "confirm"
    GIVE = "give a part"
    """A key to one of several applications; some bits of a block."""
    GIVE_LAST = "give the rest"
    EXPIRE = "expire"
    VOID = "void"


class Kind(enum.StrEnum):
    """What has a life."""

    KEY = "key"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Transition:
    """A row of the table. ``before`` None: it was never here."""

    before: Stage | None
    act: Act
    after: Stage
    of: frozenset[Kind] = frozenset(Kind)


_KEY, _BLOCK = frozenset({Kind.KEY}), frozenset({Kind.BLOCK})

TRANSITIONS: tuple[Transition, ...] = (
    Transition(None, Act.TAKE_IN, Stage.RECEIVED),
    Transition(None, Act.TAKE_IN_CONFIRMED, Stage.STORED, _KEY),
    Transition(Stage.RECEIVED, Act.CONFIRM, Stage.STORED),
    # words arrive late and twice: to confirm again changes nothing
    Transition(Stage.STORED, Act.CONFIRM, Stage.STORED),
    Transition(Stage.RESERVED, Act.CONFIRM, Stage.RESERVED, _KEY),
    Transition(Stage.SUPPLIED, Act.CONFIRM, Stage.SUPPLIED, _BLOCK),
    # the peer spends from a block of which it knows that both ends hold it, when this end does not know it yet
    Transition(Stage.RECEIVED, Act.GIVE, Stage.RECEIVED, _BLOCK),
    Transition(Stage.RECEIVED, Act.GIVE_LAST, Stage.SUPPLIED, _BLOCK),
    Transition(Stage.STORED, Act.GIVE, Stage.STORED, _BLOCK),
    Transition(Stage.STORED, Act.GIVE, Stage.RESERVED, _KEY),
    Transition(Stage.RESERVED, Act.GIVE, Stage.RESERVED, _KEY),
    Transition(Stage.STORED, Act.GIVE_LAST, Stage.SUPPLIED),
    Transition(Stage.RESERVED, Act.GIVE_LAST, Stage.SUPPLIED, _KEY),
    *(
        Transition(before, act, after, _KEY if before is Stage.RESERVED else frozenset(Kind))
        for act, after in ((Act.EXPIRE, Stage.EXPIRED), (Act.VOID, Stage.DESTROYED))
        for before in (Stage.RECEIVED, Stage.STORED, Stage.RESERVED)
    ),
)
"""Every transition there is; what is not here is refused."""

_NEXT: Mapping[tuple[Kind, Stage | None, Act], Stage] = {
    (kind, row.before, row.act): row.after for row in TRANSITIONS for kind in row.of
}

ENDS = frozenset({Stage.SUPPLIED, Stage.EXPIRED, Stage.DESTROYED})
"""Stages in which nothing is left."""


def next_stage(kind: Kind, before: Stage | None, act: Act) -> Stage | None:
    """Return the stage that ``act`` leads to, None when the table does not allow it."""
    return _NEXT.get((kind, before, act))


def stages_before(kind: Kind, act: Act) -> tuple[Stage, ...]:
    """Return the stages in which ``act`` is allowed, in the order of ``Stage``."""
    return tuple(stage for stage in Stage if (kind, stage, act) in _NEXT)

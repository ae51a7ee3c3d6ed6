"""Calls of one commit that are done as one.

At a busy door many calls that wait for the same commit take from the stock of the same two applications. Each would
read the same rows and write them again; together they read and write them once, and the keys are dealt out in the order
in which the calls came.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from qanat.adapters.sqlite.keys import KeyTables
from qanat.ground.identifiers import RequestId, SaePair
from qanat.ground.keys import SecretKey

Action = Callable[[], Any]


class JointAction(ABC):
    """An action that can be done with others whose ``alike`` equals its own. Its order among them and others of this
    class does not matter."""

    __slots__ = ()

    @property
    @abstractmethod
    def alike(self) -> Hashable: ...

    @abstractmethod
    def __call__(self) -> Any: ...

    @abstractmethod
    def together(self, actions: Sequence[Any]) -> list[Any]:
        """Do all of these, of which this is the first, and return their results; raise where one of them would."""


@dataclass(frozen=True, slots=True)
class SupplyAction(JointAction):
    """The oldest keys of a pair for its master. ``begin`` is called first; it may refuse by raising."""

    begin: Callable[[], None]
    tables: KeyTables
    pair: SaePair
    size_bits: int
    count: int
    request_id: RequestId

    @property
    def alike(self) -> Hashable:
        return (id(self.tables), self.pair, self.size_bits)

    def __call__(self) -> Sequence[SecretKey]:
        (keys,) = self.together((self,))
        return keys

    def together(self, actions: Sequence[SupplyAction]) -> list[Sequence[SecretKey]]:
        for one in actions:
            one.begin()
        count = sum(one.count for one in actions)
        keys = self.tables.supply(self.pair, count=count, size_bits=self.size_bits, request_id=self.request_id)
        ends = [*accumulate(one.count for one in actions)]
        return [keys[end - one.count : end] for one, end in zip(actions, ends, strict=True)]


def groups_of(actions: Sequence[Action]) -> Iterator[list[int]]:
    """Yield the places of actions that are done together, each place once, in an order in which they may be done."""
    joint: dict[Hashable, list[int]] = {}
    for place, action in enumerate(actions):
        if isinstance(action, JointAction):
            joint.setdefault(action.alike, []).append(place)
            continue
        yield from joint.values()
        joint = {}
        yield [place]
    yield from joint.values()

"""Batches in doubt: keys that may or may not have arrived, to be destroyed at both ends until both have said so."""

from __future__ import annotations

from dataclasses import dataclass

from qanat.ground.errors import StoreFailed
from qanat.ground.events import EventKind
from qanat.ground.identifiers import NodeId
from qanat.ground.key_ids import KeyIds
from qanat.ground.keys import Selection
from qanat.key_management.context import Context
from qanat.key_management.wire import RelayVoid, RelayVoided

VOID_TRIES = 60
"""How often the far end is asked to destroy a batch in doubt. Nobody was told its key ids: giving up is harmless."""


@dataclass(slots=True)
class Doubt:
    """A batch to be destroyed at both ends; what is left to do."""

    relay_id: str
    ids_from: str
    num_keys: int
    target: NodeId
    here: bool = True
    there: bool = True
    tries: int = 0


class Doubts:
    """Destroys the batches of one origin that are in doubt."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._open: dict[str, Doubt] = {}

    @property
    def are_settled(self) -> bool:
        """Whether nothing is in doubt."""
        return not self._open

    async def enter(self, doubt: Doubt) -> None:
        """Begin to destroy a batch."""
        self._open[doubt.relay_id] = doubt
        await self._destroy(doubt)

    def on_voided(self, sender: NodeId, word: RelayVoided) -> None:
        """Hear that the far end has destroyed a batch in doubt."""
        doubt = self._open.get(word.relay_id)
        if doubt is not None and sender == doubt.target:
            doubt.there = False

    async def tick(self) -> None:
        """Go on destroying what is in doubt."""
        for doubt in list(self._open.values()):
            await self._destroy(doubt)

    async def _destroy(self, doubt: Doubt) -> None:
        doubt.tries += 1
        if doubt.there:
            await self._context.courier.send(doubt.target, RelayVoid(doubt.relay_id, doubt.ids_from, doubt.num_keys))
        if doubt.here:
            doubt.here = not await self._void_here(KeyIds(doubt.ids_from, doubt.num_keys))
        if not doubt.here and (not doubt.there or doubt.tries >= VOID_TRIES):
            self._open.pop(doubt.relay_id, None)

    async def _void_here(self, ids: KeyIds) -> bool:
        try:
            num_voided = await self._context.store.void(Selection(batches=frozenset({ids})))
        except StoreFailed:
            return False  # they stay unconfirmed, which nobody is supplied; the next tick tries again
        self._context.recorder.record(EventKind.KEYS_VOIDED, num_keys=num_voided, why="relay in doubt")
        return True

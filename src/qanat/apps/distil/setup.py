"""What a party brings to a run, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from qanat.apps.distil.account import LinkAccount
from qanat.apps.distil.ending import Ending
from qanat.apps.distil.key_files import KeyFolder
from qanat.apps.distil.record_files import Role
from qanat.apps.distil.terms import Terms
from qanat.ground.errors import BlockUnknown
from qanat.ground.identifiers import BlockId
from qanat.ground.ports import Clock, Entropy
from qanat.quantum_layer.recorded import RawDetections, RawPreparations, SiftedBits


@dataclass(slots=True)
class Made:
    """What came of a run: all that is public about each key, and the blocks that were dropped, with the reason.

    ``blocks`` are in the order of the record, whichever was done first.
    """

    blocks: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    secret_bits: int = 0
    pad_bits_spent: int = 0
    pad_bits_left: int | None = None
    """None: not known yet."""
    dropped_in_a_row: int = 0


@dataclass(frozen=True, slots=True)
class Setup:
    """What a party brings to a run. ``tell`` hears what happens; ``made`` grows over all lines of the run.

    ``in_flight``: how many blocks may be made side by side; None: as many as the line asks for.
    """

    role: Role
    terms: Terms
    record: RawDetections | RawPreparations | SiftedBits
    record_digest: str
    account: LinkAccount
    keys: KeyFolder
    entropy: Entropy
    clock: Clock
    provenance: str
    tell: Callable[[str], None]
    made: Made = field(default_factory=Made)
    in_flight: int | None = None
    ending: Ending = field(default_factory=Ending)

    @property
    def first_slot(self) -> int:
        return self.account.first_slot(self.record_digest)

    def advance(self, slot: int) -> None:
        self.account.advance(self.record_digest, slot)

    def pass_over(self, slot: int) -> None:
        """Note that slots before ``slot`` were used, if that is further than here."""
        if slot > self.first_slot:
            self.advance(slot)

    def has(self, block_ids: Sequence[str]) -> list[str]:
        """Return those of some blocks whose keys are here, or were and counted."""
        here = {*self.keys.kept(block_ids), *self.account.kept(block_ids)}
        return [one for one in block_ids if one in here]

    async def keep(self, block_id: BlockId) -> str | None:
        """Let a key and its share of pads count: the other party has them too.

        Returns the key's file; None where somebody has taken it away already.

        Whether the key has a share is for the run to say that made it, which may be one before with other options.
        """
        self.account.note_kept(block_id)
        with suppress(BlockUnknown):
            await self.account.confirm(block_id)
        path = self.keys.keep(block_id)
        return None if path is None else str(path)

    async def destroy(self, block_id: BlockId) -> None:
        """Destroy a key and its share of pads: the other party does not have them."""
        self.keys.destroy(block_id)
        await self.account.void(block_id)

"""Rows of lots as their table gives them, and the keys in them. See ``lots``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from qanat.adapters.sqlite.key_rows import listed, read_record, spelled_id
from qanat.ground.identifiers import KeyID, NodeId, SaeId
from qanat.ground.key_ids import KeyIds
from qanat.ground.life_cycle import Stage

SEGMENT_BYTES = 1024
"""A segment holds as many keys as go into it, at least one. It is destroyed with the last of them, so this is how many
bytes may linger because of a neighbour."""

SELECT_LOT = (
    "SELECT first_key, ids_from, lot.num_keys, pair, master, slave, size_bits, is_confirmed, waiting, batch,"
    " record.text, record, created_utc_s, stored_s, qkd_bits_spent, keys_left, taken, ended FROM lot"
    " JOIN pair ON pair.id = lot.pair JOIN record ON record.id = lot.record"
)


_BITS_OF = tuple(tuple(bit for bit in range(8) if byte >> bit & 1) for byte in range(256))
"""The places of the ones in a byte, from the lowest."""


class Lot(NamedTuple):
    """A row of ``lot`` as ``_SELECT_LOT`` gives it. ``first_key``: its keys have this place in the stock's order, and
    the following ones. ``ended``: what the keys that are not ``taken`` came to."""

    first_key: int
    ids_from: str
    num_keys: int
    pair_row: int
    master: SaeId
    slave: SaeId
    size_bits: int
    is_confirmed: int
    waiting: str
    batch: int
    record: str
    record_row: int
    created_utc_s: float
    stored_s: float
    qkd_bits_spent: int
    keys_left: int
    taken: bytes
    ended: str | None

    @property
    def ids(self) -> KeyIds:
        return KeyIds(self.ids_from, self.num_keys)

    @property
    def stage(self) -> Stage:
        """Of the keys that were not taken out."""
        if self.ended is not None:
            return Stage(self.ended)
        return Stage.STORED if self.is_confirmed else Stage.RECEIVED

    @property
    def keys_per_segment(self) -> int:
        return max(1, SEGMENT_BYTES * 8 // self.size_bits)

    @property
    def route_begins(self) -> NodeId:
        return read_record(self.record)[0].routes[0][0]

    def is_taken(self, place: int) -> bool:
        return bool(self.taken[place // 8] >> place % 8 & 1)

    def is_only_for(self, sae: SaeId) -> bool:
        """Return whether nobody but ``sae`` waits for its keys."""
        return listed(self.waiting) == (sae,)

    def free_places(self, count: int) -> list[int]:
        """Return the first ``count`` places of keys that are in it, or all."""
        free = ~int.from_bytes(self.taken, "little") & (1 << self.num_keys) - 1
        if not free:
            return []
        first = ((free & -free).bit_length() - 1) // 8
        places: list[int] = []
        for at, byte in enumerate(free.to_bytes(len(self.taken), "little")[first:], start=first):
            places += [8 * at + bit for bit in _BITS_OF[byte]]
            if len(places) >= count:
                break
        return places[:count]

    def without(self, places: Iterable[int]) -> bytes:
        """Return ``taken`` when these keys are taken out too."""
        taken = bytearray(self.taken)
        for place in places:
            taken[place // 8] |= 1 << place % 8
        return bytes(taken)


class LotRun(NamedTuple):
    """Keys that are in one lot, by their places: what a call takes from a lot may be many, and this is one for all."""

    lot: Lot
    places: list[int]

    @property
    def keys(self) -> list[LotKey]:
        return [LotKey(self.lot, place) for place in self.places]


class LotKey(NamedTuple):
    """A key that came in a lot. While it ``is_there``, the lot says of it what a row of ``app_key`` would."""

    lot: Lot
    place: int

    @property
    def is_there(self) -> bool:
        return self.lot.ended is None and not self.lot.is_taken(self.place)

    @property
    def stage(self) -> Stage:
        """Where the key stands, unless a row of ``app_key`` or ``seen_key`` knows better."""
        return Stage.SUPPLIED if self.lot.is_taken(self.place) else self.lot.stage

    @property
    def master(self) -> SaeId:
        return self.lot.master

    @property
    def is_confirmed(self) -> int:
        return self.lot.is_confirmed

    @property
    def waiting(self) -> str:
        return self.lot.waiting

    @property
    def served(self) -> str:
        return "[]"

    @property
    def order(self) -> int:
        return self.lot.first_key + self.place

    @property
    def raw_key_id(self) -> bytes:
        return self.lot.ids.raw(self.place)

    @property
    def key_id(self) -> KeyID:
        return spelled_id(self.raw_key_id)


def bounds_of_ids(beginning: bytes) -> tuple[bytes, bytes]:
    """Return the first and the last of all ids that begin so."""
    rest = 16 - len(beginning)
    return beginning + bytes(rest), beginning + b"\xff" * rest

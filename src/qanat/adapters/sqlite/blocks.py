"""Link key: blocks, their shares in the pools, and which bits were spent. SQL and encryption, no transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from qanat.adapters.encryption import Vault, identity
from qanat.adapters.sqlite.segments import Segments
from qanat.ground.errors import BlockUnknown, KeyShortage, PadReused
from qanat.ground.identifiers import BlockId, LinkId, NodeId, RequestId
from qanat.ground.keys import (
    BitRange,
    BlockSlice,
    KeyBlock,
    PoolId,
    PoolLevel,
    SecretBytes,
    Selection,
    SpentBits,
    Use,
    split_block,
)


@dataclass(frozen=True, slots=True)
class Share:
    """What one block gives to one pool: ``num_bits`` bits, ``free_bits`` of them unspent."""

    row: int
    pool_row: int
    block_id: BlockId
    num_bits: int
    free_bits: int
    is_confirmed: bool


_SELECT_SHARE = (
    "SELECT share.id, share.pool, block.block_id, share.num_bits, share.free_bits, share.is_confirmed"
    " FROM share JOIN block ON block.id = share.block"
)


class BlockTables:
    """The tables ``pool``, ``pool_spent``, ``block``, ``share``, ``spent``; ``segment`` through ``Segments``."""

    def __init__(self, connection: sqlite3.Connection, vault: Vault) -> None:
        self._connection = connection
        self._segments = Segments(connection, vault)

    def forget_cache(self) -> None:
        """Wipe decrypted bits."""
        self._segments.forget_cache()

    def add(self, block: KeyBlock) -> None:
        """Keep a block's shares, unconfirmed; nothing happens when its id was seen before."""
        cursor = self._connection.execute(
            "INSERT OR IGNORE INTO block (block_id, state, link, order_id, local, peer, origin, protocol, num_bits,"
            " eps_sec, eps_cor, finished_utc_s) VALUES (?, 'unconfirmed', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(block.block_id, block.link_id, block.order_id, block.local, block.peer, block.origin),
                *(block.protocol, block.num_bits, block.eps_sec, block.eps_cor, block.finished_utc_s),
            ),
        )
        if cursor.rowcount == 0:
            return
        for pool, (start_bit, stop_bit) in split_block(block).items():
            self._add_share(cursor.lastrowid or 0, block, pool, start_bit, stop_bit)

    def confirm(self, block_id: BlockId) -> None:
        """Make a block's free bits available; raises BlockUnknown when it is not here, or voided."""
        row = self._connection.execute("SELECT id, state FROM block WHERE block_id = ?", (block_id,)).fetchone()
        if row is None or row[1] == "voided":
            raise _block_unknown(block_id)
        if row[1] == "confirmed":
            return
        self._connection.execute(
            "UPDATE pool SET unconfirmed_bits = unconfirmed_bits - share.free_bits,"
            " available_bits = available_bits + share.free_bits"
            " FROM share WHERE share.block = ? AND pool.id = share.pool",
            (row[0],),
        )
        self._connection.execute("UPDATE share SET is_confirmed = 1 WHERE block = ?", (row[0],))
        self._connection.execute("UPDATE block SET state = 'confirmed' WHERE id = ?", (row[0],))

    def spend(self, pool: PoolId, *, num_bits: int, use: Use, request_id: RequestId) -> SpentBits:
        """Take the oldest confirmed bits of a pool; raises KeyShortage."""
        available_bits = self._available_bits(pool)
        if available_bits < num_bits:
            raise KeyShortage(
                f"pool {pool} has {available_bits} bits, request {request_id} asks {num_bits}",
                remedy="wait until the link has made more key",
            )
        slices: list[BlockSlice] = []
        secret = bytearray()
        left_bits = num_bits
        while left_bits:
            share = self._oldest_open_share(pool)
            start_bit, gap_end_bit = self._first_gap(share)
            piece = BlockSlice(share.block_id, start_bit, min(gap_end_bit, start_bit + left_bits))
            secret += self._take(pool, share, piece, use)
            slices.append(piece)
            left_bits -= piece.num_bits
        return _spent_bits(pool, slices, secret)

    def spend_range(self, pool: PoolId, bits: BitRange, *, use: Use) -> SpentBits:
        """Take just these bits; raises PadReused, BlockUnknown."""
        secret = bytearray()
        for piece in bits.slices:
            secret += self._take(pool, self._share_of(pool, piece), piece, use)
        return _spent_bits(pool, list(bits.slices), secret)

    def void(self, selection: Selection) -> int:
        """Destroy what is left of the selected blocks; returns how many had anything left."""
        rows: set[int] = set()
        for block_id in selection.block_ids:
            if selection.block_peer is None:
                rows.update(self._rows("block_id = ?", block_id))
            else:
                rows.update(self._rows("block_id = ? AND peer = ?", block_id, selection.block_peer))
        for link in selection.links:
            rows.update(self._rows("link = ?", link))
        if selection.unconfirmed:
            rows.update(self._rows("state = 'unconfirmed'"))
        for row in rows:
            self._void_block(row)
        return len(rows)

    def levels(self) -> Mapping[PoolId, PoolLevel]:
        """Return what every pool holds and held."""
        spent: dict[int, dict[Use, int]] = {}
        for pool_row, use, bits in self._connection.execute("SELECT pool, use, bits FROM pool_spent"):
            spent.setdefault(pool_row, {})[Use(use)] = bits
        pools = self._connection.execute(
            "SELECT id, link, sender, received_bits, unconfirmed_bits, available_bits, voided_bits FROM pool"
        )
        return {
            PoolId(LinkId(link), NodeId(sender) if sender else None): PoolLevel(
                available_bits=available,
                unconfirmed_bits=unconfirmed,
                received_bits=received,
                voided_bits=voided,
                spent_bits=spent.get(row, {}),
            )
            for row, link, sender, received, unconfirmed, available, voided in pools
        }

    def _add_share(self, block_row: int, block: KeyBlock, pool: PoolId, start_bit: int, stop_bit: int) -> None:
        num_bits = stop_bit - start_bit
        self._connection.execute("INSERT OR IGNORE INTO pool (link, sender) VALUES (?, ?)", _names(pool))
        if num_bits == 0:
            return
        pool_row = self._pool_row(pool)
        self._connection.execute(
            "UPDATE pool SET received_bits = received_bits + ?, unconfirmed_bits = unconfirmed_bits + ? WHERE id = ?",
            (num_bits, num_bits, pool_row),
        )
        secret = block.bits.part(start_bit // 8, stop_bit // 8)
        cursor = self._connection.execute(
            "INSERT INTO share (block, pool, num_bits, free_bits, is_confirmed) VALUES (?, ?, ?, ?, 0)",
            (block_row, pool_row, num_bits, num_bits),
        )
        self._segments.write(cursor.lastrowid or 0, secret, place=_place(pool, block.block_id))
        secret.wipe()

    def _take(self, pool: PoolId, share: Share, piece: BlockSlice, use: Use) -> bytes:
        """Mark a slice as spent, book it, and return its bytes."""
        start_bit, stop_bit = self._mark_spent(share, piece)
        data = self._segments.read(
            share.row, piece.start_bit // 8, piece.stop_bit // 8, place=_place(pool, share.block_id)
        )
        if share.free_bits == piece.num_bits:
            self._segments.destroy_all(share.row)
        else:
            self._segments.destroy_covered(share.row, start_bit // 8, stop_bit // 8, touched=piece)
        self._book(share, piece.num_bits, use)
        return data

    def _mark_spent(self, share: Share, piece: BlockSlice) -> tuple[int, int]:
        """Enter a slice among the spent intervals; return the interval that it became part of."""
        start_bit, stop_bit = piece.start_bit, piece.stop_bit
        before = self._connection.execute(
            "SELECT start_bit, stop_bit FROM spent WHERE share = ? AND start_bit < ? ORDER BY start_bit DESC LIMIT 1",
            (share.row, stop_bit),
        ).fetchone()
        if before is not None and before[1] > start_bit:
            raise PadReused(
                f"bits {start_bit} to {stop_bit} of block {share.block_id} were spent before, at least in part",
                remedy="refused; if a peer asked, it lost track of its pads: void the link's stock at both ends",
            )
        if before is not None and before[1] == start_bit:
            start_bit = before[0]
        after = self._connection.execute(
            "DELETE FROM spent WHERE share = ? AND start_bit = ? RETURNING stop_bit", (share.row, stop_bit)
        ).fetchone()
        if after is not None:
            stop_bit = after[0]
        self._connection.execute("INSERT OR REPLACE INTO spent VALUES (?, ?, ?)", (share.row, start_bit, stop_bit))
        return start_bit, stop_bit

    def _book(self, share: Share, num_bits: int, use: Use) -> None:
        self._connection.execute("UPDATE share SET free_bits = free_bits - ? WHERE id = ?", (num_bits, share.row))
        column = "available_bits" if share.is_confirmed else "unconfirmed_bits"
        self._connection.execute(
            f"UPDATE pool SET {column} = {column} - ? WHERE id = ?",  # noqa: S608 - one of the two names above
            (num_bits, share.pool_row),
        )
        self._connection.execute(
            "INSERT INTO pool_spent VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET bits = bits + excluded.bits",
            (share.pool_row, use.value, num_bits),
        )

    def _available_bits(self, pool: PoolId) -> int:
        row = self._connection.execute(
            "SELECT available_bits FROM pool WHERE link = ? AND sender = ?", _names(pool)
        ).fetchone()
        return 0 if row is None else int(row[0])

    def _pool_row(self, pool: PoolId) -> int:
        (row,) = self._connection.execute("SELECT id FROM pool WHERE link = ? AND sender = ?", _names(pool)).fetchone()
        return int(row)

    def _oldest_open_share(self, pool: PoolId) -> Share:
        row = self._connection.execute(
            _SELECT_SHARE  # noqa: S608 - a constant
            + " WHERE share.pool = (SELECT id FROM pool WHERE link = ? AND sender = ?)"
            " AND share.is_confirmed = 1 AND share.free_bits > 0 ORDER BY share.id LIMIT 1",
            _names(pool),
        ).fetchone()
        return _share(row)

    def _first_gap(self, share: Share) -> tuple[int, int]:
        """Return start and stop of the first bits of a share that were not spent; there are some."""
        intervals = self._connection.execute(
            "SELECT start_bit, stop_bit FROM spent WHERE share = ? ORDER BY start_bit LIMIT 2", (share.row,)
        ).fetchall()
        if not intervals or intervals[0][0] > 0:
            return 0, intervals[0][0] if intervals else share.num_bits
        return intervals[0][1], intervals[1][0] if len(intervals) > 1 else share.num_bits

    def _share_of(self, pool: PoolId, piece: BlockSlice) -> Share:
        row = self._connection.execute(
            _SELECT_SHARE + " JOIN pool ON pool.id = share.pool"
            " WHERE block.block_id = ? AND block.state != 'voided' AND pool.link = ? AND pool.sender = ?",
            (piece.block_id, *_names(pool)),
        ).fetchone()
        if row is None:
            raise _block_unknown(piece.block_id)
        share = _share(row)
        if piece.stop_bit > share.num_bits:
            raise BlockUnknown(
                f"block {piece.block_id} has {share.num_bits} bits in pool {pool}, not {piece.stop_bit}",
                remedy="the two ends cut this block differently; void it at both",
            )
        return share

    def _rows(self, condition: str, *values: str) -> list[int]:
        """Return the rows of the blocks that fit and have anything to destroy."""
        found = self._connection.execute(
            f"SELECT id FROM block WHERE {condition} AND state != 'voided'"  # noqa: S608 - fixed conditions of ``void``
            " AND EXISTS (SELECT 1 FROM share WHERE share.block = block.id AND share.free_bits > 0)",
            values,
        )
        return [row for (row,) in found]

    def _void_block(self, row: int) -> None:
        shares = self._connection.execute(
            "SELECT id, pool, free_bits, is_confirmed FROM share WHERE block = ?", (row,)
        ).fetchall()
        for share_row, pool_row, free_bits, is_confirmed in shares:
            column = "available_bits" if is_confirmed else "unconfirmed_bits"
            self._connection.execute(
                f"UPDATE pool SET {column} = {column} - ?, voided_bits = voided_bits + ? WHERE id = ?",  # noqa: S608
                (free_bits, free_bits, pool_row),
            )
            self._segments.destroy_all(share_row)
        self._connection.execute("UPDATE share SET free_bits = 0 WHERE block = ?", (row,))
        self._connection.execute("UPDATE block SET state = 'voided' WHERE id = ?", (row,))


def _names(pool: PoolId) -> tuple[str, str]:
    return pool.link_id, pool.sender or ""


def _place(pool: PoolId, block_id: BlockId) -> bytes:
    return identity("share", *_names(pool), block_id)


def _share(row: tuple[int, int, str, int, int, int]) -> Share:
    share_row, pool_row, block_id, num_bits, free_bits, is_confirmed = row
    return Share(share_row, pool_row, BlockId(block_id), num_bits, free_bits, bool(is_confirmed))


def _spent_bits(pool: PoolId, slices: list[BlockSlice], secret: bytearray) -> SpentBits:
    return SpentBits(pool=pool, bits=BitRange(tuple(slices)), secret=SecretBytes(secret))


def _block_unknown(block_id: BlockId) -> BlockUnknown:
    return BlockUnknown(
        f"block {block_id} is not here: it never came, or it was voided",
        remedy="void it at the peer too",
    )

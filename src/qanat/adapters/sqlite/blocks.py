"""Link key: blocks, their shares in the pools, and which bits were spent. SQL and encryption, no transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from qanat.adapters.encryption import identity
from qanat.adapters.sqlite.hour_keys import HourKeys
from qanat.adapters.sqlite.segments import Segments
from qanat.ground.errors import BlockUnknown, KeyShortage, PadReused
from qanat.ground.identifiers import BlockId, LinkId, NodeId, OrderId, RequestId
from qanat.ground.keys import (
    PRE_SHARED,
    BitRange,
    BlockName,
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
from qanat.ground.life_cycle import Act, Kind, Stage, next_stage, stages_before
from qanat.ground.stock import AgeLimits


@dataclass(frozen=True, slots=True)
class Share:
    """What one block gives to one pool: ``num_bits`` bits, ``free_bits`` of them unspent."""

    row: int
    pool_row: int
    block_row: int
    block_id: BlockId
    stage: Stage
    num_bits: int
    free_bits: int
    is_confirmed: bool
    eps_sec: float
    eps_cor: float


_SELECT_SHARE = (
    "SELECT share.id, share.pool, block.id, block.block_id, block.stage, share.num_bits, share.free_bits,"
    " share.is_confirmed, block.eps_sec, block.eps_cor FROM share JOIN block ON block.id = share.block"
)
_UNUSED_INITIAL = (
    f"protocol = '{PRE_SHARED}'"  # noqa: S608 - a constant
    " AND num_bits = (SELECT sum(free_bits) FROM share WHERE share.block = block.id)"
)
_VOIDABLE = ", ".join(f"'{stage}'" for stage in stages_before(Kind.BLOCK, Act.VOID))


class BlockTables:
    """The tables ``pool``, ``pool_spent``, ``block``, ``share``, ``spent``; ``segment`` through ``Segments``."""

    def __init__(self, connection: sqlite3.Connection, hour_keys: HourKeys) -> None:
        self._connection = connection
        self._segments = Segments(connection, hour_keys)

    def forget_cache(self) -> None:
        """Wipe decrypted bits."""
        self._segments.forget_cache()

    def add(self, block: KeyBlock, *, stored_s: float) -> None:
        """Keep a block's shares, unconfirmed; nothing happens when its id was seen before."""
        cursor = self._connection.execute(
            "INSERT OR IGNORE INTO block (block_id, stage, stored_s, link, order_id, local, peer, origin, protocol,"
            " num_bits, eps_sec, eps_cor, finished_utc_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(block.block_id, next_stage(Kind.BLOCK, None, Act.TAKE_IN), stored_s),
                *(block.link_id, block.order_id, block.local, block.peer, block.origin),
                *(block.protocol, block.num_bits, block.eps_sec, block.eps_cor, block.finished_utc_s),
            ),
        )
        if cursor.rowcount == 0:
            return
        for pool, (start_bit, stop_bit) in split_block(block).items():
            self._add_share(cursor.lastrowid or 0, block, pool, start_bit, stop_bit)

    def confirm(self, block_id: BlockId) -> None:
        """Make a block's free bits available; raises BlockUnknown when it is not here, or voided."""
        row = self._connection.execute("SELECT id, stage FROM block WHERE block_id = ?", (block_id,)).fetchone()
        after = None if row is None else next_stage(Kind.BLOCK, Stage(row[1]), Act.CONFIRM)
        if after is None:
            raise _block_unknown(block_id)
        if after == row[1]:
            return
        self._connection.execute(
            "UPDATE pool SET unconfirmed_bits = unconfirmed_bits - share.free_bits,"
            " available_bits = available_bits + share.free_bits"
            " FROM share WHERE share.block = ? AND pool.id = share.pool",
            (row[0],),
        )
        self._connection.execute("UPDATE share SET is_confirmed = 1 WHERE block = ?", (row[0],))
        self._connection.execute("UPDATE block SET stage = ? WHERE id = ?", (after, row[0]))

    def spend(self, pool: PoolId, *, num_bits: int, use: Use, request_id: RequestId) -> SpentBits:
        """Take the oldest confirmed bits of a pool; raises KeyShortage."""
        available_bits = self._available_bits(pool)
        if available_bits < num_bits:
            raise KeyShortage(
                f"pool {pool} has {available_bits} bits, request {request_id} asks {num_bits}",
                remedy="wait until the link has made more key",
            )
        slices: list[BlockSlice] = []
        shares: list[Share] = []
        secret = bytearray()
        left_bits = num_bits
        while left_bits:
            share = self._oldest_open_share(pool)
            start_bit, gap_end_bit = self._first_gap(share)
            piece = BlockSlice(share.block_id, start_bit, min(gap_end_bit, start_bit + left_bits))
            secret += self._take(pool, share, piece, use)
            slices.append(piece)
            shares.append(share)
            left_bits -= piece.num_bits
        return _spent_bits(pool, slices, secret, shares)

    def spend_range(self, pool: PoolId, bits: BitRange, *, use: Use) -> SpentBits:
        """Take just these bits; raises PadReused, BlockUnknown."""
        secret, shares = bytearray(), []
        for piece in bits.slices:
            shares.append(self._share_of(pool, piece))
            secret += self._take(pool, shares[-1], piece, use)
        return _spent_bits(pool, list(bits.slices), secret, shares)

    def void(self, selection: Selection) -> int:
        """Destroy what is left of the selected blocks; returns how many had anything left."""
        rows: set[int] = set()
        for block_id in selection.block_ids:
            if selection.block_peer is None:
                rows.update(self._rows("block_id = ?", block_id))
            else:
                rows.update(self._rows("block_id = ? AND peer = ?", block_id, selection.block_peer))
        spared = f" AND NOT ({_UNUSED_INITIAL})" if selection.keep_unused_initial else ""
        for link in selection.links:
            rows.update(self._rows("link = ?" + spared, link))
        if selection.unconfirmed:
            rows.update(self._rows(f"stage = '{Stage.RECEIVED}' AND protocol != ?", selection.but_protocol))
        for row in rows:
            self._void_block(row)
        return len(rows)

    def expire(self, limits: AgeLimits, *, now_s: float) -> dict[PoolId, int]:
        """Destroy what is left of shares that are too old; returns how many bits of which pools."""
        expired: dict[PoolId, int] = {}
        for link, time_to_live_s in limits.links.items():
            pools = self._connection.execute("SELECT id, sender FROM pool WHERE link = ? AND sender != ''", (link,))
            for pool_row, sender in pools.fetchall():
                bits = self._expire_pool(pool_row, sender, now_s - time_to_live_s, grace_s=limits.grace_s)
                if bits:
                    expired[PoolId(link, NodeId(sender))] = bits
        return expired

    def stage(self, block_id: BlockId) -> Stage | None:
        """Return where a block stands; None when it never came."""
        row = self._connection.execute("SELECT stage FROM block WHERE block_id = ?", (block_id,)).fetchone()
        return None if row is None else Stage(row[0])

    def unconfirmed(self, protocol: str) -> list[BlockName]:
        """Return the blocks of a protocol that were never confirmed."""
        rows = self._connection.execute(
            "SELECT block_id, order_id, link, peer, num_bits FROM block WHERE stage = ? AND protocol = ? ORDER BY id",
            (Stage.RECEIVED, protocol),
        )
        return [
            BlockName(BlockId(block_id), OrderId(order_id), LinkId(link), NodeId(peer), num_bits)
            for block_id, order_id, link, peer, num_bits in rows
        ]

    def levels(self, *, now_s: float) -> Mapping[PoolId, PoolLevel]:
        """Return what every pool holds and held; ``now_s``: the time by which stock ages."""
        spent: dict[int, dict[Use, int]] = {}
        for pool_row, use, bits in self._connection.execute("SELECT pool, use, bits FROM pool_spent"):
            spent.setdefault(pool_row, {})[Use(use)] = bits
        pools = self._connection.execute(
            "SELECT id, link, sender, received_bits, unconfirmed_bits, available_bits, voided_bits, expired_bits,"
            " (SELECT block.stored_s FROM share JOIN block ON block.id = share.block WHERE share.pool = pool.id"
            " AND share.is_confirmed = 1 AND share.free_bits > 0 ORDER BY share.id LIMIT 1) FROM pool"
        )
        return {
            PoolId(LinkId(link), NodeId(sender) if sender else None): PoolLevel(
                available_bits=available,
                unconfirmed_bits=unconfirmed,
                received_bits=received,
                voided_bits=voided,
                spent_bits=spent.get(row, {}),
                expired_bits=expired,
                oldest_age_s=None if stored_s is None else max(0.0, now_s - stored_s),
            )
            for row, link, sender, received, unconfirmed, available, voided, expired, stored_s in pools
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
        place = _place(pool, block.block_id)
        self._segments.write(cursor.lastrowid or 0, secret, pool=f"pool {pool}", place=place)
        secret.wipe()

    def _take(self, pool: PoolId, share: Share, piece: BlockSlice, use: Use) -> bytes:
        """Mark a slice as spent, book it, and return its bytes."""
        start_bit, stop_bit = self._mark_spent(share, piece)
        data = self._segments.read(
            share.row, piece.start_bit // 8, piece.stop_bit // 8, place=_place(pool, share.block_id)
        )
        self._book(share, piece.num_bits, use)
        if share.free_bits == piece.num_bits:
            self._segments.destroy_all(share.row)
            self._end_block(share.block_row, share.stage, Act.GIVE_LAST)
        else:
            self._segments.destroy_covered(share.row, start_bit // 8, stop_bit // 8, touched=piece)
        return data

    def _end_block(self, block_row: int, stage: Stage, act: Act) -> None:
        """Move a block on when nothing is left of it."""
        (left_bits,) = self._connection.execute(
            "SELECT sum(free_bits) FROM share WHERE block = ?", (block_row,)
        ).fetchone()
        if not left_bits:
            after = next_stage(Kind.BLOCK, stage, act)
            assert after is not None, f"a block cannot go on from {stage} by {act}"
            self._connection.execute("UPDATE block SET stage = ? WHERE id = ?", (after, block_row))

    def _expire_pool(self, pool_row: int, sender: str, stored_before_s: float, *, grace_s: float) -> int:
        """Destroy the shares of one pool that came before; those under which the peer sends, ``grace_s`` later."""
        shares = self._connection.execute(
            "SELECT share.id, share.block, block.stage, share.free_bits, share.is_confirmed"
            " FROM share JOIN block ON block.id = share.block WHERE share.pool = ? AND share.free_bits > 0"
            " AND block.stored_s < ? - CASE WHEN block.local = ? THEN 0 ELSE ? END",
            (pool_row, stored_before_s, sender, grace_s),
        ).fetchall()
        for share_row, block_row, stage, free_bits, is_confirmed in shares:
            self._empty_share(share_row, pool_row, free_bits, is_confirmed, into="expired_bits")
            self._end_block(block_row, Stage(stage), Act.EXPIRE)
        return sum(free_bits for _, _, _, free_bits, _ in shares)

    def _empty_share(self, share_row: int, pool_row: int, free_bits: int, is_confirmed: int, *, into: str) -> None:
        """Destroy what is left of a share and book it ``into`` the pool's column of this name."""
        column = "available_bits" if is_confirmed else "unconfirmed_bits"
        self._connection.execute(
            f"UPDATE pool SET {column} = {column} - ?, {into} = {into} + ? WHERE id = ?",  # noqa: S608 - our own names
            (free_bits, free_bits, pool_row),
        )
        self._segments.destroy_all(share_row)
        self._connection.execute("UPDATE share SET free_bits = 0 WHERE id = ?", (share_row,))

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
            " WHERE block.block_id = ? AND pool.link = ? AND pool.sender = ?",
            (piece.block_id, *_names(pool)),
        ).fetchone()
        share = None if row is None else _share(row)
        if share is None or not self._is_here(share):
            raise _block_unknown(piece.block_id)
        if piece.stop_bit > share.num_bits:
            raise BlockUnknown(
                f"block {piece.block_id} has {share.num_bits} bits in pool {pool}, not {piece.stop_bit}",
                remedy="the two ends cut this block differently; void it at both",
            )
        return share

    def _is_here(self, share: Share) -> bool:
        """Return whether a share was never destroyed; a share that was spent whole counts as here."""
        if share.free_bits or share.stage in (Stage.EXPIRED, Stage.DESTROYED):
            return share.free_bits > 0
        (spent_bits,) = self._connection.execute(
            "SELECT sum(stop_bit - start_bit) FROM spent WHERE share = ?", (share.row,)
        ).fetchone()
        return bool(spent_bits == share.num_bits)

    def _rows(self, condition: str, *values: str) -> list[int]:
        """Return the rows of the blocks that fit and have anything to destroy."""
        found = self._connection.execute(
            f"SELECT id FROM block WHERE {condition} AND stage IN ({_VOIDABLE})",  # noqa: S608 - fixed conditions
            values,
        )
        return [row for (row,) in found]

    def _void_block(self, row: int) -> None:
        (stage,) = self._connection.execute("SELECT stage FROM block WHERE id = ?", (row,)).fetchone()
        shares = self._connection.execute(
            "SELECT id, pool, free_bits, is_confirmed FROM share WHERE block = ? AND free_bits > 0", (row,)
        ).fetchall()
        for share_row, pool_row, free_bits, is_confirmed in shares:
            self._empty_share(share_row, pool_row, free_bits, is_confirmed, into="voided_bits")
        self._end_block(row, Stage(stage), Act.VOID)


def _names(pool: PoolId) -> tuple[str, str]:
    return pool.link_id, pool.sender or ""


def _place(pool: PoolId, block_id: BlockId) -> bytes:
    return identity("share", *_names(pool), block_id)


def _share(row: tuple[int, int, int, str, str, int, int, int, float, float]) -> Share:
    share_row, pool_row, block_row, block_id, stage, num_bits, free_bits, is_confirmed, *eps = row
    about = BlockId(block_id), Stage(stage), num_bits, free_bits, bool(is_confirmed)
    return Share(share_row, pool_row, block_row, *about, *eps)


def _spent_bits(pool: PoolId, slices: list[BlockSlice], secret: bytearray, shares: list[Share]) -> SpentBits:
    """Return the bits of these slices, each of the share in the same place."""
    blocks = {share.block_row: share for share in shares}.values()
    eps_sec, eps_cor = sum(share.eps_sec for share in blocks), sum(share.eps_cor for share in blocks)
    return SpentBits(pool, BitRange(tuple(slices)), SecretBytes(secret), eps_sec, eps_cor)


def _block_unknown(block_id: BlockId) -> BlockUnknown:
    return BlockUnknown(
        f"block {block_id} is not here: it never came, or it was voided",
        remedy="void it at the peer too",
    )

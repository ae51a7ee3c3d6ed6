"""What a key store in memory holds: its "disk", which survives the processes that work on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace

from qanat.ground.identifiers import BlockId, KeyID, LinkId, NodeId, OrderId, SaeId
from qanat.ground.keys import (
    PRE_SHARED,
    PoolId,
    SecretBytes,
    SecretKey,
    Use,
)
from qanat.ground.life_cycle import Stage
from qanat.ground.stock import NamedEpoch


@dataclass(slots=True)
class Share:
    """One pool's share of one block: its bytes, and which of its bits are spent (sorted, disjoint intervals)."""

    secret: SecretBytes
    num_bits: int
    spent: list[tuple[int, int]] = field(default_factory=list)
    is_gone: bool = False

    def free_from(self, start_bit: int = 0) -> Iterator[tuple[int, int]]:
        """Yield the intervals that are not spent, in order."""
        if self.is_gone:
            return
        for begin, end in (*self.spent, (self.num_bits, self.num_bits)):
            if start_bit < begin:
                yield start_bit, begin
            start_bit = end

    def overlaps(self, start_bit: int, stop_bit: int) -> bool:
        return any(begin < stop_bit and start_bit < end for begin, end in self.spent)

    def mark(self, start_bit: int, stop_bit: int) -> None:
        """Add an interval to the spent ones and join neighbours."""
        merged: list[tuple[int, int]] = []
        for begin, end in sorted([*self.spent, (start_bit, stop_bit)]):
            if merged and merged[-1][1] == begin:
                merged[-1] = (merged[-1][0], end)
            else:
                merged.append((begin, end))
        self.spent = merged

    @property
    def left_bits(self) -> int:
        return 0 if self.is_gone else self.num_bits - sum(end - begin for begin, end in self.spent)

    def copied(self) -> Share:
        return replace(self, secret=_copied(self.secret, is_gone=self.is_gone), spent=list(self.spent))

    def destroy(self) -> int:
        """Destroy what is left; return how many bits that was."""
        left_bits = self.left_bits
        if left_bits:
            self.secret.wipe()
            self.is_gone = True
        return left_bits


@dataclass(slots=True)
class Block:
    """A block; at an end of its life only the memory that there was one."""

    shares: dict[PoolId, Share]
    link_id: LinkId
    local: NodeId
    peer: NodeId
    protocol: str
    stored_s: float
    stage: Stage
    order_id: OrderId
    eps_sec: float
    eps_cor: float
    confirmed: bool = False

    @property
    def voided(self) -> bool:
        return self.stage in (Stage.EXPIRED, Stage.DESTROYED)

    @property
    def left_bits(self) -> int:
        return sum(share.left_bits for share in self.shares.values())

    def copied(self) -> Block:
        return replace(self, shares={pool: share.copied() for pool, share in self.shares.items()})

    @property
    def is_unused_initial(self) -> bool:
        return self.protocol == PRE_SHARED and not any(share.spent for share in self.shares.values())


@dataclass(slots=True)
class HeldKey:
    """A key, who waits for it, and who has had it."""

    key: SecretKey
    entitled: set[SaeId]
    confirmed: bool
    stored_s: float
    served: set[SaeId] = field(default_factory=set)

    def copied(self) -> HeldKey:
        key = replace(self.key, secret=_copied(self.key.secret))
        return replace(self, key=key, entitled=set(self.entitled), served=set(self.served))

    @property
    def stage(self) -> Stage:
        if not self.confirmed:
            return Stage.RECEIVED
        return Stage.RESERVED if self.served else Stage.STORED


@dataclass(slots=True)
class KeptAnswer:
    """What a call was answered that may be repeated, until when on the clock of which epoch."""

    request: str
    keys: Sequence[SecretKey]
    epoch: int
    until_monotonic_s: float


@dataclass(slots=True)
class Disk:
    """What survives a crash."""

    epoch: int = 0
    blocks: dict[BlockId, Block] = field(default_factory=dict)  # in the order of their arrival
    keys: dict[KeyID, HeldKey] = field(default_factory=dict)
    gone_keys: dict[KeyID, Stage] = field(default_factory=dict)
    answers: dict[tuple[SaeId, str], KeptAnswer] = field(default_factory=dict)
    notices: dict[str, bytes] = field(default_factory=dict)
    received_bits: Counter[PoolId] = field(default_factory=Counter)
    voided_bits: Counter[PoolId] = field(default_factory=Counter)
    expired_bits: Counter[PoolId] = field(default_factory=Counter)
    spent_bits: dict[PoolId, Counter[Use]] = field(default_factory=dict)
    own_epochs: dict[int, str] = field(default_factory=dict)
    restored_epoch: int = 0
    peer_epochs: dict[NodeId, NamedEpoch] = field(default_factory=dict)
    terms: int = 0
    saved_s: float = 0.0
    saved_utc_s: float | None = None

    def copied(self) -> Disk:
        """Return a copy that goes its own way, as a backup of a file does."""
        return replace(
            self,
            blocks={block_id: block.copied() for block_id, block in self.blocks.items()},
            keys={key_id: held.copied() for key_id, held in self.keys.items()},
            gone_keys=dict(self.gone_keys),
            notices=dict(self.notices),
            received_bits=self.received_bits.copy(),
            voided_bits=self.voided_bits.copy(),
            expired_bits=self.expired_bits.copy(),
            spent_bits={pool: bits.copy() for pool, bits in self.spent_bits.items()},
            own_epochs=dict(self.own_epochs),
            peer_epochs=dict(self.peer_epochs),
        )

    def put_back(self, copy: Disk) -> None:
        """Become what ``copy`` is, in place."""
        fresh = copy.copied()
        for one in fields(self):
            setattr(self, one.name, getattr(fresh, one.name))


def _copied(secret: SecretBytes, *, is_gone: bool = False) -> SecretBytes:
    return secret if is_gone else SecretBytes(secret.reveal())

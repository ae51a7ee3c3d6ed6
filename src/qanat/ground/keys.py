"""Keys and what is said about them: secrets, blocks, pools, ranges.

Secret bytes have no ``repr``, do not pickle, compare in constant time, and an application takes them once.
"""

from __future__ import annotations

import enum
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NoReturn, TypeAlias

from qanat.ground.bits import whole_bytes
from qanat.ground.identifiers import BlockId, KeyID, LinkId, NodeId, OrderId, SaeId, SaePair
from qanat.ground.key_ids import KeyIds
from qanat.ground.requirements import KeyFit

Origin: TypeAlias = Literal["device", "twin"]


class SecretBytes:
    """Bytes that are never printed, never pickled and can be wiped.

    ``take`` hands them out once; ``reveal`` reads without consuming and is spelled so that a search finds every place
    that does. Wiping clears our own buffer; copies that Python made are beyond reach, so make few.
    """

    __slots__ = ("_buffer",)

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._buffer: bytearray | None = bytearray(data)

    def __len__(self) -> int:
        return len(self._contents())

    @property
    def num_bits(self) -> int:
        return 8 * len(self)

    def reveal(self) -> bytes:
        """Return the bytes and keep them; raises ValueError after ``take`` or ``wipe``."""
        return bytes(self._contents())

    def take(self) -> bytes:
        """Return the bytes and forget them; a second call raises ValueError."""
        buffer, self._buffer = self._contents(), None
        data = bytes(buffer)
        buffer[:] = bytes(len(data))
        return data

    def part(self, start: int, stop: int) -> SecretBytes:
        """Return a copy of the bytes ``start`` to ``stop``, which must lie inside."""
        if not 0 <= start <= stop <= len(self):
            raise ValueError(f"part {start}:{stop} is outside {len(self)} secret bytes")
        return SecretBytes(memoryview(self._contents())[start:stop])

    def wipe(self) -> None:
        """Overwrite the buffer with zeros and drop it."""
        if self._buffer is not None:
            self._buffer[:] = bytes(len(self._buffer))
            self._buffer = None

    def _contents(self) -> bytearray:
        if self._buffer is None:
            raise ValueError("these secret bytes were taken or wiped already")
        return self._buffer

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretBytes):
            return NotImplemented
        return hmac.compare_digest(self._contents(), other._contents())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "<SecretBytes, gone>" if self._buffer is None else f"<SecretBytes, {len(self._buffer)} bytes>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("secret bytes do not pickle; encode them into a frame where that is meant")


@dataclass(frozen=True, slots=True)
class KeyBlock:
    """Secret key made by one QKD link, as its module at ``local`` hands it out.

    The same block at the peer has the same ids and bytes, with ``local`` and ``peer`` exchanged. Its failure
    probabilities are those of the whole block: secrecy ``eps_sec``, correctness and authentication ``eps_cor``.
    """

    block_id: BlockId
    order_id: OrderId
    link_id: LinkId
    local: NodeId
    peer: NodeId
    origin: Origin
    protocol: str
    num_bits: int
    bits: SecretBytes = field(compare=False)
    eps_sec: float
    eps_cor: float
    finished_utc_s: float

    def __post_init__(self) -> None:
        if self.num_bits != self.bits.num_bits:
            raise ValueError(f"a block of {self.num_bits} bits came with {self.bits.num_bits}")


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """How a key came about, for whoever asks after it: over which nodes, and at the price of which bits.

    ``routes`` list the nodes from the master's to the slave's, one route per share where the key was put together from
    shares. ``threshold``: so many relays must work together to know the key, one on each route; None: no number of them
    could, since a route passes no relay. ``pad_bits`` of one-time pad it took over all hops of all routes;
    ``authentication_bits`` are its part of the tags' keys.
    """

    routes: tuple[tuple[NodeId, ...], ...]
    threshold: int | None
    pad_bits: int
    authentication_bits: int

    @classmethod
    def of_route(cls, route: tuple[NodeId, ...], *, size_bits: int, qkd_bits_spent: int) -> KeyRecord:
        """Return the record of a key that went whole over one route."""
        pad_bits = min(max(0, len(route) - 1) * size_bits, qkd_bits_spent)
        return cls((route,), 1 if len(route) > 2 else None, pad_bits, qkd_bits_spent - pad_bits)

    @property
    def hops(self) -> int:
        """Links crossed, over all routes."""
        return sum(max(0, len(route) - 1) for route in self.routes)

    @property
    def qkd_bits_spent(self) -> int:
        return self.pad_bits + self.authentication_bits

    def to_json(self) -> dict[str, object]:
        return {
            "routes": [list(route) for route in self.routes],
            "hops": self.hops,
            "threshold": self.threshold,
            "pad_bits": self.pad_bits,
            "authentication_bits": self.authentication_bits,
        }

    @classmethod
    def from_json(cls, row: object) -> KeyRecord:
        """Read what ``to_json`` wrote; raises ValueError on anything else."""
        match row:
            case {
                "routes": [*routes],
                "threshold": int() | None as threshold,
                "pad_bits": int(pad_bits),
                "authentication_bits": int(authentication_bits),
            } if all(isinstance(route, list) for route in routes):
                named = tuple(tuple(NodeId(str(node)) for node in route) for route in routes)
                return cls(named, threshold, pad_bits, authentication_bits)
        raise ValueError("a record of a key has routes, a threshold and two counts of bits")


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A key between two applications, as a key manager stores it.

    ``qkd_bits_spent`` counts every bit of link key it took on its way: hops x key bits, and its share of the
    authentication bits. ``route`` lists the nodes from the master's to the slave's. ``full_record`` is that of a key
    which was put together from shares; of others ``record`` follows from the rest.
    """

    key_id: KeyID
    pair: SaePair
    secret: SecretBytes = field(compare=False)
    route: tuple[NodeId, ...]
    origin: Origin
    created_utc_s: float
    qkd_bits_spent: int
    full_record: KeyRecord | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        full = self.full_record
        if full is not None and (full.routes[0], full.qkd_bits_spent) != (self.route, self.qkd_bits_spent):
            raise ValueError(f"key {self.key_id} and its record differ in route or price")

    @property
    def record(self) -> KeyRecord:
        """How the key came about; raises ValueError once its bytes were taken, when only they told its size."""
        if self.full_record is not None:
            return self.full_record
        return KeyRecord.of_route(self.route, size_bits=self.size_bits, qkd_bits_spent=self.qkd_bits_spent)

    @property
    def routes(self) -> tuple[tuple[NodeId, ...], ...]:
        """The ways that it is recorded to have come, one for each of its shares."""
        return (self.route,) if self.full_record is None else self.full_record.routes

    @property
    def size_bits(self) -> int:
        return self.secret.num_bits

    def take(self) -> bytes:
        """Return the key bytes, once."""
        return self.secret.take()


@dataclass(frozen=True, slots=True, order=True)
class PoolId:
    """A stock of one link's key.

    Each block feeds three pools, cut alike at both ends (``ground.keys.split_block``): one per direction, named by the
    node that sends under it, so that two ends never race for the same bits; and the authentication reserve
    (``sender`` None), which is never sold.
    """

    link_id: LinkId
    sender: NodeId | None

    @property
    def is_reserve(self) -> bool:
        return self.sender is None

    def __str__(self) -> str:
        return f"{self.link_id}/{self.sender or 'authentication'}"


@dataclass(frozen=True, slots=True, order=True)
class BlockSlice:
    """Bits ``start_bit`` to ``stop_bit`` of one pool's share of one block; both are multiples of 8."""

    block_id: BlockId
    start_bit: int
    stop_bit: int

    def __post_init__(self) -> None:
        if not 0 <= self.start_bit < self.stop_bit or self.start_bit % 8 or self.stop_bit % 8:
            raise ValueError(f"no slice: {self.start_bit}:{self.stop_bit}")

    @property
    def num_bits(self) -> int:
        return self.stop_bit - self.start_bit


@dataclass(frozen=True, slots=True)
class BitRange:
    """Which bits of a pool: slices in the order in which they are used. Public, unlike the bits."""

    slices: tuple[BlockSlice, ...]

    @property
    def num_bits(self) -> int:
        return sum(piece.num_bits for piece in self.slices)

    def to_json(self) -> list[list[str | int]]:
        return [[piece.block_id, piece.start_bit, piece.stop_bit] for piece in self.slices]

    @classmethod
    def from_json(cls, rows: object) -> BitRange:
        """Read what ``to_json`` wrote; raises ValueError on anything else."""
        if not isinstance(rows, list):
            raise ValueError("a bit range is a list of [block, start, stop]")
        slices = []
        for row in rows:
            match row:
                case [str(block), int(start), int(stop)]:
                    slices.append(BlockSlice(BlockId(block), start, stop))
                case _:
                    raise ValueError("a bit range is a list of [block, start, stop]")
        return cls(tuple(slices))


class Use(enum.StrEnum):
    """What link key is spent on; the accounts keep one column each."""

    AUTHENTICATION = "authentication"
    """Tags of a distillation session."""
    RELAY = "relay"
    """One-time pad and tag of a key relay hop."""
    ONE_TIME_PAD = "one-time-pad"
    """An application's own one-time pad."""
    ANNOUNCEMENT = "announcement"
    """Key of a satellite with a station, of which the sum with another station's was announced."""


@dataclass(frozen=True, slots=True)
class SpentBits:
    """Bits that have left a pool for good; durable before they were returned.

    eps_sec, eps_cor: the failure bounds of all blocks that the bits are of, added up, each block once.
    """

    pool: PoolId
    bits: BitRange
    secret: SecretBytes = field(compare=False)
    eps_sec: float = field(default=0.0, compare=False)
    eps_cor: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class BlockName:
    """What is told of a block without its bits."""

    block_id: BlockId
    order_id: OrderId
    link_id: LinkId
    peer: NodeId
    num_bits: int


@dataclass(frozen=True, slots=True)
class PoolLevel:
    """What a pool holds and what became of the rest, in bits.

    ``received == unconfirmed + available + sum(spent.values()) + voided + expired`` at every moment.
    """

    available_bits: int
    unconfirmed_bits: int
    received_bits: int
    voided_bits: int
    spent_bits: Mapping[Use, int]
    expired_bits: int = 0
    oldest_age_s: float | None = field(default=None, compare=False)
    """How long ago the bits that would be spent next came, as the store last heard of the time; None: there are none,
    or the store does not tell."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What to void: blocks, keys, whole pools, or all that was never confirmed. Criteria are joined by "or".

    ``batches`` name keys by the batch: the same as all their ids in ``key_ids``, with less work. Two restrict what a
    peer may name: with ``block_peer``, of ``block_ids`` only the blocks shared with that node; with ``key_origin``, of
    ``key_ids`` and ``batches`` only the keys whose route begins at that node. ``keep_unused_initial`` spares, of
    ``links``, pre-shared blocks of which no bit was spent here. ``unconfirmed`` spares blocks of ``but_protocol``.
    ``links``, pre-shared blocks of which no bit was spent here. ``unfit`` names pairs with what their keys should be:
    those whose recorded ways do not fit are meant (nothing else of a ``KeyFit`` counts here).
    """

    block_ids: frozenset[BlockId] = frozenset()
    key_ids: frozenset[KeyID] = frozenset()
    batches: frozenset[KeyIds] = frozenset()
    links: frozenset[LinkId] = frozenset()
    pairs: frozenset[SaePair] = frozenset()
    unconfirmed: bool = False
    block_peer: NodeId | None = None
    key_origin: NodeId | None = None
    all_keys: bool = False
    keep_unused_initial: bool = False
    but_protocol: str = ""
    unfit: frozenset[tuple[SaePair, KeyFit]] = frozenset()


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """What an application may know of its stock (ETSI GS QKD 014, clause 6.1). ``ready_key_count``: how many keys of
    the default size lie ready end to end, for which nothing is relayed. ``refusal``: why none can ever be given."""

    source_kme: str
    target_kme: str
    master: SaeId
    slave: SaeId
    key_size_bits: int
    min_key_size_bits: int
    max_key_size_bits: int
    stored_key_count: int
    max_key_count: int
    max_keys_per_request: int
    max_additional_slaves: int = 0
    ready_key_count: int = 0
    refusal: str = ""


PRE_SHARED = "pre-shared"
"""``KeyBlock.protocol`` of the initial authentication key, which was carried by hand; all of it is reserve."""

RESERVE_SHARE_BITS = 4096
"""What each distilled block gives to the authentication reserve; see ``block_shares``."""


def block_shares(num_bits: int) -> tuple[int, int, int]:
    """Return how many bits of a distilled block go to the reserve, and to each of its two directions.

    The reserve comes first: RESERVE_SHARE_BITS, several times what a session spends, so that sessions that fail do
    not wear it down; at most a quarter of a small block. The rest is halved: one half per direction. Raises ValueError
    for bits that are no whole bytes.
    """
    whole_bytes(num_bits)
    reserve = min(RESERVE_SHARE_BITS, num_bits // 32 * 8)
    half = (num_bits - reserve) // 16 * 8
    return reserve, half, num_bits - reserve - half


def split_block(block: KeyBlock) -> dict[PoolId, tuple[int, int]]:
    """Return which bits (start, stop) of a block feed which pool; both ends compute the same without a message.

    The shares are those of ``block_shares``, the reserve's first; an initial key is all reserve.
    """
    reserve_pool = PoolId(block.link_id, None)
    if block.protocol == PRE_SHARED:
        whole_bytes(block.num_bits)
        return {reserve_pool: (0, block.num_bits)}
    reserve, half, _ = block_shares(block.num_bits)
    first, second = sorted((block.local, block.peer))
    return {
        reserve_pool: (0, reserve),
        PoolId(block.link_id, first): (reserve, reserve + half),
        PoolId(block.link_id, second): (reserve + half, block.num_bits),
    }

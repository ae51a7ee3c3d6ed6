"""What somebody could compute of keys from link key that he holds and messages he heard: linear algebra over GF(2).

Every bit that was drawn at random is an unknown: each bit of each block of link key, each bit that an origin drew for a
relay's keys. What is said of secrets is a sum of unknowns: the body of a relay word is the secret plus the pad. Whoever
knows some sums knows their span, and of whatever is outside of it nothing at all, since the unknowns are uniform and
independent. (The check by which the ends compare a batch is no sum; it goes under a pad of its own, and so tells
nothing: ``key_management.end_check``.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from qanat.ground.authentication import MESSAGE_KEY_BITS
from qanat.ground.identifiers import BlockId, KeyID, NodeId
from qanat.ground.keys import BitRange, KeyBlock, PoolId, split_block
from qanat.ground.messages import Message
from qanat.key_management.codec import decode_word
from qanat.key_management.wire import Relay
from qanat.simulation.batches import ids_of_keys
from qanat.simulation.invariants import RELAY_KIND
from qanat.simulation.world import World


class Span:
    """All sums of some rows; a row is a whole number whose set bits are its unknowns."""

    def __init__(self, rows: Iterable[int] = ()) -> None:
        self._by_top_bit: dict[int, int] = {}
        for row in rows:
            self.add(row)

    def __len__(self) -> int:
        """Return its dimension."""
        return len(self._by_top_bit)

    def add(self, row: int) -> None:
        if rest := self._rest(row):
            self._by_top_bit[rest.bit_length()] = rest

    def __contains__(self, row: int) -> bool:
        return not self._rest(row)

    def _rest(self, row: int) -> int:
        while row and (known := self._by_top_bit.get(row.bit_length())):
            row ^= known
        return row


@dataclass(slots=True)
class Unknowns:
    """Numbers the random bits, by whatever names them."""

    numbers: dict[tuple[str, ...], int] = field(default_factory=dict)

    def row(self, *names: tuple[str, ...]) -> int:
        """Return the sum of some unknowns."""
        total = 0
        for name in names:
            total ^= 1 << self.numbers.setdefault(name, len(self.numbers))
        return total


@dataclass(slots=True)
class Transcript:
    """Everything of a run: each node's blocks, and each message with who sent and who got it."""

    blocks: dict[NodeId, list[KeyBlock]] = field(default_factory=dict)
    heard: list[tuple[NodeId, NodeId, Message]] = field(default_factory=list)

    @classmethod
    def of(cls, world: World) -> Transcript:
        """Begin to write down what happens in a world."""
        transcript, real_added, real_line = cls(), world.witness.block_added, world.line

        def block_added(node: NodeId, block: KeyBlock) -> None:
            real_added(node, block)
            copied = KeyBlock(**{name: getattr(block, name) for name in block.__slots__})
            object.__setattr__(copied, "bits", type(block.bits)(block.bits.reveal()))
            transcript.blocks.setdefault(node, []).append(copied)

        def line(sender: NodeId, receiver: NodeId, message: Message) -> Message | None:
            transcript.heard.append((sender, receiver, message))
            return real_line(sender, receiver, message)

        world.witness.block_added = block_added  # type: ignore[method-assign]
        world.line = line
        return transcript

    def relays_of(self, key_id: KeyID) -> list[tuple[NodeId, NodeId, Relay, bytes]]:
        """Return the relay words that carried a key, each once, with its sender, receiver and body."""
        found: dict[tuple[str, int], tuple[NodeId, NodeId, Relay, bytes]] = {}
        for sender, receiver, message in self.heard:
            word = decode_word(message) if message.kind == RELAY_KIND else None
            if isinstance(word, Relay) and key_id in ids_of_keys(word.ids_from, word.num_keys):
                found[word.relay_id, word.hop] = (sender, receiver, word, message.body)
        return list(found.values())


class Knowledge:
    """What nodes know: the unknowns and sums that their blocks and the messages give them."""

    def __init__(self, transcript: Transcript) -> None:
        self._transcript = transcript
        self._unknowns = Unknowns()

    def key_rows(self, key_id: KeyID, *, size_bits: int) -> list[int]:
        """Return each bit of a key as an unknown."""
        (_, _, word, _), *_ = self._transcript.relays_of(key_id)
        place = list(ids_of_keys(word.ids_from, word.num_keys)).index(key_id)
        first = place * size_bits
        return [self._unknowns.row(("secret", word.relay_id, str(bit))) for bit in range(first, first + size_bits)]

    def of(self, nodes: Sequence[NodeId], *, all_messages: bool = False) -> Span:
        """Return what some nodes know together; ``all_messages``: with every message of the network, whoever got it."""
        rows: list[int] = []
        blocks = {block.block_id for node in nodes for block in self._transcript.blocks.get(node, ())}
        words: dict[tuple[str, int], tuple[NodeId, Relay, bytes]] = {}
        for sender, receiver, message in self._transcript.heard:
            if message.kind == RELAY_KIND and (all_messages or {sender, receiver} & set(nodes)):
                word = decode_word(message)
                assert isinstance(word, Relay)
                assert word.shares == 1, "a key of several shares is the sum of more unknowns"
                words[word.relay_id, word.hop] = (sender, word, message.body)
        for sender, word, body in words.values():
            pads = pad_bits(word, sender)
            assert len(pads) == 8 * len(body)
            for bit, pad in enumerate(pads):
                rows.append(self._unknowns.row(("secret", word.relay_id, str(bit)), ("pad", *pad)))
                if BlockId(pad[1]) in blocks:
                    rows.append(self._unknowns.row(("pad", *pad)))
        return Span(rows)


def pad_bits(word: Relay, sender: NodeId) -> list[tuple[str, str, str]]:
    """Return which bits of the link's key a body's bits stand under: pool, block, place in the pool's share of it."""
    pool = str(PoolId(word.link_id, sender))
    bits = [
        (pool, str(piece.block_id), str(bit))
        for piece in word.pad_range.slices
        for bit in range(piece.start_bit, piece.stop_bit)
    ]
    return bits[MESSAGE_KEY_BITS:]


def bits_held(transcript: Transcript, node: NodeId, pool: PoolId, bits: BitRange) -> bytes | None:
    """Return bits of a pool as they stand in a node's blocks; None where it has none of them."""
    blocks = {block.block_id: block for block in transcript.blocks.get(node, ())}
    if any(piece.block_id not in blocks for piece in bits.slices):
        return None
    held = b""
    for piece in bits.slices:
        block = blocks[piece.block_id]
        start, _ = split_block(block)[pool]
        held += block.bits.reveal()[(start + piece.start_bit) // 8 : (start + piece.stop_bit) // 8]
    return held

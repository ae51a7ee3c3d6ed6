"""How two ends make sure that they hold the same block, before a bit of it counts. Pure functions.

The end that leads offers the ids of the keys of a block; the other takes the same keys and answers with a tag over
them; the first compares it with its own and says that they agree.

    leader    OFFER   number, ids, tag 1 of the offer
    follower  CHECKED number, tag 2 of the offer and of the key bits
    leader    AGREED  number, tag 3 of the offer          (or OVER, when tag 2 is not that of its own bits)
    follower  KEPT    number

Each tag is a universal hash under the hash key of the block, hidden by a one-time pad of its own
(``ground.authentication``): tag 2 tells nobody anything of the key bits, and two different blocks pass as the same with
a probability of at most ``forgery_probability``. The pads are the order's: SESSION_PAD_BITS a block, of which half is
used and the rest destroyed.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Final

from qanat.ground.authentication import PadAccount, check_message_tag, forgery_probability, message_tag
from qanat.ground.constants import HASH_KEY_BITS, SESSION_PAD_BITS, TAG_BITS
from qanat.ground.errors import FrameError
from qanat.ground.framing import canonical_json
from qanat.ground.identifiers import BlockId, KeyID, LinkId, OrderId
from qanat.ground.keys import SecretBytes
from qanat.ground.messages import Message

OFFER: Final = "block-offer"
CHECKED: Final = "block-checked"
REFUSED: Final = "block-refused"
AGREED: Final = "block-agreed"
KEPT: Final = "block-kept"
OVER: Final = "exchange-over"
ID_BYTES: Final = 16
MAX_KEYS: Final = 2**16


@dataclass(frozen=True, slots=True)
class Offer:
    """Which keys are to be the block ``number`` of an order."""

    link_id: LinkId
    order_id: OrderId
    number: int
    key_ids: tuple[KeyID, ...]
    num_bits: int

    @property
    def header(self) -> bytes:
        """The one spelling of an offer: what its tags protect."""
        return canonical_json(
            {
                "key_ids": list(self.key_ids),
                "link_id": self.link_id,
                "num_bits": self.num_bits,
                "number": self.number,
                "order_id": self.order_id,
            }
        )

    @property
    def block_id(self) -> BlockId:
        """The block's id, the same at both ends and never another block's: made of the offer, or the only key's own."""
        if len(self.key_ids) == 1:
            return BlockId(self.key_ids[0])
        return BlockId(str(uuid.UUID(bytes=hashlib.sha256(self.header).digest()[:ID_BYTES])))

    @property
    def body(self) -> bytes:
        return b"".join(uuid.UUID(key_id).bytes for key_id in self.key_ids)


def read_offer(message: Message, *, link_id: LinkId) -> Offer:
    """Return the offer in a message; raises FrameError."""
    ids, rest = divmod(len(message.body), ID_BYTES)
    if rest or not 0 < ids <= MAX_KEYS:
        raise FrameError("an offer names no whole number of keys, or none, or too many")
    parts = (message.body[place * ID_BYTES : (place + 1) * ID_BYTES] for place in range(ids))
    key_ids = tuple(KeyID(str(uuid.UUID(bytes=part))) for part in parts)
    if len(set(key_ids)) != ids:
        raise FrameError("an offer names a key twice")
    return Offer(
        link_id=link_id,
        order_id=OrderId(message.read("order_id", read_text)),
        number=message.read("number", read_number),
        key_ids=key_ids,
        num_bits=message.read("num_bits", read_number),
    )


@dataclass(slots=True)
class BlockTags:
    """The three tags of one block, each made or checked once."""

    _keys: tuple[bytes, bytes, bytes] = field(repr=False)

    @classmethod
    def of(cls, pads: SecretBytes) -> BlockTags:
        """Take the pads of one block; what no tag needs is destroyed. Raises PadExhausted when they are too few."""
        account = PadAccount(pads)
        hash_key = account.spend(HASH_KEY_BITS)
        first, second, third = (hash_key + account.spend(TAG_BITS) for _ in range(3))
        account.destroy()
        return cls((first, second, third))

    def offer(self, offer: Offer) -> bytes:
        return message_tag(self._keys[0], offer.header)

    def check_offer(self, offer: Offer, tag: bytes) -> None:
        """Raise AuthenticationFailed unless the leader made this offer."""
        check_message_tag(self._keys[0], tag, offer.header)

    def block(self, offer: Offer, bits: bytes) -> bytes:
        return message_tag(self._keys[1], offer.header, bits)

    def check_block(self, offer: Offer, bits: bytes, tag: bytes) -> None:
        """Raise AuthenticationFailed unless the follower holds the same bits for the same offer."""
        check_message_tag(self._keys[1], tag, offer.header, bits)

    def agreed(self, offer: Offer) -> bytes:
        return message_tag(self._keys[2], offer.header)

    def check_agreed(self, offer: Offer, tag: bytes) -> None:
        """Raise AuthenticationFailed unless the leader said that both hold the same."""
        check_message_tag(self._keys[2], tag, offer.header)


def eps_cor_of(offer: Offer) -> float:
    """Return a bound on the probability that two blocks that differ were taken for the same."""
    return forgery_probability(num_bytes=len(offer.header) + offer.num_bits // 8)


def read_tag(message: Message) -> bytes:
    """Return the tag in a message; raises FrameError."""
    return message.read("tag", lambda value: bytes.fromhex(read_text(value)))


def cut_pads(secret: SecretBytes, num_blocks: int) -> list[SecretBytes]:
    """Return an order's pads, cut block by block; overwrites what the order itself held."""
    size = SESSION_PAD_BITS // 8
    if len(secret) < num_blocks * size:
        raise ValueError(f"{num_blocks} blocks take {num_blocks * size} bytes of pads, {len(secret)} were given")
    pads = [secret.part(place * size, (place + 1) * size) for place in range(num_blocks)]
    secret.wipe()
    return pads


def read_text(value: object) -> str:
    """Return a field that is a text; raises TypeError."""
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def read_number(value: object) -> int:
    """Return a field that counts; raises TypeError."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError("no whole number")
    return value

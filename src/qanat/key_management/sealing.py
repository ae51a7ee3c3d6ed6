"""One hop of a relay: a batch of keys under a one-time pad, with a tag of its own. Pure functions.

The bits of a hop are spent from the pool of the sending node: first the message key, then the pad.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qanat.ground.authentication import MESSAGE_KEY_BITS, check_message_tag, message_tag
from qanat.ground.bits import xor
from qanat.ground.errors import FrameError
from qanat.ground.framing import canonical_json
from qanat.ground.identifiers import NodeId, SaePair
from qanat.ground.keys import SecretBytes, SecretKey, SpentBits
from qanat.key_management.accounts import key_costs_bits, relay_bits
from qanat.key_management.codec import encode_word
from qanat.key_management.wire import Relay

MESSAGE_KEY_BYTES = MESSAGE_KEY_BITS // 8


def seal(word: Relay, keys: SecretBytes, spent: SpentBits) -> tuple[Relay, bytes]:
    """Return the relay word with its tag, and its body. Consumes the spent bits; ``keys`` stay with the caller.

    word: complete but for ``pad_range`` and ``tag``. Raises ValueError when bits and keys do not fit each other.
    """
    message_key, pad = _split(spent)
    body = xor(keys.reveal(), pad)
    open_word = replace(word, pad_range=spent.bits)
    return replace(open_word, tag=message_tag(message_key, _header(open_word), body).hex()), body


def unseal(word: Relay, body: bytes, spent: SpentBits) -> SecretBytes:
    """Return the keys in a relay word. Consumes the spent bits. Raises AuthenticationFailed."""
    message_key, pad = _split(spent)
    check_message_tag(message_key, bytes.fromhex(word.tag), _header(word), body)
    return SecretBytes(xor(body, pad))


def check_shape(word: Relay, body: bytes, *, sender: NodeId, node: NodeId) -> None:
    """Raise FrameError unless the word is one that ``sender`` may say to ``node``, and consistent in itself."""
    on_the_way = 0 < word.hop < len(word.route) and word.route[word.hop - 1] == sender and word.route[word.hop] == node
    if not on_the_way or len(set(word.route)) != len(word.route):
        raise FrameError(f"relay {word.relay_id}: {sender!r} is not the hop before {node!r} on {word.route}")
    num_keys = len(word.key_ids)
    fits = word.pad_range.num_bits == relay_bits(count=num_keys, size_bits=word.size_bits)
    if (
        not num_keys
        or not word.size_bits
        or word.size_bits % 8
        or not fits
        or 8 * len(body) != num_keys * word.size_bits
    ):
        raise FrameError(f"relay {word.relay_id}: keys, pad and body are not of one size")
    if len(set(word.key_ids)) != num_keys or len(word.tag) != 32 or set(word.tag) - set("0123456789abcdef"):
        raise FrameError(f"relay {word.relay_id}: key ids or tag are malformed")


def secret_keys(word: Relay, keys: SecretBytes, *, hops: int | None = None) -> Sequence[SecretKey]:
    """Cut the secret of a batch into its keys, each with its route and its cost.

    ``hops``: of all relays of these keys together, where they go to several sites; else those of the route.
    """
    hops = len(word.route) - 1 if hops is None else hops
    costs = key_costs_bits(count=len(word.key_ids), size_bits=word.size_bits, hops=hops)
    size = word.size_bits // 8
    return [
        SecretKey(
            key_id=key_id,
            pair=SaePair(word.master, word.slave),
            secret=keys.part(place * size, (place + 1) * size),
            route=word.route,
            origin=word.origin,
            created_utc_s=word.created_utc_s,
            qkd_bits_spent=cost,
        )
        for place, (key_id, cost) in enumerate(zip(word.key_ids, costs, strict=True))
    ]


def _split(spent: SpentBits) -> tuple[bytes, bytes]:
    bits = spent.secret.take()
    return bits[:MESSAGE_KEY_BYTES], bits[MESSAGE_KEY_BYTES:]


def _header(word: Relay) -> bytes:
    """Return the one spelling of all that the tag protects besides the body."""
    kind, fields = encode_word(word)
    return canonical_json({"kind": kind, **{name: value for name, value in fields.items() if name != "tag"}})

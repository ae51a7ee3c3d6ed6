"""One hop of a relay: a batch of keys under a one-time pad, with a tag of its own. Pure functions.

The bits of a hop are spent from the pool of the sending node: first the message key, then the pad.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from qanat.ground.authentication import MESSAGE_KEY_BITS, check_message_tag, message_tag
from qanat.ground.bits import xor
from qanat.ground.errors import FrameError
from qanat.ground.events import Json
from qanat.ground.framing import canonical_json
from qanat.ground.identifiers import NodeId, SaePair
from qanat.ground.key_batches import KeyBatch
from qanat.ground.key_ids import MAX_KEYS, KeyIds
from qanat.ground.keys import SecretBytes, SpentBits
from qanat.ground.requirements import MAX_DISJOINT_ROUTES
from qanat.key_management.accounts import batch_costs_bits, relay_bits
from qanat.key_management.codec import encode_word
from qanat.key_management.end_check import CHECK_BITS, end_check
from qanat.key_management.multipath import collusion_threshold, combined
from qanat.key_management.wire import Relay, Route

MESSAGE_KEY_BYTES = MESSAGE_KEY_BITS // 8


def seal(word: Relay, keys: SecretBytes, spent: SpentBits) -> tuple[Relay, bytes]:
    """Return the relay word with its tag, and its body. Consumes the spent bits; ``keys`` stay with the caller.

    keys: with what follows them for the comparison of the ends.

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
    num_keys = word.num_keys
    fits = word.pad_range.num_bits == relay_bits(count=num_keys, size_bits=word.size_bits)
    if (
        not 0 < num_keys <= MAX_KEYS
        or not word.size_bits
        or word.size_bits % 8
        or not fits
        or 8 * len(body) != num_keys * word.size_bits + CHECK_BITS
    ):
        raise FrameError(f"relay {word.relay_id}: keys, pad and body are not of one size")
    if not 1 <= word.share <= word.shares <= MAX_DISJOINT_ROUTES:
        raise FrameError(f"relay {word.relay_id}: share {word.share} of {word.shares}")
    if len(word.tag) != 32 or set(word.tag) - set("0123456789abcdef"):
        raise FrameError(f"relay {word.relay_id}: the tag is malformed")


def batch_check(words: Sequence[Relay], shares: Sequence[SecretBytes], keys: SecretBytes) -> str:
    """Return what an end of a batch holds, in a form that tells nothing of it: equal at both ends if all of it is.

    Covered are the keys and whatever is said of them: whose they are, their ids, sizes, origin, age, and all routes.
    """
    first = words[0]
    said: dict[str, Json] = {
        "routes": [list(word.route) for word in words],
        "relay_id": first.relay_id,
        "master": first.master,
        "slave": first.slave,
        "ids_from": first.ids_from,
        "num_keys": first.num_keys,
        "size_bits": first.size_bits,
        "origin": first.origin,
        "created_utc_s": first.created_utc_s,
        "request_id": first.request_id,
    }
    return end_check(shares, canonical_json(said), keys)


def key_batch(
    words: Sequence[Relay],
    shares: Sequence[SecretBytes],
    *,
    trusted: Callable[[Route], Route] = lambda route: route,
    hops: int | None = None,
) -> KeyBatch:
    """Return the keys of a batch, with their routes and their price, from its share or shares in order.

    What the shares carry for the comparison of the ends (``end_check``) is left out.

    ``trusted``: adds to a route who else knows what goes over it (``Network.trusted_route``). ``hops``: of all relays
    of these keys together, where they go to several sites; else those of the routes.
    """
    first, routes = words[0], tuple(trusted(word.route) for word in words)
    num_bytes = first.num_keys * first.size_bits // 8
    if hops is None:
        hops = sum(len(route) - 1 for route in routes)
    return KeyBatch(
        ids=KeyIds(first.ids_from, first.num_keys),
        pair=SaePair(first.master, first.slave),
        size_bits=first.size_bits,
        secret=combined([share.part(0, num_bytes) for share in shares]),
        routes=routes,
        threshold=collusion_threshold(routes) if len(routes) > 1 else None,
        origin=first.origin,
        created_utc_s=first.created_utc_s,
        qkd_bits_spent=batch_costs_bits(count=first.num_keys, size_bits=first.size_bits, hops=hops),
    )


def _split(spent: SpentBits) -> tuple[bytes, bytes]:
    bits = spent.secret.take()
    return bits[:MESSAGE_KEY_BYTES], bits[MESSAGE_KEY_BYTES:]


def _header(word: Relay) -> bytes:
    """Return the one spelling of all that the tag protects besides the body."""
    kind, fields = encode_word(word)
    return canonical_json({"kind": kind, **{name: value for name, value in fields.items() if name != "tag"}})

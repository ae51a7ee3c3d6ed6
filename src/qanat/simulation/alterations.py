"""What somebody on the line does to a relay word: to its body, its tag, or a field that the tag protects. And what a
relay may do that lies: hand on another share than it was given, sealed as it should be."""

from __future__ import annotations

from dataclasses import replace

from qanat.ground.events import Json
from qanat.ground.identifiers import uuid4_from
from qanat.ground.messages import Message
from qanat.ground.ports import Entropy
from qanat.key_management.codec import decode_word
from qanat.key_management.wire import Relay
from qanat.simulation.dice import Dice
from qanat.simulation.sealing_check import CHECK_BYTES, tag_of

FIELDS = ("ids_from", "route", "size_bits", "origin", "created_utc_s", "slave")
"""The header fields that are altered. Each alteration leaves the word well-formed, but for some routes."""


def altered(message: Message, dice: Dice, entropy: Entropy) -> Message:
    """Return a relay message with one thing changed."""
    if dice.happens(0.3):
        tag = message.read("tag", str)
        return replace(message, fields={**message.fields, "tag": tag[1:] + tag[:1]})
    if dice.happens(0.5):
        return replace(message, fields={**message.fields, **_changed_fields(message, dice, entropy)})
    place = dice.whole(0, len(message.body) - 1)
    body = bytearray(message.body)
    body[place] ^= 1 << dice.whole(0, 7)
    return replace(message, body=bytes(body))


def lied(message: Message, dice: Dice, *, spent: bytes) -> Message:
    """Return a relay message whose sender hands on another share: of its keys, or of what its ends compare them by.

    spent: the bits of its ``pad_range``. The tag is made anew, so the next node finds nothing wrong.
    """
    body = bytearray(message.body)
    for _ in range(dice.whole(1, 3)):
        in_check = dice.happens(0.3)
        place = dice.whole(len(body) - CHECK_BYTES if in_check else 0, len(body) - 1)
        body[place] ^= dice.whole(1, 255)
    lie = replace(message, body=bytes(body))
    return replace(lie, fields={**lie.fields, "tag": tag_of(lie, spent=spent)})


def _changed_fields(message: Message, dice: Dice, entropy: Entropy) -> dict[str, Json]:
    word = decode_word(message)
    assert isinstance(word, Relay)
    match dice.choose(FIELDS):
        case "ids_from":
            return {"ids_from": uuid4_from(entropy.public_bytes(16))}
        case "route":
            return {"route": dice.choose([[*word.route, "nowhere"], list(word.route[:-1]), list(word.route[::-1])])}
        case "size_bits":  # twice as many keys of half the size
            return {"size_bits": word.size_bits // 2, "num_keys": 2 * word.num_keys}
        case "origin":
            return {"origin": "twin" if word.origin == "device" else "device"}
        case "created_utc_s":
            return {"created_utc_s": word.created_utc_s + 1.0}
        case _:
            return {"master": word.slave, "slave": word.master}

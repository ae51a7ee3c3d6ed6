"""Tags of the words that decide whether a key counts: one word of each party, under pads that serve nothing else."""

from __future__ import annotations

import hmac

from qanat.apps.distil.record_files import Role
from qanat.ground.authentication import Authenticator, PadAccount
from qanat.ground.constants import HASH_KEY_BITS
from qanat.ground.keys import SecretBytes


def word_pad_bits(tag_bits: int) -> int:
    """Return what the tags of one word of each party take: a hash key and a pad for each."""
    return 2 * (HASH_KEY_BITS + tag_bits)


class WordTags:
    """The tags of one word of each party. Each is asked once; ``wipe`` destroys the pads of those that were not.

    The two directions have pads of their own, so that no word comes back to its speaker as the other party's.
    """

    def __init__(self, secret: SecretBytes, *, role: Role, tag_bits: int) -> None:
        """``secret``: ``word_pad_bits(tag_bits)`` bits, wiped here; first those of Alice's word, then of Bob's."""
        half = word_pad_bits(tag_bits) // 16
        halves = [secret.part(0, half), secret.part(half, 2 * half)]
        secret.wipe()
        self._own, self._other = halves if role == "alice" else reversed(halves)
        self._tag_bits = tag_bits

    def tag(self, *parts: bytes) -> bytes:
        """Return the tag of this party's word; the lengths of ``parts`` must be fixed by what they say."""
        return self._tag(self._own, parts)

    def fits(self, tag: bytes, *parts: bytes) -> bool:
        """Return whether ``tag`` is that of the other party's word."""
        return hmac.compare_digest(self._tag(self._other, parts), tag)

    def wipe(self) -> None:
        """Destroy what is left of the pads."""
        self._own.wipe()
        self._other.wipe()

    def _tag(self, secret: SecretBytes, parts: tuple[bytes, ...]) -> bytes:
        pads = PadAccount(secret)
        authenticator = Authenticator(pads, tag_bits=self._tag_bits)
        for part in parts:
            authenticator.update(part)
        tag = authenticator.tag()
        pads.destroy()
        return tag

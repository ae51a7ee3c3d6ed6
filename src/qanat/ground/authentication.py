"""Wegman-Carter authentication and the account of its pads.

A tag is a universal hash of a transcript, hidden by a one-time pad. The hash is Poly1305: a polynomial over
GF(2^130 - 5) at a secret point ``r``, plus a pad ``s`` modulo 2^128 (Bernstein, FSE 2005). With a truly random ``s``
per tag this is Wegman and Carter's construction (JCSS 22, 265, 1981): for messages of at most L bytes an attacker who
saw a tag forges another with probability at most ``8 ceil(L / 16) / 2^106``, whatever his computer.

**Short tags.** Of a tag its low t bits may be sent alone. They are the low t bits of the hash plus the low t bits of
``s``, modulo 2^t: sums carry upwards only, and 2^t divides 2^128. So the low t bits of ``s`` are all that is needed,
and all that is spent; uniform and used once, they hide the low bits of the hash as ``s`` hides the whole. What is left
to show for Wegman and Carter's argument is how often two hashes differ by a given d modulo 2^t. For two messages of at
most L bytes and any difference g modulo 2^128, at most ``8 ceil(L / 16)`` of the 2^106 points r give it (Bernstein,
theorem 3.3); just 2^(128 - t) differences g are d modulo 2^t; so the odds are at most

    2^(128 - t) x 8 ceil(L / 16) / 2^106        (``forgery_probability``)

which is never less than 2^-t, the odds of guessing a tag. It holds for substituting a message whose tag was seen, as
the pad makes that tag independent of r; without any tag seen the odds are 2^-t. ``tag_bits_for`` is the shortest t.

``r`` may serve several tags, ``s`` never. Each session and each relay message takes both from the link's pads, so no
long-lived hash key exists.
"""

from __future__ import annotations

import functools
import hmac

from cryptography.hazmat.primitives.poly1305 import Poly1305

from qanat.ground.bits import whole_bytes
from qanat.ground.constants import HASH_KEY_BITS, MIN_TAG_BITS, TAG_BITS
from qanat.ground.errors import AuthenticationFailed, PadExhausted
from qanat.ground.keys import SecretBytes

MAX_WAITING_BYTES = 2**15
MESSAGE_KEY_BITS = HASH_KEY_BITS + TAG_BITS
"""What a single message's tag takes from a pool: a hash key and a pad."""


class PadAccount:
    """Hands out the bits of one secret, each once, in order; refuses when they are gone."""

    def __init__(self, secret: SecretBytes) -> None:
        self._secret = secret
        self._num_bits = secret.num_bits
        self._spent_bits = 0

    @property
    def spent_bits(self) -> int:
        return self._spent_bits

    @property
    def left_bits(self) -> int:
        return self._num_bits - self._spent_bits

    def spend(self, num_bits: int) -> bytes:
        """Return the next ``num_bits`` bits; raises PadExhausted, and spends nothing, when fewer are left."""
        count = whole_bytes(num_bits)
        if num_bits > self.left_bits:
            raise PadExhausted(
                f"{num_bits} pad bits asked, {self.left_bits} left of {self._num_bits}",
                remedy="start the session with pads for its worst case",
            )
        start = self._spent_bits // 8
        self._spent_bits += num_bits
        part = self._secret.part(start, start + count)
        return part.take()

    def destroy(self) -> int:
        """Wipe what is left and return how many bits that were; unused pads are never returned to a pool."""
        left = self.left_bits
        self._secret.wipe()
        self._spent_bits = self._num_bits
        return left


class Authenticator:
    """Tags of one direction: a hash key, then one pad per tag, all from one PadAccount.

    Both parties feed the same bytes; one calls ``tag``, the other ``check``. Either ends the transcript, and the next
    ``update`` begins a new one under a new pad.
    """

    def __init__(self, pads: PadAccount, *, tag_bits: int = TAG_BITS) -> None:
        """``tag_bits``: whole bytes from MIN_TAG_BITS to TAG_BITS. Raises PadExhausted, ValueError."""
        if not MIN_TAG_BITS <= tag_bits <= TAG_BITS or tag_bits % 8:
            raise ValueError(f"a tag has whole bytes, {MIN_TAG_BITS} to {TAG_BITS} bits, got {tag_bits}")
        self.tag_bits = tag_bits
        self._unsent_pad = bytes((TAG_BITS - tag_bits) // 8)
        self._pads = pads
        self._hash_key = pads.spend(HASH_KEY_BITS)
        self._transcript: Poly1305 | None = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    def update(self, data: bytes | memoryview) -> None:
        """Add bytes to the transcript. Lengths must be fixed by the data themselves, as frames' are."""
        if self._transcript is None:
            self._transcript = Poly1305(self._hash_key + self._pads.spend(self.tag_bits) + self._unsent_pad)
        # Short messages wait for each other, since a call for each costs more than hashing them; long ones need not.
        size = len(data)
        if size >= MAX_WAITING_BYTES:
            self._hash_waiting(self._transcript)
            self._transcript.update(data)
            return
        self._waiting.append(bytes(data))
        self._waiting_bytes += size
        if self._waiting_bytes >= MAX_WAITING_BYTES:
            self._hash_waiting(self._transcript)

    def _hash_waiting(self, transcript: Poly1305) -> None:
        transcript.update(b"".join(self._waiting))
        self._waiting.clear()
        self._waiting_bytes = 0

    def tag(self) -> bytes:
        """Return the ``tag_bits`` of the transcript's tag and end it. An empty transcript has a tag too."""
        self.update(b"")
        assert self._transcript is not None
        self._hash_waiting(self._transcript)
        tag = self._transcript.finalize()[: self.tag_bits // 8]  # little-endian: the first bytes are the low bits
        self._transcript = None
        return tag

    def check(self, tag: bytes) -> None:
        """Raise AuthenticationFailed unless ``tag`` is that of the transcript; ends it either way."""
        if not hmac.compare_digest(self.tag(), tag):
            raise AuthenticationFailed(
                "the tag does not fit: messages were altered on the way, or the two ends hold different pads",
                remedy="look for who alters the classical channel; the block was dropped and its pads are spent",
            )


def message_tag(message_key: bytes, *parts: bytes) -> bytes:
    """Return the tag of one message under a key of MESSAGE_KEY_BITS bits that serves no other."""
    if len(message_key) != MESSAGE_KEY_BITS // 8:
        raise ValueError(f"a message key has {MESSAGE_KEY_BITS} bits, got {8 * len(message_key)}")
    transcript = Poly1305(message_key)
    for part in parts:
        transcript.update(part)
    return transcript.finalize()


def check_message_tag(message_key: bytes, tag: bytes, *parts: bytes) -> None:
    """Raise AuthenticationFailed unless ``tag`` is that of ``parts`` under ``message_key``."""
    if not hmac.compare_digest(message_tag(message_key, *parts), tag):
        raise AuthenticationFailed(
            "the tag of a message between key managers does not fit: it was altered on the way",
            remedy="look for who alters the line between the two nodes; the key in it was destroyed",
        )


def forgery_probability(*, num_bytes: int, tag_bits: int = TAG_BITS) -> float:
    """Return the bound on one forgery for a transcript of ``num_bytes`` bytes and a tag of ``tag_bits`` (see above)."""
    if num_bytes < 0:
        raise ValueError(f"num_bytes must be zero or more, got {num_bytes}")
    blocks = max(1, -(-num_bytes // 16))
    return min(1.0, 8 * blocks * 2.0 ** (TAG_BITS - tag_bits - 106))


@functools.lru_cache(maxsize=64)
def tag_bits_for(eps_auth: float, *, num_bytes: int) -> int:
    """Return the shortest tag, in whole bytes, that is forged with odds of at most ``eps_auth``.

    num_bytes: of the longest transcript. Raises ValueError when not even TAG_BITS are enough.
    """
    for tag_bits in range(MIN_TAG_BITS, TAG_BITS + 1, 8):
        if forgery_probability(num_bytes=num_bytes, tag_bits=tag_bits) <= eps_auth:
            return tag_bits
    raise ValueError(
        f"eps_auth {eps_auth:g} is too small: a tag of {TAG_BITS} bits over {num_bytes:,} bytes is forged with odds up"
        f" to {forgery_probability(num_bytes=num_bytes):.1e}; take smaller blocks or a greater eps_auth"
    )

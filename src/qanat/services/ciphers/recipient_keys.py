"""The recipient's keys of AES: fetched by their ids when first seen, kept for as long as they may seal."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from qanat.ground.errors import BadParameter, KeyManagementError, KeyNotFound, NotEntitled
from qanat.ground.ports import Clock, KeySupply
from qanat.services.ciphers.context import KEY_LIFE_MARGIN_S, StreamContext
from qanat.services.ciphers.faults import KeyExpired, KeyUnknown
from qanat.services.ciphers.layout import key_id_text
from qanat.services.ciphers.refresh import key_bits_of

MOST_KEYS_AT_HAND = 4
OVERLAP_S = 10.0
MOST_REMEMBERED = 1024
"""So many ids of keys that are over, or that never were ours, are remembered."""


@dataclass(slots=True)
class _KeyInUse:
    cipher: AESGCM
    until_s: float


class RecipientKeys:
    """Keys of one stream, as its recipient. For one caller at a time.

    A key may be in use for the context's ``key_life_s`` and a margin. When a record under a newer key was opened, the
    older ones are accepted for ``overlap_s`` more, for what was overtaken on its way.
    """

    def __init__(
        self,
        supply: KeySupply,
        context: StreamContext,
        *,
        clock: Clock,
        overlap_s: float = OVERLAP_S,
    ) -> None:
        self.num_keys = 0
        self._supply = supply
        self._peer = context.sender
        self._suite = context.suite
        self._key_bits = key_bits_of(context.suite, context.recipient)
        self._clock = clock
        self._life_s = context.key_life_s + KEY_LIFE_MARGIN_S
        self._overlap_s = overlap_s
        self._keys: OrderedDict[bytes, _KeyInUse] = OrderedDict()
        self._over: OrderedDict[bytes, bool] = OrderedDict()
        """Ids that are refused without asking anybody, and whether they were keys of ours."""

    async def cipher_of(self, key_id: bytes) -> AESGCM:
        """Return the cipher of a key; raises KeyExpired, KeyUnknown and what the supply raises of itself."""
        self._retire()
        if key := self._keys.get(key_id):
            return key.cipher
        if key_id in self._over:
            raise self._expired(key_id) if self._over[key_id] else self._unknown(key_id)
        cipher = await self._fetch(key_id)
        self._keys[key_id] = _KeyInUse(cipher, self._clock.monotonic_s() + self._life_s)
        self.num_keys += 1
        while len(self._keys) > MOST_KEYS_AT_HAND:
            self._remember(self._keys.popitem(last=False)[0], was_ours=True)
        return cipher

    async def expect(self, key_id: bytes) -> None:
        """Fetch a key that was announced, before its first record comes."""
        await self.cipher_of(key_id)

    def opened_under(self, key_id: bytes) -> None:
        """A record under this key was opened: the keys before it are over soon."""
        end_s = self._clock.monotonic_s() + self._overlap_s
        for known, key in self._keys.items():
            if known == key_id:
                return
            key.until_s = min(key.until_s, end_s)

    def forget(self) -> None:
        """Drop all keys; those that were here stay refused."""
        while self._keys:
            self._remember(self._keys.popitem()[0], was_ours=True)

    def _retire(self) -> None:
        now_s = self._clock.monotonic_s()
        for key_id in [known for known, key in self._keys.items() if key.until_s < now_s]:
            del self._keys[key_id]
            self._remember(key_id, was_ours=True)

    async def _fetch(self, key_id: bytes) -> AESGCM:
        try:
            (key,) = await self._supply.get_keys_by_id(self._peer, [key_id_text(key_id)])
        except (KeyNotFound, NotEntitled, BadParameter):
            self._remember(key_id, was_ours=False)
            raise self._unknown(key_id) from None
        if (size_bits := key.size_bits) != self._key_bits:  # also a key of a group that is passed off as ours alone
            key.secret.wipe()
            raise KeyManagementError(
                f"key {key.key_id} has {size_bits} bits, and {self._key_bits} are needed",
                remedy="report it to the sender or to the key manager",
            )
        return AESGCM(key.take()[: self._suite.key_bits // 8])

    def _remember(self, key_id: bytes, *, was_ours: bool) -> None:
        self._over[key_id] = was_ours
        if len(self._over) > MOST_REMEMBERED:
            self._over.popitem(last=False)

    def _expired(self, key_id: bytes) -> KeyExpired:
        return KeyExpired(
            f"a record came under key {key_id_text(key_id)}, whose time is over: {self._peer} did not refresh its key, "
            "or the line is too slow, or somebody on it held the record back",
            remedy="let the sender send it again, and refresh its keys more seldom where the line is slow",
        )

    def _unknown(self, key_id: bytes) -> KeyUnknown:
        return KeyUnknown(
            f"a record came under key {key_id_text(key_id)}, which our key manager does not hold for us from "
            f"{self._peer}: it was played again, is for somebody else, or waited for too long",
            remedy="let the sender send it again, to the right recipient; if it did, look for who repeats it",
        )

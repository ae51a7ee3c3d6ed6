"""The sender's keys of AES: one at a time, replaced when its time, bytes or records are used up."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from qanat.ground.errors import KeyManagementError, KeyShortage, LinkFailed
from qanat.ground.identifiers import SaeId
from qanat.ground.keys import SecretKey
from qanat.ground.ports import Clock, KeySupply
from qanat.services.ciphers.layout import NO_KEY_ID, key_id_bytes
from qanat.services.ciphers.refresh import Refresh, Suite, key_bits_of

SHORTEST_PAUSE_S = 0.1
"""Between two requests for keys that are not there yet, whatever the key manager hints."""


async def keys_with_patience(
    supply: KeySupply, peer: SaeId, *, count: int, size_bits: int, clock: Clock, patience_s: float
) -> Sequence[SecretKey]:
    """Return fresh keys; where there are too few, ask again as the key manager hints, for ``patience_s``.

    Raises KeyShortage (LinkFailed at once: it needs a person, or weather), and what ``supply`` raises.
    """
    end_s = clock.monotonic_s() + patience_s
    while True:
        try:
            keys = await supply.get_keys(peer, count=count, size_bits=size_bits)
            break
        except LinkFailed:
            raise
        except KeyShortage as shortage:
            again_s = clock.monotonic_s() + max(SHORTEST_PAUSE_S, shortage.retry_after_s)
            if again_s > end_s:
                raise
            await clock.sleep_until(again_s)
    if len(keys) != count or any(key.size_bits != size_bits for key in keys):
        raise KeyManagementError("the key manager gave other keys than were asked", remedy="report the key manager")
    return keys


class SenderKeys:
    """Keys for one direction of one stream. Nobody else may be given this object: nonces count under its keys.

    ``patience_s``: how long a refresh waits where there is too little key; the old key is not used on.
    """

    def __init__(
        self,
        supply: KeySupply,
        peer: SaeId,
        *,
        suite: Suite,
        clock: Clock,
        refresh: Refresh | None = None,
        patience_s: float = 30.0,
    ) -> None:
        self.suite = suite
        self.refresh = refresh or Refresh()
        self.num_keys = 0
        self.key_id = NO_KEY_ID
        self._supply = supply
        self._peer = peer
        self._clock = clock
        self._patience_s = patience_s
        self._cipher: AESGCM | None = None
        self._born_s = 0.0
        self._num_bytes = 0
        self._num_records = 0
        self._ahead: deque[SecretKey] = deque()
        self._expected_bytes = 0
        self._at_once = 1

    @property
    def age_s(self) -> float:
        """How long the present key has been in use."""
        return self._clock.monotonic_s() - self._born_s

    def is_due(self) -> bool:
        """Return whether the next record needs a fresh key."""
        return self._cipher is None or self.spent_share >= 1

    @property
    def spent_share(self) -> float:
        """How much of the present key's time, bytes or records is used up, whichever is most; 1 or more: it is due."""
        return self.refresh.spent_share(age_s=self.age_s, num_bytes=self._num_bytes, num_records=self._num_records)

    @property
    def is_used_up(self) -> bool:
        """Whether the present key has sealed as many bytes or records as it may."""
        return self.refresh.spent_share(age_s=0.0, num_bytes=self._num_bytes, num_records=self._num_records) >= 1

    async def renew_if_due(self) -> None:
        """Take a fresh key from the network if one is due; raises KeyShortage and what the supply raises."""
        if self.is_due():
            if not self._ahead:
                self._ahead.extend(await self._fetch(self._num_wanted()))
            self.install(self._ahead.popleft())

    async def expect(self, num_bytes: int) -> None:
        """Ask for keys together from now on, as many as ``num_bytes`` take where keys are refreshed by bytes.

        A call takes as many as the key manager gives at once; the network then makes and relays them together, which
        costs it one authentication and not one per key. Raises what the supply's ``get_status`` raises.
        """
        self._at_once = (await self._supply.get_status(self._peer)).max_keys_per_request
        self._expected_bytes = num_bytes

    async def fetch(self) -> SecretKey:
        """Return a fresh key, to be installed when it is due."""
        (key,) = await self._fetch(1)
        return key

    def install(self, key: SecretKey) -> None:
        """Seal by ``key`` from now on."""
        self.key_id, self._cipher = key_id_bytes(key.key_id), AESGCM(key.take()[: self.suite.key_bits // 8])
        self._born_s, self._num_bytes, self._num_records = self._clock.monotonic_s(), 0, 0
        self.num_keys += 1

    def cipher_for(self, num_bytes: int) -> AESGCM:
        """Return the present key's cipher and count a record of ``num_bytes`` to it."""
        if self._cipher is None:
            raise ValueError("no key was installed: await renew_if_due() first")
        self._num_bytes += num_bytes
        self._num_records += 1
        self._expected_bytes -= min(num_bytes, self._expected_bytes)
        return self._cipher

    def forget(self) -> None:
        """Drop the present key, and wipe those that were asked for ahead; they are not given back."""
        self._cipher = None
        while self._ahead:
            self._ahead.popleft().secret.wipe()

    def _num_wanted(self) -> int:
        """Return how many keys to ask for when one is due."""
        if self.refresh.every_bytes is None:
            return 1
        return max(1, min(self._at_once, -(-self._expected_bytes // self.refresh.every_bytes)))

    async def _fetch(self, count: int) -> Sequence[SecretKey]:
        return await keys_with_patience(
            self._supply,
            self._peer,
            count=count,
            size_bits=key_bits_of(self.suite, self._peer),
            clock=self._clock,
            patience_s=self._patience_s,
        )

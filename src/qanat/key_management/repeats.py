"""What an application wishes, and how the same wish is known when it comes again (by a nonce of the caller's)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from qanat.ground.identifiers import EventId, RequestId, SaeId
from qanat.ground.keys import SecretKey
from qanat.ground.requirements import NO_REQUIREMENTS, Repeatable, Requirements
from qanat.key_management.context import Context

ANY = NO_REQUIREMENTS
KEPT_BESIDE_BITS = 1024
"""What is kept with each key of an answer: its id, its way, its applications."""


@dataclass(frozen=True, slots=True)
class KeyWish:
    """``count`` fresh keys of ``size_bits`` for ``master``, which each of ``slaves`` can fetch by their ids.

    ``request_id`` and ``cause`` tie the wish to what the application does; with a ``nonce`` it may be repeated. Where
    key is short, ``priority`` is what it has among others, the master's at most, and by default.
    """

    master: SaeId
    slaves: tuple[SaeId, ...]
    count: int
    size_bits: int
    request_id: RequestId | None = None
    cause: EventId | None = None
    require: Requirements = ANY
    prefer: Requirements = ANY
    nonce: str | None = None
    priority: int | None = None


@dataclass(slots=True)
class _Kept:
    """What is kept of one application's calls: its nonces, the oldest first, each with its bits and its end."""

    of_nonces: OrderedDict[str, tuple[int, float]] = field(default_factory=OrderedDict)
    num_bits: int = 0

    def add(self, nonce: str, num_bits: int, until_monotonic_s: float) -> None:
        if nonce not in self.of_nonces:
            self.of_nonces[nonce] = (num_bits, until_monotonic_s)
            self.num_bits += num_bits

    def drop(self, nonce: str) -> None:
        num_bits, _ = self.of_nonces.pop(nonce, (0, 0.0))
        self.num_bits -= num_bits

    def drop_older_than(self, now_monotonic_s: float) -> None:
        while self.of_nonces and next(iter(self.of_nonces.values()))[1] <= now_monotonic_s:
            self.drop(next(iter(self.of_nonces)))

    def beyond(self, *, most: int, most_bits: int) -> tuple[str, ...]:
        """Return the oldest nonces that must go so that these numbers are not passed."""
        num, num_bits, going = len(self.of_nonces), self.num_bits, []
        for nonce, (bits, _) in self.of_nonces.items():
            if num <= most and num_bits <= most_bits:
                break
            num, num_bits = num - 1, num_bits - bits
            going.append(nonce)
        return tuple(going)


class Repeats:
    """Calls that may be repeated: for ``settings.repeat_window_s`` from their answer, their keys are kept, unless an
    application makes so many such calls that the oldest have to go."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._kept: dict[SaeId, _Kept] = {}
        self._has_looked = False
        self._forget_monotonic_s: float | None = context.clock.monotonic_s() + context.settings.repeat_window_s / 10
        """When to look for answers past their time. The first look begins the window of an earlier process's."""

    def of(self, wish: KeyWish) -> Repeatable | None:
        """Return a wish as a call that may be repeated; None where it has no nonce."""
        if wish.nonce is None:
            return None
        amount = (str(wish.count), str(wish.size_bits))
        return self.call(
            wish.master, wish.nonce, "enc_keys", *wish.slaves, *amount, wish.require.spelled(), wish.prefer.spelled()
        )

    def call(self, sae: SaeId, nonce: str | None, *request: str) -> Repeatable | None:
        """Return a call by its caller, its nonce and what it asks; None where it has no nonce."""
        if nonce is None:
            return None
        now_s, window_s = self._context.clock.monotonic_s(), self._context.settings.repeat_window_s
        self._forget_monotonic_s = now_s + window_s
        return Repeatable(sae, nonce, "\n".join(request), now_s, window_s, self._going(sae))

    def note(self, call: Repeatable | None, keys: Sequence[SecretKey]) -> Sequence[SecretKey]:
        """Take note that a call was answered by these keys, and return them."""
        if call is not None:
            kept = self._kept.setdefault(call.sae, _Kept())
            kept.drop_older_than(call.now_monotonic_s)
            for nonce in call.instead_of:
                kept.drop(nonce)
            num_bits = sum(key.size_bits + KEPT_BESIDE_BITS for key in keys)
            kept.add(call.nonce, num_bits, call.now_monotonic_s + call.window_s)
        return keys

    def _going(self, sae: SaeId) -> tuple[str, ...]:
        """Return the nonces of an application whose answers make room for its next one."""
        if (kept := self._kept.get(sae)) is None:
            return ()
        settings = self._context.settings
        return kept.beyond(most=settings.max_kept_answers - 1, most_bits=settings.max_kept_bits)

    async def forget(self) -> None:
        """Destroy what is kept past its time; a window after the last call there is nothing left to look for."""
        now_s, window_s = self._context.clock.monotonic_s(), self._context.settings.repeat_window_s
        if self._forget_monotonic_s is not None and now_s >= self._forget_monotonic_s:
            self._forget_monotonic_s = None if self._has_looked else now_s + window_s
            self._has_looked = True
            for sae, kept in list(self._kept.items()):
                kept.drop_older_than(now_s)
                if not kept.of_nonces:
                    del self._kept[sae]
            await self._context.store.forget_answers(now_monotonic_s=now_s, window_s=window_s)

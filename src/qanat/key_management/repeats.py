"""What an application wishes, and how the same wish is known when it comes again (by a nonce of the caller's)."""

from __future__ import annotations

from dataclasses import dataclass

from qanat.ground.identifiers import EventId, RequestId, SaeId
from qanat.ground.requirements import Repeatable, Requirements
from qanat.key_management.context import Context

ANY = Requirements()


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


class Repeats:
    """Calls that may be repeated: for ``settings.repeat_window_s`` from their answer, their keys are kept."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._has_looked = False
        self._forget_monotonic_s: float | None = context.clock.monotonic_s() + context.settings.repeat_window_s / 10
        """When to look for answers past their time. The first look begins the window of an earlier process's."""

    def of(self, wish: KeyWish) -> Repeatable | None:
        """Return a wish as a call that may be repeated; None where it has no nonce."""
        if wish.nonce is None:
            return None
        amount = (str(wish.count), str(wish.size_bits))
        return self.call(
            wish.master, wish.nonce, "enc_keys", *wish.slaves, *amount, repr(wish.require), repr(wish.prefer)
        )

    def call(self, sae: SaeId, nonce: str | None, *request: str) -> Repeatable | None:
        """Return a call by its caller, its nonce and what it asks; None where it has no nonce."""
        if nonce is None:
            return None
        now_s, window_s = self._context.clock.monotonic_s(), self._context.settings.repeat_window_s
        self._forget_monotonic_s = now_s + window_s
        return Repeatable(sae, nonce, "\n".join(request), now_s, window_s)

    async def forget(self) -> None:
        """Destroy what is kept past its time; a window after the last call there is nothing left to look for."""
        now_s, window_s = self._context.clock.monotonic_s(), self._context.settings.repeat_window_s
        if self._forget_monotonic_s is not None and now_s >= self._forget_monotonic_s:
            self._forget_monotonic_s = None if self._has_looked else now_s + window_s
            self._has_looked = True
            await self._context.store.forget_answers(now_monotonic_s=now_s, window_s=window_s)

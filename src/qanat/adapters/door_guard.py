"""What stands between a door and its connections: limits per application, and the record of what left.

Over a limit the answer is 503 with Retry-After and an Error object. RFC 6585 has 429 for that, but ETSI GS QKD 014
(clause 5) knows 400, 401 and 503 alone, and an encryptor that was written after it asks again after a 503 and may give
up at anything else.

The record is taken from the answer itself, just before it goes out: which keys went to whom. So it does not depend on
what lies behind the door. Only ids are read; a key is looked at for its length. Whom else the keys are for, when they
have several slaves, the door says beside its answer.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeAlias

from qanat.adapters.connection_rules import refusing
from qanat.adapters.etsi014_http import SLAVES
from qanat.adapters.http_server import PEER, AsgiApp
from qanat.adapters.sae_limits import LIMITS_NAME, Limits, Quotas, RequestRates, read_limits
from qanat.ground.errors import ConfigurationError
from qanat.ground.events import EventKind, Json

TELL_PERIOD_S = 1.0
"""An application that is over its limit is told of in the log once in this time, with how often."""
_KEY = re.compile(rb'"key_ID":"([0-9a-fA-F-]{36})","key":"([A-Za-z0-9+/]*)(={0,2})"')
_PATH = re.compile(r"/api/v1/keys/(.+)/(status|enc_keys|dec_keys)")

Record: TypeAlias = Callable[..., object]
"""``record(kind, **data)``: takes an event."""


class DoorGuard:
    """An ASGI application around a door's."""

    def __init__(
        self,
        app: AsgiApp,
        *,
        folder: Path,
        limits_file: Path,
        saes: Collection[str],
        record: Record,
        alarm: Callable[[str, str], None],
        alarm_over: Callable[[str], None],
        monotonic_s: Callable[[], float] = time.monotonic,
        utc_s: Callable[[], float] = time.time,
    ) -> None:
        """folder: the site's own, where quotas are remembered. limits_file: need not be there; it is followed.
        saes: all applications of the network, which the file may name. alarm: takes a code of the table and words.
        alarm_over: takes a code whose cause has passed.

        Raises ConfigurationError when one of them is there and cannot be read.
        """
        self._app = app
        self._limits_file = limits_file
        self._record = record
        self._alarm = alarm
        self._alarm_over = alarm_over
        self._monotonic_s = monotonic_s
        self._utc_s = utc_s
        self._saes = saes
        self._limits: Limits = read_limits(limits_file, saes=saes)
        self._seen = _stamp(limits_file)
        self._rates = RequestRates()
        self._quotas = Quotas(folder / "quotas.json")
        self._refused: dict[tuple[str, str], tuple[float, int]] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        sae = scope.get(PEER)
        if scope["type"] != "http" or sae is None:
            await self._app(scope, receive, send)
            return
        now_s = self._monotonic_s()
        limits = self._limits.for_sae(sae)
        if (wait_s := self._rates.wait_s(sae, limits, now_monotonic_s=now_s)) > 0:
            rate = f"more than {limits.requests_per_s:g} requests per second"
            await self._refuse(sae, rate, wait_s, now_s)(scope, receive, send)
            return
        asked = _PATH.fullmatch(scope["path"])
        call = asked[2] if asked else None
        if call == "enc_keys" and limits.key_bits_per_day:
            utc_s = self._utc_s()
            if self._quotas.used_bits(sae, utc_s=utc_s) >= limits.key_bits_per_day:
                quota = f"today's {limits.key_bits_per_day} key bits are given"
                wait_s = self._quotas.until_tomorrow_s(utc_s=utc_s)
                await self._refuse(sae, quota, wait_s, now_s, remedy="more from midnight UTC on")(scope, receive, send)
                return
        if asked is None or call == "status":
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, self._noting(scope, send, sae, other=asked[1], is_new=call == "enc_keys"))

    def _noting(self, scope: Any, send: Any, sae: str, *, other: str, is_new: bool) -> Any:
        """Return ``send`` that records the keys of an answer before it lets it out."""
        status = 0

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif status == 200:
                master, slave = (sae, other) if is_new else (other, sae)
                self._note(message.get("body", b""), sae, master, scope.get(SLAVES) or slave, is_new=is_new)
            await send(message)

        return noting

    def _note(self, body: bytes, sae: str, master: str, slave: str, *, is_new: bool) -> None:
        found = _KEY.findall(body)
        num_digits, num_pads = sum([len(text) for _, text, _ in found]), sum([len(pad) for _, _, pad in found])
        num_bits = 8 * ((num_digits + num_pads) // 4 * 3 - num_pads)  # each key fills whole fours
        self._record(
            EventKind.KEYS_DELIVERED,
            to=sae,
            master=master,
            slave=slave,
            num_bits=num_bits,
            key_ids=[key_id.decode() for key_id, _, _ in found],
        )
        if is_new:
            try:
                self._quotas.spend(sae, num_bits, limits=self._limits.for_sae(sae), utc_s=self._utc_s())
            except OSError as fault:
                self._alarm("quota-not-written", f"what {sae} was given today cannot be written down: {fault.strerror}")

    def _refuse(
        self, sae: str, why: str, wait_s: float, now_s: float, *, remedy: str = "ask again a little later"
    ) -> AsgiApp:
        since_s, number = self._refused.get((sae, why), (-math.inf, 0))
        if now_s - since_s >= TELL_PERIOD_S:
            self._record(EventKind.REQUESTS_LIMITED, sae=sae, why=why, number=number + 1)
            self._refused[sae, why] = (now_s, 0)
        else:
            self._refused[sae, why] = (since_s, number + 1)
        return refusing(503, f"{why} ({remedy})", retry_after_s=max(1, math.ceil(wait_s)), closes=False)

    def look(self) -> None:
        """Take up a changed file of limits; one that is wrong is told of, and the former limits hold. To be called each
        second, also while nobody asks."""
        if (stamp := _stamp(self._limits_file)) == self._seen:
            return
        self._seen = stamp
        try:
            self._limits = read_limits(self._limits_file, saes=self._saes)
        except ConfigurationError as fault:
            self._alarm("limits-kept", f"{fault.message}; the former limits hold")
            return
        self._alarm_over("limits-kept")
        self._record(EventKind.SETTINGS_CHANGED, what=LIMITS_NAME, limits=_as_json(self._limits))


def _as_json(limits: Limits) -> Json:
    rows = {"default": limits.default, **(limits.of or {})}
    return {
        name: {
            "requests_per_s": one.requests_per_s,
            "burst_requests": one.burst_requests,
            "key_bits_per_day": one.key_bits_per_day,
        }
        for name, one in rows.items()
    }


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino

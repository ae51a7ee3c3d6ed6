"""The ETSI GS QKD 014 door of a QKD device, as its key manager calls it: a ``KeySource``.

The key manager is an application (SAE) to the device. Only what every device understands is said: POST with number and
size, POST with key ids. A key that is delivered is the key manager's, or is lost: it is never asked for again.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence

import httpx

from qanat.adapters.key_sources import SourceFault, SourceKey
from qanat.adapters.living_tls import LivingTls
from qanat.adapters.tls import Credentials
from qanat.adapters.unfinished_handshakes import closing_unfinished
from qanat.adapters.used_keys import UsedKeys
from qanat.doors.etsi014 import delivery
from qanat.ground.errors import (
    BadParameter,
    KeyManagementError,
    KeyNotFound,
    NotEntitled,
    PeerProtocolError,
    QanatError,
    RequestError,
)
from qanat.ground.events import Json
from qanat.ground.identifiers import KeyID, SaeId, SaePair
from qanat.ground.keys import Origin, SecretKey
from qanat.ground.network import DeviceEnd, Etsi014Modules

ANSWER_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 3.0
LAG_S = 3.0
"""A device may learn of a key a moment after the other one has delivered it: an unknown id is asked for again so long.
That is no second delivery, because there was none."""
LAG_PAUSE_S = 0.5


class DeviceDoor:
    """One end's device. ``peer_sae`` is what the devices call the other end; ``used`` keeps which keys were taken."""

    origin: Origin = "device"
    protocol = "etsi-gs-qkd-014"
    patience_s = 300.0
    hold_off_s = 3.0

    def __init__(
        self, end: DeviceEnd, *, peer_sae: str, settings: Etsi014Modules, tls: Credentials, used: UsedKeys
    ) -> None:
        self.keys_per_block = settings.keys_per_block
        self.slow_after_s = settings.slow_after_s
        self._end = end
        self._peer_sae = SaeId(peer_sae)
        self._settings = settings
        self._used = used
        self._tls = LivingTls(tls)
        self._context = self._tls.client(expected_peer=end.kme or None)
        self._context.check_hostname = not end.kme  # one of the two says who the device is
        self._http = self._new_client()
        self._num_under_way = 0

    async def look(self) -> None:
        try:
            delivery.read_status(await self._call("GET", "status"))
        except PeerProtocolError as fault:
            raise self._odd(fault.message) from None

    async def take_new(self, count: int) -> Sequence[SourceKey]:
        """Ask for new keys; each that came is durable as taken before it is returned."""
        settings = self._settings
        wanted = min(count, settings.keys_per_request)
        body: dict[str, Json] = {"number": wanted, "size": settings.key_size_bits}
        try:
            keys = self._read(await self._call("POST", "enc_keys", body))
        except _NoKeyYet as fault:
            if not fault.passes:
                raise  # it refuses the request itself
            return ()
        ids = [key.key_id for key in keys]
        if len(set(ids)) != len(ids) or len(ids) > wanted:
            raise self._odd("it gave more keys than were asked, or an id twice in one answer")
        return await self._taken_once(keys)

    async def take_by_ids(self, key_ids: Sequence[KeyID]) -> Sequence[SourceKey]:
        self._refuse_repeated(await self._used.claim(key_ids))
        keys: list[SecretKey] = []
        size = self._settings.keys_per_request
        for start in range(0, len(key_ids), size):
            part = key_ids[start : start + size]
            found = {key.key_id: key for key in await self._patiently_by_id(part)}
            if found.keys() != set(part):
                raise self._odd("it gave keys of other ids than asked")
            keys += [found[key_id] for key_id in part]
        return self._of_size(keys)

    async def forget(self, key_ids: Sequence[KeyID]) -> None:
        """A device forgets what it has delivered."""

    async def close(self) -> None:
        await self._http.aclose()
        self._used.close()

    # --- inside ---

    def _new_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self._end.url,
            verify=self._context,
            timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            trust_env=False,  # keys go through no proxy that the environment names
        )

    async def _follow_files(self) -> None:
        """When certificate files have changed, begin anew: what stands was judged by the old ones. No answer is cut
        off by that, since there may be keys in it."""
        if not self._num_under_way and self._tls.look():
            old, self._http = self._http, self._new_client()
            await old.aclose()

    async def _patiently_by_id(self, key_ids: Sequence[KeyID]) -> Sequence[SecretKey]:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + LAG_S
        while True:
            try:
                body: dict[str, Json] = {"key_IDs": [{"key_ID": key_id} for key_id in key_ids]}
                return self._read(await self._call("POST", "dec_keys", body))
            except _NoKeyYet:
                if loop.time() >= deadline_s:
                    raise
            await asyncio.sleep(LAG_PAUSE_S)

    async def _taken_once(self, keys: Sequence[SecretKey]) -> Sequence[SourceKey]:
        """Return the keys once it is durable that they were taken; a device that gives one twice is refused."""
        self._refuse_repeated(await self._used.claim([key.key_id for key in keys]))
        return self._of_size(keys)

    def _of_size(self, keys: Sequence[SecretKey]) -> Sequence[SourceKey]:
        if any(key.size_bits != self._settings.key_size_bits for key in keys):
            raise self._odd(f"it gave keys of other sizes than {self._settings.key_size_bits} bits")
        return [SourceKey(key.key_id, key.secret, self._settings.eps_sec) for key in keys]

    def _refuse_repeated(self, repeated: Sequence[KeyID]) -> None:
        if repeated:
            raise SourceFault(
                f"the device at {self._end.url} hands out {len(repeated)} keys that it, or its pair, gave before",
                code="device-repeats-keys",
                remedy="have its vendor look at it: a repeated one-time pad would tell both messages. None was used",
            )

    def _read(self, body: bytes) -> Sequence[SecretKey]:
        try:
            return delivery.read_keys(body, SaePair(SaeId(self._end.sae), self._peer_sae)).keys
        except PeerProtocolError as fault:
            raise self._odd(fault.message) from None

    async def _call(self, method: str, call: str, body: Mapping[str, Json] | None = None) -> bytes:
        """Return the body of a 200 answer; raises SourceFault, or _NoKeyYet where waiting is all that helps."""
        url = delivery.path(self._peer_sae, call)
        content = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"content-type": "application/json"}
        await self._follow_files()
        self._num_under_way += 1
        try:
            response = await self._http.request(
                method, url, content=content, headers=headers, extensions=closing_unfinished()
            )
        except ssl.SSLError as fault:  # the alert that follows a handshake of TLS 1.3
            raise self._certificate(str(fault.reason or fault)) from None
        except httpx.ConnectError as fault:
            if isinstance(fault.__cause__, ssl.SSLError) or "certificate" in str(fault).lower():
                raise self._certificate(str(fault)) from None
            raise self._unreachable(str(fault) or "no connection") from None
        except httpx.HTTPError as fault:
            raise self._unreachable(f"{type(fault).__name__}: {fault}") from None
        finally:
            self._num_under_way -= 1
        if response.status_code != 200:
            raise self._refusal(delivery.read_error(response.status_code, response.content))
        return response.content

    def _refusal(self, fault: QanatError) -> SourceFault:
        match fault:
            case KeyManagementError():  # 503, with whatever words
                return _NoKeyYet(
                    f"the device at {self._end.url} gives no keys: {fault.message}",
                    code="device-slow",
                    remedy="look at its alarms: light, fibre, and whether its key rate fits the demand",
                    passes=True,
                )
            case KeyNotFound() | BadParameter():  # 400: devices differ in what they say of ids that they do not know
                return _NoKeyYet(
                    f"the device at {self._end.url} does not know the keys that the other one has given, or the"
                    f" request: {fault.message}",
                    code="device-ids-unknown",
                    remedy="look whether the two devices are a pair, at the SAE ids of both ends and at the size of"
                    " keys; these keys are lost",
                )
            case NotEntitled() | RequestError():
                return SourceFault(
                    f"the device at {self._end.url} refuses this key manager: {fault.message}",
                    code="device-refuses",
                    remedy=f"let it know the SAE {self._end.sae} and its certificate, and {self._peer_sae} as its peer",
                    passes=True,
                )
        return self._odd(fault.message)

    def _unreachable(self, why: str) -> SourceFault:
        return SourceFault(
            f"the device at {self._end.url} does not answer: {why}",
            code="device-unreachable",
            remedy="look at its power, its network and the address in the network file; it is asked again by itself",
            passes=True,
        )

    def _certificate(self, why: str) -> SourceFault:
        return SourceFault(
            f"no TLS with the device at {self._end.url}: {why.lower().replace('_', ' ')}; no key was asked for",
            code="device-certificate",
            remedy="compare authority, names and dates of both certificates; it is asked again by itself",
            passes=True,
        )

    def _odd(self, why: str) -> SourceFault:
        return SourceFault(
            f"the device at {self._end.url} does not keep to ETSI GS QKD 014: {why}",
            code="device-protocol",
            remedy="look at its version and at the settings of this link in the network file",
        )


class _NoKeyYet(SourceFault):
    """There is no such key, or none, just now; waiting may help, and this is what it is called when it does not."""

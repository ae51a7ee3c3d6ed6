"""Pairs of applications that take keys without pause while their key managers die, and tell an account all they got.

Each pair is two threads: a master that asks for keys, and a slave that fetches them by the ids it hears of. Two kinds:
``plain`` ones speak bare HTTP, as a vendor's encryptor does, and know no nonces; ``careful`` ones use our client with
nonces of their own, and ask again by the same nonce until they are answered, however often the key manager dies.
"""

from __future__ import annotations

import random
import ssl
import threading
import time
from base64 import b64decode
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import httpx

from interop.account import Account, Keys
from interop.fleet import Fleet
from qanat.adapters.tls import TlsFiles, client_context
from qanat.client import Client
from qanat.ground.errors import ChannelError, KeyNotFound, QanatError
from qanat.ground.identifiers import KeyID, SaeId

PATIENCE_S = 60.0
"""So long may one call go unanswered while sites die and start again."""
PAUSE_S = 0.003
"""Between the calls of one application: ten of them leave the key managers some of the machine."""
NOT_FOUND = "one or more keys specified are not found on KME"
"""The standard's words, as a vendor's client compares them."""
WAITING_CALLS = 20
REMEMBERED_CALLS = 20
REMEMBERED_S = 100.0
"""Well within the time that a key manager keeps answers."""


@dataclass(frozen=True)
class User:
    """An application: the site it is at, its id, where its key manager's door is, and what it proves itself with."""

    site: str
    sae: SaeId
    url: str
    files: TlsFiles

    @classmethod
    def of(cls, fleet: Fleet, site: str, name: str) -> User:
        app = fleet.records[site]["applications"][name]
        files = TlsFiles(Path(app["certificate"]), Path(app["key"]), Path(fleet.records[site]["ca"]))
        return cls(site, SaeId(app["sae"]), app["url"], files)


class _ClosedWhenReset(ssl.SSLSocket):
    """A socket that does not stay open when its server dies between accepting it and the handshake.

    ``SSLSocket._create`` of CPython 3.11 raises what ``recv`` then says, and leaves the socket to the collector.
    """

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except OSError:
            self.close()
            raise


class PlainSide:
    """One application by bare HTTP. A broken connection is opened anew; nothing is asked twice unless the call says."""

    def __init__(self, user: User, peer: User, stopped: Callable[[], bool]) -> None:
        self._base = f"{user.url}/api/v1/keys/{peer.sae}"
        self._context = client_context(user.files)
        self._context.sslsocket_class = _ClosedWhenReset
        self._http = self._opened()
        self._stopped = stopped

    def give_keys(self, call: str, *, count: int, may_stop: bool = True) -> Keys | None:
        """Ask for keys as master until there is an answer or, if it ``may_stop``, the test is over.

        An answer that broke off took its keys with it: other keys are asked for.
        """
        while not (may_stop and self._stopped()):
            answer = self._once("enc_keys", {"number": count} if count > 1 else None, {"number": 1, "size": 256})
            if answer is not None and answer.status_code == 200:
                return _keys_of(answer)
            time.sleep(0.05)
        return None

    def fetch(self, call: str, key_ids: list[KeyID], account: Account) -> None:
        """Fetch keys as slave; asks again after an answer broke off, and tells the account if they are gone then."""
        deadline_s, is_in_doubt = time.monotonic() + PATIENCE_S, False
        body = {"key_IDs": [{"key_ID": key_id} for key_id in key_ids]} if len(key_ids) > 1 else None
        while time.monotonic() < deadline_s:
            try:
                answer = self._once("dec_keys", body, {"key_ID": key_ids[0]}, is_told=True)
            except httpx.TransportError:
                is_in_doubt = True
                continue
            if answer is not None and answer.status_code == 200:
                account.slave_got(call, _keys_of(answer))
                return
            if answer is not None and answer.status_code == 400:
                assert answer.json()["message"] == NOT_FOUND, answer.text
                account.slave_missed(key_ids, is_in_doubt=is_in_doubt)
                return
            time.sleep(0.05)
        raise AssertionError(f"no answer about {key_ids[0]} for {PATIENCE_S:.0f} s")

    def close(self) -> None:
        self._http.close()

    def _opened(self) -> httpx.Client:
        return httpx.Client(verify=self._context, timeout=20, trust_env=False)

    def _once(self, call: str, body: Any, query: Any, *, is_told: bool = False) -> httpx.Response | None:
        """Send one request: POST with a body, GET without. None where nothing was asked, or the answer broke off and
        nobody need be told."""
        url = f"{self._base}/{call}"
        try:
            return self._http.get(url, params=query) if body is None else self._http.post(url, json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return None
        except httpx.TransportError:
            self._http.close()
            self._http = self._opened()
            if is_told:
                raise
            return None


class CarefulSide:
    """One application by our client, with nonces; remembers its last calls and asks some of them again."""

    def __init__(self, user: User, peer: User, stopped: Callable[[], bool], *, seed: str) -> None:
        self._client = Client(user.url, tls=user.files, sae=user.sae, patience_s=5, retry_for_s=1)
        self._peer, self._stopped, self._dice = peer.sae, stopped, random.Random(seed)
        self._must_repeat = threading.Event()
        self.words: deque[str] = deque(maxlen=8)
        """What it was told last that is no key."""
        self._past: deque[tuple[float, Callable[[], None]]] = deque(maxlen=REMEMBERED_CALLS)

    def give_keys(self, call: str, *, count: int, may_stop: bool = True) -> Keys | None:
        """Ask for keys as master until there is an answer or, if it ``may_stop``, the test is over."""
        return self._until_answered(
            lambda: self._client.get_keys(self._peer, count=count, nonce=call), may_stop=may_stop
        )

    def fetch(self, call: str, key_ids: list[KeyID], account: Account) -> None:
        """Fetch keys as slave; with the nonce they are there, whatever died meanwhile."""
        try:
            keys = self._until_answered(lambda: self._client.get_keys_by_id(self._peer, key_ids, nonce=call))
        except KeyNotFound:
            account.slave_missed(key_ids, is_in_doubt=False)
        else:
            assert keys is not None
            account.slave_got(call, keys)

    def remember(self, again: Callable[[], None]) -> None:
        """Keep a call that was answered, to be asked again after the next failure."""
        self._past.append((time.monotonic(), again))

    def repeat_soon(self) -> None:
        """Ask a past call again with the next answer; any thread may say so."""
        self._must_repeat.set()

    def repeat_all(self) -> None:
        """Ask every call again that is remembered."""
        for said_s, again in tuple(self._past):
            if time.monotonic() < said_s + REMEMBERED_S:
                again()

    def close(self) -> None:
        self._client.close()

    def _until_answered(self, ask: Callable[[], Any], *, may_stop: bool = False) -> Keys | None:
        deadline_s, has_failed = time.monotonic() + PATIENCE_S, False
        while not (may_stop and self._stopped()):
            try:
                keys = {key.key_id: key.take() for key in ask()}
            except KeyNotFound:
                raise
            except QanatError as fault:
                has_failed = has_failed or isinstance(fault, ChannelError)
                self.words.append(f"{time.monotonic():.1f} {type(fault).__name__}: {fault}")
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.05)
                continue
            if (has_failed or self._must_repeat.is_set()) and self._past:
                self._must_repeat.clear()
                said_s, again = self._dice.choice(tuple(self._past))
                self._past.remove((said_s, again))
                if time.monotonic() < said_s + REMEMBERED_S:
                    again()
            return keys
        return None


class Pair:
    """A master and a slave, a thread each. ``count`` keys per call; ``num_given`` counts what the master got."""

    def __init__(self, master: User, slave: User, account: Account, *, count: int, careful: bool) -> None:
        self.name = f"{master.sae.rsplit(':', 1)[1]}-{slave.sae.rsplit(':', 1)[1]}-{count}-{'nc'[careful]}"
        self.master, self.slave = master, slave
        self.sites = {master.site, slave.site}
        self.num_given = 0
        self.fetched: list[KeyID] = []
        """What the slave asked for and was answered about."""
        self._account, self._count = account, count
        self._stop = threading.Event()
        self._ids: Queue[tuple[str, list[KeyID]]] = Queue(maxsize=WAITING_CALLS)
        sides = (
            [CarefulSide(*who, self._stop.is_set, seed=self.name) for who in ((master, slave), (slave, master))]
            if careful
            else [PlainSide(*who, self._stop.is_set) for who in ((master, slave), (slave, master))]
        )
        self._asking, self._fetching = sides
        self._has_given_all = threading.Event()
        self._pool = ThreadPoolExecutor(2)
        self._threads: list[Future[None]] = []

    def words(self) -> str:
        """Return what this pair was told last that is no key, for a test that fails."""
        sides = [side for side in (self._asking, self._fetching) if isinstance(side, CarefulSide)]
        return f"{self.name}: {self.num_given} given, {[list(side.words) for side in sides]}"

    def start(self) -> None:
        self._threads = [self._pool.submit(work) for work in (self._give, self._fetch)]

    def ask_again(self) -> None:
        """Ask calls of before once more, where this pair uses nonces."""
        for side in (self._asking, self._fetching):
            if isinstance(side, CarefulSide):
                side.repeat_soon()

    def finish(self) -> None:
        """Stop the master, let the slave fetch what is left, and ask what is remembered once more."""
        self._stop.set()
        self._pool.shutdown()
        for side in (self._asking, self._fetching):
            if isinstance(side, CarefulSide) and not self.failures:
                side.repeat_all()
            side.close()

    @property
    def failures(self) -> list[BaseException]:
        """What ended a thread before its time."""
        faults = [thread.exception() for thread in self._threads if thread.done()]
        return [fault for fault in faults if fault is not None]

    def _give(self) -> None:
        try:
            self._give_all()
        finally:
            self._has_given_all.set()

    def _give_all(self) -> None:
        number = 0
        while not self._stop.is_set():
            number += 1
            call = f"{self.name}-{number:06d}"
            if (keys := self._asking.give_keys(call, count=self._count)) is None:
                return
            self._account.master_got(call, keys)
            self.num_given += len(keys)
            self._remember(self._asking, lambda call=call: self._give_again(call))
            self._ids.put((call, list(keys)), timeout=PATIENCE_S)  # a slave that died fetches no more
            time.sleep(PAUSE_S)

    def _give_again(self, call: str) -> None:
        if (keys := self._asking.give_keys(call, count=self._count, may_stop=False)) is not None:
            self._account.master_got(call, keys)

    def _fetch(self) -> None:
        while not (self._stop.is_set() and self._ids.empty() and self._has_given_all.is_set()):
            try:
                call, key_ids = self._ids.get(timeout=0.1)
            except Empty:
                continue
            self._fetching.fetch(call, key_ids, self._account)
            self.fetched += key_ids
            self._remember(
                self._fetching, lambda call=call, ids=key_ids: self._fetching.fetch(call, ids, self._account)
            )
            time.sleep(PAUSE_S)

    def _remember(self, side: PlainSide | CarefulSide, again: Callable[[], None]) -> None:
        if isinstance(side, CarefulSide):
            side.remember(again)


def _keys_of(answer: httpx.Response) -> Keys:
    return {KeyID(key["key_ID"]): b64decode(key["key"]) for key in answer.json()["keys"]}

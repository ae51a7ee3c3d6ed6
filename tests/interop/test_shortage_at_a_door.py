"""Shortage at real doors over mutual TLS: an empty pool behind a dark link, and callers who compete for one stock."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from interop.encryptors import User
from interop.fleet import Fleet
from interop.test_killed_under_load import two_sites
from qanat.adapters.tls import client_context

pytestmark = pytest.mark.slow

PATIENCE_S = 120.0
NUM_SINGLE_CALLERS = 6
NUM_BATCHES = 6
BATCH = 128


@dataclass
class Caller:
    """An application at its door, which says what it was answered."""

    user: User
    peer: User
    http: httpx.Client

    def ask(self, count: int, *, patience_s: float = 0.5) -> httpx.Response:
        ours = {"qanat_patience_s": patience_s, "qanat_details": True}
        body = {"number": count, "size": 256, "extension_optional": [ours]}
        return self.http.post(f"{self.user.url}/api/v1/keys/{self.peer.sae}/enc_keys", json=body)

    def fetch(self, keys: list[dict[str, str]]) -> list[str]:
        """Return the same keys at the peer's door."""
        body = {"key_IDs": [{"key_ID": key["key_ID"]} for key in keys]}
        with httpx.Client(verify=client_context(self.peer.files), timeout=20, trust_env=False) as http:
            answer = http.post(f"{self.peer.url}/api/v1/keys/{self.user.sae}/dec_keys", json=body)
        return [key["key"] for key in answer.json()["keys"]]


@contextmanager
def a_caller(fleet: Fleet) -> Iterator[Caller]:
    alice, bob = User.of(fleet, "left", "alice"), User.of(fleet, "right", "bob")
    with httpx.Client(verify=client_context(alice.files), timeout=30, trust_env=False) as http:
        yield Caller(alice, bob, http)


def test_an_empty_pool_is_answered_by_503_with_a_hint_and_keys_come_once_the_link_shines(tmp_path: Path) -> None:
    with two_sites(tmp_path) as fleet:
        fleet.kill("twin")  # before a photon was sent: the initial keys of a link are no key of applications
        with a_caller(fleet) as alice:
            fleet.launch("twin")  # it is dark for some seconds more
            for answer in [alice.ask(1) for _ in range(3)]:
                assert answer.status_code == 503
                hint_s = float(answer.json()["qanat_retry_after_s"])
                assert 1.0 <= hint_s <= 60.0
                assert int(answer.headers["retry-after"]) >= hint_s
                assert set(answer.json()) == {"message", "qanat_fault", "qanat_remedy", "qanat_retry_after_s"}
                assert answer.json()["qanat_remedy"]
            status = alice.http.get(f"{alice.user.url}/api/v1/keys/{alice.peer.sae}/status")
            assert status.json()["stored_key_count"] == 0
            fleet.wait("twin")
            keys = who_heeds_hints(alice)
            assert [key["key"] for key in keys] == alice.fetch(keys)


def who_heeds_hints(caller: Caller) -> list[dict[str, str]]:
    """Ask again when the door says so, and never before."""
    end_s = time.monotonic() + PATIENCE_S
    while (answer := caller.ask(4)).status_code == 503:
        assert time.monotonic() < end_s, answer.text
        time.sleep(int(answer.headers["retry-after"]))
    assert answer.status_code == 200, answer.text
    keys: list[dict[str, str]] = answer.json()["keys"]
    return keys


# ---- callers who compete ----


@dataclass
class Hammer:
    """Applications' connections that ask for one key at a time without pause."""

    fleet: Fleet
    num_given: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Hammer:
        self._threads += [threading.Thread(target=self._run) for _ in range(NUM_SINGLE_CALLERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with a_caller(self.fleet) as caller:
            while not self._stop.is_set():
                self.num_given += caller.ask(1, patience_s=5.0).status_code == 200


@pytest.mark.campaign
def test_who_asks_for_batches_is_served_while_others_of_the_same_pair_hammer_for_single_keys(tmp_path: Path) -> None:
    """What a batch lacks is made into the pair's stock, from which the others take it at once."""
    with two_sites(tmp_path) as fleet, a_caller(fleet) as caller:
        first = caller.ask(1, patience_s=30.0)
        assert first.status_code == 200, first.text
        with Hammer(fleet) as others:
            given: list[list[dict[str, str]]] = []
            num_calls = 0
            while len(given) < NUM_BATCHES:
                before, num_calls = others.num_given, num_calls + 1
                answer = caller.ask(BATCH, patience_s=20.0)
                if answer.status_code == 200:
                    given.append(answer.json()["keys"])
                assert num_calls <= 2 * NUM_BATCHES, answer.text
                while others.num_given < before + NUM_SINGLE_CALLERS:
                    time.sleep(0.01)  # they are served too
        assert [len(keys) for keys in given] == [BATCH] * NUM_BATCHES
        assert caller.fetch(given[-1]) == [key["key"] for key in given[-1]]

"""A service that is killed between a call and its repetition: the nonce finds the same keys, and nothing is spent."""

from __future__ import annotations

from pathlib import Path

import pytest

from interop.live import running_network

NONCE = "the-order-of-tuesday"


@pytest.mark.slow
def test_a_nonce_finds_the_same_keys_after_the_service_was_killed(tmp_path: Path) -> None:
    with running_network(tmp_path) as live:
        alice, bob = live.sae("alice"), live.sae("bob")
        with live.client("alice") as client:
            first = client.get_keys(bob, count=3, nonce=NONCE)
        live.kill()
    with running_network(tmp_path) as live:
        with live.client("alice") as client:
            again = client.get_keys(bob, count=3, nonce=NONCE)
            others = client.get_keys(bob, count=3, nonce=NONCE + "-2")
        ids = [key.key_id for key in first]
        assert [key.key_id for key in again] == ids
        assert [key.take() for key in again] == (secrets := [key.take() for key in first])
        assert not set(ids) & {key.key_id for key in others}
        with live.client("bob") as client:
            assert [key.take() for key in client.get_keys_by_id(alice, ids, nonce=NONCE)] == secrets
        live.kill()
    with running_network(tmp_path) as live, live.client("bob") as client:
        assert [key.take() for key in client.get_keys_by_id(alice, ids, nonce=NONCE)] == secrets

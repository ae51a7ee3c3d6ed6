"""What `qanat tunnel` tells of its connections' TLS, and where `qanat receive --tunnel` lets it lead to."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from qanat.apps.cli import services, tunnel
from qanat.apps.cli.service_options import CIPHERS, Sealing, Who
from qanat.services.directory import Address
from service_support import House

SUITE = "TLS_AES_128_GCM_SHA256"


class TwoConnections:
    """A tunnel through which two connections go, and that is then stopped."""

    port = 7001

    def __init__(self, *_: Any, on_tls: Callable[[str], None], **__: Any) -> None:
        self._on_tls = on_tls

    async def __aenter__(self) -> Self:
        self._on_tls(SUITE)
        self._on_tls(SUITE)
        os.kill(os.getpid(), signal.SIGTERM)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def test_the_suite_of_tls_is_told_people_once_and_programs_for_each_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    house = House(tmp_path / "data")
    monkeypatch.setattr(tunnel, "people_of", lambda _: house.user("alice").people)
    monkeypatch.setattr(tunnel, "UserServices", lambda _, **__: house.user("alice"))
    monkeypatch.setattr(tunnel, "Tunnel", TwoConnections)
    sealing = Sealing(CIPHERS[0], 60.0, 0.0)
    assert tunnel.run_tunnel("bob", listen="0", who=Who("alice", None, None), sealing=sealing, as_json=True) == 0
    out, err = capsys.readouterr()
    assert err.splitlines().count(f"TLS 1.3 with bob: {SUITE}") == 1
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line for line in lines if "agreed" in line] == 2 * [{"agreed": {"suite": SUITE, "tls": "1.3", "to": "bob"}}]


def test_a_recipient_names_its_program_by_a_port_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house, led_to = House(tmp_path / "data"), list[Address]()

    class StoppedEnd:
        def __init__(self, _: Any, target: Address, **__: Any) -> None:
            led_to.append(target)
            os.kill(os.getpid(), signal.SIGTERM)

        async def serve(self, _: Any) -> None:
            raise AssertionError("nobody calls")

    monkeypatch.setattr(services, "people_of", lambda _: house.user("bob").people)
    monkeypatch.setattr(services, "UserServices", lambda _, **__: house.user("bob"))
    monkeypatch.setattr(services, "TunnelEnd", StoppedEnd)
    who = Who("bob", None, None)
    assert services.run_receive(who, out=tmp_path, port=0, once=False, as_json=False, tunnel_to="80") == 0
    assert led_to == [("127.0.0.1", 80)]

"""What `qanat tunnel` tells of its connections' TLS."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from qanat.apps.cli import tunnel
from qanat.apps.cli.service_options import CIPHERS, Sealing, Who
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

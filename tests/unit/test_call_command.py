"""Who is called by `qanat call`: each once, however often it is named."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from qanat.apps.cli import calls
from qanat.apps.cli.calls import run_call
from qanat.apps.cli.service_options import Sealing, Who
from qanat.ground.errors import ChannelClosed
from qanat.users.services import UserServices
from qanat.users.speaking import CallMedia
from service_support import House


class Caller(UserServices):
    """Alice, who notes whom she calls, and finds nobody there."""

    called: tuple[str, ...] = ()

    async def call(self, recipient: str, *_: Any, **__: Any) -> Any:
        self.called = ("two", recipient)
        raise ChannelClosed("nobody answers")

    async def confer(self, recipients: Sequence[str], *_: Any, **__: Any) -> Any:
        self.called = ("conference", *recipients)
        raise ChannelClosed("nobody answers")


@pytest.mark.parametrize(
    ("recipients", "called", "told"),
    [
        (["bob"], ("two", "bob"), []),
        (["bob", "bob", "bob"], ("two", "bob"), ["bob is named more than once, and called once"]),
        (["board", "bob"], ("conference", "board", "bob"), ["bob is named more than once, and called once"]),
        (["board"], ("conference", "board"), []),
    ],
)
def test_who_is_named_twice_is_called_once_which_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    recipients: list[str],
    called: tuple[str, ...],
    told: list[str],
) -> None:
    house = House(tmp_path / "data", groups={"board": ("bob", "carol")})
    alice = Caller(house.user("alice").people, supply=house.user("alice").party.supply)
    monkeypatch.setattr(calls, "people_of", lambda _: alice.people)
    monkeypatch.setattr(calls, "UserServices", lambda _, **__: alice)
    with pytest.raises(ChannelClosed):
        run_call(
            recipients,
            who=Who("alice", None, None),
            sealing=Sealing("aes-128-gcm", 60.0, 0.0),
            media=CallMedia(),
            seconds_s=1.0,
            as_json=False,
        )
    assert alice.called == called
    assert capsys.readouterr().err.splitlines() == told
    asyncio.run(alice.close())

"""Who sends is told when it is key, and not the recipient, that is waited for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from qanat.apps.cli.outputs import ClosedOutput
from qanat.apps.cli.service_place import tell_waits
from qanat.apps.cli.services import _told_of_waits
from qanat.ground.errors import KeyShortage
from qanat.ground.identifiers import slaves_together
from qanat.users.supply import TellingSupply
from service_support import House, sae_of
from unit.service_fakes import FakeSupply
from unit.test_file_delivery import made_file, run


def test_a_sender_hears_once_that_key_is_waited_for(tmp_path: Path) -> None:
    async def work() -> None:
        house, path = House(tmp_path / "data"), made_file(tmp_path, num_bytes=100)
        supply = house.supplies["alice"] = FakeSupply(house.stock, sae_of("alice"), shortages=2)
        supply.shortage.retry_after_s = 0.1
        said: list[str] = []
        async with house.reception("bob"), house.user("alice") as alice:
            await alice.send(path, "bob", say=said.append)
            assert said == ["waiting for key with bob"]
            await alice.send(path, "bob", say=said.append)
        assert len(said) == 1, "nothing was waited for"

    run(work())


@pytest.mark.parametrize("at", ["the caller's", "a member's"])
def test_of_a_key_that_several_get_each_is_told_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], at: str
) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        house.supplies["alice"] = FakeSupply(house.stock, sae_of("alice"), shortages=1)
        async with house.user("alice") as alice:
            if at == "the caller's":
                tell_waits(alice)
                supply = alice.party.supply
            else:
                say = _told_of_waits(alice.people, ClosedOutput(asyncio.Event()))
                supply = TellingSupply(alice.party.supply, say=say, every_time=True)
            peers = slaves_together([sae_of("bob"), sae_of("carol"), sae_of("zoe")])
            with pytest.raises(KeyShortage):
                await supply.get_keys(peers, count=1, size_bits=320)

    run(work())
    assert f"key with bob, carol, {sae_of('zoe')}" in capsys.readouterr().err

"""Who sends is told when it is key, and not the recipient, that is waited for."""

from __future__ import annotations

from pathlib import Path

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

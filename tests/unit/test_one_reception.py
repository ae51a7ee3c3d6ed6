"""One reception per user: a second one is refused by name and process, and takes nothing from the first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qanat.adapters.addresses import AddressBook
from qanat.ground.errors import ConfigurationError
from service_support import House
from unit.test_file_delivery import run


def test_a_second_reception_of_a_user_is_refused_and_the_first_is_still_found(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        async with house.reception("bob"), house.user("alice") as alice:
            with pytest.raises(ConfigurationError, match=f"bob receives already, process {os.getpid()}"):
                await house.reception("bob").__aenter__()
            report = await alice.text("bob", "are you there?")
            assert list(report.delivered) == ["bob"]
        async with house.reception("bob"):
            pass  # the lock is free again

    run(work())


def test_an_address_is_withdrawn_only_by_whose_it_is(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        book = AddressBook(tmp_path / "data" / "addresses")
        async with house.reception("bob"):
            book.publish("services", "bob", ("127.0.0.1", 1))
        assert book.find("services", "bob") == ("127.0.0.1", 1)
        async with house.reception("bob"):
            pass
        assert book.find("services", "bob") is None

    run(work())

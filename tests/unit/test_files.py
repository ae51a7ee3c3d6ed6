"""Files on their way: what somebody writes meanwhile is noticed, what the machine refuses is said with its remedy."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import random
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qanat.adapters.files import sha256_of, write_whole
from qanat.adapters.machine_faults import MachineFault, machine_fault
from qanat.adapters.outgoing import READ_BYTES, OutgoingFile
from qanat.ground.errors import BadParameter, ConfigurationError
from qanat.services.conversation import RefusedByPeer
from service_support import House, sae_of

DATA = random.Random(5).randbytes(2 * READ_BYTES + 12_345)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.bin"
    path.write_bytes(DATA)
    os.utime(path, ns=(0, 10**18))  # whatever is written from now on has another time
    return path


async def read_all(source: Path, *, meanwhile: Callable[[], object] = lambda: None) -> tuple[bytes, str]:
    """Read a file as a sender does; ``meanwhile`` happens when it is open and its first piece has left."""
    notes = source.parent / "notes"
    with OutgoingFile(source, name=source.name, recipient=sae_of("bob"), notes=notes) as opened:
        assert opened.size_bytes == len(DATA)
        pieces, room = list[bytes](), memoryview(bytearray(READ_BYTES))
        while num_bytes := await opened.read_into(room):
            if not pieces:
                meanwhile()
            pieces.append(bytes(room[:num_bytes]))
        return b"".join(pieces), opened.sha256()


def test_a_file_is_read_and_hashed_once(source: Path) -> None:
    data, digest = asyncio.run(read_all(source))
    assert data == DATA
    assert digest == hashlib.sha256(DATA).hexdigest() == asyncio.run(sha256_of(source))


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"other")


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shorten(path: Path) -> None:
    os.truncate(path, READ_BYTES + 1)


@pytest.mark.parametrize("change", [overwrite, lengthen, shorten])
def test_a_file_that_changes_while_it_is_read_is_the_callers_fault(
    source: Path, change: Callable[[Path], None]
) -> None:
    with pytest.raises(BadParameter, match=r"'source.bin' was changed while it was sent.*send it again"):
        asyncio.run(read_all(source, meanwhile=lambda: change(source)))


@pytest.mark.parametrize("take_away", [Path.unlink, lambda path: path.rename(path.with_name("elsewhere"))])
def test_a_file_that_is_removed_after_it_was_opened_is_sent_all_the_same(
    source: Path, take_away: Callable[[Path], object]
) -> None:
    data, _ = asyncio.run(read_all(source, meanwhile=lambda: take_away(source)))
    assert data == DATA


def test_a_file_that_is_not_there_is_said_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*gone.bin: No such file"):
        asyncio.run(read_all(tmp_path / "gone.bin"))


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """Let the system refuse longer files, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_recipients_full_disk_is_told_without_the_names_of_its_files(source: Path, tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        async with house.reception("bob"), house.user("alice") as alice:
            with (
                largest_file(500_000),
                pytest.raises(RefusedByPeer, match="what it has not confirmed is not kept") as told,
            ):
                await alice.send(source, "bob")
            assert isinstance(await house.fault("bob"), MachineFault)
        assert str(tmp_path) not in str(told.value)
        assert "a full disk" in told.value.remedy
        assert house.came("bob") == []

    asyncio.run(work())


def test_a_text_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_whole(path, "first", elsewhere="-")
    with largest_file(10_000), pytest.raises(MachineFault, match=r"report.html: .*or name another folder"):
        write_whole(path, "x" * 20_000, elsewhere="name another folder")
    assert [found.name for found in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text() == "first"


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_failure_of_the_system_has_a_file_and_a_remedy(number: int) -> None:
    fault = machine_fault(OSError(number, os.strerror(number), "some/file"), elsewhere="name another with --out")
    assert fault.message == f"some/file: {os.strerror(number)}"
    assert fault.remedy
    assert "{" not in fault.remedy


def test_a_failure_without_a_number_is_told_too() -> None:
    assert machine_fault(OSError("no number")).message == "no number"

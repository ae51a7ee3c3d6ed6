"""What a sender can do to the recipient's disk: fill it no more than fits, hide nothing, and write no part twice."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from qanat.adapters import incoming
from qanat.adapters.incoming import HIDDEN, IncomingFile, IncomingFolder
from qanat.ground.errors import NoPlaceNow, PeerProtocolError
from qanat.ground.identifiers import SaeId
from qanat.services.conversation import RefusedForNow
from qanat.users import services
from qanat.users.reception import Reception
from service_support import House, sae_of, until
from unit.test_file_delivery import OFFER, run

ALICE = sae_of("alice")


async def expected(
    folder: IncomingFolder, *, name: str = "a.txt", size_bytes: int = 5, offer: str = OFFER, sender: SaeId = ALICE
) -> IncomingFile:
    arriving = await folder.expect(sender=sender, offer=offer, name=name, size_bytes=size_bytes)
    assert isinstance(arriving, IncomingFile)
    return arriving


async def arrived(folder: IncomingFolder, *, name: str, offer: str = OFFER) -> str:
    arriving = await expected(folder, name=name, offer=offer)
    await arriving.write(b"hello")
    told = await arriving.finish()
    await arriving.close()
    return told


def offers(count: int) -> list[str]:
    return [f"{number:032x}" for number in range(count)]


def names(folder: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in folder.glob(pattern))


def test_a_file_that_does_not_fit_is_refused_before_a_byte_of_it_came(tmp_path: Path) -> None:
    async def work() -> None:
        folder = IncomingFolder(tmp_path)
        with pytest.raises(PeerProtocolError, match="does not fit: the recipient has room for"):
            await expected(folder, size_bytes=2**60)
        assert list((tmp_path / HIDDEN).iterdir()) == []

    run(work())


def test_what_is_coming_in_already_counts_as_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = incoming.SPARE_BYTES + 1000
    monkeypatch.setattr(incoming.shutil, "disk_usage", lambda _: incoming.shutil._ntuple_diskusage(0, 0, free))

    async def work() -> None:
        folder = IncomingFolder(tmp_path)
        first, second, third = offers(3)
        one = await expected(folder, size_bytes=600, offer=first)
        with pytest.raises(PeerProtocolError, match=r"room for 400 beside .* 64 MiB of its disk"):
            await expected(folder, size_bytes=600, offer=second)
        other = await expected(folder, size_bytes=400, offer=third)
        await one.close()
        await other.close()

    run(work())


def test_a_full_disk_gets_back_what_came_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: IncomingFile, content: memoryview) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def work() -> None:
        arriving = await expected(IncomingFolder(tmp_path))
        await arriving.write(b"hel")
        monkeypatch.setattr(IncomingFile, "_append", full)
        with pytest.raises(Exception, match="No space left"):
            await arriving.write(b"lo")
        assert (tmp_path / HIDDEN / f"{OFFER}.part").stat().st_size == 0
        assert arriving.have_bytes == 0
        await arriving.close()

    run(work())


def test_a_sender_has_so_many_parts_and_its_oldest_makes_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "MOST_PARTS", 2)
    monkeypatch.setattr(incoming, "PLACE_WAIT_S", 0.01)

    async def work() -> None:
        folder = IncomingFolder(tmp_path)
        first, second, third, other = offers(4)
        for number, offer in enumerate((first, second)):
            arriving = await expected(folder, offer=offer)
            await arriving.write(b"x")
            await arriving.close()
            os.utime(tmp_path / HIDDEN / f"{offer}.part", (number, number))
        bobs = await expected(folder, offer=other, sender=sae_of("bob"))
        fresh = await expected(folder, offer=third)
        left = sorted(path.stem for path in (tmp_path / HIDDEN).glob("*.part"))
        assert left == sorted([second, third, other]), "nobody else's part makes way"
        again = await expected(folder, offer=second)
        with pytest.raises(NoPlaceNow, match=r"2 files of .*alice are coming in already"):
            await expected(folder, offer=first)
        assert not (tmp_path / HIDDEN / f"{first}.json").exists(), "who is refused leaves nothing"
        for one in (bobs, fresh, again):
            await one.close()

    run(work())


def test_a_hundred_and_fifty_files_at_once_all_come(tmp_path: Path) -> None:
    """Nearly all wait for a place, and what has a place makes way for nobody, be its part there already or not."""

    async def work() -> None:
        folder = IncomingFolder(tmp_path)
        told = await asyncio.gather(*(arrived(folder, name=f"{offer}.txt", offer=offer) for offer in offers(150)))
        assert sorted(told) == names(tmp_path, "*.txt")
        assert len(set(told)) == 150
        assert names(tmp_path / HIDDEN, "*.part") == []

    run(work())


def test_a_part_that_is_taken_up_again_does_not_make_way_for_those_that_come_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "MOST_PARTS", 2)

    async def work() -> None:
        folder = IncomingFolder(tmp_path)
        old, *fresh = offers(40)
        begun = await expected(folder, offer=old)
        await begun.write(b"hel")
        await begun.close()
        again, *_ = await asyncio.gather(
            folder.expect(sender=ALICE, offer=old, name="a.txt", size_bytes=5),
            *(arrived(folder, name=f"{offer}.txt", offer=offer) for offer in fresh),
        )
        assert isinstance(again, IncomingFile)
        assert again.have_bytes == 3
        await again.write(b"lo")
        assert await again.finish() == "a.txt"
        await again.close()
        assert len(names(tmp_path, "*.txt")) == 40

    run(work())


def test_a_sender_waits_for_a_place_as_long_as_its_patience_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "MOST_PARTS", 1)
    monkeypatch.setattr(incoming, "PLACE_WAIT_S", 0.01)
    monkeypatch.setattr(services, "PAUSE_S", 0.01)

    async def work() -> None:
        house, path = House(tmp_path / "data"), tmp_path / "letter.txt"
        path.write_bytes(b"hello")
        async with Reception(house.user("bob"), house.folder("bob")) as bob, house.user("alice") as alice:
            one = await expected(bob._incoming)
            with pytest.raises(RefusedForNow, match=r"1 files of .*alice are coming in already"):
                await alice.send(path, "bob", patience_s=0)
            told: list[str] = []
            sending = asyncio.create_task(alice.send(path, "bob", say=told.append))
            await until(lambda: bool(told))
            assert "1 files of" in told[0]
            await one.close()
            (sent,) = await sending
        assert (house.folder("bob") / sent.name).read_bytes() == b"hello"

    run(work())


def test_a_part_is_written_by_one_process_at_a_time(tmp_path: Path) -> None:
    async def work() -> None:
        ours = await expected(IncomingFolder(tmp_path))
        with pytest.raises(PeerProtocolError, match="another process"):
            await expected(IncomingFolder(tmp_path))  # as another process: it knows nothing of ours
        await ours.close()
        theirs = await expected(IncomingFolder(tmp_path))
        await theirs.close()

    run(work())


@pytest.mark.parametrize(("module", "step"), [(os, "fsync"), (incoming, "sync_folder")])
def test_a_sender_that_dials_again_while_its_file_gets_its_name_hears_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, step: str
) -> None:
    """The disk is slow: before the name is given, or after it, until the line before is let go of for the new one."""
    at_it, let_go, links = threading.Event(), threading.Event(), list[Path]()
    act, link, close = getattr(module, step), os.link, IncomingFile.close

    def slow(what: Any) -> None:
        at_it.set()
        let_go.wait(5.0)
        act(what)

    def linked(part: Path, target: Path) -> None:
        links.append(target)
        link(part, target)

    async def closed(file: IncomingFile) -> None:
        let_go.set()
        await close(file)

    async def work() -> None:
        folder = IncomingFolder(tmp_path)
        first = await expected(folder, name="film.mp4")
        await first.write(b"hello")
        monkeypatch.setattr(module, step, slow)
        monkeypatch.setattr(os, "link", linked)
        monkeypatch.setattr(IncomingFile, "close", closed)
        finishing = asyncio.create_task(first.finish())
        await asyncio.to_thread(at_it.wait)
        again = await folder.expect(sender=ALICE, offer=OFFER, name="film.mp4", size_bytes=5)
        assert again == await finishing == "film.mp4"
        assert links == [tmp_path / "film.mp4"], "one of the two lines gave it its name"
        assert names(tmp_path, "*.mp4") == ["film.mp4"]
        assert names(tmp_path / HIDDEN, "*.part") == []

    run(work())


@pytest.mark.parametrize("name", ["n" * 255, "n" * 251 + ".bin", "é" * 127, "." + "x" * 254, "a." + "b" * 253])
def test_a_name_of_the_greatest_length_may_come_again(tmp_path: Path, name: str) -> None:
    async def work() -> None:
        folder = IncomingFolder(tmp_path)
        first, second = offers(2)
        names = [await arrived(folder, name=name, offer=offer) for offer in (first, second)]
        assert len(set(names)) == 2
        assert " (2)" in names[1]
        assert all((tmp_path / one).read_bytes() == b"hello" for one in names)

    run(work())


def test_a_link_that_points_nowhere_is_no_place_for_a_file(tmp_path: Path) -> None:
    async def work() -> None:
        (tmp_path / "a.txt").symlink_to(tmp_path / "nowhere")
        assert await arrived(IncomingFolder(tmp_path), name="a.txt") == "a (2).txt"
        assert not (tmp_path / "nowhere").exists()

    run(work())


@pytest.mark.parametrize(("name", "told"), [(".bashrc", "_bashrc"), (HIDDEN, "_qanat-incoming"), ("..x", "__x")])
def test_no_file_hides_itself(tmp_path: Path, name: str, told: str) -> None:
    async def work() -> None:
        assert await arrived(IncomingFolder(tmp_path), name=name) == told

    run(work())

"""A disk that is really full: what was acknowledged stays, what was refused never was, and space brings all back."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from test_sqlite_store import MASTER_KEY, PAIR, REQUEST, SENDING, add_confirmed, new_block, new_keys

from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.adapters.sqlite.zeroization import zeroize
from qanat.ground.errors import KeyNotFound, StoreFailed
from qanat.ground.keys import SecretKey, Use

pytestmark = pytest.mark.slow

DISK_BYTES = 12 << 20
BALLAST_BYTES = 5 << 20
FILE_BYTES = 3 << 20


@dataclass(frozen=True)
class SmallDisk:
    """A folder that takes little, until ``make_room`` is called."""

    folder: Path
    make_room: Callable[[], None]


@contextmanager
def mounted(folder: Path) -> Iterator[SmallDisk]:
    """A file system of 12 MB, 5 of them taken by a file that can be removed."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system here")
    try:
        (folder / "ballast").write_bytes(bytes(BALLAST_BYTES))
        yield SmallDisk(folder, (folder / "ballast").unlink)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def limited(folder: Path) -> Iterator[SmallDisk]:
    """No file may grow beyond 3 MB: the limit of this process (RLIMIT_FSIZE), which anybody may set."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def lift() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, before[1]))
    try:
        yield SmallDisk(folder, lift)
    finally:
        lift()


@pytest.fixture(params=[mounted, limited], ids=lambda kind: kind.__name__)
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    with request.param(folder) as disk:
        yield disk


async def fill_up(store: SqliteKeyStore) -> tuple[list[SecretKey], list[SecretKey]]:
    """Put keys until the disk refuses; return those that were acknowledged, and those that were refused."""
    acknowledged: list[SecretKey] = []
    while True:
        keys = new_keys(64)
        try:
            await store.put(keys, entitled=frozenset({PAIR.slave}), confirmed=True)
        except StoreFailed:
            return acknowledged, keys
        acknowledged += keys


async def check_all_there(store: SqliteKeyStore, keys: list[SecretKey]) -> None:
    for start in range(0, len(keys), 64):
        asked = keys[start : start + 64]
        got = await store.supply_by_id([key.key_id for key in asked], sae=PAIR.slave)
        assert [key.secret for key in got] == [key.secret for key in asked]


async def opened(stack: AsyncExitStack, disk: Path) -> SqliteKeyStore:
    writer = StoreWriter()
    stack.push_async_callback(writer.close)
    return await SqliteKeyStore.open(disk / "keys.sqlite", master_key=MASTER_KEY, writer=writer)


def test_a_full_disk_refuses_loses_nothing_and_passes(small_disk: SmallDisk) -> None:
    async def scene() -> None:
        async with AsyncExitStack() as stack:
            store = await opened(stack, small_disk.folder)
            await add_confirmed(store, new_block(40_000))
            acknowledged, refused = await fill_up(store)
            assert len(acknowledged) > 1000
            levels = await store.levels()
            for _ in range(3):
                with pytest.raises(StoreFailed, match=r"(disk is full|disk I/O error) \(make space"):
                    await store.put(refused, entitled=frozenset({PAIR.slave}), confirmed=True)
            assert await store.levels() == levels, "it still reads"
            with pytest.raises(KeyNotFound):
                await store.supply_by_id([refused[0].key_id], sae=PAIR.slave)
            small_disk.make_room()
            await store.put(refused, entitled=frozenset({PAIR.slave}), confirmed=True)
            await store.spend(SENDING, num_bits=80, use=Use.RELAY, request_id=REQUEST)
            await check_all_there(store, acknowledged + refused)

    asyncio.run(scene())


def test_what_was_acknowledged_is_there_after_a_restart_on_a_disk_that_was_full(small_disk: SmallDisk) -> None:
    async def scene() -> None:
        async with AsyncExitStack() as stack:
            acknowledged, _ = await fill_up(await opened(stack, small_disk.folder))
        small_disk.make_room()
        async with AsyncExitStack() as stack:
            await check_all_there(await opened(stack, small_disk.folder), acknowledged)

    asyncio.run(scene())


def test_a_store_on_a_full_disk_can_be_zeroized_once_a_little_space_is_made(small_disk: SmallDisk) -> None:
    async def scene() -> list[SecretKey]:
        async with AsyncExitStack() as stack:
            acknowledged, _ = await fill_up(await opened(stack, small_disk.folder))
            return acknowledged

    acknowledged = asyncio.run(scene())
    small_disk.make_room()
    assert zeroize(small_disk.folder / "keys.sqlite").num_keys == len(acknowledged)

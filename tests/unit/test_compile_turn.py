"""Of many processes that start at once, one compiles the kernels and the others wait for what it made."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qanat.adapters import compile_turn as turns
from qanat.adapters.compile_turn import LOCK_NAME, compile_turn, kernel_stamp

DIES_WHILE_COMPILING = """
import asyncio, sys, time
from pathlib import Path
from qanat.adapters.compile_turn import compile_turn

async def main():
    async with compile_turn(Path(sys.argv[1]), "stamp"):
        print("compiles", flush=True)
        time.sleep(600)

asyncio.run(main())
"""


class Start:
    """A process's start: what it was told, and whether it is at work."""

    def __init__(self, folder: Path, stamp: str = "stamp") -> None:
        self.words: list[str] = []
        self.is_at_work = asyncio.Event()
        self.may_end = asyncio.Event()
        self.task = asyncio.create_task(self._run(folder, stamp))

    async def _run(self, folder: Path, stamp: str) -> None:
        async with compile_turn(folder, stamp, on_compile=self.words.append):
            self.is_at_work.set()
            await self.may_end.wait()

    async def at_work(self) -> None:
        """Return when it is at work; raises what it failed with."""
        waiting = asyncio.ensure_future(self.is_at_work.wait())
        await asyncio.wait({waiting, self.task}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            self.task.result()

    async def end(self) -> None:
        self.may_end.set()
        await self.task


def test_one_compiles_and_the_others_wait_and_then_load_side_by_side(tmp_path: Path) -> None:
    async def scene() -> None:
        first = Start(tmp_path)
        await first.is_at_work.wait()
        others = [Start(tmp_path) for _ in range(3)]
        while not all(other.words for other in others):  # noqa: ASYNC110 (it tells nobody else)
            await asyncio.sleep(0)
        assert first.words == ["compiles its kernels"]
        assert {other.words[0] for other in others} == {
            f"waits for process {os.getpid()}, which compiles the kernels of all"
        }
        assert not any(other.is_at_work.is_set() for other in others)
        await first.end()
        for other in others:
            await other.is_at_work.wait()  # none of them has ended: they are side by side
        late = Start(tmp_path)
        await late.is_at_work.wait()
        assert late.words == []
        for other in (*others, late):
            await other.end()

    asyncio.run(scene())


def test_other_kernels_are_compiled_anew(tmp_path: Path) -> None:
    async def scene() -> None:
        for stamp in ("old", "new", "new"):
            start = Start(tmp_path, stamp)
            await start.is_at_work.wait()
            await start.end()
            told.append(start.words)

    told: list[list[str]] = []
    asyncio.run(scene())
    assert told == [["compiles its kernels"], ["compiles its kernels"], []]
    assert kernel_stamp("znver4") == kernel_stamp("znver4")
    assert kernel_stamp("znver4") != kernel_stamp("haswell"), "the cache has nothing for another processor"


def test_the_death_of_who_compiles_hands_the_turn_on(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", DIES_WHILE_COMPILING, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "compiles\n"

        async def scene() -> None:
            next_one = Start(tmp_path)
            while not next_one.words:  # noqa: ASYNC110 (it tells nobody else)
                await asyncio.sleep(0)
            assert str(process.pid) in next_one.words[0]
            process.send_signal(signal.SIGKILL)
            await next_one.is_at_work.wait()
            assert next_one.words[-1] == "compiles its kernels"
            await next_one.end()

        asyncio.run(scene())
    assert (tmp_path / LOCK_NAME).read_text(encoding="utf-8") == "stamp"


def test_where_nothing_can_be_locked_everybody_compiles(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")

    async def scene() -> list[str]:
        start = Start(tmp_path / "file")
        await start.is_at_work.wait()
        await start.end()
        return start.words

    assert asyncio.run(scene()) == []
    assert turns.kernel_cache().name


def test_who_waits_says_so_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def read(descriptor: int) -> str:
        nonlocal looks
        looks += 1
        return os.pread(descriptor, 256, 0).decode()

    monkeypatch.setattr(turns, "PAUSE_S", 0.0)
    monkeypatch.setattr(turns, "_read", read)

    async def scene() -> list[str]:
        first = Start(tmp_path)
        await first.is_at_work.wait()
        other = Start(tmp_path)
        while looks < 5:  # noqa: ASYNC110 (it tells nobody else)
            await asyncio.sleep(0)
        await first.end()
        await other.end()
        return other.words

    assert asyncio.run(scene()) == [f"waits for process {os.getpid()}, which compiles the kernels of all"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_on_a_disk_without_locks_everybody_compiles(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)

    async def scene() -> list[str]:
        starts = [Start(tmp_path) for _ in range(2)]
        for start in starts:
            await start.at_work()  # side by side
        for start in starts:
            await start.end()
        return [word for start in starts for word in start.words]

    assert asyncio.run(scene()) == []
    assert (tmp_path / LOCK_NAME).read_bytes() == b""


def test_on_a_full_disk_the_next_one_compiles_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int, _data: bytes, _place: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", refuse)

    async def scene() -> None:
        for _ in range(2):
            start = Start(tmp_path)
            await start.at_work()
            await start.end()
            told.append(start.words)

    told: list[list[str]] = []
    asyncio.run(scene())
    assert told == [["compiles its kernels"]] * 2

"""One writer thread for all key stores of a process, with group commit.

Calls queue while the disk is busy. Stores have their turns one after the other, and the thread makes all that waits for
one of them durable with one commit. A call returns after its commit, so a slow disk makes groups larger, not answers
wrong.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from qanat.adapters.awaited import AWAITED, MOST_IN_A_ROW, awaited_context
from qanat.adapters.encryption import MasterKey
from qanat.adapters.sqlite.database import SLIPS, Database
from qanat.ground.errors import QanatError, StoreFailed
from qanat.ground.ports import Entropy

T = TypeVar("T")

MAX_GROUP = 512
"""Calls per commit at most, so that the first of a long queue does not wait for the last."""
HASTE_S = 1.0
"""So long a store that somebody waits for goes before the others, at most: it takes less, and they wait meanwhile."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call on its way to the thread: about which file (no database when it is to be opened), in a commit or not."""

    path: Path
    database: Database | None
    in_commit: bool
    action: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    is_awaited: bool
    """Whether somebody outside waits for it (``adapters.awaited``)."""


class StoreWriter:
    """The thread. It starts with the first call and ends with ``close``; several event loops may use it."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._waiting: dict[Path, deque[Call]] = {}
        """The calls of each store, in the order in which stores have their turn."""
        self._hurried: dict[Path, float] = {}
        """Until when (monotonic, s) a store goes before the others."""
        self._thread: threading.Thread | None = None
        self._closed = False
        self._databases: dict[Path, tuple[Database, int]] = {}
        self._gathered: dict[asyncio.AbstractEventLoop, list[Call]] = {}
        """The calls of each loop's present turn."""
        self._awaited: set[Path] = set()
        """The stores with calls that somebody outside waits for."""
        self._num_in_a_row = 0

    async def open(self, path: Path, *, master_key: MasterKey, entropy: Entropy) -> Database:
        """Return the database in a file; handles of one process share it. Raises ConfigurationError."""

        def open_or_share() -> Database:
            resolved = path.resolve()
            database, handles = self._databases.get(resolved, (None, 0))
            database = database or Database(path, master_key=master_key, entropy=entropy)
            self._databases[resolved] = database, handles + 1
            return database

        return await self._submit(path, None, open_or_share, in_commit=False)

    def let_go_first(self, path: Path) -> None:
        """Have a store go before the others for HASTE_S, its opening included: somebody waits for what takes many
        steps, and would wait for the others' commits at each of them."""
        with self._condition:
            self._hurried[path] = time.monotonic() + HASTE_S

    async def release(self, database: Database) -> None:
        """Give back what ``open`` returned; the last handle closes the file."""

        def close_or_keep() -> None:
            resolved = database.path.resolve()
            _, handles = self._databases.pop(resolved)
            if handles > 1:
                self._databases[resolved] = database, handles - 1
            else:
                database.close()

        if not self._closed:
            await self._submit(database.path, database, close_or_keep, in_commit=False)

    async def commit(self, database: Database, action: Callable[[], T]) -> T:
        """Run ``action`` in a transaction; return its result when that is durable, or raise what it raised.

        A call that is cancelled while it waits for its turn does not happen; later, it happens and nobody hears of it.
        """
        return await self._submit(database.path, database, action, in_commit=True)

    async def truncate_log(self, database: Database) -> None:
        """Empty the write-ahead log of a file; see ``Database.truncate_log``."""
        await self._submit(database.path, database, database.truncate_log, in_commit=False)

    async def close(self) -> None:
        """Do what waits, close every file that is still open, and end the thread. Idempotent."""
        self._hand_over(asyncio.get_running_loop())
        with self._condition:
            self._closed = True
            self._condition.notify()
        if self._thread is not None:
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    async def _submit(self, path: Path, database: Database | None, action: Callable[[], T], *, in_commit: bool) -> T:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        gathered, is_awaited = self._gathered.setdefault(loop, []), AWAITED.get()
        if not gathered or is_awaited:  # then perhaps before the turn of those that were gathered so far
            loop.call_soon(self._hand_over, loop)
        gathered.append(Call(path, database, in_commit, action, loop, answer, is_awaited))
        return await answer

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the thread all calls of a loop's turn at once: it is woken once, and they share a commit."""
        if (calls := self._gathered.pop(loop, None)) is None:
            return  # ``close`` has done so
        with self._condition:
            if not self._closed:
                for call in calls:
                    self._waiting.setdefault(call.path, deque()).append(call)
                    if call.is_awaited:
                        self._awaited.add(call.path)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._serve, name="key store writer", daemon=True)
                    self._thread.start()
                self._condition.notify()
                return
        _resolve([(call.answer, _writer_closed()) for call in calls])

    def _serve(self) -> None:
        calls: list[Call] = []
        try:
            while calls := self._take_next():
                for (database, in_commit), group in itertools.groupby(
                    calls, lambda call: (call.database, call.in_commit)
                ):
                    waited_for = [call for call in group if not call.answer.cancelled()]
                    if database is not None and in_commit:
                        results = database.commit([call.action for call in waited_for])
                        _deliver(zip(waited_for, results, strict=True))
                    else:
                        _deliver((call, _run_alone(call.action)) for call in waited_for)
        finally:
            # an error of ours ends the thread loudly (threading.excepthook); nobody may wait for it for ever
            with self._condition:
                self._closed = True
                waiting = itertools.chain.from_iterable(self._waiting.values())
                _deliver((call, _writer_ended()) for call in (*calls, *waiting))
                self._waiting.clear()
            for database, _ in self._databases.values():
                database.close()

    def _take_next(self) -> list[Call]:
        """Wait for calls and return those of the store whose turn it is; none when the writer is closed."""
        with self._condition:
            while not self._waiting and not self._closed:
                self._condition.wait()
            if not self._waiting:
                return []
            path = self._whose_turn()
            waiting = self._waiting.pop(path)
            calls = [waiting.popleft() for _ in range(min(MAX_GROUP, len(waiting)))]
            self._awaited.discard(path)
            if waiting:
                self._waiting[path] = waiting  # the others first
                if any(call.is_awaited for call in waiting):
                    self._awaited.add(path)
        return calls

    def _whose_turn(self) -> Path:
        if self._hurried:
            now_s = time.monotonic()
            self._hurried = {path: until_s for path, until_s in self._hurried.items() if now_s < until_s}
        longest = next(iter(self._waiting))
        if (hurried := next((path for path in self._waiting if path in self._hurried), None)) is not None:
            return hurried
        awaited = next((path for path in self._waiting if path in self._awaited), longest)
        if awaited != longest and self._num_in_a_row < MOST_IN_A_ROW:
            self._num_in_a_row += 1
            return awaited
        self._num_in_a_row = 0
        return longest


def _run_alone(action: Callable[[], Any]) -> Any:
    try:
        return action()
    except (QanatError, *SLIPS) as fault:
        return fault


def _deliver(results: Iterable[tuple[Call, Any]]) -> None:
    """Hand results to the event loops that wait for them, one wake-up per loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Call, Any]]] = {}
    for call, result in results:
        by_loop.setdefault(call.loop, []).append((call, result))
    for loop, heard in by_loop.items():
        if not loop.is_closed():
            answers = [(call.answer, result) for call, result in heard]
            context = awaited_context() if any(call.is_awaited for call, _ in heard) else None
            loop.call_soon_threadsafe(_resolve, answers, context=context)


def _resolve(answers: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for answer, result in answers:
        if answer.done():
            continue
        if isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)


def _writer_closed() -> StoreFailed:
    return StoreFailed("the key store's writer is closed", remedy="this program is shutting down")


def _writer_ended() -> StoreFailed:
    return StoreFailed("the key store's writer thread has ended", remedy="restart the program; see its log for why")

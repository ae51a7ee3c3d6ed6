"""Users with their services, on real sockets and files and on keys in memory, and a spy on the line between them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from qanat.adapters.addresses import AddressBook
from qanat.adapters.mailbox import StoredText
from qanat.adapters.tls import TlsFiles
from qanat.ground.errors import QanatError
from qanat.ground.identifiers import SaeId
from qanat.ground.ports import KeySupply
from qanat.services.conversation import Terms
from qanat.services.directory import Contact, Directory
from qanat.services.file_delivery import ArrivedFile
from qanat.users.people import Identity, People
from qanat.users.reception import Listeners, Reception
from qanat.users.services import UserServices
from unit.service_fakes import FakeSupply, KeyStock

NAMES = ("alice", "bob", "carol", "eve", "dan", "fay", "gus", "hal", "ida")


def sae_of(name: str) -> SaeId:
    return SaeId(f"urn:qanat:test:sae:{name}")


async def until(is_so: Callable[[], bool]) -> None:
    """Return when something has become so; a test that waits in vain ends by its own time limit."""
    while not is_so():  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.01)


@dataclass
class Spy:
    """A proxy before a recipient: it copies what passes, and may cut the line, flip a bit, or stop for good."""

    target_port: int
    seen: bytearray = field(default_factory=bytearray)
    seen_of_caller: bytearray = field(default_factory=bytearray)
    """What callers said of it, of all lines together."""
    cut_at: int | None = None
    """After so many bytes of the caller's, of all lines together, the line that is open then is cut, once."""
    cut_each_at: int | None = None
    """After so many bytes of its caller's each line is cut."""
    flip_at: int | None = None
    """Of the byte at this place one bit is flipped, once."""
    num_lines: int = 0
    is_held: bool = False
    """Nothing passes while this is so."""
    on_bytes: Callable[[int], None] = lambda _: None
    """Is told how many bytes have passed so far."""

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Give the port that the spy listens at."""
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            calls: set[asyncio.Task[None]] = set()

            async def accept() -> None:
                while True:
                    caller, _ = await loop.sock_accept(server)
                    calls.add(asyncio.create_task(self._pass_on(caller)))

            calls.add(asyncio.create_task(accept()))
            try:
                yield server.getsockname()[1]
            finally:
                for call in calls:
                    call.cancel()
                await asyncio.gather(*calls, return_exceptions=True)

    async def _pass_on(self, caller: socket.socket) -> None:
        self.num_lines += 1
        with caller, socket.socket() as target:
            target.setblocking(False)
            with contextlib.suppress(OSError):
                await asyncio.get_running_loop().sock_connect(target, ("127.0.0.1", self.target_port))
                back = asyncio.create_task(self._copy(target, caller))
                try:
                    if await self._copy(caller, target, is_caller=True):
                        await back
                finally:  # before the sockets are closed: their numbers are soon those of others
                    back.cancel()
                    await asyncio.gather(back, return_exceptions=True)

    async def _copy(self, source: socket.socket, target: socket.socket, *, is_caller: bool = False) -> bool:
        """Copy to the end; returns whether that was the end, and no cut."""
        loop, left = asyncio.get_running_loop(), self.cut_each_at if is_caller else None
        with contextlib.suppress(OSError):
            while data := await loop.sock_recv(source, 2**16):
                start = len(self.seen)
                if is_caller and self.flip_at is not None and start <= self.flip_at < start + len(data):
                    altered = bytearray(data)
                    altered[self.flip_at - start] ^= 1
                    data, self.flip_at = bytes(altered), None
                self.seen += data
                self.seen_of_caller += data if is_caller else b""
                self.on_bytes(len(self.seen))
                await until(lambda: not self.is_held)
                await loop.sock_sendall(target, data[:left])
                if left is not None and (left := left - len(data)) <= 0:
                    return False
                if is_caller and self.cut_at is not None and len(self.seen) >= self.cut_at:
                    self.cut_at = None
                    return False
            target.shutdown(socket.SHUT_WR)
        return True


@dataclass
class House:
    """Several users on one machine, who share a stock of keys; ``data`` is their network's data folder."""

    data: Path
    stock: KeyStock = field(default_factory=KeyStock)
    terms: Terms = field(default_factory=lambda: Terms(patience_s=2.0, silence_s=5.0))
    supplies: dict[str, KeySupply] = field(default_factory=dict)
    files: dict[str, list[ArrivedFile]] = field(default_factory=dict)
    texts: dict[str, list[StoredText]] = field(default_factory=dict)
    faults: dict[str, list[QanatError]] = field(default_factory=dict)
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def user(self, name: str, *, terms: Terms | None = None) -> UserServices:
        """Return a user whose keys come from the stock."""
        unused = TlsFiles(certificate=Path("none"), key=Path("none"), ca=Path("none"))
        me = Identity(name, sae_of(name), "https://127.0.0.1:1", unused, self.data / "users" / name)
        contacts = {other: Contact(other, sae_of(other)) for other in NAMES}
        self.data.mkdir(exist_ok=True)
        people = People(me, Directory(contacts, self.groups), AddressBook(self.data / "addresses"))
        supply = self.supplies.get(name) or FakeSupply(self.stock, sae_of(name))
        return UserServices(people, terms=terms or self.terms, supply=supply)

    def reception(self, name: str) -> Reception:
        """Return a user's reception into ``data/<name>-in``; what comes is noted here."""
        listeners = Listeners(
            on_file=self.files.setdefault(name, []).append,
            on_text=self.texts.setdefault(name, []).append,
            on_fault=self.faults.setdefault(name, []).append,
        )
        return Reception(self.user(name), self.folder(name), listeners=listeners)

    async def fault(self, name: str) -> QanatError:
        """Return the first fault that a user's reception tells of; it does so after the caller has heard of it."""
        await until(lambda: bool(self.faults[name]))
        return self.faults[name][0]

    def folder(self, name: str) -> Path:
        return self.data / f"{name}-in"

    def came(self, name: str) -> list[str]:
        """Return the names of the files that a user sees in its folder."""
        return sorted(path.name for path in self.folder(name).iterdir() if not path.name.startswith("."))

    @contextlib.asynccontextmanager
    async def spied(self, name: str) -> AsyncIterator[Spy]:
        """Put a spy before a user who receives."""
        book = AddressBook(self.data / "addresses")
        address = book.find("services", name)
        assert address is not None
        spy = Spy(address[1])
        async with spy.listening() as port:
            book.publish("services", name, ("127.0.0.1", port))
            yield spy

"""What is broken on purpose in one test: a mistaken address, a bad line, a key manager that is away."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qanat.adapters.psk import APPLICATION_DATA, HANDSHAKE, HEAD_BYTES
from qanat.apps.acceptance.persons import CountedSupply, Person
from qanat.apps.acceptance.plan import (
    BIT_FLIPPED,
    DOOR_CLOSED,
    NO_PROGRAM,
    NOBODY,
    PAD_SHORT,
    RELAY_KILLED,
    SILENT,
    SOMEBODY_ELSE,
    Fault,
)
from qanat.client import Etsi014Client
from qanat.ground.framing import LENGTH_BYTES
from qanat.services.ciphers import Suite
from qanat.services.conversation import Terms
from qanat.services.directory import Address, Contact, Directory
from qanat.users.services import KEY_PATIENCE_S, UserServices
from qanat.users.supply import ClientSupply
from qanat.users.tunnel import TunnelEnd

HOST = "127.0.0.1"
SILENCE_S = 3.0
KEY_MANAGER_RETRY_S = 1.0
CUT_OFF_PATIENCE_S = 8.0
CUT_OFF_CALL_S = 2.0
"""For keys that cannot come, in all and in one call: a key manager says why when the patience of a call is over."""
PAD_FILE_BYTES = 4_000_000
"""More than a key manager of ours tells to have in stock, at the most."""


@dataclass(frozen=True, slots=True)
class Mistaken:
    """The sender of a test as a fault has it, and the user whose end has to tell of it."""

    sender: UserServices
    supply: CountedSupply
    witness: Person


@contextlib.asynccontextmanager
async def mistaken(
    fault: Fault, sender: Person, recipient: Person, other: Person | None, home: Path
) -> AsyncIterator[Mistaken]:
    """Give the sender under a fault; ``home``: where its outbox is, so that nothing of it is sent later."""
    terms, supply, witness = sender.services.terms, sender.supply, recipient
    async with contextlib.AsyncExitStack() as stack:
        address: Address | None = None
        if fault is NOBODY:
            address = stack.enter_context(_nobody())
        elif fault is SILENT:
            address = await stack.enter_async_context(_silent())
            terms = replace(terms, silence_s=SILENCE_S)
        elif fault is SOMEBODY_ELSE and other is not None:
            address, witness = other.address, other
        elif fault is BIT_FLIPPED:
            address = await stack.enter_async_context(_flipping(recipient.address))
        elif fault is PAD_SHORT:
            terms = replace(terms, suite=Suite.ONE_TIME_PAD)
        elif fault is RELAY_KILLED:
            terms = replace(terms, patience_s=CUT_OFF_PATIENCE_S)
            supply = await stack.enter_async_context(_supply(sender, sender.people.me.door, patience_s=CUT_OFF_CALL_S))
        elif fault is DOOR_CLOSED:
            host, port = stack.enter_context(_nobody())
            supply = await stack.enter_async_context(_supply(sender, f"https://{host}:{port}"))
        elif fault is NO_PROGRAM:
            stack.enter_context(_leading_nowhere(recipient, stack.enter_context(_nobody())))
        yield Mistaken(_services(sender, recipient, home, terms, supply, address), supply, witness)


def _services(
    sender: Person, recipient: Person, home: Path, terms: Terms, supply: CountedSupply, address: Address | None
) -> UserServices:
    people = sender.people
    told = people.directory.contacts[recipient.name]
    contacts = {**people.directory.contacts, recipient.name: Contact(told.name, told.sae, address)}
    mistaken = replace(people, me=replace(people.me, home=home), directory=Directory(contacts))
    return UserServices(mistaken, terms=terms, supply=supply)


@contextlib.contextmanager
def _nobody() -> Iterator[Address]:
    """Give an address that is taken, so that nobody else gets it, and where nobody listens."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        yield HOST, int(taken.getsockname()[1])


@contextlib.asynccontextmanager
async def _silent() -> AsyncIterator[Address]:
    """Give an address where calls are taken and nothing is ever said."""
    over = asyncio.Event()

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    async with _listening(take) as address:
        yield address
        over.set()


@contextlib.asynccontextmanager
async def _flipping(target: Address) -> AsyncIterator[Address]:
    """Give an address from which all goes to ``target``, with one bit of the caller's first sealed record flipped: of a
    line under TLS the first after its handshake, else the first after hello."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*target)
        answers = asyncio.create_task(_copy(there, writer))
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            first = await reader.readexactly(LENGTH_BYTES)
            if first[0] == HANDSHAKE:
                record = await _sealed_by_tls(reader, back, first)
            else:
                back.write(await _frame(reader, first))
                record = bytearray(await _frame(reader))
            record[-1] ^= 1
            back.write(record)
            await _copy(reader, back)
        back.close()
        await answers

    async with _listening(pass_on) as address:
        yield address


@contextlib.asynccontextmanager
async def _supply(sender: Person, door: str, *, patience_s: float = KEY_PATIENCE_S) -> AsyncIterator[CountedSupply]:
    """Give a supply of keys for the sender at a door where it may be that nobody listens."""
    me, retry_for_s = sender.people.me, KEY_MANAGER_RETRY_S
    async with Etsi014Client(
        door, tls=me.tls, sae=me.sae, kme=me.kme, patience_s=patience_s, retry_for_s=retry_for_s
    ) as client:
        yield CountedSupply(ClientSupply(client))


@contextlib.contextmanager
def _leading_nowhere(recipient: Person, program: Address) -> Iterator[None]:
    """Let tunnels to a user lead to where no program runs."""
    before, recipient.tunnel_end = recipient.tunnel_end, TunnelEnd(recipient.services, program)
    try:
        yield
    finally:
        recipient.tunnel_end = before


@contextlib.asynccontextmanager
async def _listening(
    take: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]],
) -> AsyncIterator[Address]:
    server = await asyncio.start_server(take, HOST, 0)
    try:
        yield HOST, int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def _frame(reader: asyncio.StreamReader, head: bytes = b"") -> bytes:
    head = head or await reader.readexactly(LENGTH_BYTES)
    return head + await reader.readexactly(int.from_bytes(head, "big"))


async def _sealed_by_tls(reader: asyncio.StreamReader, back: asyncio.StreamWriter, first: bytes) -> bytearray:
    """Pass a handshake's records on and return the one after it; the last sealed one of a handshake is Finished."""
    head, num_sealed = first + await reader.readexactly(HEAD_BYTES - len(first)), 0
    while True:
        record = bytearray(head + await reader.readexactly(int.from_bytes(head[3:], "big")))
        num_sealed += record[0] == APPLICATION_DATA
        if num_sealed > 1:
            return record
        back.write(record)
        head = await reader.readexactly(HEAD_BYTES)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    writer.close()

"""The users of an acceptance test: each receives all services at its own door, and what comes is noted for the check.

They live in a folder of the run's own, with an address book of their own: nobody who receives under the same name on
this network is disturbed. What a user's key manager gives is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from qanat.adapters.addresses import AddressBook
from qanat.adapters.mailbox import StoredText
from qanat.client import Etsi014Client
from qanat.ground.errors import QanatError
from qanat.ground.identifiers import KeyID, SaeId
from qanat.ground.keys import KeyStatus, SecretKey
from qanat.ground.ports import KeySupply
from qanat.services import collect, tunnel
from qanat.services.call import CallReport
from qanat.services.collect import Reading
from qanat.services.conversation import Terms
from qanat.services.directory import Address
from qanat.services.fax import ArrivedFax
from qanat.services.file_delivery import ArrivedFile
from qanat.users.collecting import Centre
from qanat.users.people import People, find_people
from qanat.users.reception import Listeners, Reception
from qanat.users.services import KEY_PATIENCE_S, UserServices
from qanat.users.supply import ClientSupply, KeyManagerLost
from qanat.users.tunnel import TunnelEnd


class CountedSupply:
    """A user's supply of keys, which counts those that were asked for and says when the key manager was lost."""

    def __init__(self, supply: KeySupply) -> None:
        self._supply = supply
        self.num_keys = 0
        self.num_bits = 0
        self.num_lost = 0

    async def get_status(self, peer: SaeId, /) -> KeyStatus:
        with self._counting():
            return await self._supply.get_status(peer)

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
        with self._counting():
            keys = await self._supply.get_keys(peer, count=count, size_bits=size_bits)
        self.num_keys += len(keys)
        self.num_bits += sum(key.size_bits for key in keys)
        return keys

    async def get_keys_by_id(self, peer: SaeId, key_ids: Sequence[KeyID], /) -> Sequence[SecretKey]:
        with self._counting():
            return await self._supply.get_keys_by_id(peer, key_ids)

    @contextlib.contextmanager
    def _counting(self) -> Iterator[None]:
        try:
            yield
        except KeyManagerLost:
            self.num_lost += 1
            raise


@dataclass
class Arrived:
    """What came to a user since the last test of it began."""

    texts: list[StoredText] = field(default_factory=list)
    files: list[ArrivedFile] = field(default_factory=list)
    faxes: list[ArrivedFax] = field(default_factory=list)
    calls: list[CallReport] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    faults: list[QanatError] = field(default_factory=list)


class Person:
    """One user of the network. ``program``: where tunnels of others lead to."""

    def __init__(self, people: People, folder: Path, *, terms: Terms, program: Address) -> None:
        self.people = people
        self.name = people.me.name
        self.folder = folder / "received" / self.name
        self.arrived = Arrived()
        self.has_been_tested = False
        """Whether its site and its own links have been at work in this run before."""
        me = people.me
        self._client = Etsi014Client(me.door, tls=me.tls, sae=me.sae, kme=me.kme, patience_s=KEY_PATIENCE_S)
        self.supply = CountedSupply(ClientSupply(self._client))
        self.services = UserServices(people, terms=terms, supply=self.supply)
        centre = Centre(self.services, on_fresh=lambda _, readings: self.arrived.readings.extend(readings))
        self.tunnel_end = TunnelEnd(self.services, program)
        self.reception = Reception(
            self.services,
            self.folder,
            listeners=Listeners(
                on_text=lambda text: self.arrived.texts.append(text),
                on_file=lambda file: self.arrived.files.append(file),
                on_fax=lambda fax: self.arrived.faxes.append(fax),
                on_call=lambda report: self.arrived.calls.append(report),
                on_fault=lambda fault: self.arrived.faults.append(fault),
            ),
            more={collect.SERVICE: centre.serve, tunnel.SERVICE: lambda talk: self.tunnel_end.serve(talk)},
        )

    @property
    def address(self) -> Address:
        """Where it receives."""
        return "127.0.0.1", self.reception.port

    async def open(self, stack: AsyncExitStack) -> None:
        """Receive from now on, until ``stack`` is closed."""
        stack.push_async_callback(self._client.close)
        await stack.enter_async_context(self.reception)


class Persons:
    """The users of a network that is up on the data folder ``data``, each opened when it is first needed."""

    def __init__(self, data: Path, folder: Path, *, terms: Terms, program: Address) -> None:
        self._data = data
        self._folder = folder
        self._terms = terms
        self._program = program
        self._open: dict[str, Person] = {}
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()

    async def close(self) -> None:
        """Let nobody receive any more."""
        await self._stack.aclose()

    async def get(self, name: str) -> Person:
        """Return a user who receives; raises ConfigurationError, UnknownNode."""
        async with self._opening:
            if name not in self._open:
                people = await asyncio.to_thread(find_people, data=self._data, name=name)
                me = replace(people.me, home=self._folder / "users" / name)
                people = replace(people, me=me, addresses=AddressBook(self._folder / "addresses"))
                person = Person(people, self._folder, terms=self._terms, program=self._program)
                await person.open(self._stack)
                self._open[name] = person
            return self._open[name]

"""The served side of the door's benchmark: one process with one door, and what stands behind it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from qanat.adapters.etsi014_http import etsi014_app
from qanat.adapters.http_server import AsgiApp, HttpDoor
from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.adapters.tls import TlsFiles, server_context
from qanat.doors.etsi014 import Etsi014Door
from qanat.ground.errors import KeyNotFound
from qanat.ground.identifiers import EventId, KeyID, NodeId, RequestId, SaeId, SaePair, uuid4_from
from qanat.ground.keys import KeyStatus, SecretBytes, SecretKey
from qanat.ground.requirements import Requirements

Behind = Literal["store", "memory", "static"]
KEY_SIZE_BITS = 256
STOCKING_BATCH = 1000
NO_EVENT = EventId("00000000-0000-4000-8000-000000000000")


@dataclass(frozen=True, slots=True)
class ServedDoor:
    """What to serve: ``stock`` keys for ``pair`` in a durable store, keys made in memory, or one fixed answer."""

    files: TlsFiles
    folder: Path
    pair: SaePair
    behind: Behind
    stock: int
    keys_per_call: int


@dataclass(frozen=True, slots=True)
class Given:
    """Keys and where they came from, as the door wants them."""

    keys: Sequence[SecretKey]
    event_id: EventId = NO_EVENT
    classical_route: Sequence[NodeId] = ()


class Supplier:
    """A key manager without its relay: keys from the store's stock, or made on the spot when there is no store."""

    def __init__(self, store: SqliteKeyStore | None) -> None:
        self._store = store

    async def get_status(self, *, master: SaeId, slave: SaeId) -> KeyStatus:
        return KeyStatus("a", "b", master, slave, KEY_SIZE_BITS, 64, 4096, 0, 100_000, 128)

    async def get_keys(
        self,
        *,
        master: SaeId,
        slave: SaeId,
        count: int,
        size_bits: int,
        request_id: RequestId | None,
        cause: EventId | None,
        patience_s: float | None,
        more_slaves: Sequence[SaeId] = (),
        require: Requirements = Requirements(),  # noqa: B008  (frozen)
        prefer: Requirements = Requirements(),  # noqa: B008  (frozen)
        nonce: str | None = None,
    ) -> Given:
        del cause, patience_s, more_slaves, require, prefer, nonce
        pair = SaePair(master, slave)
        if self._store is None:
            return Given(made_keys(pair, count, size_bits))
        named = request_id or RequestId("")
        return Given(await self._store.supply(pair, count=count, size_bits=size_bits, request_id=named))

    async def get_keys_by_id(
        self, *, caller: SaeId, master: SaeId, key_ids: Sequence[KeyID], nonce: str | None = None
    ) -> Sequence[SecretKey]:
        del nonce
        if self._store is None:
            raise KeyNotFound(f"keys of {master} are not kept here")
        return await self._store.supply_by_id(key_ids, sae=caller, master=master)


def made_keys(pair: SaePair, count: int, size_bits: int) -> list[SecretKey]:
    """Return fresh random keys."""
    return [
        SecretKey(
            key_id=KeyID(uuid4_from(os.urandom(16))),
            pair=pair,
            secret=SecretBytes(os.urandom(size_bits // 8)),
            route=(),
            origin="twin",
            created_utc_s=0.0,
            qkd_bits_spent=0,
        )
        for _ in range(count)
    ]


def serve(served: ServedDoor, line: Connection) -> None:
    """Serve until anything, or the end, comes over ``line``; its first word is the port. Runs in its own process."""
    asyncio.run(_serve(served, line))


async def _serve(served: ServedDoor, line: Connection) -> None:
    writer = StoreWriter()
    store = await _stocked(served, writer) if served.behind == "store" else None
    door = Etsi014Door(Supplier(store), saes={served.pair.master})
    app: AsgiApp = static_app(served.keys_per_call) if served.behind == "static" else etsi014_app(door)
    http = HttpDoor(app, tls=server_context(served.files))
    await http.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(line.fileno(), ended.set)
    line.send(http.port)
    await ended.wait()
    asyncio.get_running_loop().remove_reader(line.fileno())
    await http.stop()
    if store is not None:
        await store.close()
    await writer.close()


async def _stocked(served: ServedDoor, writer: StoreWriter) -> SqliteKeyStore:
    master_key = SecretBytes(os.urandom(32))
    store = await SqliteKeyStore.open(served.folder / "keys.sqlite", master_key=master_key, writer=writer)
    await store.open_epoch()
    for done in range(0, served.stock, STOCKING_BATCH):
        keys = made_keys(served.pair, min(STOCKING_BATCH, served.stock - done), KEY_SIZE_BITS)
        await store.put(keys, entitled=frozenset({served.pair.master, served.pair.slave}), confirmed=True)
    return store


def static_app(keys_per_call: int) -> AsgiApp:
    """Return an application that answers every request with one fixed key container: the server's own speed."""
    key = b'{"key_ID":"%b","key":"%b="}' % (b"0" * 36, b"A" * 43)
    body = b'{"keys":[%b]}' % b",".join([key] * keys_per_call)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def app(_: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app

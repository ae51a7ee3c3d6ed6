"""Two doors of one made-up network, in a loop of their own thread, for clients that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from interop.certificates import PAST, Authority
from qanat.adapters.etsi014_http import etsi014_app
from qanat.adapters.http_server import HttpDoor
from qanat.adapters.tls import TlsFiles, server_context
from qanat.doors.etsi014 import Etsi014Door
from unit.etsi014_fakes import ALICE, BOB, CAROL, KME_A, KME_B, FakeSupplier

R = TypeVar("R")


@dataclass
class Credentials:
    """Certificates of the network, and of people who should not get in."""

    node_a: TlsFiles
    node_b: TlsFiles
    alice: TlsFiles
    bob: TlsFiles
    carol: TlsFiles
    expired: TlsFiles
    nameless: TlsFiles
    two_names: TlsFiles
    stranger: TlsFiles


def make_credentials(folder: Path) -> Credentials:
    ours, theirs = Authority(folder), Authority(folder, "other")
    alice = ours.issue("alice", [ALICE])
    stranger = theirs.issue("stranger", [ALICE])
    return Credentials(
        node_a=ours.issue("a", [KME_A]),
        node_b=ours.issue("b", [KME_B]),
        alice=alice,
        bob=ours.issue("bob", [BOB]),
        carol=ours.issue("carol", [CAROL]),
        expired=ours.issue("expired", [ALICE], end=PAST),
        nameless=ours.issue("nameless", []),
        two_names=ours.issue("two", [ALICE, BOB]),
        stranger=TlsFiles(stranger.certificate, stranger.key, ours.path),
    )


@dataclass
class Doors:
    """A at ``ports[0]`` serves Alice and Carol, B at ``ports[1]`` serves Bob; both stand on one fake supplier."""

    credentials: Credentials
    supplier: FakeSupplier
    loop: asyncio.AbstractEventLoop
    doors: list[HttpDoor] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    @property
    def ports(self) -> list[int]:
        return [door.port for door in self.doors]

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=20)


@contextmanager
def doors_open(credentials: Credentials) -> Iterator[Doors]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    world = Doors(credentials, FakeSupplier(), loop)
    try:
        for files, saes in ((credentials.node_a, {ALICE, CAROL}), (credentials.node_b, {BOB})):
            app = etsi014_app(Etsi014Door(world.supplier, saes=saes))
            door = HttpDoor(app, tls=server_context(files, on_refused=world.refusals.append))
            world.run(door.start())
            world.doors.append(door)
        yield world
    finally:
        for door in world.doors:
            world.run(door.stop(grace_s=0.5))
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=20)
        loop.close()

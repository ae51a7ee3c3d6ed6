"""A site that has just started does not know yet whether its modules answer, and says neither that they do nor not."""

from __future__ import annotations

import asyncio
from pathlib import Path

from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.adapters.module_server import ModuleServer
from qanat.control.books import Books
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.ports import DistantModule
from qanat.key_management.links import Links
from qanat.key_management.wire import LinkReport
from simulation.shared_network import shared_network
from unit.module_fakes import CAPABILITY, HERE, PEER, FakeModule, until
from unit.test_twin_server import a_desk, a_site, make_files

NAME = f"{HERE}-{PEER}"
NETWORK = shared_network([NAME], {"alice": HERE, "bob": PEER}, sharing=None)


def test_until_a_module_is_reached_or_told_to_be_away_nobody_knows(tmp_path: Path) -> None:
    files, port = make_files(tmp_path), list[int]()

    async def scene() -> None:
        async with AsyncioTasks() as tasks:
            site = a_site(files[HERE], port, tasks)
            (module,) = site.modules
            assert isinstance(module, DistantModule)
            links = Links(node=HERE, network=NETWORK, modules=[module])
            (link_id,) = links.link_ids
            assert CAPABILITY.link_id == link_id
            site.begin()
            assert links.is_away(link_id) is None
            links.note_module(link_id, is_away=True)
            assert links.is_away(link_id) is True
            links.note_module(link_id, is_away=False)
            server = ModuleServer([a_desk(HERE, FakeModule(), tasks)], tls=files["twin"])
            await server.start()
            port.append(server.port)
            await until(lambda: links.is_away(link_id) is False)
            await server.stop()

    asyncio.run(scene())


def test_a_module_in_the_same_process_is_never_away() -> None:
    links = Links(node=HERE, network=NETWORK, modules=[FakeModule()])
    assert [links.is_away(link_id) for link_id in links.link_ids] == [False]


def test_the_fault_of_a_link_is_the_certificate_of_an_end_where_that_has_ended() -> None:
    books = Books(NETWORK)
    ((link_id, book),) = books.links.items()
    away = LinkReport(link_id, 0, 1.0, "twin", None, module_away=True)
    books.note_report(NodeId(HERE), away, certificate_ended="the certificate of here was revoked")
    assert book.fault is not None
    assert book.fault.text == "the certificate of here was revoked"
    assert "qanat pki renew" in book.fault.remedy
    books.note_report(NodeId(HERE), away)
    assert "does not answer" in book.fault.text
    assert "start it again" in book.fault.remedy


def test_at_the_controller_what_is_unknown_neither_begins_an_outage_nor_ends_one() -> None:
    books = Books(NETWORK)
    (link_id,) = books.links

    def after(away: bool | None) -> frozenset[LinkId]:
        books.note_report(NodeId(HERE), LinkReport(link_id, 0, 1.0, "twin", None, module_away=away))
        return books.away_links

    assert [bool(after(away)) for away in (None, True, None, False, None)] == [False, True, True, False, False]

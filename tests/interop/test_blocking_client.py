"""Our client for programs without an event loop: threads, notebooks, and what happens when it is closed."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from interop.doors_at_work import Credentials, Doors, doors_open, make_credentials
from qanat.client import Client
from qanat.ground import errors
from unit.etsi014_fakes import ALICE, BOB


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return make_credentials(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def doors(credentials: Credentials) -> Iterator[Doors]:
    with doors_open(credentials) as world:
        yield world


def test_threads_share_one_blocking_client_and_its_connections(doors: Doors) -> None:
    made, refused = doors.supplier.made, len(doors.refusals)
    with Client(f"https://127.0.0.1:{doors.ports[0]}", tls=doors.credentials.alice, sae=ALICE) as client:

        def take(_: int) -> list[str]:
            return [client.get_keys(BOB)[0].key_id for _ in range(5)]

        with ThreadPoolExecutor(4) as threads:
            ids = [key_id for some in threads.map(take, range(4)) for key_id in some]
        assert client._client._http._transport.num_connections <= 4  # type: ignore[attr-defined]
    assert len(set(ids)) == 20
    assert doors.supplier.made == made + 20
    assert len(doors.refusals) == refused


def test_the_blocking_client_works_where_a_loop_runs_and_raises_the_same_faults(doors: Doors) -> None:
    async def in_a_loop() -> None:
        with Client(f"https://127.0.0.1:{doors.ports[0]}", tls=doors.credentials.alice, sae=ALICE) as client:
            assert len(client.get_keys(BOB, count=2)) == 2
            with pytest.raises(errors.BadParameter):
                client.get_keys(BOB, size_bits=129)

    asyncio.run(in_a_loop())


def test_a_closed_blocking_client_says_so(doors: Doors) -> None:
    used, unused = (
        Client(f"https://127.0.0.1:{doors.ports[0]}", tls=doors.credentials.alice, sae=ALICE) for _ in range(2)
    )
    used.get_keys(BOB)
    for client in (used, unused):
        client.close()
        client.close()
        with pytest.raises(errors.ChannelClosed, match="this client was closed"):
            client.get_status(BOB)


def test_closing_a_blocking_client_ends_the_calls_of_other_threads(credentials: Credentials) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as threads:
        client = Client(f"https://127.0.0.1:{silent.getsockname()[1]}", tls=credentials.alice, sae=ALICE)
        waiting = threads.submit(client.get_keys, BOB)
        connection, _ = silent.accept()
        with connection:
            client.close()
            with pytest.raises(errors.ChannelClosed, match="this client was closed"):
                waiting.result(timeout=20)


@pytest.mark.parametrize("pause_s", [0.0, 0.05], ids=["connecting", "in the handshake"])
def test_a_connection_whose_handshake_was_given_up_is_closed_at_once(credentials: Credentials, pause_s: float) -> None:
    gc.disable()  # the collector would close it, late and with a warning
    try:
        with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as threads:
            client = Client(f"https://127.0.0.1:{silent.getsockname()[1]}", tls=credentials.alice, sae=ALICE)
            waiting = threads.submit(client.get_keys, BOB)
            connection, _ = silent.accept()
            with connection:
                connection.settimeout(20)
                time.sleep(pause_s)
                client.close()
                assert isinstance(waiting.exception(timeout=20), errors.ChannelClosed)
                while connection.recv(2**16):
                    pass
    finally:
        gc.enable()

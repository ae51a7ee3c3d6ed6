"""Keys of the network in a stock OpenSSL at both ends, by an example: TLS 1.3 with the key as its external PSK."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

import pytest

from interop.fleet import free_port
from qanat.apps.cli.hook import command_slot
from qanat.users.hook import Hook
from service_support import House, until
from unit.test_file_delivery import run
from unit.test_hook import following

EXAMPLE = Path(__file__).parents[2] / "examples" / "openssl_session.py"
TLS = ("-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256", "-psk_session")
pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl command here")


async def served(port: int, session: Path) -> Process:
    """Return a server that has no certificate, and listens."""
    words = ("s_server", "-accept", f"127.0.0.1:{port}", "-nocert", "-naccept", "1", *TLS, str(session))
    server = await asyncio.create_subprocess_exec("openssl", *words, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    assert server.stdout is not None
    while (await server.stdout.readline()).strip() != b"ACCEPT":
        pass
    return server


async def said_by_client(port: int, session: Path) -> str:
    """Return what a client says of its connection."""
    words = ("s_client", "-connect", f"127.0.0.1:{port}", *TLS, str(session))
    client = await asyncio.create_subprocess_exec("openssl", *words, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
    out, _ = await client.communicate(b"Q\n")  # its word for an end
    return out.decode()


def test_two_stock_openssl_speak_tls_under_a_key_of_the_network_and_not_under_two(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        files = [tmp_path / "alice.pem", tmp_path / "bob.pem"]
        slots = [command_slot(f"'{sys.executable}' '{EXAMPLE}' '{file}'", "hex") for file in files]
        async with following(house, slots[1]) as (_, keys, faults), house.user("alice") as alice:
            await Hook(alice, "bob", slots[0], name="office").rotate()
            former = tmp_path / "former.pem"
            os.link(files[0], former)
            await check(files[1], former, agrees=True)
            await Hook(alice, "bob", slots[0], name="office").rotate()
            await check(files[1], former, agrees=False)
            await check(files[1], files[0], agrees=True)
            await until(lambda: len(keys) == 2)
        assert faults == []
        assert files[0].read_bytes() == files[1].read_bytes() != former.read_bytes()
        assert files[0].stat().st_mode & 0o077 == 0

    async def check(theirs: Path, ours: Path, *, agrees: bool) -> None:
        server = await served(port := free_port(), theirs)
        try:
            said = await said_by_client(port, ours)
        finally:
            if server.returncode is None:
                server.terminate()
            await server.communicate()
        assert ("Reused, TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256" in said) == agrees, said
        assert ("Cipher is (NONE)" in said) != agrees, said

    run(work())

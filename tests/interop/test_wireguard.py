"""Keys of the network in WireGuard itself: two interfaces shake hands under a key that both ends were given.

Two `wireguard-go` on this machine, set by `wg`; skipped where these, or the right to make interfaces, are missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from interop.fleet import free_port
from qanat.adapters.encryptor_programs import WireguardSlot
from qanat.ground.errors import ConfigurationError
from qanat.users.hook import Hook
from service_support import House, until
from unit.test_file_delivery import run
from unit.test_hook import following

PROGRAMS = ("wireguard-go", "wg", "ip")
INITIATION_BYTES = 148
"""Of the first message of a handshake (the WireGuard paper, section 5.4.2)."""
HANDSHAKE_S = 15.0
pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(
        os.geteuid() != 0 or not Path("/dev/net/tun").exists() or None in map(shutil.which, PROGRAMS),
        reason="WireGuard interfaces cannot be made here: root, /dev/net/tun, wireguard-go, wg and ip are needed",
    ),
]


def said(*words: str, given: str = "") -> str:
    return subprocess.run(words, input=given, check=True, capture_output=True, text=True).stdout.strip()


@dataclass
class Interface:
    """One end: a process, an interface, a key pair."""

    name: str
    port: int
    private_key: str

    @property
    def public_key(self) -> str:
        return said("wg", "pubkey", given=self.private_key)

    def join(self, other: Interface) -> None:
        """Know the other end, and say something each second."""
        said("wg", "set", self.name, "private-key", "/dev/stdin", "listen-port", str(self.port), given=self.private_key)
        peer = ("peer", other.public_key, "endpoint", f"127.0.0.1:{other.port}", "allowed-ips", "10.213.0.0/24")
        said("wg", "set", self.name, *peer, "persistent-keepalive", "1")

    def slot(self, other: Interface) -> WireguardSlot:
        return WireguardSlot(self.name, other.public_key)

    def restart(self, other: Interface) -> None:
        """Forget the session, but for the pre-shared key: the next word needs a handshake."""
        preshared_key = self.shown("preshared-keys")
        said("wg", "set", self.name, "peer", other.public_key, "remove")
        self.join(other)
        said("wg", "set", self.name, "peer", other.public_key, "preshared-key", "/dev/stdin", given=preshared_key)

    def shown(self, what: str) -> str:
        """Return one fact of the one peer."""
        return said("wg", "show", self.name, what).split("\t", 1)[1]


@contextlib.contextmanager
def interface(name: str) -> Iterator[Interface]:
    process = subprocess.Popen(
        ["wireguard-go", "--foreground", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until_s = time.monotonic() + HANDSHAKE_S
        while not Path(f"/sys/class/net/{name}").exists() or not Path(f"/var/run/wireguard/{name}.sock").exists():
            assert process.poll() is None, "wireguard-go ended"
            assert time.monotonic() < until_s, "no interface came"
            time.sleep(0.05)
        yield Interface(name, free_port(), said("wg", "genkey"))
    finally:
        process.terminate()
        process.wait(10)


async def shake_hands(one: Interface, other: Interface) -> None:
    """Begin anew, and wait until both ends say that they have shaken hands."""
    one.restart(other)
    other.restart(one)
    await until(lambda: "0" not in (one.shown("latest-handshakes"), other.shown("latest-handshakes")))


def test_wireguard_shakes_hands_under_the_networks_key_and_not_under_two(tmp_path: Path) -> None:
    async def work(one: Interface, other: Interface) -> None:
        house = House(tmp_path / "data")
        async with following(house, other.slot(one)) as (_, keys, faults), house.user("alice") as alice:
            await Hook(alice, "bob", one.slot(other), name="office").rotate()
            former = one.shown("preshared-keys")
            assert former == other.shown("preshared-keys") != "(none)"
            await shake_hands(one, other)
            await Hook(alice, "bob", one.slot(other), name="office").rotate()
            await until(lambda: len(keys) == 2)
            assert former != one.shown("preshared-keys") == other.shown("preshared-keys")
            await shake_hands(one, other)
            said("wg", "set", one.name, "peer", other.public_key, "preshared-key", "/dev/stdin", given=former + "\n")
            one.restart(other)
            other.restart(one)
            await until(lambda: int(one.shown("transfer").split("\t")[1]) >= 2 * INITIATION_BYTES)
            assert one.shown("latest-handshakes") == "0", "it began twice, and was not answered"
        assert faults == []

    with interface(f"qn{os.getpid()}a") as one, interface(f"qn{os.getpid()}b") as other:
        for end, peer in ((one, other), (other, one)):
            end.join(peer)
            said("ip", "link", "set", end.name, "up")
        run(work(one, other))


def test_a_peer_that_the_interface_does_not_have_is_refused_and_not_made() -> None:
    with interface(f"qn{os.getpid()}c") as one:
        stranger = said("wg", "pubkey", given=said("wg", "genkey"))
        with pytest.raises(ConfigurationError, match=f"has no peer {re.escape(stranger)}"):
            asyncio.run(WireguardSlot(one.name, stranger).put(bytes(range(32))))
        assert said("wg", "show", one.name, "peers") == ""
    with pytest.raises(ConfigurationError, match=f"wg does not show interface {one.name}"):
        asyncio.run(WireguardSlot(one.name, stranger).put(bytes(range(32))))

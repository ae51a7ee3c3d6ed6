"""Keys of the network in strongSwan itself: two IKE daemons make their SA under a key that both ends were given.

Each `charon-systemd` runs in a network namespace of its own, a veth pair between them, and is set by `swanctl`. ESP is
charon's own (its plugin kernel-libipsec), so the kernel needs none. Skipped where these, or the right to make
namespaces, are missing. Debian: charon-systemd, strongswan-swanctl, libcharon-extra-plugins.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from interop.fleet import QANAT
from interop.live import running_network
from qanat.adapters.encryptor_programs import StrongswanSlot
from qanat.ground.errors import ConfigurationError
from qanat.users.hook import Hook
from service_support import House, until
from unit.test_file_delivery import run
from unit.test_hook import following

PROGRAMS = ("charon-systemd", "swanctl", "ip")
START_S = 15.0
TAKEN = "using PPK for PPK_ID 'office'"
"""What charon says when it mixes the key in; a rekeying does not."""
pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(
        os.geteuid() != 0 or not Path("/dev/net/tun").exists() or None in map(shutil.which, PROGRAMS),
        reason="two strongSwan cannot run here: root, /dev/net/tun, charon-systemd, swanctl and ip are needed",
    ),
]

DAEMON = """
charon-systemd {{
  load = random nonce openssl kdf aes sha1 sha2 hmac gcm kernel-libipsec kernel-netlink socket-default vici
  make_before_break = yes
  plugins {{ vici {{ socket = unix://{folder}/vici }} }}
  filelog {{ log {{ path = {folder}/log
    default = 1
    flush_line = yes }} }}
}}
swanctl {{
  load = openssl random nonce
  socket = unix://{folder}/vici
}}
"""
CONNECTION = """
  {name} {{
    version = 2
    local_addrs = {here}
    remote_addrs = {there}
    ppk_id = {name}
    ppk_required = yes
    local {{ auth = psk
      id = {me}-{name} }}
    remote {{ auth = psk
      id = {peer}-{name} }}
    children {{ {name} {{ local_ts = {inside}
      remote_ts = {beyond} }} }}
  }}
"""
CONNECTIONS = ("office", "home")
SECRET = "secrets { ike-both { secret = of-no-network } }\ninclude conf.d/*.conf\n"
SERVER = """
import socket, sys
with socket.create_server((sys.argv[1], 7000)) as server:
    print(flush=True)
    print(server.accept()[0].recv(99).decode())
"""
CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[2], 7000), timeout=10, source_address=(sys.argv[1], 0)) as line:
    line.sendall(b"a word")
"""


def said(*words: str, status: int = 0) -> str:
    """Run a program, and return all that it says."""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == status, f"{words}: {done.returncode}: {done.stdout}"
    return done.stdout


@dataclass(frozen=True)
class Gateway:
    """One end: an IKE daemon with its folder, in the network namespace ``<prefix><number>``."""

    number: int
    prefix: str
    folder: Path

    @property
    def namespace(self) -> str:
        return f"{self.prefix}{self.number}"

    @property
    def swanctl(self) -> str:
        """Its swanctl, as `qanat hook strongswan --program` may have it: a script that says which daemon is meant."""
        return str(self.folder / "swanctl")

    def inside(self, name: str = "office") -> str:
        """Return the address that only the tunnel of this connection leads to."""
        return f"10.213.{self.number}.{CONNECTIONS.index(name)}"

    @property
    def secrets(self) -> Path:
        return self.folder / "conf.d" / "qanat.conf"

    def configure(self, peer: Gateway) -> None:
        self.secrets.parent.mkdir(parents=True)
        (self.folder / "strongswan.conf").write_text(DAEMON.format(folder=self.folder), encoding="utf-8")
        ends = {"here": f"10.213.9.{self.number}", "there": f"10.213.9.{peer.number}"}
        ends |= {"me": f"gateway{self.number}", "peer": f"gateway{peer.number}"}
        connections = [
            CONNECTION.format(name=name, inside=self.inside(name), beyond=peer.inside(name), **ends)
            for name in CONNECTIONS
        ]
        settings = f"connections {{ {''.join(connections)} }}\n{SECRET}"
        (self.folder / "swanctl.conf").write_text(settings, encoding="utf-8")
        places = f"STRONGSWAN_CONF='{self.folder}/strongswan.conf' SWANCTL_DIR='{self.folder}'"
        Path(self.swanctl).write_text(f'#!/bin/sh\n{places} exec swanctl "$@"\n', encoding="utf-8")
        Path(self.swanctl).chmod(0o700)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with (self.folder / "out").open("w", encoding="utf-8") as out:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, "charon-systemd"],
                env={**os.environ, "STRONGSWAN_CONF": str(self.folder / "strongswan.conf")},
                stdout=out,
                stderr=out,
            )
        try:
            until_s = time.monotonic() + START_S
            while not (self.folder / "vici").exists():
                assert process.poll() is None, (self.folder / "out").read_text(encoding="utf-8")
                assert time.monotonic() < until_s, "charon opened no socket"
                time.sleep(0.05)
            said(self.swanctl, "--load-all", "--noprompt")
            yield
        finally:
            process.terminate()
            process.wait(10)

    def slot(self, name: str = "office", *, reauth: str | None = None, file: Path | None = None) -> StrongswanSlot:
        return StrongswanSlot(file or self.secrets.with_name(f"{name}.conf"), name, self.swanctl, reauth)

    def initiate(self, name: str = "office", *, status: int = 0) -> str:
        return said(self.swanctl, "--initiate", "--child", name, status=status)

    def spis(self, name: str = "office") -> list[tuple[str, str]]:
        """Return both SPIs of each IKE SA that is up; each goes by a PPK."""
        told = said(self.swanctl, "--list-sas", "--ike", name)
        found = re.findall(r"ESTABLISHED, IKEv2, (\w{16})_i\*? (\w{16})_r", told)
        assert told.count("/PPK\n") >= len(found), told
        return found

    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8")

    def inside_it(self, script: str, *words: str) -> Sequence[str]:
        return ("ip", "netns", "exec", self.namespace, sys.executable, "-c", script, *words)

    def speaks_to(self, other: Gateway) -> bool:
        """Return whether what is said at this end's inner address arrives at the other's."""
        server = subprocess.Popen(other.inside_it(SERVER, other.inside()), stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        with server.stdout:
            try:
                server.stdout.readline()
                said(*self.inside_it(CLIENT, self.inside(), other.inside()))
                return server.stdout.readline() == "a word\n"
            finally:
                server.kill()
                server.wait()


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[tuple[Gateway, Gateway]]:
    """Two gateways that could speak, had they a key."""
    one, other = (Gateway(number, f"qn{os.getpid()}-", tmp_path / f"gateway{number}") for number in (1, 2))
    with contextlib.ExitStack() as stack:
        for end in (one, other):
            made = subprocess.run(["ip", "netns", "add", end.namespace], capture_output=True, text=True, check=False)
            if made.returncode:
                pytest.skip(f"no network namespace can be made here: {made.stderr}")
            stack.callback(said, "ip", "netns", "delete", end.namespace)
        said(*f"ip link add qn0 netns {one.namespace} type veth peer name qn0 netns {other.namespace}".split())
        for end, peer in ((one, other), (other, one)):
            ip = ("ip", "-n", end.namespace)
            said(*ip, "address", "add", f"10.213.9.{end.number}/24", "dev", "qn0")
            for name in CONNECTIONS:
                said(*ip, "address", "add", f"{end.inside(name)}/32", "dev", "lo")
            for device in ("lo", "qn0"):
                said(*ip, "link", "set", device, "up")
            end.configure(peer)
            stack.enter_context(end.running())
        yield one, other


async def made_anew(one: Gateway, other: Gateway, former: list[tuple[str, str]], name: str = "office") -> None:
    """Wait until both ends have one IKE SA, the same, and none of the former ones."""
    await until(lambda: len(one.spis(name)) == 1 and one.spis(name) == other.spis(name) != former)


def test_ike_comes_up_under_the_networks_key_again_under_the_next_one_and_not_under_two(
    ends: tuple[Gateway, Gateway], tmp_path: Path
) -> None:
    one, other = ends

    async def work() -> None:
        house = House(tmp_path / "data")
        assert "PPK required but" in one.initiate(status=1)
        async with following(house, other.slot()) as (_, keys, faults), house.user("alice") as alice:
            hook = Hook(alice, "bob", one.slot(reauth="office"), name="office")
            await hook.rotate()
            one.initiate()
            await made_anew(one, other, [])
            assert one.speaks_to(other)
            former, file = one.spis(), one.slot().file.read_text(encoding="utf-8")
            assert one.log().count(TAKEN) == 1
            await hook.rotate()
            await made_anew(one, other, former)
            assert one.log().count(TAKEN) == 2
            assert one.speaks_to(other)
            await until(lambda: len(keys) == 2)
        assert faults == []
        said(one.swanctl, "--terminate", "--ike", "office")
        one.slot().file.write_text(file, encoding="utf-8")
        said(one.swanctl, "--load-creds", "--noprompt")
        assert "AUTHENTICATION_FAILED" in one.initiate(status=1)
        assert one.spis() == other.spis() == []

    run(work())


def test_while_the_keys_differ_the_line_that_is_up_holds_and_the_next_rotation_makes_it_anew(
    ends: tuple[Gateway, Gateway], tmp_path: Path
) -> None:
    """As when the leader's program fails after the follower's has the key. A rekeying does not look at the PPK."""
    one, other = ends

    async def work() -> None:
        house = House(tmp_path / "data")
        async with following(house, other.slot()), house.user("alice") as alice:
            hook = Hook(alice, "bob", one.slot(reauth="office"), name="office")
            await hook.rotate()
            one.initiate()
            await made_anew(one, other, [])
            former = one.spis()
            await other.slot().put(bytes(range(32)))
            said(one.swanctl, "--rekey", "--ike", "office")
            await made_anew(one, other, former)
            assert one.log().count(TAKEN) == 1
            former = one.spis()
            said(one.swanctl, "--rekey", "--ike", "office", "--reauth")
            await until(lambda: "AUTHENTICATION_FAILED" in one.log())
            assert one.spis() == other.spis() == former
            assert one.speaks_to(other)
            await hook.rotate()
            await made_anew(one, other, former)

    run(work())


def test_two_connections_have_keys_of_their_own_and_one_is_set_without_the_other(
    ends: tuple[Gateway, Gateway], tmp_path: Path
) -> None:
    one, other = ends

    async def work() -> None:
        for name, key in (("office", bytes(32)), ("home", bytes(range(32)))):
            for end in ends:
                await end.slot(name).put(key)
        one.initiate()
        one.initiate("home")
        await made_anew(one, other, [], "home")
        for reauth, end in ((None, other), ("home", one)):
            former = one.spis("home")
            await end.slot("home", reauth=reauth).put(bytes(reversed(range(32))))
        await made_anew(one, other, former, "home")
        former = one.spis()
        said(one.swanctl, "--rekey", "--ike", "office", "--reauth")
        await made_anew(one, other, former)
        with pytest.raises(ConfigurationError, match="did not load the key from"):
            await one.slot(file=tmp_path / "nobody-includes.conf").put(bytes(32))
        with pytest.raises(ConfigurationError, match="has no connection offfice"):
            await one.slot(reauth="offfice").put(bytes(32))

    run(work())


def test_the_command_gives_keys_of_two_key_managers_to_two_strongswan(
    ends: tuple[Gateway, Gateway], tmp_path: Path
) -> None:
    """A running network, whose keys the ends take at its doors (ETSI GS QKD 014)."""
    one, other = ends
    data = tmp_path / "data"

    def rotate() -> None:
        shared = ("--ppk-id", "office", "--every", "1", "--count", "1", "--data", str(data))
        commands = [
            (
                "hook",
                "strongswan",
                "--with",
                peer,
                "--as",
                me,
                "--file",
                str(end.secrets),
                "--program",
                end.swanctl,
                role,
            )
            for me, peer, end, role in (("bob", "alice", other, "--follow"), ("alice", "bob", one, "--reauth=office"))
        ]
        processes = [
            subprocess.Popen([*QANAT, *words, *shared], stderr=subprocess.PIPE, text=True) for words in commands
        ]
        told = [process.communicate(timeout=60)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], told

    with running_network(data):
        rotate()
        one.initiate()
        former = one.spis()
        assert len(former) == 1
        rotate()
        run(made_anew(one, other, former))
        assert one.speaks_to(other)

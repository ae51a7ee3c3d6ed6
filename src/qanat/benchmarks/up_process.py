"""``qanat up`` of the paper's network as a process of its own, and users who call it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, Self

from qanat.adapters.tls import TlsFiles
from qanat.client import Client
from qanat.control.graph import RouteGraph
from qanat.control.routing import widest_from
from qanat.ground.identifiers import NodeId, SaeId
from qanat.ground.network import Network

PAPER: Final = "nature2021"
START_TIMEOUT_S: Final = 120.0
NEIGHBOURS_LOSS_DB: Final = 12.0


def neighbours(network: Network) -> list[tuple[str, str]]:
    """Return pairs of applications whose sites a short link joins that goes through no switch: keys come soon, and
    from twins that can all work at once."""
    at = {app.site: app.name for app in network.applications}
    return [
        (at[link.transmitter], at[link.receiver])
        for link in network.described_links
        if link.transmitter in at and link.receiver in at and link.loss_db <= NEIGHBOURS_LOSS_DB
    ]


def joined_users(network: Network) -> list[str]:
    """Return the applications of the largest part of a network within which relays carry keys."""
    graph = RouteGraph.of_keys(network)
    at = {app.site: app.name for app in network.applications if not network.site(NodeId(app.site)).direct_keys_only}
    islands = ({NodeId(site), *widest_from(graph, NodeId(site))} for site in at)
    most = max(islands, key=len)
    return [name for site, name in at.items() if site in most]


@dataclass(frozen=True)
class UpProcess:
    """A running ``qanat up``: what it said of itself, and how long it took to say it."""

    process: subprocess.Popen[str]
    record: dict[str, Any]
    data: Path
    start_s: float

    @property
    def num_open(self) -> int:
        """How many sites are open, as the service file has it now (half a second old at most)."""
        return len(json.loads((self.data / "service.json").read_text(encoding="utf-8"))["open"])

    @property
    def resident_bytes(self) -> int:
        """Memory of the service process, as Linux tells it."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))

    def sae(self, name: str) -> SaeId:
        """Return the SAE id of an application."""
        return SaeId(self.record["applications"][name]["sae"])

    def client(self, name: str) -> Client:
        """Return a client of an application, at its own door."""
        app = self.record["applications"][name]
        files = TlsFiles(certificate=Path(app["certificate"]), key=Path(app["key"]), ca=Path(self.record["ca"]))
        return Client(app["url"], tls=files, sae=self.sae(name), patience_s=60.0)


@contextmanager
def up(network: str, data: Path, *, options: Sequence[str] = ()) -> Iterator[UpProcess]:
    """Start ``qanat up`` and stop it at the end, if it has not been stopped before; raises ValueError when it does not
    come up."""
    begun_s = time.perf_counter()
    with _started("up", network, "--data", str(data), "--port", "0", *options) as (process, record):
        yield UpProcess(process, record, data, time.perf_counter() - begun_s)


@contextmanager
def site_apart(network: str, site: str, data: Path) -> Iterator[subprocess.Popen[str]]:
    """Start ``qanat node`` for a site that ``up`` leaves apart, and stop it at the end; raises ValueError likewise."""
    with _started("node", network, site, "--data", str(data)) as (process, _):
        yield process


@contextmanager
def _started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run a command until it has said what it has to say of itself, and stop it at the end."""
    command = [sys.executable, "-m", "qanat.apps.cli.main", *arguments, "--json"]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as words:
        process = subprocess.Popen(  # noqa: S603 - our own
            command,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
            process_group=0,  # Ctrl-C is for this program, which ends that one when it has done with it
        )
        assert process.stdout is not None
        with process.stdout:
            try:
                if not (line := process.stdout.readline()):
                    raise ValueError(f"`qanat {arguments[0]}` ended: {_all_of(words)}")
                yield process, json.loads(line)
            finally:
                stopped_in_s(process)


def stopped_in_s(process: subprocess.Popen[str]) -> float:
    """Stop a process as Ctrl-C does and return how long that took; one that does not end is killed."""
    begun_s = time.perf_counter()
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return time.perf_counter() - begun_s


@dataclass
class Callers:
    """Users at their doors, each over a connection of its own that stays open: ``with Callers(service) as callers``."""

    service: UpProcess
    clients: dict[str, Client] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self.clients.values():
            client.close()

    def status_s(self, name: str, peer: str) -> float:
        """Ask for a status of keys with ``peer`` and return how long the answer took, the handshake of a first call
        included."""
        begun_s = time.perf_counter()
        client = self.clients.setdefault(name, self.service.client(name))
        client.get_status(self.service.sae(peer))
        return time.perf_counter() - begun_s


def _all_of(words: IO[str]) -> str:
    words.seek(0)
    return words.read()

"""A site with its door as an operator runs it, for the door's benchmark: ``qanat node`` and its neighbours, each a
process of its own, on a store that keys were put into beforehand."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qanat.adapters.encryption import load_master_key
from qanat.adapters.pki import NodeFiles, SaeFiles, create_pki
from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.adapters.tls import TlsFiles
from qanat.ground.errors import KeyManagementError
from qanat.ground.identifiers import NodeId, SaePair, uuid4_from
from qanat.ground.key_batches import KeyBatch
from qanat.ground.key_ids import KeyIds
from qanat.ground.keys import SecretBytes
from qanat.ground.network import parse_network

KEY_SIZE_BITS = 256
STOCKING_BATCH = 512
"""Keys that idle time lays ready at once, about."""
STOP_S = 10.0
NETWORK = """\
format: qanat-network/1
name: door
sites:
  - {name: near, kind: user, latitude_deg: 31.3, longitude_deg: 120.6}
  - {name: far, kind: user, latitude_deg: 31.4, longitude_deg: 121.0}
links:
  - {name: near-far, transmitter: near, receiver: far, system: backbone-625, loss_db: 10.3, length_km: 41.1}
applications:
  - {name: alice, site: near}
  - {name: bob, site: far}
stock:
  max_keys_per_pair: 10000000
"""
DEPLOYMENT = "format: qanat-deployment/1\nnetwork: network.yaml\ndata: data\n"
_QANAT = (sys.executable, "-m", "qanat.apps.cli.main")


@dataclass(frozen=True, slots=True)
class DoorAddress:
    """Where the door is, and how an application proves itself there."""

    port: int
    files: TlsFiles
    pair: SaePair
    pid: int
    site_files: TlsFiles
    """The site's own certificate, for who is to stand in for it."""

    @property
    def cpu_s(self) -> float | None:
        """Processor time of the serving process so far; None where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / float(os.sysconf("SC_CLK_TCK"))


class ServedSite:
    """``with ServedSite(stock) as door``: so many keys lie ready; guard, audit log, event log and store are at work."""

    def __init__(self, stock: int) -> None:
        self._stock = stock
        self._folder = tempfile.TemporaryDirectory()
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> DoorAddress:
        try:
            return self._start(Path(self._folder.name))
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self._processes.clear()
        self._folder.cleanup()

    def _start(self, folder: Path) -> DoorAddress:
        network = parse_network(NETWORK, source="the benchmark's network")
        (folder / "network.yaml").write_text(NETWORK, encoding="utf-8")
        (folder / "deployment.yaml").write_text(DEPLOYMENT, encoding="utf-8")
        pki, clock = folder / "data" / "pki", SystemClock()
        days = dict.fromkeys((link.link_id for link in network.links), 1.0)
        create_pki(pki, network, entropy=SystemEntropy(), clock=clock, sessions_per_day=days, reserve_days=1)
        pair = SaePair(*network.saes)
        site = folder / "data" / "near"
        site.mkdir(mode=0o700)
        asyncio.run(stocked(site, pair, self._stock))
        config = ("--config", str(folder / "deployment.yaml"), "--json")
        words = folder / "words"
        self._launch(words, "controller", *config)
        self._launch(words, "node", "--site", "far", *config)
        near = self._launch(words, "node", "--site", "near", *config)
        record = [self._record(process, words) for process in self._processes][-1]
        files = SaeFiles.of(pki, "alice")
        port = int(record["url"].rpartition(":")[2])
        return DoorAddress(port, _tls(files), pair, near.pid, _tls(NodeFiles.of(pki, NodeId("near"))))

    def _launch(self, words: Path, *arguments: str) -> subprocess.Popen[str]:
        with words.open("a", encoding="utf-8") as stream:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [*_QANAT, *arguments], stdout=subprocess.PIPE, stderr=stream, text=True
            )
        self._processes.append(process)
        return process

    def _record(self, process: subprocess.Popen[str], words: Path) -> dict[str, Any]:
        """Wait until a process is up, and return what it says of itself."""
        assert process.stdout is not None
        if not (line := process.stdout.readline()):
            told = words.read_text(encoding="utf-8").strip()
            raise KeyManagementError(f"a process of the benchmark did not come up: {told}")
        found: dict[str, Any] = json.loads(line)
        return found


async def stocked(site: Path, pair: SaePair, stock: int) -> None:
    """Put ``stock`` keys that wait for the pair's master into the store of a site that does not run."""
    entropy, writer = SystemEntropy(), StoreWriter()
    master_key = load_master_key(site / "master.key", entropy=entropy)
    store = await SqliteKeyStore.open(site / "keys.sqlite", master_key=master_key, writer=writer)
    await store.open_epoch()
    for done in range(0, stock, STOCKING_BATCH):
        batch = made_batch(pair, min(STOCKING_BATCH, stock - done))
        await store.put_batch(batch, entitled=frozenset({pair.master}), confirmed=True)
    await store.close()
    await writer.close()


def made_batch(pair: SaePair, count: int) -> KeyBatch:
    """Return fresh random keys, as if they had come over one link in idle time."""
    return KeyBatch(
        ids=KeyIds(uuid4_from(os.urandom(16)), count),
        pair=pair,
        size_bits=KEY_SIZE_BITS,
        secret=SecretBytes(os.urandom(count * KEY_SIZE_BITS // 8)),
        routes=((NodeId("near"), NodeId("far")),),
        threshold=None,
        origin="twin",
        created_utc_s=SystemClock().utc_s(),
        qkd_bits_spent=count * KEY_SIZE_BITS,
    )


def _tls(files: NodeFiles | SaeFiles) -> TlsFiles:
    return TlsFiles(certificate=files.certificate, key=files.key, ca=files.ca)

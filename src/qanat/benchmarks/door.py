"""How fast the ETSI 014 door gives keys over mutual TLS: one server process, asked by this one."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qanat.adapters.pki import NodeFiles, SaeFiles, create_pki
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.adapters.tls import TlsFiles
from qanat.benchmarks.door_load import Load, drive
from qanat.benchmarks.door_server import KEY_SIZE_BITS, Behind, ServedDoor, serve
from qanat.benchmarks.rows import Row
from qanat.ground import data
from qanat.ground.identifiers import NodeId, SaePair
from qanat.ground.network import Network, parse_network

CONNECTIONS = 16
WARM_UP_CALLS = 100
START_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class _Case:
    name: str
    goal: float
    keys_per_call: int
    calls: int


CASES = (
    _Case("etsi014-single", goal=3_000, keys_per_call=1, calls=10_000),
    _Case("etsi014-batch", goal=100_000, keys_per_call=128, calls=1_000),
)


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmarks of these names and yield their rows."""
    for case in CASES:
        if case.name in names:
            yield _row(case)


def _row(case: _Case) -> Row:
    """Return the rate with a durable store behind the door; without the store, and p99 at half load, as notes.

    The reference is the same server with an application that answers every request by fixed bytes of that length.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = _Place(Path(folder))
        static_rate, _ = place.measured(case, "static")
        memory_rate, _ = place.measured(case, "memory")
        store_rate, p99_s = place.measured(case, "store")
    return Row(
        name=case.name,
        rate=store_rate,
        unit="keys/s",
        goal=case.goal,
        reference_name="fixed bytes from the same server",
        reference_rate=static_rate,
        note=(
            f"{KEY_SIZE_BITS}-bit keys, {case.keys_per_call} per call, {CONNECTIONS} connections kept open; "
            f"durable SQLite stock, no relay; p99 {1000 * p99_s:.1f} ms at half load; "
            f"{memory_rate:,.0f} keys/s without a store"
        ),
    )


class _Place:
    """A folder with certificates, in which doors are served and asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        network: Network = parse_network(data.read_text("networks", "three-nodes.yaml"), source="three-nodes")
        days = dict.fromkeys((link.link_id for link in network.links), 1.0)
        pki = folder / "pki"
        create_pki(pki, network, entropy=SystemEntropy(), clock=SystemClock(), sessions_per_day=days, reserve_days=1)
        master, slave = network.applications[0], network.applications[1]
        self._pair = SaePair(network.sae(master.name), network.sae(slave.name))
        self._server = _tls(NodeFiles.of(pki, NodeId(master.site)))
        self._client = _tls(SaeFiles.of(pki, master.name))

    def measured(self, case: _Case, behind: Behind) -> tuple[float, float]:
        """Return keys per second at full load, and the p99 latency in seconds at half of it."""
        half_calls = case.calls // 4
        stock = case.keys_per_call * (WARM_UP_CALLS + case.calls + half_calls)
        folder = self._folder / f"{case.name}-{behind}"
        folder.mkdir()
        served = ServedDoor(self._server, folder, self._pair, behind, stock, case.keys_per_call)
        body = b'{"number":%d,"size":%d}' % (case.keys_per_call, KEY_SIZE_BITS)
        path = f"/api/v1/keys/{self._pair.slave}/enc_keys".encode()
        request = b"POST %b HTTP/1.1\r\nhost: door\r\ncontent-length: %d\r\n\r\n%b" % (path, len(body), body)
        with _served(served) as port:
            self._drive(Load(request, WARM_UP_CALLS), port)
            calls_per_s = case.calls / self._drive(Load(request, case.calls), port)
            half = Load(request, half_calls, calls_per_s=calls_per_s / 2)
            self._drive(half, port)
        return calls_per_s * case.keys_per_call, half.percentile_s(0.99)

    def _drive(self, load: Load, port: int) -> float:
        return asyncio.run(drive(load, port=port, files=self._client, connections=CONNECTIONS))


@contextlib.contextmanager
def _served(served: ServedDoor) -> Iterator[int]:
    """Serve in another process while the block runs; yields the port."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=serve, args=(served, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(START_TIMEOUT_S):
            raise TimeoutError(f"the door did not open within {START_TIMEOUT_S:.0f} s")
        yield int(ours.recv())
    finally:
        ours.close()
        process.join(10)
        process.kill()
        process.join()
        process.close()


def _tls(files: NodeFiles | SaeFiles) -> TlsFiles:
    return TlsFiles(certificate=files.certificate, key=files.key, ca=files.ca)

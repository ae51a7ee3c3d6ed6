"""Keys out of filled pools at both ends: one process runs all nodes and doors, this one asks, over mutual TLS."""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from qanat.adapters.tls import client_context
from qanat.benchmarks.relay_network import Filling, RelayNetwork
from qanat.benchmarks.server_process import START_TIMEOUT_S, served_elsewhere
from qanat.ground.errors import PeerProtocolError

CALLERS = 16


@dataclass(frozen=True, slots=True)
class PairsRate:
    """Pairs of calls, one at each end, by second of the serving process's processor time, and by second of the wall."""

    per_core_s: float
    per_wall_s: float


def measured_pairs(pairs: int, *, size_bits: int) -> PairsRate:
    """Fill a pool with ``pairs`` keys, then take each at both ends, one per call."""
    filling = Filling(pairs, size_bits)
    with (
        tempfile.TemporaryDirectory() as folder,
        served_elsewhere(_serve_until_end, Path(folder), filling) as line,
    ):
        ports = line.recv()
        network = RelayNetwork(Path(folder), filling)
        contexts = [client_context(network.client_files(app.name)) for app in network.network.applications]
        ends = [_End(port, context) for port, context in zip(ports, contexts, strict=True)]
        paths = [f"/api/v1/keys/{sae}" for sae in (network.pair.slave, network.pair.master)]
        before_s = _cpu_s(line)
        begin_s = time.perf_counter()
        asyncio.run(_take_all(pairs, ends, paths))
        wall_s = time.perf_counter() - begin_s
        return PairsRate(pairs / (_cpu_s(line) - before_s), pairs / wall_s)


@dataclass(frozen=True, slots=True)
class _End:
    port: int
    context: ssl.SSLContext


async def _take_all(pairs: int, ends: list[_End], paths: list[str]) -> None:
    left = iter(range(pairs))
    await asyncio.gather(*(_caller(left, ends, paths) for _ in range(CALLERS)))


async def _caller(left: Iterator[int], ends: list[_End], paths: list[str]) -> None:
    """Take keys as master and fetch each by its id as slave, over two connections that stay open."""
    lines = [await asyncio.open_connection("127.0.0.1", end.port, ssl=end.context) for end in ends]
    for _ in left:
        given = await _get(*lines[0], f"{paths[0]}/enc_keys?number=1")
        (key,) = json.loads(given)["keys"]
        fetched = await _get(*lines[1], f"{paths[1]}/dec_keys?key_ID={key['key_ID']}")
        if json.loads(fetched)["keys"] != [key]:
            raise PeerProtocolError("the two ends were given different keys")
    for _, writer in lines:
        writer.close()


async def _get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> bytes:
    writer.write(f"GET {path} HTTP/1.1\r\nhost: door\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
    body = await reader.readexactly(length)
    if not head.startswith(b"HTTP/1.1 200 "):
        raise PeerProtocolError(f"the door did not answer with keys: {body[:300]!r}")
    return body


def _cpu_s(line: Connection) -> float:
    """Ask the serving process how much processor time it has had."""
    line.send("cpu")
    return float(line.recv())


async def _serve_until_end(folder: Path, filling: Filling, line: Connection) -> None:
    """Fill the pool, tell the doors' ports, then tell the processor time whenever asked, until the line ends."""
    ended = asyncio.Event()

    def on_word() -> None:
        try:
            line.recv()
            line.send(time.process_time())
        except (EOFError, OSError):
            ended.set()

    async with RelayNetwork(folder, filling) as network:
        await network.prepare()
        await network.start(with_doors=True)
        await network.filled(within_s=START_TIMEOUT_S)
        line.send([network.doors[network.network.site_of(sae).node].port for sae in network.network.saes])
        asyncio.get_running_loop().add_reader(line.fileno(), on_word)
        await ended.wait()
        asyncio.get_running_loop().remove_reader(line.fileno())

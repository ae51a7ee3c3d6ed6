"""The benchmark of a long line: its proxy delays and loses nothing, and two processes distil through it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from qanat.benchmarks.long_line import DelayingProxy, Task, measure
from qanat.ground.errors import QuantumLayerError


def through_a_proxy(data: bytes, *, delay_s: float) -> tuple[bytes, float, float]:
    """Send bytes to an echo behind a proxy and end; returns what came back, how long it took, what the proxy says."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(2**16):
            writer.write(piece)
        writer.write_eof()
        writer.close()

    async def main() -> tuple[bytes, float, float]:
        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with DelayingProxy(server.sockets[0].getsockname()[1], delay_s=delay_s) as proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            since_s = loop.time()
            writer.write(data)
            writer.write_eof()
            back = await reader.read()
            took_s = loop.time() - since_s
            writer.close()
        server.close()
        return back, took_s, proxy.seconds

    return asyncio.run(main())


@pytest.mark.parametrize("delay_s", [0.0, 0.05])
def test_a_proxy_passes_all_bytes_in_order_no_earlier_than_they_are_due(delay_s: float) -> None:
    data = bytes(range(256)) * 4000
    back, took_s, seconds = through_a_proxy(data, delay_s=delay_s)
    assert back == data
    assert took_s >= 2 * delay_s - 0.01
    assert 0 <= seconds <= took_s


@pytest.mark.slow
def test_two_processes_distil_through_the_proxy_and_leave_no_files(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert measure(Task(2**14, 3), folder=folder, round_trip_s=0.004) > 0
    assert not folder.exists()


@pytest.mark.campaign
def test_parties_that_make_too_little_are_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Task, "record_bits", 30_000)
    with pytest.raises(QuantumLayerError, match="not 3 blocks alike"):
        measure(Task(2**14, 3), folder=tmp_path / "run", round_trip_s=0.0)

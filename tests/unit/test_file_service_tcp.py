"""The file service over a real TCP line: what is under way in its buffers neither blocks nor hides a refusal."""

from __future__ import annotations

import asyncio
import random

from qanat.adapters.tcp_channel import ChannelServer, TcpChannel, connect_channel
from qanat.services.file import ReceivedFile, RefusedByPeer, SentFile
from unit.file_service_fakes import Ends, pieces_of


async def transfer_over_tcp(ends: Ends, data: bytes) -> tuple[object, object]:
    accepted: asyncio.Queue[TcpChannel] = asyncio.Queue()
    gone = asyncio.Event()

    async def accept(channel: TcpChannel) -> None:
        await accepted.put(channel)
        await gone.wait()

    server = ChannelServer(accept)
    await server.start()
    try:
        ends.left = await connect_channel("127.0.0.1", server.port)  # type: ignore[assignment]
        ends.right = await accepted.get()  # type: ignore[assignment]
        return await ends.transfer(pieces_of(data, piece_bytes=2**20), size_bytes=len(data))
    finally:
        gone.set()
        await server.stop()


def test_a_large_file_arrives() -> None:
    data = random.Random(1).randbytes(20_000_000)
    ends = Ends()
    sent, received = asyncio.run(transfer_over_tcp(ends, data))
    assert isinstance(sent, SentFile), sent
    assert isinstance(received, ReceivedFile), received
    assert bytes(ends.received) == data


def test_a_refusal_reaches_a_sender_who_is_busy_sending() -> None:
    class FullDisk(bytearray):
        def extend(self, _: object) -> None:
            raise OSError(28, "No space left on device")

    ends = Ends()
    ends.received = FullDisk()
    sent, received = asyncio.run(transfer_over_tcp(ends, bytes(40_000_000)))
    assert isinstance(received, OSError)
    assert isinstance(sent, RefusedByPeer), sent
    assert "could not read or keep" in sent.message

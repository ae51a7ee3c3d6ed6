"""The reference of the door's benchmark: the same HTTP server with an application that knows one answer, in a process
of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from qanat.adapters.http_server import AsgiApp, HttpDoor
from qanat.adapters.tls import TlsFiles, server_context
from qanat.benchmarks.server_process import served_elsewhere


@contextlib.contextmanager
def served_fixed_bytes(files: TlsFiles, keys_per_call: int) -> Iterator[int]:
    """Serve in another process while the block runs; yields the port."""
    with served_elsewhere(_serve_until_end, files, keys_per_call) as line:
        yield int(line.recv())


async def _serve_until_end(files: TlsFiles, keys_per_call: int, line: Connection) -> None:
    """Serve until anything, or the end, comes over ``line``; its first word is the port."""
    http = HttpDoor(_fixed_bytes(keys_per_call), tls=server_context(files))
    await http.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(line.fileno(), ended.set)
    line.send(http.port)
    await ended.wait()
    asyncio.get_running_loop().remove_reader(line.fileno())
    await http.stop()


def _fixed_bytes(keys_per_call: int) -> AsgiApp:
    """Return an application that answers every request with one key container of 256-bit keys."""
    key = b'{"key_ID":"%b","key":"%b="}' % (b"0" * 36, b"A" * 43)
    body = b'{"keys":[%b]}' % b",".join([key] * keys_per_call)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]

    async def app(_: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app

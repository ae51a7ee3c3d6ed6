"""``qanat device-emulator``: the devices of a link for rehearsals, with faults on command."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from pathlib import Path

from rich.markup import escape

from qanat.apps.cli.presentation import RunView
from qanat.apps.cli.processes import named_deployment, workplace_of
from qanat.apps.cli.stopping import stop_asked
from qanat.apps.device_emulator import COMMANDS, DeviceEmulator
from qanat.apps.workplace import Workplace
from qanat.ground.errors import BadParameter
from qanat.ground.identifiers import LinkId
from qanat.ground.network import Link


def run_device_emulator(
    network: str | None, *, link: str, config: Path | None, data: Path | None, rate_bits_per_s: float, as_json: bool
) -> int:
    """Run until interrupted; commands come line by line on standard input. Returns 0 after a clean stop."""
    deployment = named_deployment(network, config)
    place = workplace_of(deployment, data)
    found = deployment.network.link(LinkId(link))
    asyncio.run(_serve(found, place, rate_bits_per_s=rate_bits_per_s, as_json=as_json))
    return 0


async def _serve(link: Link, place: Workplace, *, rate_bits_per_s: float, as_json: bool) -> None:
    stop, lines = stop_asked(), _lines()
    with RunView() as view:
        async with DeviceEmulator(link, place, rate_bits_per_s=rate_bits_per_s) as devices:
            if as_json:
                print(json.dumps({"link": link.link_id, "pid": os.getpid(), "urls": devices.urls}), flush=True)
            view.say(f"emulated devices of [bold]{link.name}[/]: {', '.join(devices.urls.values())}; Ctrl-C stops them")
            view.say(f"commands: {', '.join(COMMANDS)}")
            stopping = asyncio.ensure_future(stop.wait())
            while not stop.is_set():
                reading = asyncio.ensure_future(lines.get())
                await asyncio.wait((reading, stopping), return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    reading.cancel()
                    break
                await _do(devices, reading.result(), view, as_json=as_json)
        view.say("stopped")


async def _do(devices: DeviceEmulator, line: str, view: RunView, *, as_json: bool) -> None:
    try:
        await devices.command(line)
    except BadParameter as fault:
        view.say(escape(str(fault)))
        answer = {"error": str(fault)}
    else:
        view.say(f"done: {escape(line)}")
        answer = {"done": line}
    if as_json:
        print(json.dumps(answer), flush=True)


def _lines() -> asyncio.Queue[str]:
    """Return the lines of standard input as they come. A daemon thread reads it: one of the loop's own pool would hold
    up the end of the program."""
    queue: asyncio.Queue[str] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        for line in sys.stdin:
            if line.strip():
                loop.call_soon_threadsafe(queue.put_nowait, line.strip())

    threading.Thread(target=read, daemon=True, name="commands").start()
    return queue

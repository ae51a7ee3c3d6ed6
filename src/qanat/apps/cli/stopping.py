"""The user's stop, for commands that run until then."""

from __future__ import annotations

import asyncio
import signal


def stop_asked() -> asyncio.Event:
    """Return an event of the running loop that is set by Ctrl-C, SIGTERM or SIGHUP."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    return stop

"""Payments between two data centres, over a tunnel whose keys come by satellite and are replaced ten times a minute.

qanat up urumqi-beijing --data ./data --passes-every-s 8 --pass-light 0.3
python examples/pay_over_a_tunnel.py ./data --seconds 60

Its two applications are that network's; of another network name two of its own: --as alice --to bob.
Two banks know nothing of keys: they speak TCP, a line of JSON for each payment and each receipt, both ways at once. The
two encryption routers are `qanat receive --tunnel` and `qanat tunnel`, as a shell would start them. What went, what it
cost, and how long the satellite's key lasts at this rate is told at the end; with --json as JSON, a line for each key.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

PAUSE_S = 0.2
"""Between two payments of one bank."""
AGAIN_S = 2.0
PAPER_BITS_PER_WEEK = 36e6
"""Nature 589, 214 (2021): what Micius gives two stations in a week."""
MINUTES_PER_WEEK = 7 * 24 * 60


class Bank:
    """One bank: asks the other for payments, books those of the other. What has no receipt is asked again."""

    def __init__(self) -> None:
        self.asked = 0
        self.answered = 0
        self.repeated = 0
        self.booked = set[int]()
        self.longest_wait_s = 0.0
        self.is_open = True
        self._open: dict[int, float] = {}
        self._has_begun = asyncio.Event()

    @property
    def has_all(self) -> bool:
        return not self.is_open and not self._open

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pay and book on one connection, until it ends; raises OSError when it breaks."""
        asking = asyncio.create_task(self._ask(writer))
        try:
            while line := await reader.readline():
                await self._hear(json.loads(line), writer)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            writer.close()

    async def _ask(self, writer: asyncio.StreamWriter) -> None:
        for number in list(self._open):
            self.repeated += 1
            writer.write(b'{"pay": %d}\n' % number)
        while self.is_open:
            self.asked += 1
            self._open[self.asked] = time.monotonic()
            writer.write(b'{"pay": %d}\n' % self.asked)
            await writer.drain()
            await self._has_begun.wait()  # the first waits until the network has made key
            await asyncio.sleep(PAUSE_S)

    async def _hear(self, word: dict[str, int], writer: asyncio.StreamWriter) -> None:
        if "pay" in word:
            self.booked.add(word["pay"])  # the same payment twice is one payment
            writer.write(b'{"receipt": %d}\n' % word["pay"])
            await writer.drain()
        elif (since_s := self._open.pop(word["receipt"], None)) is not None:
            self.answered += 1
            if self._has_begun.is_set():
                self.longest_wait_s = max(self.longest_wait_s, time.monotonic() - since_s)
            self._has_begun.set()


@contextlib.asynccontextmanager
async def qanat(*words: str, show: bool = False) -> AsyncIterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Run a command, give what it says when it is ready and a list that what it says later comes into; then end it."""
    lines = list[dict[str, Any]]()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "qanat.apps.cli.main", *words, "--json", stdout=PIPE
    )
    assert process.stdout is not None
    if not (first := await process.stdout.readline()):
        sys.exit(f"`qanat {words[0]}` ended with status {await process.wait()}: what it said stands above")
    async with asyncio.TaskGroup() as group:
        group.create_task(told(process.stdout, lines, show=show))
        try:
            yield json.loads(first), lines
        finally:
            process.terminate()
            await process.wait()


async def told(said: asyncio.StreamReader, lines: list[dict[str, Any]], *, show: bool) -> None:
    """Keep what a command says, and show it."""
    async for line in said:
        lines.append(json.loads(line))
        if show:
            print(line.decode(), end="", flush=True)


async def pay(port: int, bank: Bank) -> None:
    """Keep a connection to the other bank until everything is paid."""
    while not bank.has_all:
        with contextlib.suppress(OSError):
            await bank.talk(*await asyncio.open_connection("127.0.0.1", port))
        if not bank.has_all:
            await asyncio.sleep(AGAIN_S)


async def until(is_so: Callable[[], object]) -> None:
    while not is_so():  # noqa: ASYNC110 - what is waited for is told in lines of other processes, or of files
        await asyncio.sleep(0.1)


def satellite_bits(data: Path) -> tuple[int, int]:
    """Return what the satellite has announced, and what relayed keys have spent of it, from the network's event log."""
    announced, spent = dict[str, int](), 0
    for line in (data / "events.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        kind, details = event["kind"], event["data"]
        if kind == "announcement-opened":
            announced[details["block_id"]] = details["num_bits"]
        elif kind == "keys-relayed":
            spent += details["qkd_bits"] // details["hops"]
    return sum(announced.values()), spent


async def run(options: argparse.Namespace) -> dict[str, Any]:
    here, there, data = options.name, options.to, str(options.data)
    urumqi, beijing = banks = Bank(), Bank()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # a line that breaks is nothing to tell of: the other bank comes again
            await beijing.talk(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    service = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    common = ("--data", data, "--key-wait", str(options.key_wait))
    receive = ("receive", "--as", there, "--tunnel", service, "--out", str(options.data / "received"), *common)
    tunnel = ("tunnel", "--as", here, "--to", there, "--refresh", str(options.refresh), *common)
    async with server, qanat(*receive) as (_, back), qanat(*tunnel, show=options.json) as (ready, out):
        paying = asyncio.create_task(pay(ready["listening"], urumqi))
        await until(lambda: all(bank.answered for bank in banks))
        began_s, spent_before = time.monotonic(), satellite_bits(options.data)[1]
        await asyncio.sleep(options.seconds)
        for bank in banks:
            bank.is_open = False
        await until(lambda: all(bank.has_all for bank in banks))
        minutes = (time.monotonic() - began_s) / 60
        announced, spent = satellite_bits(options.data)
        paying.cancel()
        await asyncio.gather(paying, return_exceptions=True)
        await until(lambda: any("carried" in line for line in back))
    keys = [line["key"] for line in out if "key" in line]
    ends = [line["carried"] for line in back if "carried" in line]
    satellite = lasting(announced, announced - spent, (spent - spent_before) / minutes) if announced else None
    return {
        "minutes": minutes,
        "payments": {
            name: {
                "asked": bank.asked,
                "answered": bank.answered,
                "booked_there": len(other.booked),
                "asked_again": bank.repeated,
                "longest_wait_s": bank.longest_wait_s,
            }
            for name, bank, other in ((here, urumqi, beijing), (there, beijing, urumqi))
        },
        "keys": {here: len(keys), there: sum(end["num_keys"] for end in ends)},
        "last_key": keys[-1],
        "waits": sum("waiting" in line for line in out),
        "broken_off": [line["message"] for line in out if "fault" in line],
        "satellite": satellite,
    }


def lasting(announced: int, left: int, per_minute: float) -> dict[str, Any]:
    """Return how far the satellite's key goes at this rate."""
    return {
        "announced_bits": announced,
        "left_bits": left,
        "bits_per_minute": per_minute,
        "lasts_hours": left / per_minute / 60,
        "paper_week_lasts_weeks": PAPER_BITS_PER_WEEK / per_minute / MINUTES_PER_WEEK,
    }


def say(report: dict[str, Any]) -> None:
    """Tell people."""
    minutes, key, space = report["minutes"], report["last_key"], report["satellite"]
    for name, bank in report["payments"].items():
        print(f"{name}: {bank['answered']} of {bank['asked']} payments have a receipt", end=", ")
        print(f"{bank['booked_there']} are booked; the longest waited {bank['longest_wait_s']:.1f} s")
        num_keys = report["keys"][name]
        print(f"  sealed under {num_keys} key{'' if num_keys == 1 else 's'} in {minutes:.1f} minutes")
    print(
        f"the last key: {key['hops']} hops, {key['qkd_bits']:,} bits of link key, over {' - '.join(key['routes'][0])}"
    )
    if space is not None:
        print(f"by satellite: {space['left_bits']:,} of {space['announced_bits']:,} bits are left", end=", ")
        print(f"for {space['lasts_hours']:.1f} hours at {space['bits_per_minute']:,.0f} bits a minute")
        print(f"  the paper's 36 Mbit a week would last {space['paper_week_lasts_weeks']:.2f} weeks")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--refresh", type=float, default=6.0)
    parser.add_argument("--key-wait", type=float, default=120.0)
    parser.add_argument("--as", dest="name", default="urumqi-router")
    parser.add_argument("--to", default="beijing-router")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        report = asyncio.run(run(options))
        if options.json:
            print(json.dumps({"report": report}))
        else:
            say(report)
        sys.stdout.flush()
    except* BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is not flushed has nowhere to go
        sys.exit("nobody reads what this program tells any more: it has ended")


if __name__ == "__main__":
    main()

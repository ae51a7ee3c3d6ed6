"""What ``qanat send``, ``receive``, ``text`` and ``contacts`` do: one user's services, told to people or as JSON."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from qanat.adapters.mailbox import StoredText
from qanat.apps import machine
from qanat.apps.cli.service_options import Sealing, Who
from qanat.apps.networks import load_network
from qanat.apps.workplace import default_folder
from qanat.ground.errors import QanatError
from qanat.services.ciphers import Refresh, Suite
from qanat.services.conversation import Terms, printable
from qanat.services.file_delivery import ArrivedFile
from qanat.services.transfer import Progress as Step
from qanat.users.people import People, find_people
from qanat.users.reception import Listeners, Reception
from qanat.users.services import TextReport, UserServices

UP_NETWORK = "nature2021"
SHOWN_EVERY_S = 0.1
FILES_OPEN = 8192
"""As many lines as may be open at once, and a file behind each."""


def run_send(file: Path, recipient: str, *, who: Who, sealing: Sealing, patience_s: float, as_json: bool) -> int:
    """Send a file; 0 when every recipient has it whole."""
    people = _people(who)

    async def work() -> int:
        async with UserServices(people, terms=_terms(sealing)) as user:
            with _Bar(file.name) as bar:
                sent = await user.send(file, recipient, patience_s=patience_s, on_progress=bar.step, say=bar.say)
        for one in sent:
            speed = one.sent_bytes / max(one.duration_s, 1e-9) / 1e6
            said = f"{one.recipient} has {one.name}, {one.size_bytes:,} bytes; {one.sent_bytes:,} sent now"
            _say(f"{said}, {speed:,.0f} MB/s, under {one.num_keys} keys" if one.sent_bytes else said)
        if as_json:
            _print({"cipher": sealing.cipher, "sent": [asdict(one) for one in sent]})
        return 0

    return asyncio.run(work())


def run_receive(who: Who, *, out: Path, port: int | None, once: bool, as_json: bool) -> int:
    """Receive until stopped, or with ``once`` until the first thing has come; 0 after a clean stop."""
    people = _people(who)
    machine.allow_open_files(FILES_OPEN)

    async def work() -> int:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        listeners = _told(people, as_json, stop if once else None)
        async with (
            UserServices(people) as user,
            Reception(user, out, port=port, listeners=listeners) as reception,
        ):
            _say(f"{people.me.name} receives at port {reception.port}, files into {out.resolve()}; Ctrl-C ends it")
            if as_json:
                _print({"listening": reception.port, "name": people.me.name, "sae": people.me.sae})
            reception.show_fresh()
            await stop.wait()
            await asyncio.sleep(0.2 if once else 0)  # the last word of a conversation is said after it is told here
        return 0

    return asyncio.run(work())


def run_text(recipient: str, message: str, *, who: Who, sealing: Sealing, patience_s: float, as_json: bool) -> int:
    """Send a text; 0 when it is delivered or waits."""
    people = _people(who)

    async def work() -> TextReport:
        async with UserServices(people, terms=_terms(sealing)) as user:
            return await user.text(recipient, message, patience_s=patience_s)

    report = asyncio.run(work())
    for name, utc_s in report.delivered.items():
        _say(f"delivered to {name} at {time.strftime('%H:%M:%S', time.localtime(utc_s))}")
    if report.waiting:
        _say(
            f"waits for {', '.join(report.waiting)}: delivered when they receive, while `qanat receive` of yours runs, "
            "or at your next `qanat text`"
        )
    if as_json:
        _print(asdict(report))
    return 0


def run_outbox(*, who: Who, sealing: Sealing, patience_s: float, as_json: bool) -> int:
    """Deliver what waits; 0 when nothing waits any more, 1 otherwise."""
    people = _people(who)

    async def work() -> int:
        async with UserServices(people, terms=_terms(sealing)) as user:
            return await user.deliver_waiting(patience_s=patience_s)

    left = asyncio.run(work())
    _say(f"{left} texts wait" if left else "nothing waits")
    if as_json:
        _print({"waiting": left})
    return 1 if left else 0


def run_contacts(who: Who, *, as_json: bool) -> int:
    """Tell contacts, their ids, and where they receive; 0."""
    people = _people(who)
    found = {name: people.contact_of(contact.sae) for name, contact in people.directory.contacts.items()}
    if as_json:
        listed = {name: {"sae": one.sae, "address": one.address} for name, one in found.items()}
        _print({"me": people.me.name, "contacts": listed, "groups": dict(people.directory.groups)})
        return 0
    for name, one in sorted(found.items()):
        where = "{}:{}".format(*one.address) if one.address else "not receiving here"
        print(f"{name:<20} {one.sae:<50} {'you' if name == people.me.name else where}")
    for group, members in sorted(people.directory.groups.items()):
        print(f"{group:<20} {', '.join(members)}")
    return 0


# --- inside ---


def _people(who: Who) -> People:
    """Return who the command is of: by default of the network that ``qanat up`` brings up by itself."""
    data = who.data
    if data is None and who.directory is None:
        data = default_folder(load_network(UP_NETWORK))
    return find_people(data=data, name=who.name, directory=who.directory)


def _terms(sealing: Sealing) -> Terms:
    return Terms(suite=Suite(sealing.cipher), refresh=Refresh(sealing.refresh_s), pad_wait_s=sealing.pad_wait_s)


def _told(people: People, as_json: bool, stop: asyncio.Event | None) -> Listeners:
    """Return listeners that tell of what comes, and with ``stop`` end the command after the first."""
    name = people.directory.name_of

    def on_file(file: ArrivedFile) -> None:
        _say(f"{name(file.sender)} sent {file.name}, {file.size_bytes:,} bytes")
        if as_json:
            _print({"file": asdict(file) | {"sender": name(file.sender)}})
        if stop is not None:
            stop.set()

    def on_text(text: StoredText) -> None:
        if as_json:
            _print({"text": asdict(text) | {"sender": name(text.sender)}})
        else:
            print(shown_text(text.body, sender=name(text.sender), sent_utc_s=text.sent_utc_s), flush=True)
        if stop is not None:
            stop.set()

    def on_fault(fault: QanatError) -> None:
        _say(f"not accepted: {fault}")
        if as_json:
            _print({"fault": type(fault).__name__, "message": fault.message, "remedy": fault.remedy})

    return Listeners(on_file=on_file, on_text=on_text, on_fault=on_fault)


def shown_text(body: str, *, sender: str, sent_utc_s: float) -> str:
    """Return a text as people see it: each of its own lines after the first is set in, so that none can pass for
    another text, and nothing in it steers the terminal."""
    head = f"{time.strftime('%H:%M:%S', time.localtime(sent_utc_s))} {printable(sender)}: "
    first, *others = map(printable, body.split("\n"))
    return "\n".join([head + first, *(" " * len("00:00:00 ") + line for line in others)])


def _say(words: str) -> None:
    """Tell people, on standard error, in one line; what strangers put into it steers no terminal."""
    Console(stderr=True, highlight=False, emoji=False).print(escape(printable(words)), soft_wrap=True)


def _print(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)


class _Bar:
    """A progress bar on standard error; nothing where that is no terminal."""

    def __init__(self, name: str) -> None:
        self._progress = Progress(
            "{task.description}",
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
            auto_refresh=False,
        )
        self._task = self._progress.add_task(escape(printable(name)), total=None)
        self._next_s = 0.0

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.refresh()
        self._progress.stop()

    def step(self, step: Step) -> None:
        """Show how far it is, ten times a second at most."""
        if (now_s := time.monotonic()) >= self._next_s or step.done_bytes == step.total_bytes:
            self._next_s = now_s + SHOWN_EVERY_S
            self._progress.update(self._task, completed=step.done_bytes, total=step.total_bytes, refresh=True)

    def say(self, words: str) -> None:
        """Tell people something."""
        self._progress.console.print(escape(printable(words)), highlight=False, emoji=False, soft_wrap=True)

"""What ``qanat send``, ``receive``, ``text`` and ``contacts`` do: one user's services, told to people or as JSON."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from qanat.adapters.mailbox import StoredText
from qanat.adapters.media_faults import INSTALL, are_calls_possible
from qanat.apps import machine
from qanat.apps.cli.calls import NOT_DONE, is_dead, say_call, say_conference
from qanat.apps.cli.faults import fault_record, tell_fault
from qanat.apps.cli.outputs import ClosedOutput
from qanat.apps.cli.presentation import counted, rate_of
from qanat.apps.cli.service_options import Sealing, Who
from qanat.apps.cli.service_place import (
    Unheard,
    people_of,
    print_json,
    print_report,
    stopped_by_signals,
    tell,
    tell_reader,
    tell_waits,
    terms_of,
)
from qanat.ground.errors import QanatError
from qanat.ground.identifiers import SaeId
from qanat.services import collect, tunnel
from qanat.services.call import CallReport
from qanat.services.collect import Reading
from qanat.services.conference import ConferenceReport
from qanat.services.conversation import Terms, printable
from qanat.services.directory import port_or_address
from qanat.services.fax import ArrivedFax
from qanat.services.file_delivery import ArrivedFile
from qanat.services.file_delivery import Progress as Step
from qanat.users.collecting import Centre
from qanat.users.people import People
from qanat.users.pump import Carried
from qanat.users.reception import Listeners, Reception, Serve
from qanat.users.services import TextReport, UserServices
from qanat.users.speaking import CallMedia
from qanat.users.supply import TellingSupply
from qanat.users.tunnel import TunnelEnd

SHOWN_EVERY_S = 0.1
SHOWN_CHARACTERS = 40
FILES_OPEN = 8192
"""As many lines as may be open at once, and a file behind each."""


def run_send(file: Path, recipient: str, *, who: Who, sealing: Sealing, patience_s: float, as_json: bool) -> int:
    """Send a file; 0 when every recipient has it whole."""
    people = people_of(who)

    async def work() -> int:
        async with UserServices(people, terms=terms_of(sealing)) as user:
            with _Bar(file.name) as bar:
                sent = await user.send(file, recipient, patience_s=patience_s, on_progress=bar.step, say=bar.say)
        for one in sent:
            speed = rate_of(one.sent_bytes / max(one.duration_s, 1e-9))
            said = f"{one.recipient} has {one.name}, {one.size_bytes:,} bytes; {one.sent_bytes:,} sent now"
            tell(f"{said}, {speed}, under {counted(one.num_keys, 'key')}" if one.sent_bytes else said)
        if as_json:
            told = {"cipher": sealing.cipher, "sent": [asdict(one) for one in sent]}
            return print_report(told, done="the file is delivered")
        return 0

    return asyncio.run(work())


def run_fax(file: Path, recipient: str, *, who: Who, sealing: Sealing, patience_s: float, as_json: bool) -> int:
    """Send a fax; 0 when every recipient has read all of its pages."""
    people = people_of(who)

    async def work() -> int:
        async with UserServices(people, terms=terms_of(sealing)) as user:
            with _Bar(file.name) as bar:
                reports = await user.fax(file, recipient, patience_s=patience_s, on_progress=bar.step, say=bar.say)
        for one in reports:
            when = time.strftime("%H:%M:%S", time.localtime(one.confirmed_utc_s))
            pages = "the one page" if one.num_pages == 1 else f"all {one.num_pages} pages"
            tell(f"{one.recipient} has read {pages} at {when}, there as {one.name}")
        if as_json:
            told = {"cipher": sealing.cipher, "fax": [asdict(one) for one in reports]}
            return print_report(told, done="the fax is delivered")
        return 0

    return asyncio.run(work())


def run_receive(
    who: Who,
    *,
    out: Path,
    port: int | None,
    once: bool,
    as_json: bool,
    tunnel_to: str | None = None,
    media: CallMedia | None = None,
    key_wait_s: float = 60.0,
) -> int:
    """Receive until stopped, or with ``once`` until the first thing has come; 0 after a clean stop, NOT_DONE where that
    thing was a call or a conference for which ``qanat call`` would end with it."""
    if media is not None:
        media.check()
    people = people_of(who)
    target = None if tunnel_to is None else port_or_address(tunnel_to, where="--tunnel")
    machine.allow_open_files(FILES_OPEN)

    async def work() -> int:
        stop = stopped_by_signals()
        closed = ClosedOutput(stop)
        dead = asyncio.Event()
        listeners = replace(_told(people, as_json, stop if once else None, dead), on_broken=closed.found)
        async with UserServices(people, terms=Terms(patience_s=key_wait_s)) as user, AsyncExitStack() as stack:
            supply = TellingSupply(user.party.supply, say=_told_of_waits(people, closed), every_time=True)
            user.party = replace(user.party, supply=supply)
            more: dict[str, Serve] = {
                collect.SERVICE: Centre(
                    user,
                    on_fresh=closed.watched(_told_of_readings(people, as_json)),
                    on_others=closed.watched(_told_of_others(people)),
                ).serve
            }
            if target is not None:
                more[tunnel.SERVICE] = TunnelEnd(user, target, on_end=closed.watched(_told_of_carried(as_json))).serve
            reception = await stack.enter_async_context(
                Reception(user, out, port=port, listeners=listeners, more=more, media=media)
            )
            closed.watched(tell_reader)(
                f"{people.me.name} receives at port {reception.port}, files into {out.resolve()}; Ctrl-C ends it"
            )
            closed.watched(tell_of_calls)()
            if as_json:
                told = {"listening": reception.port, "name": people.me.name, "sae": people.me.sae}
                closed.watched(print_json)(told)
            reception.show_fresh()
            await stop.wait()
            if once or closed.is_closed:
                await reception.end_deliveries()  # the last word of a conversation is said after it is told here
        return NOT_DONE if once and dead.is_set() else 0

    return asyncio.run(work())


def tell_of_calls() -> None:
    """Tell, at the start, where calls cannot be answered since programs are not installed. A fax needs none to come."""
    if not are_calls_possible():
        tell(f"calls and conferences cannot be answered here, as programs are missing ({INSTALL}); all else comes")


def run_text(recipient: str, message: str, *, who: Who, sealing: Sealing, patience_s: float, as_json: bool) -> int:
    """Send a text; 0 when it is delivered or waits for who is away, 1 when something else kept it: it waits too."""
    people = people_of(who)

    async def work() -> TextReport:
        async with UserServices(people, terms=terms_of(sealing)) as user:
            tell_waits(user)
            return await user.text(recipient, message, patience_s=patience_s)

    report = asyncio.run(work())
    for name, utc_s in report.delivered.items():
        tell(f"delivered to {name} at {time.strftime('%H:%M:%S', time.localtime(utc_s))}")
    if report.fault is not None:
        tell_fault(report.fault)
    if report.waiting:
        again = "" if report.fault is None else "; do not send it again"
        tell(
            f"waits for {', '.join(report.waiting)}: delivered when they receive, while `qanat receive` of yours runs, "
            f"or at your next `qanat text`{again}"
        )
    status = 0 if report.fault is None else 1
    if as_json:
        told = {
            "text_id": report.text_id,
            "delivered": report.delivered,
            "waiting": report.waiting,
            "refused": None if report.fault is None else fault_record(report.fault),
        }
        done = "the text waits in the outbox" if report.waiting else "it is delivered"
        return print_report(told, done=done) or status
    return status


def run_outbox(*, who: Who, sealing: Sealing, patience_s: float, as_json: bool) -> int:
    """Deliver what waits; 0 when nothing waits any more, 1 otherwise. What keeps one text is told; others go."""
    people = people_of(who)

    async def work() -> tuple[int, list[dict[str, Any]], QanatError | None]:
        fault: QanatError | None = None
        async with UserServices(people, terms=terms_of(sealing)) as user:
            tell_waits(user)
            before = {(text.text_id, sae) for text in user.mailbox.waiting() for sae in text.waiting}
            try:
                await user.deliver_waiting(patience_s=patience_s)
            except QanatError as found:
                fault = found
            waiting = user.mailbox.waiting()
            now = {(text.text_id, sae) for text in waiting for sae in text.waiting}
            left = [
                {
                    "text_id": one.text_id,
                    "recipients": [people.directory.name_of(sae) for sae in one.waiting],
                    "sent_utc_s": one.sent_utc_s,
                    "begins": printable(one.body)[:SHOWN_CHARACTERS],
                    "file": str(user.mailbox.outbox / f"{one.text_id}.json"),
                }
                for one in waiting
            ]
            return len(before - now), left, fault

    num_delivered, left, fault = asyncio.run(work())
    if num_delivered:
        tell(f"{counted(num_delivered, 'text')} delivered")
    if fault is not None:
        tell_fault(fault)
    tell(f"{counted(len(left), 'text')} {'waits' if len(left) == 1 else 'wait'}" if left else "nothing waits")
    for one in left:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(one["sent_utc_s"]))
        tell(
            f"  for {', '.join(one['recipients'])} since {since}: {one['begins']!r}; "
            f"take {one['file']} away, and it is not sent"
        )
    if as_json:
        refused = None if fault is None else fault_record(fault)
        print_json({"delivered": num_delivered, "waiting": len(left), "texts": left, "refused": refused})
    return 1 if left else 0


def run_contacts(who: Who, *, as_json: bool) -> int:
    """Tell contacts, their ids, and where they receive; 0."""
    people = people_of(who)
    found = {name: people.contact_of(contact.sae) for name, contact in people.directory.contacts.items()}
    if as_json:
        listed = {name: {"sae": one.sae, "address": one.address} for name, one in found.items()}
        print_json({"me": people.me.name, "contacts": listed, "groups": dict(people.directory.groups)})
        return 0
    for name, one in sorted(found.items()):
        where = "{}:{}".format(*one.address) if one.address else "not receiving here"
        print(f"{name:<20} {one.sae:<50} {'you' if name == people.me.name else where}")
    for group, members in sorted(people.directory.groups.items()):
        print(f"{group:<20} {', '.join(members)}")
    return 0


# --- inside ---


def _told(people: People, as_json: bool, stop: asyncio.Event | None, dead: asyncio.Event | None = None) -> Listeners:
    """Return listeners that tell of what comes, and with ``stop`` end the command after the first. ``dead`` is set by a
    call in which nothing came through."""
    name = people.directory.name_of

    def told(say: Callable[[], None], line: dict[str, Any]) -> None:
        _tell_both(say, [line] if as_json else [])
        if stop is not None:
            stop.set()

    def on_file(file: ArrivedFile) -> None:
        words = f"{name(file.sender)} sent {file.name}, {file.size_bytes:,} bytes"
        told(partial(tell_reader, words), {"file": asdict(file) | {"sender": name(file.sender)}})

    def look(report: CallReport | ConferenceReport) -> None:
        if dead is not None and is_dead(report):
            dead.set()

    def on_call(report: CallReport) -> None:
        look(report)
        told(partial(say_call, report, tell_reader), {"call": asdict(report)})

    def on_conference(report: ConferenceReport) -> None:
        look(report)
        told(partial(say_conference, report, tell_reader), {"conference": asdict(report)})

    def on_fax(fax: ArrivedFax) -> None:
        words = f"{name(fax.sender)} sent a fax of {counted(fax.num_pages, 'page')}, {fax.name}"
        told(partial(tell_reader, words), {"fax": asdict(fax) | {"sender": name(fax.sender)}})

    def on_notice(words: str) -> None:
        tell_reader(words)

    def on_text(text: StoredText) -> None:
        sender, group = name(text.sender), tuple(map(name, text.group))
        if as_json:
            print_json({"text": asdict(text) | {"sender": sender, "group": group}})
        else:
            print(shown_text(text.body, sender=sender, group=group, sent_utc_s=text.sent_utc_s), flush=True)
        if stop is not None:
            stop.set()

    def on_fault(fault: QanatError) -> None:
        line = fault_record(fault)
        _tell_both(partial(tell_reader, f"not accepted: {fault}"), [line] if as_json else [])

    return Listeners(
        on_file=on_file,
        on_fax=on_fax,
        on_call=on_call,
        on_conference=on_conference,
        on_text=on_text,
        on_fault=on_fault,
        on_notice=on_notice,
    )


def _tell_both(say: Callable[[], None], lines: Iterable[dict[str, Any]]) -> None:
    """Tell people, and programs by lines of JSON: these also where nobody reads any more what people are told."""
    try:
        say()
    finally:
        for line in lines:
            print_json(line)


def _told_of_readings(people: People, as_json: bool) -> Callable[[SaeId, Sequence[Reading]], None]:
    """Return what tells of readings that came: people a number, programs each."""
    name = people.directory.name_of

    def on_fresh(sender: SaeId, readings: Sequence[Reading]) -> None:
        words = f"{name(sender)} sent {counted(len(readings), 'reading')}, the last of {readings[-1].sensor}"
        lines = ({"reading": asdict(one) | {"sender": name(sender)}} for one in readings)
        _tell_both(partial(tell_reader, words), lines if as_json else ())

    return on_fresh


def _told_of_others(people: People) -> Callable[[SaeId, Sequence[Reading]], None]:
    """Return what tells that a sender gives numbers again that are of other readings here."""

    def on_others(sender: SaeId, readings: Sequence[Reading]) -> None:
        tell_reader(
            f"{people.directory.name_of(sender)} gave {counted(len(readings), 'reading')} numbers that others of its "
            "have here (its outbox was put back from a copy, or two are in use): not kept under them, it was asked for "
            "new ones"
        )

    return on_others


def _told_of_waits(people: People, closed: ClosedOutput) -> Callable[[SaeId], None]:
    """Return what tells that an answer stands still, since the key that it is due under has not come. Who asked for the
    key hears nothing of it where that cannot be told."""

    def on_wait(peer: SaeId) -> None:
        tell_reader(
            f"waiting for a fresh key with {people.directory.name_of(peer)}: nothing goes to it under an old one"
        )

    return closed.watched(on_wait)


def _told_of_carried(as_json: bool) -> Callable[[Carried], None]:
    """Return what tells programs of connections that others' tunnels brought, and that are over."""

    def on_end(carried: Carried) -> None:
        if as_json:
            print_json({"carried": asdict(carried)})

    return on_end


def shown_text(body: str, *, sender: str, group: Sequence[str] = (), sent_utc_s: float) -> str:
    """Return a text as people see it: each of its own lines after the first is set in, so that none can pass for
    another text, and nothing in it steers the terminal. ``group``: to whom it was sent together."""
    to = f" (to {', '.join(group)})" if group else ""
    head = f"{time.strftime('%H:%M:%S', time.localtime(sent_utc_s))} {printable(sender + to)}: "
    first, *others = map(printable, body.split("\n"))
    return "\n".join([head + first, *(" " * len("00:00:00 ") + line for line in others)])


class _Bar:
    """A progress bar on standard error; nothing where that is no terminal, or nobody is there any more."""

    def __init__(self, name: str) -> None:
        self._progress = Progress(
            "{task.description}",
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Unheard(stderr=True),
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

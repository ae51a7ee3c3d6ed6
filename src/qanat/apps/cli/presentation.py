"""What a person sees of a run: the ten steps as they happen, progress bars, tables. All of it on standard error."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from qanat.adapters.authority import names_host
from qanat.adapters.tls import TlsFiles
from qanat.ground.clock import format_utc
from qanat.ground.events import STEP_TEXTS, Event, EventKind

PIPE_WIDTH = 160
"""Columns where no terminal sets them: a log keeps its lines whole."""

MOST_LINKS_FOLLOWED = 4
"""Where more links than these are set to work at once, a bar counts them."""

MOST_STEPS_PER_S = 20
"""Nobody reads more, and a line on a terminal costs more than the call that it tells of; the event log has them all."""
MOST_STEPS_REMEMBERED = 4096

NOTES = {
    EventKind.BLOCK_DROPPED: "a block was dropped",
    EventKind.RELAY_FAILED: "a relay failed; its pads are spent, another try follows",
    EventKind.KEYS_REFUSED: "keys were refused",
    EventKind.KEYS_REPEATED: "keys were given again to a repeated call",
    EventKind.ALARM: "alarm",
    EventKind.CALLER_REFUSED: "a caller was refused",
    EventKind.ENTROPY_AWAITED: "the links wait for entropy",
}


def people_console(*, is_answer: bool = False) -> Console:
    """Return a console, wide enough for a log where no terminal sets its width.

    What a command does goes to standard error; what it was asked for (``is_answer``) to standard output, unless JSON
    goes there.
    """
    stream = sys.stdout if is_answer else sys.stderr
    return Console(file=stream, highlight=False, width=None if stream.isatty() else PIPE_WIDTH)


def show_table(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column to the left, folded where it must be; the others to the right, never cut."""
    table = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for number, column in enumerate(columns):
        if number == 0:
            table.add_column(column, overflow="fold")
        else:
            width = max(len(text) for text in (column, *(row[number] for row in rows)))
            table.add_column(column, justify="right", min_width=width)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def rate_of(bytes_per_s: float) -> str:
    """Return a speed in the unit in which it is a number of one digit or more."""
    for unit, size in (("MB/s", 1e6), ("kB/s", 1e3)):
        if bytes_per_s >= size:
            return f"{bytes_per_s / size:,.0f} {unit}"
    return f"{bytes_per_s:,.0f} bytes/s"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 pass``, ``1,200 passes``. plural: where it is not the noun with an s."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def words_of(event: Event) -> str:
    """Return what somebody at a terminal needs of an event that went wrong: why, and of an alarm what to do."""
    data = event.data
    why, remedy = str(data.get("text") or data.get("why") or ""), str(data.get("remedy") or "")
    if event.kind is not EventKind.ALARM:
        return why
    if data.get("cleared"):
        return why.removeprefix("over: ")
    return f"{why} ({remedy})" if remedy else why


def show_curl(view: RunView, one: str, other: str, *, files: TlsFiles, url: str, door: Path | None = None) -> None:
    """Print the command that gets a key which the applications ``one`` and ``other`` share. ``door``: the door's own
    certificate. Where that does not name the host of ``url``, the door is called by a name that it has."""
    words: list[str | Path] = ["--cacert", files.ca, "--cert", files.certificate, "--key", files.key]
    where = urlsplit(url)
    if door is not None and where.hostname is not None and not names_host(door, where.hostname):
        words += ["--connect-to", f"localhost:{where.port}:{where.netloc}"]
        url = urlunsplit(where._replace(netloc=f"localhost:{where.port}"))
    words.append(url)
    view.say(f"A key that {one} shares with {other} (503 while it is being made: ask again):")
    view.say("  curl " + " ".join(escape(shlex.quote(str(word))) for word in words))


class RunView:
    """Shows a run while it happens; ``on_event`` is an event sink.

    ``of_service``: of a process that runs for months; steps of requests are in its log, and shown is what needs a
    person, with the time.
    """

    def __init__(self, *, of_service: bool = False) -> None:
        self._of_service = of_service
        self.console = people_console()
        self._progress = Progress(
            TextColumn("    {task.description}"),
            BarColumn(bar_width=32),
            TextColumn("{task.percentage:>3.0f} %  {task.fields[note]}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            refresh_per_second=4,
            disable=not self.console.is_terminal,  # drawn for nobody, it would take a twentieth of a service's time
        )
        self._bars: dict[str, TaskID] = {}
        self._steps_shown: dict[tuple[str | None, int], None] = {}
        self._second_s = -1.0
        self._num_told = 0
        self._num_untold = 0
        self._at_work: set[str] = set()
        self._done: set[str] = set()

    def __enter__(self) -> RunView:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Print a line above the bars; what stands in brackets is rich's markup, so names of others are escaped."""
        self.console.print(text, soft_wrap=True)

    def show_progress(self, name: str, fraction: float, note: str = "") -> None:
        """Draw or move the bar called ``name``; it goes away when the fraction reaches one."""
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(escape(name), total=1.0, note=note)
        self._progress.update(self._bars[name], completed=min(fraction, 1.0), note=note)
        if fraction >= 1.0:
            self._progress.remove_task(self._bars.pop(name))

    def on_event(self, event: Event) -> None:
        """Show one of the ten steps, the progress of a link, or something that went wrong."""
        if self._of_service and (event.step is not None or event.kind is EventKind.POOL_FILLING):
            return
        if event.step is not None:
            self._show_step(event, event.step)
        elif event.kind is EventKind.POOL_FILLING:
            data = event.data
            self.say(f"  [dim]idle time: {data.get('num_keys')} keys are to lie ready; steps 5 to 8 may follow[/]")
        elif event.kind is EventKind.SWITCH_TURNED:
            turned = ", ".join(map(str, event.data.get("switches") or ()))  # type: ignore[arg-type]
            self.say(f"  [dim]light passes for {escape(str(event.data.get('link_id')))}: {escape(turned)}[/]")
        elif event.kind in (EventKind.SATELLITE_SET, EventKind.SATELLITE_CLOUDED):
            self._show_pass(event)
        elif event.kind is EventKind.LINK_QUALITY:
            data = event.data
            name, fraction = str(data.get("link_id")), float(str(data.get("progress", 0)))
            self.show_progress(
                f"{name}: photons to key", fraction, f"{float(str(data.get('link_time_s', 0))):.1f} s of light"
            )
            if fraction >= 1.0 and name in self._at_work:
                self._note_done(name)
        elif event.kind in NOTES:
            why = words_of(event)
            note = "[green]alarm over[/]" if event.data.get("cleared") else f"[yellow]{NOTES[event.kind]}[/]"
            when = f"[dim]{format_utc(event.utc_s)}[/] " if self._of_service else ""
            self.say(f"  {when}{note} at {event.node}: {escape(str(why))}")

    def _show_pass(self, event: Event) -> None:
        """Show a pass that is over, or was lost."""
        data = event.data
        link, rise = escape(str(data.get("link_id"))), format_utc(float(str(data.get("rise_utc_s"))))[:16]
        left_out_h = float(str(data.get("waiting_left_out_s"))) / 3600
        if event.kind is EventKind.SATELLITE_CLOUDED:
            came = f"clouds took {int(str(data.get('lost_bits'))):,} bits"
        else:
            came = f"took {float(str(data.get('took_s'))):.0f} s here"
        self.say(f"  [dim]pass of {link}, {rise} by its elements, {left_out_h:.1f} h of waiting left out: {came}[/]")

    def _show_step(self, event: Event, step: int) -> None:
        """Show a step, once of each request, unless they come faster than anybody reads."""
        if (event.request_id, step) in self._steps_shown:
            return  # later batches of keys of the same request
        if event.monotonic_s - self._second_s >= 1.0:
            self._second_s, self._num_told = event.monotonic_s, 0
        if self._num_told >= MOST_STEPS_PER_S:
            self._num_untold += 1
            return
        self._steps_shown[event.request_id, step] = None
        if len(self._steps_shown) > MOST_STEPS_REMEMBERED:
            del self._steps_shown[next(iter(self._steps_shown))]
        self._note_orders(event)
        untold, self._num_untold = self._num_untold, 0
        more = f" [dim](and {untold} more steps before it)[/]" if untold else ""
        self.say(f"  [bold cyan]({step:>2})[/] {STEP_TEXTS[step]} [dim]at {event.node}[/]{more}")
        self._num_told += 1

    def _note_orders(self, event: Event) -> None:
        """Begin to count the links that a request waits for, where they are too many to follow one by one."""
        links = event.data.get("links")
        if event.kind is EventKind.GENERATION_ORDERED and isinstance(links, list) and len(links) > MOST_LINKS_FOLLOWED:
            self._at_work, self._done = set(map(str, links)), set()

    def _note_done(self, link: str) -> None:
        self._done.add(link)
        total = len(self._at_work)
        self.show_progress("key on the links", len(self._done) / total, f"{len(self._done)} of {total}")

    def show_table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table."""
        show_table(self.console, title, columns, rows)

"""The outputs of a command that nobody reads, any more or at all: what is told there leads nowhere.

Who closes standard error does not ask for less: what a command does for others goes on, also where it cannot be written
(a full disk). Who reads no more of standard output, as ``| head -1``, has what he wanted.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TextIO

import typer

P = ParamSpec("P")
OUTPUT = "standard output"


def open_closed() -> None:
    """Have standard files that were closed before this process began (``2>&-``) lead nowhere. The next file that is
    opened would take their place, and get what is told people."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - its number, the lowest free one, is theirs
            os.set_inheritable(nowhere.fileno(), True)
            setattr(sys, name, nowhere)


def lead_nowhere() -> None:
    """Let what is told on outputs that nobody reads any more lead nowhere, and standard error also where it cannot be
    written; the other one may well be read."""
    try:
        sys.stderr.flush()
    except OSError:
        _lead_nowhere(sys.stderr)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _lead_nowhere(sys.stdout)
    except OSError:  # a full disk: who prints there hears of it
        pass


class _Output(io.TextIOWrapper):
    """Standard output: a failure to write it says of what it is one."""

    def write(self, text: str, /) -> int:
        with _named(OUTPUT):
            return super().write(text)

    def flush(self) -> None:
        with _named(OUTPUT):
            super().flush()


@contextmanager
def _named(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        fault.filename = what
        raise


def name_output() -> None:
    """Let failures to write standard output be told from all others of this machine: they name it as their file."""
    plain = sys.stdout
    if isinstance(plain, io.TextIOWrapper):
        sys.stdout = _Output(
            plain.detach(),
            encoding=plain.encoding,
            errors=plain.errors,
            line_buffering=plain.line_buffering,
            write_through=plain.write_through,
        )


def was_closed(stream: TextIO) -> bool:
    """Return whether a standard file was closed before this process began: what is told there gets to nobody."""
    return getattr(stream, "name", None) == os.devnull  # what `>/dev/null` leads there has a name of its own


def lose_output() -> None:
    """Let standard output, which cannot be written, lead nowhere: what is left to be printed too."""
    _lead_nowhere(sys.stdout)


def _lead_nowhere(stream: TextIO) -> None:
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def warn(words: str, *, fg: str | None = None) -> None:
    """Tell people what went wrong, on standard error, or nobody where it is not read."""
    try:
        typer.secho(words, err=True, fg=fg)
    except OSError:
        lead_nowhere()


class ClosedOutput:
    """Ends the command when nobody reads what it prints or tells any more, as after ``| head -1``; on standard error
    one line says so, where that is read."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self.is_closed = False

    def found(self, fault: OSError) -> None:
        """Something could not be printed; raises ``fault`` when that is not why."""
        if not isinstance(fault, BrokenPipeError):
            raise fault
        lead_nowhere()
        if not self.is_closed:
            self.is_closed = True
            warn("nobody reads standard output any more: ended")
        self._stop.set()

    def watched(self, listener: Callable[P, None]) -> Callable[P, None]:
        """Return a listener that prints, or finds the output closed."""

        def tell(*told: P.args, **more: P.kwargs) -> None:
            try:
                listener(*told, **more)
            except OSError as fault:
                self.found(fault)

        return tell

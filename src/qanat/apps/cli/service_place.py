"""What the commands of users do alike: find whose command it is, and tell people and programs."""

from __future__ import annotations

import asyncio
import errno
import json
import signal
import sys
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.markup import escape

from qanat.apps.cli.outputs import lead_nowhere, lose_output, warn, was_closed
from qanat.apps.cli.service_options import UP_NETWORK, Sealing, Who
from qanat.apps.networks import load_network
from qanat.apps.workplace import default_folder
from qanat.ground.identifiers import SaeId
from qanat.services.ciphers import Refresh, Suite
from qanat.services.conversation import Terms, printable
from qanat.users.people import People, find_people
from qanat.users.services import UserServices
from qanat.users.supply import TellingSupply


def stopped_by_signals() -> asyncio.Event:
    """Return an event of the running loop that is set when this process is asked to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def people_of(who: Who) -> People:
    """Return who the command is of: by default of the network that ``qanat up`` brings up by itself."""
    data = who.data
    if data is None and who.directory is None:
        data = default_folder(load_network(UP_NETWORK))
    return find_people(data=data, name=who.name, directory=who.directory)


def terms_of(sealing: Sealing) -> Terms:
    """Return how a conversation of the command is sealed, and how long it waits for key."""
    terms = Terms(
        suite=Suite(sealing.cipher),
        refresh=Refresh(sealing.refresh_s),
        patience_s=sealing.key_wait_s,
        pad_wait_s=sealing.pad_wait_s,
    )
    return terms if sealing.silence_s is None else replace(terms, silence_s=min(terms.silence_s, sealing.silence_s))


def tell_waits(user: UserServices) -> None:
    """Have people told when a command stands still, since key has to be made first, and for how long at most."""

    def on_wait(peer: SaeId) -> None:
        name = user.people.directory.name_of(peer)
        tell(f"waiting for key with {name}, which has to be made first: up to {user.terms.patience_s:g} s")

    user.party = replace(user.party, supply=TellingSupply(user.party.supply, say=on_wait))


REPORT_LOST = 3
"""Status of a command that has done its work, and could not print its report."""


class _Heard(Console):
    """Says that nobody reads it any more, where rich would send standard output to nowhere and end the program."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Unheard(Console):
    """Leads nowhere once nobody reads it any more, or it cannot be written."""

    def print(self, *objects: Any, **how: Any) -> None:
        try:
            super().print(*objects, **how)
        except OSError:
            lead_nowhere()

    def on_broken_pipe(self) -> None:
        lead_nowhere()


def tell(words: str) -> None:
    """Tell people, on standard error, in one line; what strangers put into it steers no terminal.

    Where nobody reads it any more, or it cannot be written, the command goes on: it is not run to be read.
    """
    _print(Unheard, words)


def tell_reader(words: str) -> None:
    """Tell people the same way, by a command that is run to be read; raises BrokenPipeError where nobody does. Where it
    cannot be written the command goes on."""
    try:
        _print(_Heard, words)
    except BrokenPipeError:
        raise
    except OSError:
        lead_nowhere()


def _print(kind: type[Console], words: str) -> None:
    kind(stderr=True, highlight=False, emoji=False).print(escape(printable(words)), soft_wrap=True)


def print_json(told: dict[str, Any]) -> None:
    """Print one line of JSON, for programs; at once, so that who reads a part of it has read it all."""
    sys.stdout.write(f"{json.dumps(told)}\n")
    sys.stdout.flush()


def print_report(told: dict[str, Any], *, done: str) -> int:
    """Print the one line of JSON of a command that has done its work; 0, or REPORT_LOST where it cannot be printed,
    which is told people with what was ``done``: who took it for a failure would do it again."""
    try:
        if was_closed(sys.stdout):
            raise OSError(errno.EBADF, "it was closed before this command began")
        print_json(told)
    except OSError as fault:
        lose_output()
        warn(f"standard output cannot be written ({fault.strerror or fault}): only the report is lost, {done}")
        return REPORT_LOST
    return 0

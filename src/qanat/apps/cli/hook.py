"""What ``qanat hook`` does: lead or follow the rotation of one connection's key, until it is stopped."""

from __future__ import annotations

import asyncio
import shlex
import shutil
from dataclasses import dataclass, replace

from qanat.adapters.encryptor_programs import CommandSlot, KeyForm, StrongswanSlot, WireguardSlot
from qanat.apps.cli.outputs import ClosedOutput
from qanat.apps.cli.service_options import Who
from qanat.apps.cli.service_place import people_of, print_json, stopped_by_signals, tell
from qanat.ground.errors import BadParameter, QanatError
from qanat.ground.identifiers import KeyID
from qanat.services import hook
from qanat.users.hook import Hook
from qanat.users.reception import Listeners, Reception
from qanat.users.services import UserServices
from qanat.users.supply import TellingSupply

Slot = WireguardSlot | StrongswanSlot | CommandSlot


@dataclass(frozen=True, slots=True)
class Rotation:
    """Which key is rotated with whom, and whether this end leads; ``count`` None: until stopped."""

    contact: str
    slot: str
    every_s: float
    follow: bool
    count: int | None


def command_slot(command: str, form: str) -> CommandSlot:
    """Return the slot that a command of the user's own is; raises BadParameter for words or a form that are none."""
    try:
        words = tuple(shlex.split(command))
    except ValueError as fault:
        raise BadParameter(f"--run {command!r}: {fault}", remedy="close what was quoted") from None
    if not words:
        raise BadParameter("--run names no command", remedy="name a program that reads a key from its input")
    if form not in list(KeyForm):
        raise BadParameter(f"--form {form!r} is none", remedy=f"there are: {', '.join(KeyForm)}")
    return CommandSlot(words, KeyForm(form))


def check_program(slot: Slot) -> None:
    """Raise BadParameter where the program that takes the keys is not there, or not for this user to run: else that
    would be found when the first key is there, and lost."""
    word, option = (slot.words[0], "--run") if isinstance(slot, CommandSlot) else (slot.program, "--program")
    if shutil.which(word) is None:
        raise BadParameter(
            f"{option}: {word!r} cannot be started: it is not there, or no program that this user may run",
            remedy="name a program that this user may run, by its path where it is not on PATH",
        )


FOLLOWS = "no new key"
LEADS = "no new key, it is tried again until this is stopped, and told when something else comes of it"


class Faults:
    """Tells people why there is no new key: the same fault once, until another one or a key has come.

    ``words``: what is said before a fault's own.
    """

    def __init__(self, words: str) -> None:
        self._words = words
        self._told = ""

    def tell(self, fault: QanatError) -> None:
        """Tell of a rotation that failed, unless that is what was told last."""
        if str(fault) != self._told:
            self._told = str(fault)
            tell(f"{self._words}: {fault}")

    def are_over(self) -> None:
        """A key has come: the next fault is news, whatever it is."""
        self._told = ""


def run_hook(slot: Slot, rotation: Rotation, *, who: Who, as_json: bool) -> int:
    """Rotate until stopped; 0 after a clean stop. Raises BadParameter where the slot's program is not there."""
    check_program(slot)
    people = people_of(who)

    async def work() -> int:
        stop, num_keys = stopped_by_signals(), 0
        faults = Faults(FOLLOWS if rotation.follow else LEADS)

        def on_key(key_id: KeyID) -> None:
            nonlocal num_keys
            num_keys += 1
            faults.are_over()
            tell(f"{rotation.slot}: both ends hold key {key_id}")
            if as_json:
                print_json({"key_id": key_id, "slot": rotation.slot})
            if num_keys == rotation.count:
                stop.set()

        async with UserServices(people) as user:

            def on_wait() -> None:
                tell(
                    f"waiting for key with {rotation.contact}: the network has too little and has to make it first; up "
                    f"to {user.terms.patience_s:g} s"
                )

            if rotation.follow:  # its answers take keys too
                supply = TellingSupply(user.party.supply, say=lambda _: on_wait(), every_time=True)
                user.party = replace(user.party, supply=supply)
            told = ClosedOutput(stop).watched(on_key)
            one = Hook(user, rotation.contact, slot, name=rotation.slot, on_key=told, on_wait=on_wait)
            if rotation.follow:
                await _follow(user, one, stop, faults)
            else:
                await _lead(one, rotation.every_s, stop, faults)
        return 0

    return asyncio.run(work())


async def _follow(user: UserServices, one: Hook, stop: asyncio.Event, faults: Faults) -> None:
    folder = user.people.me.home / "received"
    listeners = Listeners(on_fault=faults.tell)
    async with Reception(user, folder, listeners=listeners, more={hook.SERVICE: one.serve}) as reception:
        tell(f"{user.people.me.name} follows at port {reception.port}; Ctrl-C ends it")
        try:
            await one.check()
        except QanatError as fault:  # it may come: an interface that is brought up later
            tell(f"no key can be set here yet: {fault}")
        await stop.wait()


async def _lead(one: Hook, every_s: float, stop: asyncio.Event, faults: Faults) -> None:
    leading = asyncio.create_task(one.lead(every_s=every_s, on_fault=faults.tell))
    await stop.wait()
    leading.cancel()
    await asyncio.gather(leading, return_exceptions=True)

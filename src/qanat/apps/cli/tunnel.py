"""What ``qanat tunnel`` does: a port of this machine that leads to a contact's program, until it is stopped."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace

from qanat.apps import machine
from qanat.apps.cli.faults import fault_record
from qanat.apps.cli.outputs import ClosedOutput
from qanat.apps.cli.service_options import Sealing, Who
from qanat.apps.cli.service_place import people_of, print_json, stopped_by_signals, tell, terms_of
from qanat.apps.cli.services import FILES_OPEN
from qanat.ground.errors import QanatError
from qanat.services.directory import port_or_address
from qanat.users.pump import Carried
from qanat.users.services import UserServices
from qanat.users.supply import TakenKey
from qanat.users.tunnel import Tunnel

ANSWER_S = 30.0


def run_tunnel(to: str, *, listen: str, who: Who, sealing: Sealing, as_json: bool, with_tls: bool = True) -> int:
    """Carry connections until stopped; 0 after a clean stop."""
    people = people_of(who)
    terms = terms_of(sealing)
    # an answer takes a key too: so long the other end may wait for one before its first word
    terms = replace(terms, silence_s=max(terms.silence_s, sealing.key_wait_s + ANSWER_S))
    address = port_or_address(listen, where="--listen")
    machine.allow_open_files(FILES_OPEN)
    told = set[str]()

    def on_fault(fault: QanatError) -> None:
        tell(f"a connection was broken off: {fault}")
        if as_json:
            print_json(fault_record(fault))

    def on_end(carried: Carried) -> None:
        if as_json:
            print_json({"carried": asdict(carried)})

    def on_wait() -> None:
        tell(
            f"a fresh key with {to} is due and has not come: the connection stands still, nothing goes under an older "
            f"one; it is broken off when none comes within {sealing.key_wait_s:g} s (--key-wait)"
        )
        if as_json:
            print_json({"waiting": to})

    def on_key(key: TakenKey) -> None:
        if as_json:
            print_json({"key": asdict(key)})

    def on_tls(suite: str) -> None:
        if suite not in told:  # connections are many, and theirs is the same
            told.add(suite)
            tell(f"TLS 1.3 with {to}: {suite}")
        if as_json:
            print_json({"agreed": {"suite": suite, "tls": "1.3", "to": to}})

    async def work() -> int:
        stop = stopped_by_signals()
        watched = ClosedOutput(stop).watched
        async with (
            UserServices(people, terms=terms) as user,
            Tunnel(
                user,
                to,
                listen=address,
                with_tls=with_tls,
                on_fault=watched(on_fault),
                on_end=watched(on_end),
                on_wait=watched(on_wait),
                on_key=watched(on_key),
                on_tls=watched(on_tls),
            ) as tunnel,
        ):
            seal = "TLS 1.3 under keys of the network, and sealed records in it" if with_tls else "sealed records"
            tell(f"port {tunnel.port} of {address[0]} leads to {to} ({seal}); Ctrl-C ends it")
            if as_json:
                watched(print_json)({"listening": tunnel.port, "tls": with_tls, "to": to})
            await stop.wait()
        return 0

    return asyncio.run(work())

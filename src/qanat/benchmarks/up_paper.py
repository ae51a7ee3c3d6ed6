"""The paper's whole network up on this machine: its starts, the waking of a user's site, the answers meanwhile.

170 doors are declared, and only those of the satellite and its stations are open. Ten users are asked for a status at
once after the first start, when their stores have yet to be made. After the next one, and some seconds in which routes
are looked for, links make key for neighbours without pause, and every worker is busy: meanwhile forty users whose sites
sleep are asked one after the other, and then these same forty again and again.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from qanat.benchmarks.rows import Row
from qanat.benchmarks.up_process import PAPER, Callers, UpProcess, joined_users, neighbours, stopped_in_s, up
from qanat.ground.data import read_text
from qanat.ground.errors import KeyManagementError
from qanat.ground.network import parse_network

NAME: Final = "up-paper"
USERS: Final = 40
STATUSES: Final = 1500
LINKS_AT_WORK: Final = 6
KEYS_PER_CALL: Final = 64
KEY_BITS: Final = 4096
FIRST_START_GOAL_S: Final = 20.0
SECOND_START_GOAL_S: Final = 5.0
WAKING_GOAL_S: Final = 0.1
WAKING_AT_ONCE_GOAL_S: Final = 0.3
USERS_AT_ONCE: Final = 10
STORES_TIMEOUT_S: Final = 120.0
BETWEEN_WAKINGS_S: Final = 0.1
READY_AFTER_S: Final = 20.0
STATUS_GOAL_S: Final = 0.1
MEMORY_GOAL_MIB: Final = 500.0
STOP_GOAL_S: Final = 3.0
SEED: Final = 1
MIB: Final = 2**20


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmark when it is among the names."""
    if NAME in names:
        with tempfile.TemporaryDirectory() as folder:
            yield from _rows(Path(folder))


def _rows(folder: Path) -> Iterator[Row]:
    network = parse_network(read_text("networks", f"{PAPER}.yaml"), source=PAPER)
    with up("three-nodes", folder / "small"):
        pass
    with up("three-nodes", folder / "small") as small:
        least_s = small.start_s
    with up(PAPER, folder / "data") as service:
        first_s = service.start_s
        doors = len(service.record["doors"])
        chosen = random.Random(SEED).sample(joined_users(network), USERS)  # noqa: S311 - who is asked is no secret
        with Callers(service) as callers:
            at_once = [callers.status_s(user, _other(chosen, user)) for user in chosen[:USERS_AT_ONCE]]
        stores_s = _stores_made_in_s(service)
    yield _limit("first start", first_s, "s", FIRST_START_GOAL_S, ("three-nodes, again", least_s), f"{doors} doors")
    note = f"{_note(at_once)}; all stores were made {stores_s:.0f} s later"
    yield _limit(
        "waking at once", _share(at_once, 0.5), "s", WAKING_AT_ONCE_GOAL_S, ("goal", WAKING_AT_ONCE_GOAL_S), note
    )
    with up(PAPER, folder / "data") as service, Callers(service) as callers:
        yield _limit("next start", service.start_s, "s", SECOND_START_GOAL_S, ("three-nodes, again", least_s), "")
        time.sleep(READY_AFTER_S)
        asleep_mib = service.resident_bytes / MIB
        with links_at_work(service, neighbours(network)[:LINKS_AT_WORK]) as given:
            waking = list(_woken(callers, chosen))
            awake = [callers.status_s(user, _other(chosen, user)) for user in chosen]
            note = f"{_note(waking)}, while {LINKS_AT_WORK} links make key"
            yield _limit("waking, slowest", max(waking), "s", WAKING_GOAL_S, ("awake", max(awake)), note)
            took = statuses_of(callers, chosen, STATUSES)
            note = f"{_note(took)}; {sum(given)} keys made meanwhile"
        yield _limit("status, p99", _share(took, 0.99), "s", STATUS_GOAL_S, ("p50", _share(took, 0.5)), note)
        memory_mib, note = service.resident_bytes / MIB, f"{service.num_open} sites open"
        yield _limit("memory", memory_mib, "MiB", MEMORY_GOAL_MIB, ("all asleep", asleep_mib), note)
        stop_s = stopped_in_s(service.process)
    yield _limit("stop", stop_s, "s", STOP_GOAL_S, ("goal", STOP_GOAL_S), "by Ctrl-C, with all these open")


def _stores_made_in_s(service: UpProcess) -> float:
    """Wait until all sites that sleep have taken in their initial keys; return how long it took. Raises ValueError."""
    begun_s = time.perf_counter()
    while any((service.data / "pki" / "links").glob("*.auth")):
        if time.perf_counter() - begun_s > STORES_TIMEOUT_S:
            raise ValueError("initial keys lie untaken still")
        time.sleep(0.1)
    return time.perf_counter() - begun_s


def _woken(callers: Callers, users: Sequence[str]) -> Iterator[float]:
    """Ask users whose sites sleep for a status, one after the other; yield how long each took."""
    for user in users:
        yield callers.status_s(user, _other(users, user))
        time.sleep(BETWEEN_WAKINGS_S)


@contextmanager
def links_at_work(service: UpProcess, pairs: Sequence[tuple[str, str]]) -> Iterator[list[int]]:
    """Have ``pairs`` of neighbours take keys without pause, once one of them has been given some; the list grows by how
    many each call was given."""
    ended, given = threading.Event(), list[int]()
    takers = [threading.Thread(target=_take, args=(service, pair, ended, given), daemon=True) for pair in pairs]
    for taker in takers:
        taker.start()
    try:
        while not given:
            time.sleep(0.1)
        yield given
    finally:
        ended.set()
        for taker in takers:
            taker.join()


def statuses_of(callers: Callers, users: Sequence[str], number: int) -> list[float]:
    """Ask for a ``number`` of statuses of ``users``; return how long each took."""
    chance = random.Random(SEED)  # noqa: S311 - who is asked is no secret
    return [callers.status_s(user, _other(users, user)) for user in chance.choices(users, k=number)]


def _take(service: UpProcess, pair: tuple[str, str], ended: threading.Event, given: list[int]) -> None:
    master, slave = pair
    with service.client(master) as client:
        while not ended.is_set():
            try:
                keys = client.get_keys(service.sae(slave), count=KEYS_PER_CALL, size_bits=KEY_BITS)
            except KeyManagementError:
                continue
            given.append(len(keys))


def _other(users: Sequence[str], user: str) -> str:
    """Return another application than this one."""
    return users[users.index(user) - 1]


def _share(times_s: Sequence[float], share: float) -> float:
    return sorted(times_s)[min(len(times_s) - 1, int(share * len(times_s)))]


def _note(times_s: Sequence[float]) -> str:
    return f"{len(times_s)} asked: p50 {1000 * _share(times_s, 0.5):.0f} ms, most {1000 * max(times_s):.0f} ms"


def _limit(what: str, rate: float, unit: str, goal: float, reference: tuple[str, float], note: str) -> Row:
    name, reference_rate = reference
    return Row(
        name=f"{NAME}: {what}",
        rate=rate,
        unit=unit,
        goal=goal,
        reference_name=name,
        reference_rate=reference_rate,
        note=note,
        is_limit=True,
    )

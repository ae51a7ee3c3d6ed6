"""What the workers run in the tests of the pool. Apart from them, so that a worker need not load pytest to find it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qanat.ground.errors import KeyShortage, NetworkFileError
from qanat.ground.keys import SecretBytes
from qanat.ground.ports import Entropy

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def add(one: int, other: int = 0) -> int:
    return one + other


def describe_worker() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "niceness": os.nice(0),
        "threads": {os.environ[name] for name in ONE_THREAD},
        "numpy": "numpy" in sys.modules,
    }


def fail(kind: str) -> SecretBytes | None:
    match kind:
        case "shortage":
            raise KeyShortage("too little", remedy="wait", retry_after_s=7.5)
        case "keywords":
            raise NetworkFileError("bad line", source="a.yaml", line=3)
        case "local":

            class LocalError(Exception):
                pass

            raise LocalError("of a class that nobody can import")
        case "exit":
            raise SystemExit(3)
        case "secret":
            return SecretBytes(b"key")
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
    return None


def sleep(seconds: float, started: str = "") -> None:
    if started:
        Path(started).write_text(str(os.getpid()))
    time.sleep(seconds)


def wait_for_file(path: str) -> None:
    while not Path(path).exists():
        time.sleep(0.005)


def note(path: str, word: str) -> None:
    with Path(path).open("a") as file:
        file.write(word)


def count(limit: int, made: str, closed: str, *, stall_at: int = -1) -> Iterator[tuple[int, int]]:
    try:
        for number in range(limit):
            note(made, ".")
            if number == stall_at:
                time.sleep(60)
            yield number, os.getpid()
    finally:
        note(closed, "closed")


def send_megabytes() -> Iterator[bytes]:
    for number in range(3):
        yield bytes([number]) * 3_000_000


def fail_in_the_middle() -> Iterator[int]:
    yield 1
    raise KeyShortage("no more")


def meet(mine: str, theirs: str) -> None:
    Path(mine).touch()
    wait_for_file(theirs)


def draw(entropy: Entropy, num_bytes: int) -> bytes:
    return entropy.public_bytes(num_bytes)


def draw_and_die(entropy: Entropy, num_bytes: int) -> bytes:
    drawn = entropy.public_bytes(num_bytes)
    os.kill(os.getpid(), signal.SIGKILL)
    return drawn

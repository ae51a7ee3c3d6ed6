"""How long a door takes to answer while its service is at work: asked from a process of its own, as a user's would be.

The probe is told what to ask on its standard input, asks until that ends, and prints when it asked and how long each
answer took.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import NamedTuple

from qanat.adapters.tls import TlsFiles
from qanat.client import Client
from qanat.ground.errors import KeyManagementError, NoRoute
from qanat.ground.identifiers import SaeId

PERIOD_S = 0.04
END_PATIENCE_S = 10.0


class Answer(NamedTuple):
    """One call: when it began (monotonic time of this machine), and how long the whole answer took."""

    begun_monotonic_s: float
    took_s: float


@dataclass(frozen=True, slots=True)
class Question:
    """Whom to ask for the status of its keys with ``peer``, and as whom."""

    url: str
    kme: str
    sae: str
    peer: str
    certificate: str
    key: str
    ca: str


class DoorProbe:
    """Asks in the background: ``async with DoorProbe() as probe``, ``probe.begin(question)`` when the door is open,
    ``probe.end()`` before it closes; then ``probe.answers`` is there.

    It starts before it is told what to ask, so that it is ready by then.
    """

    def __init__(self) -> None:
        self.answers: Sequence[Answer] = ()

    async def __aenter__(self) -> DoorProbe:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "qanat.apps.door_probe"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            limit=2**24,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path)},
        )
        return self

    def begin(self, question: Question) -> None:
        """Tell what to ask from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(question)).encode() + b"\n")

    async def end(self) -> None:
        """Stop asking and take down the answers. To be called while the door is open."""
        try:
            printed, _ = await asyncio.wait_for(self._process.communicate(b""), END_PATIENCE_S)
        except TimeoutError:
            return
        self.answers = [Answer(*row) for row in json.loads(printed or b"[]")]

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def main() -> None:
    """Ask until standard input ends."""
    if not (line := sys.stdin.readline()):
        return
    question = Question(**json.loads(line))
    ended = threading.Event()
    threading.Thread(target=_await_end, args=(ended,), daemon=True).start()
    print(json.dumps(ask(question, ended)))


def _await_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def ask(question: Question, ended: threading.Event) -> list[Answer]:
    """Ask every PERIOD_S over one kept connection. Neither the call that opens it counts, nor a door not yet ready."""
    files = TlsFiles(certificate=Path(question.certificate), key=Path(question.key), ca=Path(question.ca))
    answers: list[Answer] = []
    is_connected = False
    with Client(question.url, tls=files, sae=SaeId(question.sae), kme=question.kme) as client:
        while not ended.wait(PERIOD_S):
            begun_s = time.monotonic()
            try:
                client.get_status(SaeId(question.peer))
            except (KeyManagementError, NoRoute):
                continue
            if is_connected:
                answers.append(Answer(begun_s, time.monotonic() - begun_s))
            is_connected = True
    return answers


if __name__ == "__main__":
    main()

"""Runs the tests of a plan on a network that is up, several at a time, and tells what became of each."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qanat.apps.acceptance.causes import Cause, cause_at_both_ends
from qanat.apps.acceptance.mistakes import PAD_FILE_BYTES, Mistaken, mistaken
from qanat.apps.acceptance.persons import Arrived, Person, Persons
from qanat.apps.acceptance.plan import PAD_SHORT, REPAIRED, ServiceTest
from qanat.apps.acceptance.trials import FILE_BYTES, TRIALS, Trial, echo
from qanat.ground.errors import ChannelTimeout, QanatError
from qanat.services.conversation import RefusedByPeer, Terms

PATIENCE_S = 120.0
"""What a user waits for a first key; then the test has failed for want of it."""
LIMIT_S = 300.0
"""No test takes longer: a user would have gone away."""
MOST_TRIES = 3
WITNESS_S = 8.0
"""So long is waited for what the recipient's end says of a refusal: it listens on until the sender has hung up."""
LOOK_S = 0.02
FIRST_AT_ONCE = 4.0
MORE, FEWER, LATE_S = 0.1, 0.5, 12.0
"""Each test that goes well lets so many more run at a time, each that lasts longer than ``LATE_S`` this share of them:
where keys are made and come too late, more callers would get fewer."""
AGAIN = frozenset({Cause.NO_KEY, Cause.NOT_REACHED, Cause.TIMEOUT, Cause.NODE_SILENT})
"""Causes for which a user tries again."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a test. Times in seconds, ``begun_s`` since the run began; keys and their bits are those that both
    users asked for, in all tries. ``is_cold``: one of the two had not been in a test of the run before."""

    test: ServiceTest
    cause: Cause
    tries: int
    first_cause: Cause
    fault: str
    message: str
    is_cold: bool
    begun_s: float
    duration_s: float
    num_keys: int
    key_bits: int

    @property
    def is_as_expected(self) -> bool:
        """Whether the test succeeded, or failed by the cause that was planted."""
        return self.cause is self.test.expected


class Runner:
    """Runs tests on the network whose data folder is ``data``; an async context manager.

    ``folder``: the run's own, new. ``at_once``: tests at a time at most, fewer while keys come late. ``on_result``:
    told of each when it is over.
    """

    def __init__(
        self, data: Path, folder: Path, *, seed: int, at_once: int, on_result: Callable[[Result], None] = lambda _: None
    ) -> None:
        self._data = data
        self._folder = folder
        self._seed = seed
        self._at_once = at_once
        self._on_result = on_result
        self._begun_s = time.monotonic()
        self._busy: set[str] = set()
        self._running = 0
        self._may_run = min(FIRST_AT_ONCE, at_once)
        self.is_stopped = False
        """No test is begun any more; those under way are ended."""
        self._freed = asyncio.Condition()

    async def __aenter__(self) -> Runner:
        (self._folder / "sent").mkdir(parents=True, exist_ok=True)
        self._program = await asyncio.start_server(echo, "127.0.0.1", 0)
        address = "127.0.0.1", int(self._program.sockets[0].getsockname()[1])
        terms = Terms(patience_s=PATIENCE_S)
        self._persons = Persons(self._data, self._folder, terms=terms, program=address)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._persons.close()
        self._program.close()

    async def run(self, tests: Sequence[ServiceTest]) -> list[Result]:
        """Run tests, begun in this order as far as users are free; returns what became of those begun."""
        waiting = list(tests)
        results: dict[int, Result] = {}

        async def work() -> None:
            while (test := await self._next(waiting)) is not None:
                late = asyncio.get_running_loop().call_later(LATE_S, self._fewer)
                try:
                    results[test.number] = result = await self._test(test)
                    self._pace(result)
                    self._on_result(result)
                finally:
                    late.cancel()
                    async with self._freed:
                        self._busy -= test.names
                        self._running -= 1
                        self._freed.notify_all()

        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._at_once):
                tasks.create_task(work())
        return [results[test.number] for test in tests if test.number in results]

    async def _next(self, waiting: list[ServiceTest]) -> ServiceTest | None:
        """Take the first test whose users are free; None when there is none left."""
        async with self._freed:
            while waiting and not self.is_stopped:
                test = next((one for one in waiting if not one.names & self._busy), None)
                if test is not None and self._running < int(self._may_run):
                    waiting.remove(test)
                    self._busy |= test.names
                    self._running += 1
                    return test
                await self._freed.wait()
            return None

    def _pace(self, result: Result) -> None:
        """Let more tests run at a time; fewer when this one had to be tried again though nothing was broken in it."""
        if result.test.fault is None and result.first_cause in AGAIN:
            self._fewer()
        else:
            self._may_run = min(float(self._at_once), self._may_run + MORE)

    def _fewer(self) -> None:
        self._may_run = max(1.0, FEWER * self._may_run)

    async def _test(self, test: ServiceTest) -> Result:
        sender, recipient = await self._persons.get(test.sender), await self._persons.get(test.recipient)
        other = None if test.other is None else await self._persons.get(test.other)
        is_cold = not (sender.has_been_tested and recipient.has_been_tested)
        persons = [person for person in (sender, recipient, other) if person is not None]
        keys_before = sum(person.supply.num_keys for person in persons)
        bits_before = sum(person.supply.num_bits for person in persons)
        begun_s = time.monotonic()
        causes: list[Cause] = []
        fault: QanatError | None = None
        while not causes or (causes[-1] in AGAIN and causes[-1] is not test.expected and len(causes) < MOST_TRIES):
            for person in persons:
                person.arrived = Arrived()
            cause, fault = await self._try(test, sender, recipient, other, f"{self._seed}-{test.number}-{len(causes)}")
            causes.append(cause)
        if test.fault is None:
            sender.has_been_tested = recipient.has_been_tested = True
        return Result(
            test=test,
            cause=causes[-1],
            tries=len(causes),
            first_cause=causes[0],
            fault="" if fault is None else type(fault).__name__,
            message="" if fault is None else fault.message,
            is_cold=is_cold,
            begun_s=begun_s - self._begun_s,
            duration_s=time.monotonic() - begun_s,
            num_keys=sum(person.supply.num_keys for person in persons) - keys_before,
            key_bits=sum(person.supply.num_bits for person in persons) - bits_before,
        )

    async def _try(
        self, test: ServiceTest, sender: Person, recipient: Person, other: Person | None, token: str
    ) -> tuple[Cause, QanatError | None]:
        """Return what became of one try, and the error of the end that could name the cause."""
        async with contextlib.AsyncExitStack() as stack:
            as_is = Mistaken(sender.services, sender.supply, recipient)
            if test.fault not in (None, REPAIRED):
                home = self._folder / "mistaken" / token
                as_is = await stack.enter_async_context(mistaken(test.fault, sender, recipient, other, home))
            lost_before = as_is.supply.num_lost
            trial = Trial(
                test=test,
                sender=as_is.sender,
                recipient=recipient,
                token=token,
                folder=self._folder / "sent",
                patience_s=PATIENCE_S if test.fault in (None, REPAIRED) else 0.0,
                file_bytes=PAD_FILE_BYTES if test.fault is PAD_SHORT else FILE_BYTES,
            )
            told: QanatError
            try:
                async with asyncio.timeout(LIMIT_S):
                    await TRIALS[test.kind](trial)
                return Cause.SUCCESS, None
            except TimeoutError:
                told = ChannelTimeout(f"the test was not over after {LIMIT_S:.0f} s")
            except QanatError as fault:
                told = fault
            at_recipient = await _witnessed(as_is.witness) if isinstance(told, RefusedByPeer) else None
            lost = as_is.supply.num_lost > lost_before
            cause = cause_at_both_ends(told, at_recipient, lost_key_manager=lost)
            return cause, at_recipient or told


async def _witnessed(witness: Person) -> QanatError | None:
    """Return what the end that refused says of it, once it does."""
    end_s = time.monotonic() + WITNESS_S
    while not witness.arrived.faults and time.monotonic() < end_s:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(LOOK_S)
    return witness.arrived.faults[0] if witness.arrived.faults else None

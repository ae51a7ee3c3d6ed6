"""Virtual time: coroutines, a heap of moments, and nothing else.

A port call is an *effect*: the coroutine yields a function, and the scheduler hands it the task, to be resumed with a
value or an error at whatever moment the function chooses. Moments that coincide are ordered by the dice, so that no
order that the port does not promise is relied on.
"""

from __future__ import annotations

import heapq
import types
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from qanat.ground.errors import QanatError
from qanat.simulation.dice import Dice

OnEnd: TypeAlias = Callable[[Any, QanatError | None], None]


@dataclass(eq=False, slots=True)
class Task:
    """A coroutine in its life. ``turn`` counts its steps: what was meant for an earlier one is ignored."""

    coroutine: Coroutine[Any, Any, Any]
    life: Life
    name: str
    on_end: OnEnd | None
    turn: int = 0
    has_ended: bool = False


@dataclass(eq=False, slots=True)
class Life:
    """What dies together: the tasks of one process, from its start to its crash."""

    name: str
    alive: bool = True
    tasks: dict[Task, None] = field(default_factory=dict)


Perform: TypeAlias = Callable[[Task], None]


@types.coroutine
def effect(perform: Perform) -> Generator[Perform, Any, Any]:
    """Suspend the running coroutine; ``perform`` decides when and with what it goes on."""
    return (yield perform)


class Scheduler:
    """Runs coroutines in virtual time, which passes only when nothing is left to do now."""

    def __init__(self, dice: Dice, *, on_death: Callable[[Task, QanatError], None]) -> None:
        self.now_s = 0.0
        self.steps = 0
        self.on_suspend: Callable[[Task], None] = lambda _task: None
        self._dice = dice
        self._on_death = on_death
        self._moments: list[tuple[float, float, int, Callable[[], None]]] = []
        self._count = 0

    def call_at(self, time_s: float, action: Callable[[], None]) -> None:
        """Do something at a moment, or now when it has passed."""
        self._count += 1
        moment_s = max(time_s, self.now_s)
        heapq.heappush(self._moments, (moment_s, self._dice.uniform(), self._count, action))

    def call_after(self, delay_s: float, action: Callable[[], None]) -> None:
        self.call_at(self.now_s + delay_s, action)

    def spawn(self, coroutine: Coroutine[Any, Any, Any], life: Life, *, name: str, on_end: OnEnd | None = None) -> None:
        """Run a coroutine in a life. ``on_end`` gets its result or error; without it, an error is a death."""
        if not life.alive:
            coroutine.close()
            return
        task = Task(coroutine, life, name, on_end)
        life.tasks[task] = None
        self.call_after(0.0, lambda: self._step(task, None, None))

    def resume_at(self, time_s: float, task: Task, value: object = None, error: QanatError | None = None) -> None:
        """Let a suspended task go on at a moment, unless something else does so before."""
        turn = task.turn
        self.call_at(time_s, lambda: self._step(task, value, error) if task.turn == turn else None)

    def resume_after(self, delay_s: float, task: Task, value: object = None, error: QanatError | None = None) -> None:
        self.resume_at(self.now_s + delay_s, task, value, error)

    def kill(self, life: Life, error: QanatError) -> None:
        """End all tasks of a life at once, as a crash does; who waits for their results gets the error."""
        life.alive = False
        for task in list(life.tasks):
            self._end(task)
            task.coroutine.close()
            if task.on_end is not None:
                task.on_end(None, error)

    def run_until(self, time_s: float, *, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass to a moment, or until a condition holds."""
        while self._moments and self._moments[0][0] <= time_s and not until():
            self.now_s, _, _, action = heapq.heappop(self._moments)
            action()
        if not until():
            self.now_s = max(self.now_s, time_s)

    def _step(self, task: Task, value: object, error: QanatError | None) -> None:
        if task.has_ended:
            return
        task.turn += 1
        self.steps += 1
        try:
            perform = task.coroutine.throw(error) if error is not None else task.coroutine.send(value)
        except StopIteration as end:
            self._end(task)
            if task.on_end is not None:
                task.on_end(end.value, None)
        except QanatError as fault:
            self._end(task)
            if task.on_end is not None:
                task.on_end(None, fault)
            else:
                self._on_death(task, fault)
        else:
            perform(task)
            self.on_suspend(task)

    def _end(self, task: Task) -> None:
        task.has_ended = True
        task.life.tasks.pop(task, None)

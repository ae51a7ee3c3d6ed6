"""The routes of one word as a tree, in which what they have in common stands once.

All routes that a key manager is told begin at it, most of them go along the same relays for long, and the widest is
told again among the disjoint ones: of 10,000 names in the table of a user of the paper's network some 800 are left. To
write and to read them took longer than any other word, while sites wake.

A step has a name and the number of the step before it; steps count from 1 on, and 0 is no step. A route is the number
of its last step. What is no route, as the nodes of a cut, is told as if it were one.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from qanat.ground.identifiers import NodeId
from qanat.key_management.wire import Route, RouteChoices, Routes, RoutesPushed

FIELDS = ("choices", "classical_routes", "key_routes", "step_before", "steps")
"""The fields of a message with routes that are told by a tree, the tree itself among them."""

MOST_NAMES = 20_000_000
"""On the ways to all steps of a tree that is read: a small message could else make a chain that fills the memory."""


class _Writer:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.before: list[int] = []
        self._steps: dict[tuple[int, str], int] = {}
        self._ends: dict[Route, int] = {(): 0}
        self._last: tuple[Route, list[int]] = ((), [])

    def number(self, route: Route) -> int:
        """Return the number of a route's last step, with all steps that are new."""
        if (end := self._ends.get(route)) is not None:
            return end
        former, numbers = self._last
        path = numbers[: _num_common(former, route)]
        step = path[-1] if path else 0
        for name in route[len(path) :]:
            known = self._steps.get((step, name))
            if known is None:
                self.names.append(name)
                self.before.append(step)
                known = self._steps[step, name] = len(self.names)
            step = known
            path.append(step)
        self._ends[route], self._last = step, (route, path)
        return step

    def numbers(self, routes: Routes) -> list[int]:
        return [self.number(route) for route in routes]


def write_routes(word: RoutesPushed) -> dict[str, object]:
    """Return the fields FIELDS of a word, as JSON has them."""
    tree = _Writer()
    key_routes = tree.numbers(word.key_routes)
    choices = [
        [choice.target, tree.numbers(choice.disjoint), tree.numbers(choice.detours), tree.number(choice.cut)]
        for choice in word.choices
    ]
    classical_routes = tree.numbers(word.classical_routes)
    return {
        "choices": choices,
        "classical_routes": classical_routes,
        "key_routes": key_routes,
        "step_before": tree.before,
        "steps": tree.names,
    }


def read_routes(fields: Mapping[str, object]) -> tuple[Routes, Routes, tuple[RouteChoices, ...]]:
    """Return the routes of keys, those of messages, and the choices; raises TypeError, ValueError or KeyError for what
    ``write_routes`` does not write."""
    tree = _Reader(_list(fields["steps"]), _list(fields["step_before"]))
    key_routes, choices = tree.routes(fields["key_routes"]), []
    for row in _list(fields["choices"]):
        target, disjoint, detours, cut = _list(row)
        named = NodeId(sys.intern(_text(target)))
        choices.append(RouteChoices(named, tree.routes(disjoint), tree.routes(detours), tree.route(cut)))
    classical_routes = tree.routes(fields["classical_routes"])
    tree.end()
    return key_routes, classical_routes, tuple(choices)


class _Reader:
    """Takes routes in the order in which they were written: each begins with steps that are known, and goes on with the
    next ones, so that there is one spelling only."""

    def __init__(self, names: Sequence[object], before: Sequence[object]) -> None:
        if len(names) != len(before) or len(set(zip(before, names, strict=True))) != len(names):
            raise ValueError("a step stands twice, or without the one before it")
        self._ways: list[Route] = [()]
        self._num_names = 0
        self._begins: list[bool] = [True]
        for number, (name, known) in enumerate(zip(names, before, strict=True)):
            if not isinstance(known, int) or isinstance(known, bool) or not 0 <= known <= number:
                raise ValueError(f"{known!r} is the number of no step before it")
            way = self._ways[known]
            self._num_names += len(way)
            if self._num_names > MOST_NAMES:
                raise ValueError(f"more than {MOST_NAMES} names on the ways to all steps")
            self._ways.append((*way, NodeId(sys.intern(_text(name)))))
            self._begins.append(known < number)
        self._num_known = 0

    def route(self, number: object) -> Route:
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(self._ways):
            raise ValueError(f"{number!r} is the number of no step")
        if number > self._num_known:
            if any(self._begins[self._num_known + 2 : number + 1]):
                raise ValueError(f"the route to step {number} leaves steps out")
            self._num_known = number
        return self._ways[number]

    def routes(self, numbers: object) -> Routes:
        return tuple([self.route(number) for number in _list(numbers)])

    def end(self) -> None:
        if self._num_known != len(self._ways) - 1:
            raise ValueError("there are steps of no route")


def _num_common(one: Route, other: Route) -> int:
    """Return how many names two routes have in common from their beginning on; whole pieces compare at once."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _list(value: object) -> Sequence[object]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{value!r} is no list")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value

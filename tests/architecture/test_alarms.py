"""One table of alarms: whatever any part raises is in it, and what is in it somebody raises."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from qanat.doors.etsi015.notifications import Notification
from qanat.ground import errors
from qanat.ground.alarms import ALARMS, code_of
from qanat.ground.errors import QanatError

SOURCE = Path(__file__).parents[2] / "src" / "qanat"
RAISING = {"alarm", "_alarm", "raise_one", "module_alarm", "RunAlarm"}
"""Functions whose first argument is a code."""
NO_ALARM = {"key-spent-before"}
"""Codes that one end tells the other: nobody need look at anything."""
BESIDE = {"ground/tracing.py", "apps/cli/presentation.py", "doors/etsi015/notifications.py"}
"""Where alarms are recorded, shown and passed on."""


@cache
def trees() -> tuple[tuple[str, ast.Module], ...]:
    """Return the modules that speak of alarms at all, parsed: the others are most of them."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(SOURCE.rglob("*.py"))}
    named = (path for path, text in texts.items() if re.search("alarm|code=|raise_one", text, re.IGNORECASE))
    return tuple((str(path.relative_to(SOURCE)), ast.parse(texts[path])) for path in named)


def strings(node: ast.expr) -> set[str]:
    """Return the texts that an expression may be; what a call returns is its own business."""
    if isinstance(node, ast.IfExp):
        return strings(node.body) | strings(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def raised_in(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        if name in RAISING and node.args:
            yield from strings(node.args[0])
        for keyword in node.keywords:
            if keyword.arg == "code":
                yield from strings(keyword.value)


def raised() -> set[str]:
    found = {code for _, tree in trees() for code in raised_in(tree)}
    chosen = {"module-alarm", "module-warning"}  # one of the two, for a code that only a module knows
    conversation = (SOURCE / "key_management" / "conversation.py").read_text(encoding="utf-8")
    assert all(f'"{code}"' in conversation for code in chosen)
    return found | chosen


def of_errors() -> set[str]:
    """Return the codes that ``code_of`` gives for every error of the tree."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, QanatError)]
    return {code_of(kind.__new__(kind)) for kind in kinds}


def test_no_code_is_raised_that_is_not_in_the_table() -> None:
    assert raised() - NO_ALARM - ALARMS.keys() == set()


def test_no_code_is_in_the_table_that_nobody_raises() -> None:
    assert ALARMS.keys() - raised() - of_errors() == set()


def is_alarm(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and ast.unparse(node) == "EventKind.ALARM"


def test_alarms_are_recorded_in_one_place() -> None:
    others = []
    for name, tree in trees():
        if name not in BESIDE and any(is_alarm(node) for node in ast.walk(tree)):
            others.append(name)
    assert others == []


def test_every_row_has_words_a_time_and_a_notification_of_the_standard() -> None:
    names = {notification.value for notification in Notification}
    for kind in ALARMS.values():
        assert min(map(len, (kind.text, kind.remedy))) > 0
        assert kind.quiet_s > 0
        assert (kind.times > 1) == (kind.within_s > 0)
        assert kind.etsi015 in names


def test_a_code_that_is_not_in_the_table_is_found() -> None:
    tree = ast.parse('recorder.alarm("no-such-code", "text")\nSourceFault("x", code="a" if b else "c")\n')
    assert set(raised_in(tree)) == {"no-such-code", "a", "c"}

"""The error tree is drawn at the top of its module, and the drawing is the tree."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from qanat.ground import errors

SOURCE = Path(__file__).parents[2] / "src" / "qanat"
CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == errors.__name__
}


def drawn_tree() -> dict[str, str]:
    """Return class -> parent as the module's docstring draws it: indentation, or ``parent: child, child``."""
    lines = [line for line in (errors.__doc__ or "").splitlines() if re.match(r" {2,}[A-Z]", line)]
    parents: dict[str, str] = {}
    open_branches: list[tuple[int, str]] = []
    for line in lines:
        depth = len(line) - len(line.lstrip())
        names = re.split(r" {2,}", line.strip())[0]
        head, _, children = names.partition(":")
        while open_branches and open_branches[-1][0] >= depth:
            open_branches.pop()
        for name in re.findall(r"\w+", head):
            parents[name] = open_branches[-1][1] if open_branches else "Exception"
        open_branches.append((depth, re.findall(r"\w+", head)[-1]))
        for name in re.findall(r"\w+", children):
            parents[name] = open_branches[-1][1]
    return parents


def test_the_drawing_is_the_tree() -> None:
    assert drawn_tree() == {name: value.__bases__[0].__name__ for name, value in CLASSES.items()}


def test_the_drawing_is_read_and_not_empty() -> None:
    tree = drawn_tree()
    assert tree["QanatError"] == "Exception"
    assert tree["ChannelTimeout"] == "ChannelError"
    assert len(tree) > 20


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_error_says_whose_fault_it_is(name: str) -> None:
    assert CLASSES[name].__doc__
    assert len(CLASSES[name].__bases__) == 1


def test_errors_of_other_rooms_grow_on_the_tree() -> None:
    """No room plants an exception class of its own beside the tree."""
    loose = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
                if bases & {"Exception", "BaseException", "RuntimeError", "ValueError"} and node.name not in CLASSES:
                    loose.append(f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}")
    assert loose == []

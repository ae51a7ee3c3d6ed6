"""The repository tests itself: sizes, words, docstrings, and what must not stand in it.

Each rule is a function from a source text to the places that break it, so that the rules themselves are tested below.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import pytest

from architecture.rooms import MACHINE_ROOMS

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "qanat"
SOURCES = sorted(SOURCE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
TEXTS = sorted(
    path
    for folder in ("src", "tests", "docs", "examples", ".ci")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".md", ".yaml", ".toml", ".j2", ".json", ".sh", ".css", ""} and path.is_file()
) + sorted(
    path for path in ROOT.glob("*") if path.is_file() and path.name not in {"uv.lock", ".git"}
)  # a worktree has .git as a file

MOST_LINES_OF_MODULE = 500
MOST_LINES_OF_FUNCTION = 70
MOST_LINES_OF_TEST_MODULE = 900
LINES_WITHOUT_DOCSTRING = 12
OPEN_ENDS = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:wo" + r"rk|ro" + r"ot|ho" + r"me/(?!alice)\w+|tmp/bri" + r"ef)/")
LOOSE_MARKS = re.compile(r"#\s*(?:noqa(?!: ?[A-Z]+\d+)|type: ignore(?!\[[\w-]+))")
GLOBAL_DICE = frozenset({"seed", "random", "rand", "randn", "randint", "choice", "shuffle", "normal", "poisson"})

PORT_METHODS = frozenset(
    function.name
    for path in (SOURCE / "ground" / "ports").glob("*.py")
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
)
"""What these do is said once, at the port."""

Rule: TypeAlias = Callable[[str], Iterator[str]]
Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@lru_cache(maxsize=2)
def parsed(text: str) -> ast.Module:
    """Return a text's tree; several rules look at each."""
    return ast.parse(text)


@lru_cache(maxsize=2)
def nodes(text: str) -> list[ast.AST]:
    """Return all nodes of a text's tree: to walk through a tree takes longer than to read it."""
    return list(ast.walk(parsed(text)))


def definitions(text: str) -> Iterator[Definition]:
    for node in nodes(text):
        if isinstance(node, Definition):
            yield node


def num_lines(node: Definition) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def long_functions(text: str) -> Iterator[str]:
    for node in definitions(text):
        if not isinstance(node, ast.ClassDef) and num_lines(node) > MOST_LINES_OF_FUNCTION:
            yield f"line {node.lineno}: {node.name} has {num_lines(node)} lines"


def blanket_excepts(text: str) -> Iterator[str]:
    """Bare ``except`` and ``except Exception`` hide slips.

    Allowed are ``except BaseException`` that raises, and ``except* Exception`` that ends by raising (it unpacks a
    group, whose members nobody can list).
    """
    in_groups = {handler for node in nodes(text) if isinstance(node, ast.TryStar) for handler in node.handlers}
    for node in nodes(text):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            names = {ast.unparse(name) if name else "everything" for name in caught}
            unpacks = node in in_groups and isinstance(node.body[-1], ast.Raise)
            if names & {"everything", "Exception"} and not unpacks:
                yield f"line {node.lineno}: catches {', '.join(sorted(names))}"
            if "BaseException" in names and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
                yield f"line {node.lineno}: catches BaseException and does not raise"


def prints(text: str) -> Iterator[str]:
    for called, node in calls(text):
        if called in {"print", "pprint", "breakpoint"}:
            yield f"line {node.lineno}: calls {called}"


def dice(text: str) -> Iterator[str]:
    """Generators without a seed, and numpy's global one."""
    for called, node in calls(text):
        head, _, tail = called.rpartition(".")
        unseeded = tail == "default_rng" and not node.args and not node.keywords
        if unseeded or (head.endswith("np.random") and tail in GLOBAL_DICE):
            yield f"line {node.lineno}: calls {called}"


def hidden_clocks(text: str) -> Iterator[str]:
    """Ways to clock and entropy that the layer test's list of calls does not see."""
    for node in nodes(text):
        if isinstance(node, ast.ImportFrom) and node.module in {"os", "uuid", "datetime"}:
            for alias in node.names:
                if alias.name in {"urandom", "getrandom", "uuid1", "uuid4"}:
                    yield f"line {node.lineno}: imports {alias.name} from {node.module}"
    for called, node in calls(text):
        if called.endswith(("date.today", "os.getrandom", "datetime.datetime.now", "datetime.datetime.utcnow")):
            yield f"line {node.lineno}: calls {called}"


@lru_cache(maxsize=2)
def calls(text: str) -> list[tuple[str, ast.Call]]:
    return [(ast.unparse(node.func), node) for node in nodes(text) if isinstance(node, ast.Call)]


def undocumented(text: str) -> Iterator[str]:
    """Public modules, classes and functions that are long enough to need words and have none."""
    tree = parsed(text)
    if ast.get_docstring(tree) is None and tree.body:
        yield "line 1: the module has no docstring"
    methods = {node for owner in nodes(text) if isinstance(owner, ast.ClassDef) for node in owner.body}
    for node in public_definitions(tree):
        if node in methods and node.name in PORT_METHODS:
            continue
        if num_lines(node) > LINES_WITHOUT_DOCSTRING and ast.get_docstring(node) is None:
            yield f"line {node.lineno}: {node.name} has {num_lines(node)} lines and no docstring"


def public_definitions(node: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    for inner in node.body:
        if isinstance(inner, Definition) and not inner.name.startswith("_"):
            yield inner
            if isinstance(inner, ast.ClassDef):
                yield from public_definitions(inner)


def loose_marks(text: str) -> Iterator[str]:
    """Checks switched off without saying which."""
    for number, line in enumerate(text.splitlines(), start=1):
        if LOOSE_MARKS.search(line):
            yield f"line {number}: {line.strip()}"


def open_ends(text: str) -> Iterator[str]:
    if not OPEN_ENDS.search(text):
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING) and OPEN_ENDS.search(token.string):
            yield f"line {token.start[0]}: {token.string.strip()[:60]}"


def untidy_lines(text: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line != line.rstrip() or "\t" in line or "\r" in line:
            yield f"line {number}: blanks at the end, or a tab"
    if text and not text.endswith("\n"):
        yield "the last line does not end"


def machine_paths(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), start=1):
        if MACHINE_PATHS.search(line):
            yield f"line {number}: {line.strip()[:80]}"


def mute_tests(text: str) -> Iterator[str]:
    """Tests that cannot fail. The assertion may stand in a function of the same module that the test calls."""
    functions = [node for node in definitions(text) if not isinstance(node, ast.ClassDef)]
    asserting = {node.name for node in functions if any(asserts(inner) for inner in ast.walk(node))}
    while more := {node.name for node in functions if node.name not in asserting and called_by(node) & asserting}:
        asserting |= more
    for node in functions:
        if node.name.startswith("test") and node.name not in asserting:
            yield f"line {node.lineno}: {node.name} asserts nothing"


def called_by(node: ast.AST) -> set[str]:
    return {ast.unparse(inner.func) for inner in ast.walk(node) if isinstance(inner, ast.Call)}


def asserts(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert):
        return True
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func).rpartition(".")[2]
        return called in {"raises", "warns", "fail"} or called.startswith(("assert", "check", "expect"))
    return False


SOURCE_RULES: list[Rule] = [long_functions, blanket_excepts, dice, undocumented, loose_marks, open_ends]
TEST_RULES: list[Rule] = [blanket_excepts, loose_marks, open_ends, mute_tests]


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_source_file_is_tidy(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    faults = [fault for rule in SOURCE_RULES for fault in rule(text)]
    room = path.relative_to(SOURCE).parts[0]
    if room != "apps":
        faults += prints(text)
    if room not in MACHINE_ROOMS:
        faults += hidden_clocks(text)
    if text.count("\n") > MOST_LINES_OF_MODULE:
        faults.append(f"{text.count(chr(10))} lines: cut it")
    assert faults == []


@pytest.mark.slow  # each in a tenth of a second, but they are hundreds
@pytest.mark.parametrize("path", TESTS, ids=relative)
def test_a_test_file_is_tidy(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    faults = [fault for rule in TEST_RULES for fault in rule(text)]
    if text.count("\n") > MOST_LINES_OF_TEST_MODULE:
        faults.append(f"{text.count(chr(10))} lines: cut it")
    assert faults == []


def test_no_file_has_loose_blanks_or_names_a_machines_folders() -> None:
    faults = []
    for path in TEXTS:
        if "__pycache__" in path.parts:
            continue
        text = path.read_text(encoding="utf-8")
        if path.name == "Makefile":
            text = text.replace("\t", "    ")
        lines = untidy_lines(text) if path.suffix != ".json" else ()
        faults += [f"{relative(path)} {fault}" for fault in (*lines, *machine_paths(text))]
    assert faults == []


def test_names_of_test_modules_are_unique() -> None:
    names = [path.name for path in TESTS]
    assert sorted(names) == sorted(set(names))


def test_types_are_checked_in_every_room() -> None:
    """Errors in what mypy only follows as an import are hushed, and what is in no package it does not see."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    assert settings["strict"]
    assert settings["packages"] == ["qanat"]
    assert not {"exclude", "ignore_errors", "follow_imports"} & set().union(settings, *settings["overrides"])
    packages = {path.parent for path in SOURCES if path.name == "__init__.py"}
    assert {parent for path in SOURCES for parent in path.parents if parent.is_relative_to(SOURCE)} == packages


def test_machine_rooms_are_few() -> None:
    """Rooms that may see clock and dice are named one by one; a new one is a decision, not an accident."""
    assert {"adapters", "apps", "benchmarks", "reproductions"} == MACHINE_ROOMS


LONG_BODY = "    x = 1\n" * 71


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (long_functions, f"def f():\n{LONG_BODY}"),
        (long_functions, f"class C:\n    async def f(self):\n{LONG_BODY.replace('    x', '        x')}"),
        (blanket_excepts, "try:\n    x = 1\nexcept:\n    pass\n"),
        (blanket_excepts, "try:\n    x = 1\nexcept (ValueError, Exception):\n    raise\n"),
        (blanket_excepts, "try:\n    x = 1\nexcept BaseException:\n    x = 2\n"),
        (blanket_excepts, "try:\n    x = 1\nexcept* Exception:\n    x = 2\n"),
        (prints, "def f():\n    print(1)\n"),
        (dice, "rng = np.random.default_rng()\n"),
        (dice, "x = np.random.randint(3)\n"),
        (hidden_clocks, "from uuid import uuid4\n"),
        (hidden_clocks, "x = datetime.date.today()\n"),
        (undocumented, "x = 1\n"),
        (undocumented, '"""Doc."""\ndef f():\n' + "    x = 1\n" * 12),
        (undocumented, '"""Doc."""\nclass C:\n' + "    x = 1\n" * 12),
        (loose_marks, "x = 1  # no" + "qa\n"),
        (loose_marks, "x = 1  # type: " + "ignore\n"),
        (open_ends, "x = 1  # TO" + "DO: more\n"),
        (open_ends, 'x = "FIX' + 'ME"\n'),
        (untidy_lines, "x = 1 \n"),
        (untidy_lines, "\tx\n"),
        (untidy_lines, "x"),
        (machine_paths, "see /wo" + "rk/main/x\n"),
        (mute_tests, "def test_x():\n    f()\n"),
    ],
)
def test_a_rule_catches(rule: Rule, text: str) -> None:
    assert list(rule(text)) != []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (blanket_excepts, "try:\n    x = 1\nexcept BaseException:\n    x = 2\n    raise\n"),
        (blanket_excepts, "try:\n    x = 1\nexcept* Exception as group:\n    raise group.exceptions[0]\n"),
        (dice, "rng = np.random.default_rng(seed)\n"),
        (undocumented, '"""Doc."""\nclass C:\n    """Doc."""\n    def get_keys(self):\n' + "        x = 1\n" * 20),
        (undocumented, '"""Doc."""\ndef _f():\n' + "    x = 1\n" * 20),
        (loose_marks, "x = 1  # noqa: S101 - because\ny = 1  # type: ignore[arg-type]\n"),
        (machine_paths, "see https://x.org/wo" + "rk/ and src/qanat/home/\n"),
        (mute_tests, "def f():\n    assert x\ndef g():\n    f()\ndef test_x():\n    g()\n"),
        (mute_tests, "def test_x():\n    with pytest.raises(ValueError):\n        f()\n"),
    ],
)
def test_a_rule_lets_pass(rule: Rule, text: str) -> None:
    assert list(rule(text)) == []

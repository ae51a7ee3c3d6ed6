"""The import rule: lower rooms of one's own tower only, no heavy library where it does not belong, no cycles.

Reads the sources, runs none of them, and names the offending line.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

from architecture.rooms import CLOCK_AND_DICE, LIBRARIES, MACHINE_ROOMS, ROOMS

SOURCE = Path(__file__).parents[2] / "src" / "qanat"
FILE_METHODS = (".read_text", ".write_text", ".read_bytes", ".write_bytes")
FILES = sorted(SOURCE.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_in(module: str, rooms: frozenset[str]) -> bool:
    return any(module == room or module.startswith(room + ".") for room in rooms)


def imports(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of every import, wherever it hides."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = ["qanat", *module.split(".")] if module else ["qanat"]
                keep = len(package) - node.level + (1 if is_package else 0)
                base = ".".join([*package[:keep], base]).strip(".")
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def violations(module: str, tree: ast.AST, *, is_package: bool = False) -> Iterator[str]:
    room = module.split(".")[0]
    for line, name in imports(tree, module, is_package=is_package):
        first, *rest = name.split(".")
        if first == "qanat":
            target = rest[0] if rest else ""
            if target in ROOMS and target != room and room and target not in ROOMS[room]:
                yield f"{module}:{line} imports {name}: {room} may not see {target}"
        elif name in CLOCK_AND_DICE and not is_in(module, MACHINE_ROOMS):
            yield f"{module}:{line} imports {name}: wall clock and dice stand behind their ports"
        elif first in LIBRARIES and not is_in(module, LIBRARIES[first]):
            yield f"{module}:{line} imports {first}, which belongs to {', '.join(sorted(LIBRARIES[first])) or 'nobody'}"
    if not is_in(module, MACHINE_ROOMS):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ".".join(ast.unparse(node.func).split(".")[-2:])
                if called in CLOCK_AND_DICE | {"__import__"}:
                    yield f"{module}:{node.lineno} calls {called}: wall clock and dice stand behind their ports"
                touches_file = called == "open" or called.endswith(FILE_METHODS)
                if touches_file and module != "ground.data" and called != "data.read_text":
                    yield f"{module}:{node.lineno} calls {called}: files are for adapters and apps"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module = module_name(path)
    room = module.split(".")[0]
    assert not room or room in ROOMS, f"{room} is no room of the house: see rooms.py"
    assert list(violations(module, tree, is_package=path.name == "__init__.py")) == []


def test_there_are_no_import_cycles() -> None:
    graph: nx.DiGraph = nx.DiGraph()
    modules = {module_name(path): path for path in FILES}
    for module, path in modules.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for _, name in imports(tree, module, is_package=path.name == "__init__.py"):
            target = name.removeprefix("qanat.") if name.startswith("qanat.") else None
            while target and target not in modules:
                target = target.rpartition(".")[0]
            if target and target != module:
                graph.add_edge(module, target)
    assert list(nx.simple_cycles(graph)) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("ground.bits", "from qanat.kernels import popcount"),
        ("postprocessing.sifting", "from qanat.key_management import manager"),
        ("key_management.manager", "from qanat.control import policy"),
        ("physics.detector", "import qanat.protocols.decoy"),
        ("adapters.stores", "from qanat.key_management.accounts import relay_cost"),
        ("key_management.manager", "import numpy as np"),
        ("ground.clock", "import asyncio"),
        ("control.policy", "import time"),
        ("services.file_delivery", "from ..doors import etsi014"),
        ("key_management.relay", "def f():\n    from qanat.quantum_layer import twin"),
        ("services.file_delivery", "x = os.urandom(16)"),
        ("services.file_delivery", "data = path.read_bytes()"),
        ("quantum_layer.link", "import pickle"),
        ("services.file_delivery", "import os\nos.remove('x')"),
        ("services.file_delivery", "from pathlib import Path"),
        ("key_management.relay", "from uuid import uuid4"),
        ("key_management.relay", "from os import urandom"),
        ("control.policy", "import importlib"),
        ("control.policy", "kernels = __import__('qanat.kernels')"),
    ],
)
def test_the_rule_catches(module: str, line: str) -> None:
    assert list(violations(module, ast.parse(line))) != []

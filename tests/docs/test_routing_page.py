"""The page on routing names who asks for shares, measures and survivors, and these do."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = " ".join((ROOT / "docs/explanation/routing.md").read_text(encoding="utf-8").split())
BY_MEASURE = {("qanat.control.routing", "cheapest"), ("qanat.control.routing", "freshest")}
SURVIVOR = ("qanat.control.survival", "Survivor")


def importers(names: set[tuple[str, str]]) -> set[str]:
    """Return the modules that import one of these names from its module, by their paths below ``src/qanat``."""
    source = ROOT / "src/qanat"
    return {
        str(file.relative_to(source))
        for file in source.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and any((node.module, alias.name) in names for alias in node.names)
    }


def test_the_controller_solves_shares_where_they_are_declared() -> None:
    assert "control/steering.py" in importers({("qanat.control.solvers.by_name", "settle")})
    assert "control/solvers/settling.py" in importers({("qanat.control.solvers.shares", "share")})


def test_the_controller_finds_the_cheapest_and_the_freshest_way_for_who_asks() -> None:
    assert "`control/wished.py`" in PAGE
    assert importers(BY_MEASURE) == {"benchmarks/routing.py", "control/wished.py"}


def test_the_controller_and_the_simulated_day_ask_the_survivor() -> None:
    assert importers({SURVIVOR}) == {"control/outages.py", "simulation/day/engine.py"}

"""What the page on routing says of functions that nothing calls yet is true: only benchmarks name them."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = " ".join((ROOT / "docs/explanation/routing.md").read_text(encoding="utf-8").split())
UNCALLED = {
    ("qanat.control.solvers.shares", "share"),
    ("qanat.control.solvers.shares", "admit"),
}
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


def test_shares_and_admission_are_named_by_benchmarks_alone() -> None:
    assert "`share` and `admit` are functions that nothing in the running network calls yet" in PAGE
    assert importers(UNCALLED) == {"benchmarks/routing.py", "benchmarks/sharing.py"}


def test_the_controller_finds_the_cheapest_and_the_freshest_way_for_who_asks() -> None:
    assert "`control/wished.py`" in PAGE
    assert importers(BY_MEASURE) == {"benchmarks/routing.py", "control/wished.py"}


def test_the_controller_and_the_simulated_day_ask_the_survivor() -> None:
    assert importers({SURVIVOR}) == {"control/outages.py", "simulation/day/engine.py"}

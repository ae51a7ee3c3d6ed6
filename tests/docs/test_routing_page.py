"""What the page on routing says of functions that nothing calls yet is true: only benchmarks name them."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = " ".join((ROOT / "docs/explanation/routing.md").read_text(encoding="utf-8").split())
UNCALLED = {
    ("qanat.control.routing", "cheapest"),
    ("qanat.control.routing", "freshest"),
}
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


def test_cheapest_and_freshest_are_named_by_benchmarks_alone() -> None:
    assert "`cheapest` and `freshest` are functions that nothing in the running network calls yet" in PAGE
    assert importers(UNCALLED) == {"benchmarks/routing.py"}


def test_the_controller_solves_shares_where_they_are_declared() -> None:
    assert "control/steering.py" in importers({("qanat.control.solvers.settling", "settle")})
    assert "control/solvers/settling.py" in importers({("qanat.control.solvers.shares", "share")})


def test_the_controller_and_the_simulated_day_ask_the_survivor() -> None:
    assert importers({SURVIVOR}) == {"control/outages.py", "simulation/day/engine.py"}

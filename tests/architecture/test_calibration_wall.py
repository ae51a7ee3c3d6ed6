"""Calibration sessions see a device through frames only: nothing of its twin, nothing of pipes."""

from __future__ import annotations

import ast

from architecture.test_layers import SOURCE, imports, module_name

ROOM = "qanat.quantum_layer.calibration"


def imported(module: str) -> set[str]:
    """Return the modules of ours that a module imports."""
    path = SOURCE.joinpath(*module.split(".")[1:]).with_suffix(".py")
    path = path if path.exists() else path.with_suffix("") / "__init__.py"
    if not path.exists():
        return imported(module.rpartition(".")[0])
    found = set()
    for _, name in imports(ast.parse(path.read_text(encoding="utf-8")), module_name(path), is_package=False):
        if name.startswith("qanat."):
            found.add(name)
    return found


def test_no_session_can_reach_the_twin_of_a_device() -> None:
    open_modules = [f"{ROOM}.{path.stem}" for path in (SOURCE / "quantum_layer" / "calibration").glob("[a-z]*.py")]
    assert len(open_modules) > 5
    seen: set[str] = set()
    while open_modules:
        module = open_modules.pop()
        if module not in seen:
            seen.add(module)
            open_modules.extend(imported(module))
    assert "qanat.physics.counting.fired_odds" in seen
    assert [name for name in seen if "device_twin" in name or name.startswith("qanat.adapters")] == []

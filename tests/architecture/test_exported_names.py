"""Promises about names: what a package exports exists, is sorted, and is what others are told to import."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"


def modules_with_all() -> list[str]:
    """Return the names of the modules that say ``__all__``, read from their sources."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        names = [
            ast.unparse(target)
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        ]
        if "__all__" in names:
            found.append(".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"))
    return found


PORTS = {
    *("Chance", "ClassicalChannel", "Clock", "Entropy", "Job", "KernelPool", "KeyStore", "KeySupply"),
    *("QKDModule", "Session", "Tasks", "Transport"),
}

PROMISED = {
    "qanat.ground.network": {"Application", "Link", "Network", "Site", "parse_network"},
    "qanat.ground.ports": PORTS,
    "qanat.services.ciphers": {"FrameOpener", "FrameSealer", "StreamOpener", "StreamSealer", "PadOpener", "PadSealer"},
    "qanat.apps.report": {"DemoResult", "render_report"},
    "qanat.api": {
        *(
            "toeplitz_hash",
            "modified_toeplitz_hash",
            "AliceSession",
            "BobSession",
            "SessionConfig",
            "DistilledKey",
            "converse",
        ),
        *("RawDetections", "RawPreparations", "SiftedBits", "StatedEntropy"),
        *("ExactChoice", "GivenBasis", "ProofFromCounts", "RangeCounts", "RecordCounts"),
        *("RecordedDetections", "RecordedPreparations", "LineListener", "dial_line"),
        *(
            "User",
            "UserServices",
            "FrameOpener",
            "FrameSealer",
            "StreamOpener",
            "StreamSealer",
            "PadOpener",
            "PadSealer",
        ),
    },
}
"""Names that documents and other rooms rely on; they may grow, never shrink."""


@pytest.mark.parametrize("name", modules_with_all())
def test_all_is_sorted_and_resolves(name: str) -> None:
    module = importlib.import_module(name)
    names = list(module.__all__)
    assert names == sorted(set(names)), "sorted, each once"
    assert [missing for missing in names if not hasattr(module, missing)] == []
    assert [private for private in names if private.startswith("_") and private != "__version__"] == []


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_promised_names_are_there(name: str) -> None:
    module = importlib.import_module(name)
    exported = set(getattr(module, "__all__", ())) or set(dir(module))
    assert sorted(PROMISED[name] - exported) == []


def test_ports_are_documented_protocols() -> None:
    """A port is a promise in words too: every method of every port says what it does."""
    ports = importlib.import_module("qanat.ground.ports")
    silent = []
    for name in sorted(PORTS - {"Job"}):
        port = getattr(ports, name)
        assert getattr(port, "_is_protocol", False), f"{name} is no Protocol"
        methods = [member for member in vars(port).values() if callable(member) and member.__name__[0] != "_"]
        silent += [f"{name}.{method.__name__}" for method in methods if not method.__doc__]
    assert silent == []

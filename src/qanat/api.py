"""The one import a user needs: ``from qanat.api import Client, toeplitz_hash, ...``. Names load when they are used."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "AliceSession": "qanat.postprocessing.alice",
    "BobSession": "qanat.postprocessing.bob",
    "Client": "qanat.client",
    "Etsi014Client": "qanat.client",
    "Nature": "qanat.quantum_layer.nature",
    "Network": "qanat.ground.network",
    "SecurityParameters": "qanat.protocols.decoy",
    "TlsFiles": "qanat.adapters.tls",
    "expected_rate": "qanat.protocols.prediction",
    "modified_toeplitz_hash": "qanat.kernels.toeplitz",
    "parse_network": "qanat.ground.network",
    "secret_length": "qanat.protocols.finite_key",
    "system_named": "qanat.physics.systems",
    "toeplitz_hash": "qanat.kernels.toeplitz",
}
"""Public name -> the module it lives in."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"qanat.api has no {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)

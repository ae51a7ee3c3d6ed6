"""The one import a user needs: ``from qanat.api import Client, toeplitz_hash, ...``. Names load when they are used."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "AliceSession": "qanat.postprocessing.alice",
    "BobSession": "qanat.postprocessing.bob",
    "CallMedia": "qanat.users.speaking",
    "Client": "qanat.client",
    "DecoyProtocol": "qanat.protocols.decoy",
    "Detections": "qanat.postprocessing.records",
    "DistilledKey": "qanat.postprocessing.config",
    "Etsi014Client": "qanat.client",
    "ExactChoice": "qanat.postprocessing.disclosure",
    "FrameOpener": "qanat.services.ciphers",
    "FrameSealer": "qanat.services.ciphers",
    "GivenBasis": "qanat.quantum_layer.record_counts",
    "LineListener": "qanat.adapters.resuming_channel",
    "Nature": "qanat.quantum_layer.nature",
    "Network": "qanat.ground.network",
    "NumberedLine": "qanat.ground.numbered",
    "OrderId": "qanat.ground.identifiers",
    "PadOpener": "qanat.services.ciphers",
    "PadSealer": "qanat.services.ciphers",
    "PadShortage": "qanat.services.ciphers",
    "Preparations": "qanat.postprocessing.records",
    "ProofFromCounts": "qanat.quantum_layer.record_counts",
    "QanatError": "qanat.ground.errors",
    "RangeCounts": "qanat.quantum_layer.record_counts",
    "RawDetections": "qanat.quantum_layer.recorded",
    "RawPreparations": "qanat.quantum_layer.recorded",
    "Reception": "qanat.users.reception",
    "RecipientKeys": "qanat.services.ciphers",
    "RecordCounts": "qanat.quantum_layer.record_counts",
    "RecordRefused": "qanat.services.ciphers",
    "RecordedDetections": "qanat.quantum_layer.recorded",
    "RecordedPreparations": "qanat.quantum_layer.recorded",
    "Refresh": "qanat.services.ciphers",
    "Replayed": "qanat.services.ciphers",
    "Requirements": "qanat.ground.requirements",
    "RoutePolicy": "qanat.ground.route_policy",
    "SecretBytes": "qanat.ground.keys",
    "SecurityParameters": "qanat.protocols.decoy",
    "SenderKeys": "qanat.services.ciphers",
    "SessionConfig": "qanat.postprocessing.config",
    "SiftedBits": "qanat.quantum_layer.recorded",
    "StatedEntropy": "qanat.quantum_layer.recorded",
    "StreamContext": "qanat.services.ciphers",
    "StreamOpener": "qanat.services.ciphers",
    "StreamSealer": "qanat.services.ciphers",
    "Suite": "qanat.services.ciphers",
    "SystemEntropy": "qanat.adapters.system",
    "Terms": "qanat.services.conversation",
    "TlsFiles": "qanat.adapters.tls",
    "User": "qanat.users.user",
    "UserServices": "qanat.users.services",
    "converse": "qanat.quantum_layer.wire",
    "dial_line": "qanat.adapters.resuming_channel",
    "expected_rate": "qanat.protocols.prediction",
    "find_people": "qanat.users.people",
    "modified_toeplitz_hash": "qanat.kernels.toeplitz",
    "parse_network": "qanat.ground.network",
    "quote_pad": "qanat.services.ciphers",
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

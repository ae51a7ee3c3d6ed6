"""A key supplier in memory that keeps the rules of a key manager: one delivery per recipient, all or none."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qanat.ground.errors import KeyNotFound, NotEntitled, QanatError, UnknownNode
from qanat.ground.identifiers import EventId, KeyID, NodeId, SaeId, SaePair
from qanat.ground.keys import KeyStatus, SecretBytes, SecretKey

ALICE = SaeId("urn:qanat:test:sae:alice")
BOB = SaeId("urn:qanat:test:sae:bob")
CAROL = SaeId("urn:qanat:test:sae:carol")
KME_A = "urn:qanat:test:kme:a"
KME_B = "urn:qanat:test:kme:b"
ROUTE = (NodeId("a"), NodeId("relay"), NodeId("b"))
EVENT = EventId("00000000-0000-4000-8000-000000000004")


@dataclass
class FakeGiven:
    keys: Sequence[SecretKey]
    event_id: EventId = EVENT
    classical_route: Sequence[NodeId] = ROUTE


@dataclass
class FakeSupplier:
    """``fault`` is raised by every call while it is set; ``calls`` keeps the arguments."""

    fault: Exception | None = None
    calls: list[Mapping[str, Any]] = field(default_factory=list)
    waiting: dict[KeyID, tuple[SaePair, bytes]] = field(default_factory=dict)
    made: int = 0

    async def get_status(self, **asked: Any) -> KeyStatus:
        self._note(asked)
        return KeyStatus(KME_A, KME_B, asked["master"], asked["slave"], 256, 64, 4096, 25_000, 100_000, 128)

    async def get_keys(self, **asked: Any) -> FakeGiven:
        self._note(asked)
        if asked["slave"] not in (ALICE, BOB, CAROL):
            raise UnknownNode(f"no SAE {asked['slave']!r} in this network", remedy="name one")
        pair = SaePair(asked["master"], asked["slave"])
        keys = [self._new_key(pair, asked["size_bits"]) for _ in range(asked["count"])]
        return FakeGiven(keys)

    async def get_keys_by_id(self, *, caller: SaeId, master: SaeId, key_ids: Sequence[KeyID]) -> list[SecretKey]:
        self._note({"caller": caller, "master": master, "key_ids": key_ids})
        for key_id in key_ids:
            if key_id not in self.waiting or self.waiting[key_id][0].master != master:
                raise KeyNotFound(f"no key {key_id}")
            if self.waiting[key_id][0].slave != caller:
                raise NotEntitled(f"key {key_id} is not for {caller}")
        return [self._key(key_id, *self.waiting.pop(key_id)) for key_id in key_ids]

    def _note(self, asked: Mapping[str, Any]) -> None:
        self.calls.append(asked)
        if self.fault is not None:
            raise self.fault

    def _new_key(self, pair: SaePair, size_bits: int) -> SecretKey:
        self.made += 1
        data = hashlib.shake_256(b"test key %d" % self.made).digest(size_bits // 8)
        key_id = KeyID(str(uuid.UUID(int=self.made, version=4)))
        self.waiting[key_id] = (pair, data)
        return self._key(key_id, pair, data)

    def _key(self, key_id: KeyID, pair: SaePair, data: bytes) -> SecretKey:
        return SecretKey(key_id, pair, SecretBytes(data), ROUTE, "twin", 1_500_000_000.25, 2 * 8 * len(data) + 512)


def faults() -> list[QanatError]:
    """Return one of each kind of failure that a key manager may have."""
    return [fault("what is wrong", remedy="what to do") for fault in _subclasses(QanatError) if _is_plain(fault)]


def _is_plain(fault: type[QanatError]) -> bool:
    return fault.__module__ == QanatError.__module__ and fault.__name__ != "NetworkFileError"


def _subclasses(root: type[QanatError]) -> list[type[QanatError]]:
    found = [root]
    for child in root.__subclasses__():
        found += _subclasses(child)
    return found

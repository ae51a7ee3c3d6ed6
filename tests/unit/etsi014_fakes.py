"""A key supplier in memory that keeps the rules of a key manager: one delivery per recipient, all or none."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qanat.ground.errors import BadParameter, KeyNotFound, NotEntitled, QanatError, RequirementUnmet, UnknownNode
from qanat.ground.identifiers import EventId, KeyID, NodeId, SaeId, SaePair, slaves_together
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
    unmet: Sequence[str] = ()


@dataclass
class FakeSupplier:
    """``fault`` is raised by every call while it is set; ``calls`` keeps the arguments; ``unmet``: what it says
    that it could not keep of the way."""

    fault: Exception | None = None
    calls: list[Mapping[str, Any]] = field(default_factory=list)
    waiting: dict[KeyID, tuple[SaePair, bytes, set[SaeId]]] = field(default_factory=dict)
    answers: dict[tuple[SaeId, str], tuple[Any, list[SecretKey]]] = field(default_factory=dict)
    made: int = 0
    unmet: Sequence[str] = ()

    async def get_status(self, **asked: Any) -> KeyStatus:
        self._note(asked)
        return KeyStatus(
            KME_A, KME_B, asked["master"], asked["slave"], 256, 8, 65_536, 25_000, 100_000, 128, 15, ready_key_count=600
        )

    async def get_keys(self, **asked: Any) -> FakeGiven:
        self._note(asked)
        slaves = (asked["slave"], *asked.get("more_slaves", ()))
        for slave in slaves:
            if slave not in (ALICE, BOB, CAROL):
                raise UnknownNode(f"no SAE {slave!r} in this network", remedy="name one")
        if len(set(slaves)) < len(slaves) or asked["master"] in slaves:
            raise BadParameter("an odd list of slaves", remedy="name each other application once")
        if asked["require"].disjoint_routes > 1 or (asked["require"].max_hops or 2) < 2:
            raise RequirementUnmet("the only way has two hops", remedy="allow two")
        wish = {name: asked[name] for name in ("slave", "more_slaves", "count", "size_bits", "require", "prefer")}
        pair = SaePair(asked["master"], slaves_together(slaves))
        return FakeGiven(
            self._once(
                (asked["master"], asked.get("nonce")),
                wish,
                lambda: [self._new_key(pair, asked["size_bits"], set(slaves)) for _ in range(asked["count"])],
            ),
            unmet=self.unmet,
        )

    async def get_keys_by_id(
        self, *, caller: SaeId, master: SaeId, key_ids: Sequence[KeyID], nonce: str | None = None
    ) -> list[SecretKey]:
        self._note({"caller": caller, "master": master, "key_ids": key_ids})
        return self._once((caller, nonce), (master, key_ids), lambda: self._fetch(caller, master, key_ids))

    def _fetch(self, caller: SaeId, master: SaeId, key_ids: Sequence[KeyID]) -> list[SecretKey]:
        for key_id in key_ids:
            if key_id not in self.waiting or self.waiting[key_id][0].master != master:
                raise KeyNotFound(f"no key {key_id}")
            if caller not in self.waiting[key_id][2]:
                raise NotEntitled(f"key {key_id} is not for {caller}")
        return [self._hand_out(key_id, caller) for key_id in key_ids]

    def _hand_out(self, key_id: KeyID, caller: SaeId) -> SecretKey:
        pair, data, waiting = self.waiting[key_id]
        waiting.remove(caller)
        if not waiting:
            del self.waiting[key_id]
        return self._key(key_id, pair, data)

    def _once(self, name: tuple[SaeId, str | None], wish: Any, supply: Callable[[], list[SecretKey]]) -> Any:
        """Answer a call with a nonce as it was answered before, if it is the same."""
        sae, nonce = name
        if nonce is None:
            return supply()
        if (sae, nonce) not in self.answers:
            self.answers[sae, nonce] = (wish, supply())
        earlier, keys = self.answers[sae, nonce]
        if earlier != wish:
            raise BadParameter(f"the nonce {nonce!r} was used for another request", remedy="take another")
        return [replace(key, secret=SecretBytes(key.secret.reveal())) for key in keys]

    def _note(self, asked: Mapping[str, Any]) -> None:
        self.calls.append(asked)
        if self.fault is not None:
            raise self.fault

    def _new_key(self, pair: SaePair, size_bits: int, slaves: set[SaeId]) -> SecretKey:
        self.made += 1
        data = hashlib.shake_256(b"test key %d" % self.made).digest(size_bits // 8)
        key_id = KeyID(str(uuid.UUID(int=self.made, version=4)))
        self.waiting[key_id] = (pair, data, slaves)
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

"""The door itself: who asks, for what, of whom. No sockets; an adapter carries the answers over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from qanat.doors.etsi014.encoding import Answer, container_extension, error_answer, keys_answer, status_answer
from qanat.doors.etsi014.extensions import PRIORITY
from qanat.doors.etsi014.parsing import (
    MAX_ID_CHARACTERS,
    KnownKeys,
    Limits,
    NewKeys,
    Query,
    key_ids_of_body,
    key_ids_of_query,
    key_request_of_body,
    key_request_of_query,
)
from qanat.ground.errors import NotEntitled, QanatError, UnknownNode
from qanat.ground.identifiers import EventId, KeyID, NodeId, RequestId, SaeId
from qanat.ground.keys import KeyStatus, SecretKey
from qanat.ground.requirements import Requirements

ANY = Requirements()


class GivenKeys(Protocol):
    """Keys for a master, with the event that gave them and the route its message will take."""

    @property
    def keys(self) -> Sequence[SecretKey]: ...
    @property
    def event_id(self) -> EventId: ...
    @property
    def classical_route(self) -> Sequence[NodeId]: ...
    @property
    def unmet(self) -> Sequence[str]:
        """What was preferred of the sites on their way and could not be had, by its extension's name less our prefix"""
        ...


class KeySupplier(Protocol):
    """What a door needs of a key manager. Failures are of the tree in ``ground.errors``."""

    async def get_status(self, *, master: SaeId, slave: SaeId) -> KeyStatus:
        """Return the stock that ``master`` has with ``slave``."""
        ...

    async def get_keys(
        self,
        *,
        master: SaeId,
        slave: SaeId,
        count: int,
        size_bits: int,
        request_id: RequestId | None,
        cause: EventId | None,
        patience_s: float | None,
        more_slaves: Sequence[SaeId] = (),
        require: Requirements = ANY,
        prefer: Requirements = ANY,
        nonce: str | None = None,
        priority: int | None = None,
    ) -> GivenKeys:
        """Return fresh keys; waits for new ones up to ``patience_s`` (None: as long as the key manager sees fit).

        Each of ``more_slaves`` gets them too. Raises RequirementUnmet where no key can be as ``require`` has it; what
        ``prefer`` has is met where it can be. The same call with the same ``nonce`` is given the same keys again, for
        a while. ``priority``: of this call, where key is short; None, or more than the master's: the master's.
        """
        ...

    async def get_keys_by_id(
        self, *, caller: SaeId, master: SaeId, key_ids: Sequence[KeyID], nonce: str | None = None
    ) -> Sequence[SecretKey]:
        """Return to ``caller`` the keys that ``master`` was given under these ids, all or none; the same call with the
        same ``nonce`` gets them again, for a while."""
        ...


class Etsi014Door:
    """Key delivery after ETSI GS QKD 014 V1.1.1 for the applications of one site.

    ``peer`` in every call is the identity that the caller's certificate proves, or None. ``path_id`` is the id in the
    path, decoded. Every failure of the tree becomes an Error object; a programming slip goes up to the adapter.
    """

    def __init__(
        self,
        supplier: KeySupplier,
        *,
        saes: Collection[SaeId],
        limits: Limits = Limits(),  # noqa: B008  (frozen)
        max_patience_s: float = 60.0,
        priorities: Mapping[SaeId, int] | None = None,
        on_refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``saes``: the applications of this site. ``on_refused`` hears of callers who are none of them.
        ``priorities``: the most that calls of these may ask; 0 for others."""
        self._on_refused = on_refused
        self._supplier = supplier
        self._saes = frozenset(saes)
        self._limits = limits
        self._max_patience_s = max_patience_s
        self._priorities = priorities or {}

    @property
    def limits(self) -> Limits:
        """What this door gives out."""
        return self._limits

    async def get_status(self, peer: str | None, path_id: str) -> Answer:
        """GET status: the caller is the master, the path names the slave (clause 5.2)."""
        try:
            status = await self._supplier.get_status(master=self._caller(peer), slave=_named(path_id))
        except QanatError as fault:
            return error_answer(fault)
        return status_answer(status, self._limits)

    async def get_key_by_query(self, peer: str | None, path_id: str, query: Query) -> Answer:
        """GET enc_keys: the caller is the master, the path names the slave (clause 5.3)."""
        return await self._new_keys(peer, path_id, lambda: key_request_of_query(query, self._limits))

    async def get_key_by_body(self, peer: str | None, path_id: str, body: bytes) -> Answer:
        """POST enc_keys."""
        return await self._new_keys(peer, path_id, lambda: key_request_of_body(body, self._limits))

    async def get_key_with_id_by_query(self, peer: str | None, path_id: str, query: Query) -> Answer:
        """GET dec_keys: the caller is the slave, the path names the master (clause 5.4)."""
        return await self._known_keys(peer, path_id, lambda: key_ids_of_query(query))

    async def get_key_with_ids_by_body(self, peer: str | None, path_id: str, body: bytes) -> Answer:
        """POST dec_keys."""
        return await self._known_keys(peer, path_id, lambda: key_ids_of_body(body, self._limits))

    async def _new_keys(self, peer: str | None, path_id: str, read: Callable[[], NewKeys]) -> Answer:
        told = False
        try:
            master = self._caller(peer)
            request = read()
            told = request.wishes.told
            wishes, patience_s = request.wishes, request.wishes.patience_s
            priority = wishes.priority_within(self._priorities.get(master, 0))
            given = await self._supplier.get_keys(
                master=master,
                slave=_named(path_id),
                count=request.count,
                size_bits=request.size_bits,
                request_id=wishes.request_id,
                cause=wishes.cause,
                patience_s=None if patience_s is None else min(patience_s, self._max_patience_s),
                more_slaves=request.more_slaves,
                require=wishes.require,
                prefer=wishes.prefer,
                nonce=wishes.nonce,
                priority=priority,
            )
        except QanatError as fault:
            return error_answer(fault, told=told)
        if not told:
            return keys_answer(given.keys)
        unmet = wishes.unmet_by(given.keys, of_way=given.unmet) + ([PRIORITY] if priority != wishes.priority else [])
        extension = container_extension(given.event_id, given.classical_route, unmet)
        return keys_answer(given.keys, details=told, extension=extension)

    async def _known_keys(self, peer: str | None, path_id: str, read: Callable[[], KnownKeys]) -> Answer:
        told = False
        try:
            caller = self._caller(peer)
            request = read()
            told = request.told
            master = _named(path_id)
            keys = await self._supplier.get_keys_by_id(
                caller=caller, master=master, key_ids=request.key_ids, nonce=request.nonce
            )
        except QanatError as fault:
            return error_answer(fault, told=told)
        return keys_answer(keys, details=told)

    def _caller(self, peer: str | None) -> SaeId:
        """Return the application that the certificate proves; raises NotEntitled when this site serves no such one."""
        if peer is None:
            self._on_refused("the client certificate proves no identity")
            raise NotEntitled(
                "the client certificate proves no identity", remedy="use one with exactly one URI as alternative name"
            )
        if peer not in self._saes:
            self._on_refused(f"{peer!r} is no application of this key manager")
            raise NotEntitled(
                f"{peer!r} is no application of this key manager",
                remedy="ask the key manager of your own site, with the certificate of an SAE",
            )
        return SaeId(peer)


def _named(path_id: str) -> SaeId:
    """Return the id in a path; raises UnknownNode for one longer than any id here, so that none is looked up."""
    if len(path_id) > MAX_ID_CHARACTERS:
        raise UnknownNode(f"the SAE id in the path has {len(path_id)} characters", remedy="name an SAE of this network")
    return SaeId(path_id)

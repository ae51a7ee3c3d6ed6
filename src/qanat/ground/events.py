"""Events: one stream feeds the log, the ten steps, alarms, metrics and the report.

Every event names the event that caused it, so that a run can be read backwards from a delivered file to the request.
The ten steps of the paper (Fig. 2) are ten of the kinds. Data of an event is public: no key byte may enter it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from qanat.ground.identifiers import EventId, NodeId, RequestId

Json: TypeAlias = str | int | float | bool | Sequence["Json"] | Mapping[str, "Json"] | None


class EventKind(enum.StrEnum):
    """What happened. The first ten are the steps of the paper's Fig. 2."""

    REQUEST = "request"
    KEY_ASKED = "key-asked"
    CLASSICAL_ROUTE_FOUND = "classical-route-found"
    KEY_GIVEN = "key-given"
    GENERATION_ASKED = "generation-asked"
    GENERATION_ROUTE_FOUND = "generation-route-found"
    GENERATION_ORDERED = "generation-ordered"
    KEY_STORED = "key-stored"
    MESSAGE_ENCODED = "message-encoded"
    MESSAGE_DELIVERED = "message-delivered"

    NODE_STARTED = "node-started"
    CONTROLLER_RULES = "controller-rules"
    CONTROLLER_STANDS_BY = "controller-stands-by"
    LINK_QUALITY = "link-quality"
    BLOCK_DISTILLED = "block-distilled"
    BLOCK_STORED = "block-stored"
    BLOCK_DROPPED = "block-dropped"
    ORDER_ENDED = "order-ended"
    SWITCH_TURNED = "switch-turned"
    POOL_FILLING = "pool-filling"
    KEYS_RELAYED = "keys-relayed"
    KEYS_REFUSED = "keys-refused"
    KEYS_REPEATED = "keys-repeated"
    RELAY_FAILED = "relay-failed"
    VERDICTS_CAME_ROUND = "verdicts-came-round"
    KEYS_VOIDED = "keys-voided"
    STOCK_EXPIRED = "stock-expired"
    STORE_RESTORED = "store-restored"
    STORE_ZEROIZED = "store-zeroized"
    ALARM = "alarm"
    CALLER_REFUSED = "caller-refused"
    KEYS_DELIVERED = "keys-delivered"
    REQUESTS_LIMITED = "requests-limited"
    CERTIFICATES_CHANGED = "certificates-changed"
    SETTINGS_CHANGED = "settings-changed"
    ENTROPY_AWAITED = "entropy-awaited"
    KEY_SHARED = "key-shared"
    KEY_ANNOUNCED = "key-announced"
    ANNOUNCEMENT_OPENED = "announcement-opened"
    ANNOUNCEMENT_LOST = "announcement-lost"
    SATELLITE_ROSE = "satellite-rose"
    SATELLITE_SET = "satellite-set"
    SATELLITE_CLOUDED = "satellite-clouded"


STEP_OF_KIND: Mapping[EventKind, int] = {kind: number for number, kind in enumerate(list(EventKind)[:10], start=1)}
"""The paper's step number of each of the ten kinds."""

STEP_TEXTS: Mapping[int, str] = {
    1: "the user asks for a secure transmission",
    2: "the application asks the key manager for keys",
    3: "the classical route of the message is found",
    4: "the key manager has enough key and gives it",
    5: "too little key: an order goes to the quantum system server",
    6: "quantum control finds the best route to make key",
    7: "quantum control orders the links to make key",
    8: "key is made from photons and stored at both ends",
    9: "the message is encoded with the key",
    10: "the message is delivered and decoded",
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at a node. ``cause`` is the event that led to it, None for a beginning."""

    id: EventId
    cause: EventId | None
    request_id: RequestId | None
    node: NodeId
    monotonic_s: float
    utc_s: float
    kind: EventKind
    data: Mapping[str, Json] = field(default_factory=dict)

    @property
    def step(self) -> int | None:
        """The paper's step number, or None."""
        return STEP_OF_KIND.get(self.kind)


EventSink: TypeAlias = Callable[[Event], None]
"""Takes every event of a process: never blocks, never raises."""


def chain(events: Sequence[Event], last: EventId) -> list[Event]:
    """Return the events from a beginning to ``last``, each the cause of the next.

    Raises KeyError when an event or one of its causes is not among ``events``, ValueError when causes run in a circle.
    """
    by_id = {event.id: event for event in events}
    path = [by_id[last]]
    while (cause := path[-1].cause) is not None:
        if len(path) > len(by_id):
            raise ValueError(f"the causes of event {last} run in a circle")
        path.append(by_id[cause])
    return path[::-1]

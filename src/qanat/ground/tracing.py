"""Making events: every party records through one of these, so that ids, times and causes are never forgotten."""

from __future__ import annotations

from qanat.ground.events import Event, EventKind, EventSink, Json
from qanat.ground.identifiers import EventId, NodeId, RequestId, uuid4_from
from qanat.ground.ports import Clock, Entropy


class EventRecorder:
    """Stamps what happens at one node and hands it to the process's sink."""

    def __init__(self, *, node: NodeId, clock: Clock, entropy: Entropy, sink: EventSink) -> None:
        self.node = node
        self._clock = clock
        self._entropy = entropy
        self._sink = sink

    def record(
        self, kind: EventKind, *, cause: EventId | None = None, request_id: RequestId | None = None, **data: Json
    ) -> Event:
        """Make an event, hand it on, and return it (its id is the next one's cause)."""
        event = Event(
            id=EventId(uuid4_from(self._entropy.public_bytes(16))),
            cause=cause,
            request_id=request_id,
            node=self.node,
            monotonic_s=self._clock.monotonic_s(),
            utc_s=self._clock.utc_s(),
            kind=kind,
            data=data,
        )
        self._sink(event)
        return event

    def new_request(self) -> Trace:
        """Begin a request of an application at this node."""
        return Trace(self, RequestId(uuid4_from(self._entropy.public_bytes(16))))


class Trace:
    """The thread of one request through services, client and key manager: ``last`` is the newest event on it."""

    def __init__(self, recorder: EventRecorder, request_id: RequestId, last: EventId | None = None) -> None:
        self.request_id = request_id
        self.last = last
        self._recorder = recorder

    def record(self, kind: EventKind, *, cause: EventId | None = None, **data: Json) -> Event:
        """Record the next event of this request, caused by ``cause`` or else by the last one."""
        event = self._recorder.record(kind, cause=cause or self.last, request_id=self.request_id, **data)
        self.last = event.id
        return event

    def follow(self, event_id: EventId) -> None:
        """Go on from an event that somebody else recorded for this request."""
        self.last = event_id

"""Making events: every party records through one of these, so that ids, times and causes are never forgotten."""

from __future__ import annotations

from collections.abc import Mapping

from qanat.ground.alarm_board import AlarmBoard
from qanat.ground.alarms import ALARMS
from qanat.ground.events import Event, EventKind, EventSink, Json
from qanat.ground.identifiers import EventId, LinkId, NodeId, RequestId, uuid4_from
from qanat.ground.ports import Clock, Entropy


class EventRecorder:
    """Stamps what happens at one node and hands it to the process's sink."""

    def __init__(self, *, node: NodeId, clock: Clock, entropy: Entropy, sink: EventSink) -> None:
        self.node = node
        self._clock = clock
        self._entropy = entropy
        self._sink = sink
        self._board = AlarmBoard()

    def record(
        self, kind: EventKind, *, cause: EventId | None = None, request_id: RequestId | None = None, **data: Json
    ) -> Event:
        """Make an event, hand it on, and return it (its id is the next one's cause)."""
        return self._record(kind, cause, request_id, data)

    def alarm(
        self, code: str, text: str, remedy: str = "", *, about: str = "", cause: EventId | None = None, **data: Json
    ) -> None:
        """Raise an alarm of the table (KeyError for a code without a row); what lasts already is not told again.

        ``about``: the link, peer or other thing that it is about, as its row says; empty for the node itself.
        ``text`` and ``remedy`` are the words of the moment.
        """
        if self._board.raised(code, about, text, now_s=self._clock.monotonic_s(), data=data):
            kind = ALARMS[code]
            words: dict[str, Json] = {"text": text, "remedy": remedy or kind.remedy, "etsi015": kind.etsi015}
            words |= {"code": code, "severity": kind.severity, "about": about, **data}
            self._record(EventKind.ALARM, cause, None, words)

    def alarm_over(self, code: str, about: str = "") -> None:
        """Say that what an alarm told is over; told by ``settle_alarms``, unless it comes again before that."""
        self._board.ended(code, about)

    def block_made(self, link_id: LinkId) -> None:
        """Say that a link has made a block, which ends what was wrong with it."""
        self._board.block_made(link_id)

    def settle_alarms(self) -> None:
        """Tell the end of every alarm that is over and has stayed so, with all fields of the last time that it was
        raised and three more. Called now and then, by who has chores."""
        now_s = self._clock.monotonic_s()
        for one in self._board.over(now_s):
            words: dict[str, Json] = {"text": f"over: {one.text}", "remedy": "nothing", "etsi015": one.kind.etsi015}
            words |= {"code": one.kind.code, "severity": one.kind.severity, "about": one.about, **one.data}
            words |= {"cleared": True, "times": one.times, "lasted_s": now_s - one.began_s}
            self._record(EventKind.ALARM, None, None, words)

    def _record(
        self, kind: EventKind, cause: EventId | None, request_id: RequestId | None, data: Mapping[str, Json]
    ) -> Event:
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

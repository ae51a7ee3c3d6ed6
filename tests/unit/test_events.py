"""Events and the thread of a request through them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qanat.ground.clock import Deadline, format_utc
from qanat.ground.events import STEP_OF_KIND, STEP_TEXTS, Event, EventKind, chain
from qanat.ground.identifiers import EventId, NodeId, RequestId
from qanat.ground.tracing import EventRecorder, Trace
from unit.service_fakes import FakeClock, FakeEntropy


def recorder(events: list[Event], clock: FakeClock | None = None) -> EventRecorder:
    return EventRecorder(
        node=NodeId("suzhou"), clock=clock or FakeClock(), entropy=FakeEntropy("events"), sink=events.append
    )


def test_the_ten_steps_are_the_papers() -> None:
    """Order and meaning from the caption of Fig. 2 (Nature 589, 214)."""
    assert [kind.value for kind, _ in sorted(STEP_OF_KIND.items(), key=lambda item: item[1])] == [
        *("request", "key-asked", "classical-route-found", "key-given", "generation-asked"),
        *("generation-route-found", "generation-ordered", "key-stored", "message-encoded", "message-delivered"),
    ]
    assert sorted(STEP_OF_KIND.values()) == sorted(STEP_TEXTS) == list(range(1, 11))


def test_other_kinds_are_no_step() -> None:
    events: list[Event] = []
    assert recorder(events).record(EventKind.ALARM).step is None
    assert recorder(events).record(EventKind.KEY_STORED).step == 8


def test_a_recorder_stamps_and_hands_on() -> None:
    events: list[Event] = []
    clock = FakeClock()
    clock.now_s = 12.5
    event = recorder(events, clock).record(EventKind.REQUEST, request_id=RequestId("r"), size_bytes=7)
    assert events == [event]
    assert (event.node, event.monotonic_s, event.utc_s) == ("suzhou", 12.5, clock.utc_s())
    assert (event.cause, event.request_id, event.data) == (None, "r", {"size_bytes": 7})
    assert len(event.id) == 36


def test_ids_do_not_repeat() -> None:
    events: list[Event] = []
    recording = recorder(events)
    ids = [recording.record(EventKind.ALARM).id for _ in range(50)]
    requests = [recording.new_request().request_id for _ in range(50)]
    assert len({*ids, *requests}) == 100


def test_a_trace_threads_causes() -> None:
    events: list[Event] = []
    trace = recorder(events).new_request()
    first = trace.record(EventKind.REQUEST)
    second = trace.record(EventKind.KEY_ASKED)
    branch = trace.record(EventKind.ALARM, cause=first.id)
    trace.follow(second.id)
    last = trace.record(EventKind.KEY_GIVEN)
    assert (first.cause, second.cause, branch.cause, last.cause) == (None, first.id, first.id, second.id)
    assert {event.request_id for event in events} == {trace.request_id}
    assert chain(events, last.id) == [first, second, last]
    assert trace.last == last.id


def test_a_trace_may_begin_in_the_middle() -> None:
    events: list[Event] = []
    trace = Trace(recorder(events), RequestId("r"), EventId("elsewhere"))
    assert trace.record(EventKind.KEY_ASKED).cause == "elsewhere"


def test_a_chain_with_a_missing_link_is_refused() -> None:
    events: list[Event] = []
    trace = Trace(recorder(events), RequestId("r"), EventId("elsewhere"))
    last = trace.record(EventKind.KEY_ASKED)
    with pytest.raises(KeyError, match="elsewhere"):
        chain(events, last.id)
    with pytest.raises(KeyError, match="nothing"):
        chain(events, EventId("nothing"))


def test_causes_in_a_circle_are_refused() -> None:
    events: list[Event] = []
    event = recorder(events).record(EventKind.ALARM)
    with pytest.raises(ValueError, match="circle"):
        chain([replace(event, cause=event.id)], event.id)


def test_a_deadline_counts_down_to_zero() -> None:
    clock = FakeClock()
    deadline = Deadline.after(clock, 3.0)
    assert (deadline.left_s, deadline.has_passed) == (3.0, False)
    clock.now_s = 3.0
    assert (deadline.left_s, deadline.has_passed) == (0.0, True)
    clock.now_s = 9.0
    assert deadline.left_s == 0.0


@pytest.mark.parametrize(
    ("utc_s", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1512086400.0, "2017-12-01T00:00:00.000Z"),
        (951782399.9994, "2000-02-28T23:59:59.999Z"),
    ],
)
def test_times_are_printed_in_utc(utc_s: float, text: str) -> None:
    assert format_utc(utc_s) == text

"""The lines of logs are what ``json`` itself would write."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from qanat.adapters.json_lines import audit_fields, encode_with, fields_of, log_line, quoted
from qanat.ground.clock import format_utc
from qanat.ground.events import Event, EventKind, Json
from qanat.ground.identifiers import EventId, NodeId, RequestId

DATA: list[Mapping[str, Json]] = [
    {},
    {"why": 'says "no"\n\\ \x00 \u2028 é 漢 🔑 \ud800', "é": "ключ"},
    {"route": ["a", "b"], "deep": [[], {}, [{"x": [1, 2.5, -0.0, 1e-9, 10**30]}], ("a", "b")], "flags": [True, None]},
    {"kind": EventKind.KEY_GIVEN, "num": 2**63, "rate": 0.1, "to": None},
]


def an_event(data: Mapping[str, Json], *, cause: str | None = 'x"y', request: str | None = None) -> Event:
    return Event(
        EventId("é"),
        None if cause is None else EventId(cause),
        None if request is None else RequestId(request),
        NodeId('no"de'),
        12.25,
        1.5e9,
        EventKind.KEY_GIVEN,
        data,
    )


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("cause", [None, 'x"y'])
@pytest.mark.parametrize("request_id", [None, "r"])
def test_a_line_is_the_text_that_json_gives(
    data: Mapping[str, Json], cause: str | None, request_id: str | None
) -> None:
    event = an_event(data, cause=cause, request=request_id)
    row = {"id": "é", "cause": cause, "request_id": request_id, "node": 'no"de', "utc": format_utc(1.5e9)}
    row |= {"monotonic_s": 12.25, "kind": "key-given", "step": 4, "data": data}
    assert log_line(event) == json.dumps(row)
    fields = {"utc": format_utc(1.5e9), "node": 'no"de', "kind": "key-given", "event": "é", "cause": cause}
    fields |= {"request": request_id, "data": data}
    compact = json.dumps(fields, separators=(",", ":"))
    assert audit_fields(event) == fields_of(fields) == compact[1:-1]


@pytest.mark.parametrize("data", DATA)
def test_without_its_part_in_c_the_text_is_the_same(data: Mapping[str, Json], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json.encoder, "c_make_encoder", None)
    assert encode_with(comma=", ", colon=": ")(data) == json.dumps(data)
    assert quoted("é") == json.dumps("é")


@pytest.mark.parametrize("make", [log_line, audit_fields])
def test_bytes_do_not_get_into_a_line(make: object) -> None:
    with pytest.raises(TypeError):
        make(an_event({"key": b"secret"}))  # type: ignore[operator]

"""JSON for logs: the text that ``json.dumps`` gives, with what is the same for every line made once.

A busy door writes some twenty thousand lines a second; ``json`` makes a new encoder for each, which takes longer than
the line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from json import encoder
from typing import Any, TypeAlias

from qanat.ground.clock import format_utc
from qanat.ground.events import Event

Encode: TypeAlias = Callable[[Any], str]
"""Gives the JSON text of a value; raises TypeError for what JSON has no words for, such as bytes."""

quoted: Encode = encoder.encode_basestring_ascii
"""Gives the JSON text of a string."""


def encode_with(*, comma: str, colon: str) -> Encode:
    """Return ``json.dumps`` with these separators. The values must hold no circle."""
    plain = json.JSONEncoder(separators=(comma, colon), check_circular=False)
    make = getattr(encoder, "c_make_encoder", None)  # the part of ``json`` that is written in C, where there is one
    if make is None:
        return plain.encode
    parts = make(None, plain.default, quoted, None, colon, comma, False, False, True)
    return lambda value: "".join(parts(value, 0))


_spaced = encode_with(comma=", ", colon=": ")
_compact = encode_with(comma=",", colon=":")


def log_line(event: Event) -> str:
    """Return an event as a line of the event log, without its end."""
    return (
        f'{{"id": {quoted(event.id)}, "cause": {_or_null(event.cause)}, "request_id": {_or_null(event.request_id)}, '
        f'"node": {quoted(event.node)}, "utc": "{format_utc(event.utc_s)}", "monotonic_s": {event.monotonic_s!r}, '
        f'"kind": {quoted(event.kind)}, "step": {event.step or "null"}, "data": {_spaced(dict(event.data))}}}'
    )


def audit_fields(event: Event) -> str:
    """Return the fields of an event as they stand in a line of the audit log, without braces."""
    return (
        f'"utc":"{format_utc(event.utc_s)}","node":{quoted(event.node)},"kind":{quoted(event.kind)},'
        f'"event":{quoted(event.id)},"cause":{_or_null(event.cause)},"request":{_or_null(event.request_id)},'
        f'"data":{_compact(dict(event.data))}'
    )


def fields_of(row: Mapping[str, object]) -> str:
    """Return the fields of a row, compact, without braces."""
    return _compact(row)[1:-1]


def _or_null(text: str | None) -> str:
    return "null" if text is None else quoted(text)

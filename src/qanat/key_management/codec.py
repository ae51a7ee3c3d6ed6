"""Words to messages and back. How a field is written follows from its annotation in ``wire``; ``KINDS`` is the table of
all words."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from qanat.ground.errors import FrameError
from qanat.ground.events import Json
from qanat.ground.keys import BitRange
from qanat.ground.messages import Message
from qanat.ground.orders import LinkForecast
from qanat.ground.route_policy import MEASURES
from qanat.key_management import route_tree
from qanat.key_management.wire import (
    AnnouncedPart,
    LinkReport,
    PoolShortage,
    Ration,
    RouteChoices,
    RouteQuestion,
    RoutesPushed,
    WeightedWays,
    Word,
)


def kind_of(word_class: type) -> str:
    """Return the message kind of a word: its class name in kebab-case."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", word_class.__name__).lower()


_ROWS = (AnnouncedPart, LinkForecast, LinkReport, PoolShortage, RouteChoices, WeightedWays, Ration)
"""What stands in a field of a word as a row of its own."""
KINDS: Mapping[str, type[Word]] = {kind_of(word_class): word_class for word_class in Word.__args__}
_KIND_OF = {word_class: kind for kind, word_class in KINDS.items()}
_NAMES = {row_class: tuple(field.name for field in fields(row_class)) for row_class in (*KINDS.values(), *_ROWS)}


def encode_word(word: Word) -> tuple[str, dict[str, Json]]:
    """Return the message kind and fields of ``word``."""
    row = _routes_to_row(word) if isinstance(word, RoutesPushed) else _to_row(word)
    return _KIND_OF[type(word)], row


def decode_word(message: Message) -> Word:
    """Return the word in a message; raises FrameError when it is none, or a field is missing, wrong or unknown."""
    word_class = KINDS.get(message.kind)
    if word_class is None:
        raise FrameError(f"a message of the unknown kind {message.kind!r}", remedy="update the older of the two sides")
    try:
        is_tree = word_class is RoutesPushed
        word: Word = _routes_from_row(message.fields) if is_tree else _from_row(word_class, message.fields)
    except (KeyError, TypeError, ValueError) as fault:
        raise FrameError(f"message {message.kind!r} is malformed: {fault}") from None
    return word


def _to_row(record: Any) -> dict[str, Json]:
    return {name: _to_json(getattr(record, name)) for name in _NAMES[type(record)]}


def _to_json(value: Any) -> Json:
    if isinstance(value, BitRange):
        return value.to_json()
    if isinstance(value, tuple):
        if value and isinstance(value[0], str):
            return list(value)  # names, or the ids of many keys
        return [_to_json(item) for item in value]
    if isinstance(value, (*_ROWS, RouteQuestion)):
        return _to_row(value)
    plain: Json = value
    return plain


def _routes_to_row(word: RoutesPushed) -> dict[str, Json]:
    """Return a row whose routes stand in one tree: they would make up nine tenths of it."""
    tree: dict[str, Any] = route_tree.write_routes(word)
    return tree | {name: _to_json(getattr(word, name)) for name in _NAMES[RoutesPushed] if name not in tree}


def _routes_from_row(row: Mapping[str, Json]) -> RoutesPushed:
    tree = {name: row[name] for name in route_tree.FIELDS}
    key_routes, classical_routes, choices = route_tree.read_routes(tree)
    told = {name: value for name, value in row.items() if name not in tree}
    routes: dict[str, Any] = {"key_routes": key_routes, "classical_routes": classical_routes, "choices": choices}
    readers = {name: read for name, read in _READERS[RoutesPushed].items() if name not in routes}
    if told.keys() != readers.keys():
        raise ValueError(f"fields {sorted(told)} where {sorted(readers)} were expected")
    return RoutesPushed(**routes, **{name: readers[name](told[name]) for name in readers})


def _from_row(record_class: type, row: object) -> Any:
    if not isinstance(row, Mapping):
        raise TypeError(f"{record_class.__name__} is no object")
    readers = _READERS[record_class]
    if row.keys() != readers.keys():
        raise ValueError(f"fields {sorted(row)} where {sorted(readers)} were expected")
    return record_class(**{name: readers[name](row[name]) for name in readers})


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _name(value: object) -> str:
    """Read the name of a node or a link, of which a table of routes holds tens of thousands: each name is one object in
    this process, however often it comes."""
    return sys.intern(_text(value))


def _names(value: object) -> tuple[str, ...]:
    """Read the names of one way, of which a table has thousands."""
    if not isinstance(value, list | tuple):
        raise TypeError(f"{value!r} is no list")
    return tuple(map(sys.intern, value))  # raises TypeError for what is no text


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{value!r} is no whole number of zero or more")
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _origin(value: object) -> str:
    if value not in ("device", "twin"):
        raise ValueError(f"{value!r} is no origin of key")
    return _text(value)


def _measure(value: object) -> str:
    if value not in MEASURES:
        raise ValueError(f"{value!r} is no measure of ways")
    return _text(value)


def _optional_number(value: object) -> float | None:
    return None if value is None else _number(value)


def _optional_flag(value: object) -> bool | None:
    return None if value is None else _flag(value)


def _optional_text(value: object) -> str | None:
    return None if value is None else _text(value)


def _bit_range(value: object) -> BitRange:
    """Read a range of bits that somebody has spent; so it is not empty."""
    bits = BitRange.from_json(value)
    if not bits.slices:
        raise ValueError("a range of bits is empty")
    return bits


def _tuple_of(read: Callable[[object], Any]) -> Callable[[object], tuple[Any, ...]]:
    def read_all(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise TypeError(f"{value!r} is no list")
        return tuple([read(item) for item in value])

    return read_all


def _row_of(record_class: type) -> Callable[[object], Any]:
    return lambda value: _from_row(record_class, value)


_TYPES: Mapping[str, Callable[[object], Any]] = {
    **dict.fromkeys(("str", "OrderId", "BlockId", "SaeId"), _text),
    **dict.fromkeys(("NodeId", "LinkId"), _name),
    **dict.fromkeys(("str | None", "NodeId | None", "OrderId | None", "RequestId | None"), _optional_text),
    **dict.fromkeys(("tuple[NodeId, ...]", "tuple[LinkId, ...]"), _names),
    "tuple[BlockId, ...]": _tuple_of(_text),
    "Routes": _tuple_of(_names),
    "tuple[AnnouncedPart, ...]": _tuple_of(_row_of(AnnouncedPart)),
    "tuple[LinkForecast, ...]": _tuple_of(_row_of(LinkForecast)),
    "tuple[LinkReport, ...]": _tuple_of(_row_of(LinkReport)),
    "tuple[PoolShortage, ...]": _tuple_of(_row_of(PoolShortage)),
    "tuple[RouteChoices, ...]": _tuple_of(_row_of(RouteChoices)),
    "RouteQuestion": _row_of(RouteQuestion),
    "Measure": _measure,
    "float | None": _optional_number,
    "tuple[WeightedWays, ...]": _tuple_of(_row_of(WeightedWays)),
    "tuple[Ration, ...]": _tuple_of(_row_of(Ration)),
    "tuple[float, ...]": _tuple_of(_number),
    "BitRange": _bit_range,
    "Origin": _origin,
    "int": _whole,
    "float": _number,
    "bool": _flag,
    "bool | None": _optional_flag,
}
"""How a field is read, by the annotation it has above."""

_READERS: Mapping[type, Mapping[str, Callable[[object], Any]]] = {
    record_class: {field.name: _TYPES[str(field.type)] for field in fields(record_class)}
    for record_class in (*KINDS.values(), *_ROWS)
}

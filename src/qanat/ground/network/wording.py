"""What pydantic finds wrong in a network file, in this project's words: the fault, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from qanat.ground.network.part import with_exponent

_PARTS = {"sites": "site", "links": "link", "applications": "application", "prepared_keys": "entry", "pairs": "entry"}
_BOUNDS = {
    "greater_than": ("greater than", "gt"),
    "greater_than_equal": ("greater than or equal to", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("less than or equal to", "le"),
    "multiple_of": ("a multiple of", "multiple_of"),
}
_PLAIN: Mapping[str, tuple[str, str]] = {
    "extra_forbidden": ("no field of this name belongs here", "remove it, or look at its spelling"),
    "missing": ("this field is missing", "add the field"),
    "string_type": ("a text is needed here", "put the value in quotes"),
    "float_type": ("a number is needed here", "write a number, without quotes and without a unit"),
    "int_type": ("a whole number is needed here", "write a whole number, without quotes and without a unit"),
    "int_from_float": ("a whole number is needed here", "write a whole number, without a point"),
    "bool_type": ("true or false is needed here", "write true or false, without quotes"),
    "finite_number": ("a finite number is needed here", "write the number that was measured, or that is planned"),
    "tuple_type": ("a list is needed here", "begin each entry with '- ' on a line of its own"),
    "union_tag_not_found": (
        "it is not said which driver these modules have",
        "add 'driver: etsi014' or 'driver: key-files'",
    ),
    "union_tag_invalid": ("there is no such driver", "use 'etsi014' or 'key-files', or leave modules out for a twin"),
    "model_attributes_type": ("fields are needed here", "write each as 'field: value' on a line of its own"),
    "model_type": ("fields are needed here", "write each as 'field: value' on a line of its own"),
}


def worded(fault: ErrorDetails, faults: Sequence[ErrorDetails], whole: type[BaseModel]) -> tuple[str, str]:
    """Return (message, remedy) of a fault; ``faults`` are all of the file: a misspelt field is missing elsewhere.

    ``whole`` is what the file describes: an unknown field is held against those that its place has.
    """
    kind, facts = fault["type"], fault.get("ctx", {})
    if kind == "qanat":
        return str(facts["message"]), str(facts["remedy"])
    if kind in _BOUNDS:
        words, name = _BOUNDS[kind]
        remedy = f"give a number that is {words} {facts[name]:g}"
        if fault["loc"][-1] == "length_km" and kind == "less_than_equal":
            remedy = f"give kilometres, at most {facts[name]:g}; {fault['input']:g} metres are {fault['input'] / 1e3:g}"
        return f"{fault['input']!r} is not {words} {facts[name]:g}", remedy
    if kind in ("float_type", "int_type") and (number := with_exponent(fault["input"])):
        words = f"{fault['input']!r} is a text in YAML 1.1, whose exponents have a point and a sign before them"
        return words, f"write {number} or all digits, without quotes"
    if kind == "extra_forbidden":
        return _PLAIN[kind][0], _spelling(fault, faults, whole)
    if kind == "literal_error":
        return f"{_shown(fault['input'])} is not {facts['expected']}", "use one of the values named"
    if kind == "string_too_long":
        most = facts["max_length"]
        return f"a text of {len(fault['input'])} characters", f"use at most {most} characters"
    if kind == "too_short":
        return _too_few(fault, facts)
    # a kind that no field of ours can raise today is told in pydantic's own words
    return _PLAIN.get(kind, (fault["msg"], "compare this line with the same one of a packaged network"))


def fields_meant(fault: ErrorDetails, faults: Sequence[ErrorDetails], whole: type[BaseModel]) -> list[str]:
    """Return what an unknown field may be meant for: the field of its part that is written alike, or those missing."""
    missing = [
        str(other["loc"][-1])
        for other in faults
        if other["type"] == "missing" and other["loc"][:-1] == fault["loc"][:-1]
    ]
    return difflib.get_close_matches(str(fault["loc"][-1]), _fields_at(whole, fault["loc"][:-1]), n=1) or missing


def _spelling(fault: ErrorDetails, faults: Sequence[ErrorDetails], whole: type[BaseModel]) -> str:
    meant = fields_meant(fault, faults, whole)
    return f"is it meant to be {' or '.join(meant)}?" if meant else _PLAIN["extra_forbidden"][1]


def _fields_at(whole: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """Return the fields of the part at ``place``; of several kinds of parts that may stand there, those of all."""
    parts = [whole]
    for name in place:
        found = [part.model_fields[str(name)].annotation for part in parts if str(name) in part.model_fields]
        parts = [part for one in found for part in _parts_in(one)] if found else parts  # a number, a name, a kind
    return [field for part in parts for field in part.model_fields]


def _parts_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the parts that a field holds: itself, or in lists, tables and choices."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _parts_in(inner)


def _too_few(fault: ErrorDetails, facts: Mapping[str, Any]) -> tuple[str, str]:
    part, least, found = _PARTS.get(str(fault["loc"][-1]), "entry"), facts["min_length"], facts["actual_length"]
    needed = f"{least} {part}s" if least > 1 else f"one {part}"
    return f"a network has at least {needed}, and this one has {found or 'none'}", f"describe another {part} here"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 64 else text[:61] + "..."

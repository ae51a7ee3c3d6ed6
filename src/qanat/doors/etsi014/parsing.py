"""Reading what an application asks: query or body into a checked request, or BadParameter that says what to change."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from qanat.doors.etsi014.extensions import NO_WISHES, Wishes, nonce_in, wishes_of
from qanat.doors.etsi014.messages import EXTENSION_PREFIX, KeyIDs, KeyRequest
from qanat.ground.errors import BadParameter
from qanat.ground.identifiers import KeyID, SaeId, canonical_key_id

SIZE_NOT_WHOLE_BYTES = "size shall be a multiple of 8"
KEYS_NOT_FOUND = "one or more keys specified are not found on KME"
"""These texts, and three of ``extensions``, are the standard's own (tables of status codes); clients compare them."""

_WHOLE_NUMBER = re.compile(r"-?[0-9]+", re.ASCII)
MAX_ID_CHARACTERS = 256
"""Longer than any id here: an SAE id of more is not looked up."""
MAX_DIGITS = 9
"""A number of more is out of every range here; what a stranger sends is not computed with at any length."""
SHORT_BODY_BYTES = 256
"""A request for keys of no more bytes is remembered as it was read."""
M = TypeVar("M", bound=BaseModel)
Query = Sequence[tuple[str, str]]
"""The names and values of a query string, decoded, in order."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What this key manager gives out; sizes in bits."""

    key_size_bits: int = 256
    min_key_size_bits: int = 8
    max_key_size_bits: int = 65_536
    max_keys_per_request: int = 128
    max_request_bits: int = 2**19
    """Number times size of one call."""
    max_additional_slaves: int = 15
    repeat_window_s: float = 300.0
    """So long a call with a nonce may be repeated."""


@dataclass(frozen=True, slots=True)
class NewKeys:
    """A checked "get key"."""

    count: int
    size_bits: int
    wishes: Wishes = NO_WISHES
    more_slaves: tuple[SaeId, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """A checked "get key with key IDs"."""

    key_ids: tuple[KeyID, ...]
    told: bool = False
    nonce: str | None = None


def key_request_of_query(query: Query, limits: Limits) -> NewKeys:
    """Return the request of GET enc_keys: nothing, or ``number`` and ``size`` at most once each (clause 5.3)."""
    numbers: dict[str, int] = {}
    for name, value in query:
        if name not in ("number", "size"):
            raise BadParameter(
                f"GET enc_keys takes the parameters number and size, not {_shown(name)}",
                remedy="send everything else in the body of a POST",
            )
        if name in numbers:
            raise BadParameter(f"{name} is given more than once", remedy="give it once")
        numbers[name] = _integer(name, value, limits)
    return _checked(numbers.get("number"), numbers.get("size"), Wishes(), limits)


def key_request_of_body(body: bytes, limits: Limits) -> NewKeys:
    """Return the request of POST enc_keys; no body at all asks for one key of the usual size."""
    return _short_request(body, limits) if len(body) <= SHORT_BODY_BYTES else _request(body, limits)


def _request(body: bytes, limits: Limits) -> NewKeys:
    if not body.strip():
        return NewKeys(1, limits.key_size_bits)
    request = parsed(KeyRequest, body)
    _require_single_names(body)
    more_slaves = _more_slaves(request.additional_slaves or (), limits)
    wishes = wishes_of(request.extension_mandatory, request.extension_optional)
    return _checked(request.number, request.size, wishes, limits, more_slaves)


_short_request = functools.lru_cache(maxsize=256)(_request)
"""An encryptor asks with the same few bytes for years. What is refused is read anew each time."""


def key_ids_of_query(query: Query) -> KnownKeys:
    """Return the request of GET dec_keys: exactly one ``key_ID`` (clause 5.4)."""
    if len(query) != 1 or query[0][0] != "key_ID":
        raise BadParameter(
            "GET dec_keys takes exactly one key_ID and nothing else", remedy="send several ids in the body of a POST"
        )
    return KnownKeys((canonical_key_id(query[0][1]),))


def key_ids_of_body(body: bytes, limits: Limits) -> KnownKeys:
    """Return the request of POST dec_keys. Each id may be named once: a key is given once."""
    request = parsed(KeyIDs, body)
    _require_single_names(body)
    if not 1 <= len(request.key_ids) <= limits.max_keys_per_request:
        raise BadParameter(
            f"key_IDs names {len(request.key_ids)} keys", remedy=f"name 1 to {limits.max_keys_per_request} of them"
        )
    key_ids = tuple(canonical_key_id(wanted.key_id) for wanted in request.key_ids)
    if len(set(key_ids)) != len(key_ids):
        raise BadParameter("key_IDs names a key more than once", remedy="name it once: each key is given once")
    extension = request.extension or {}
    told = any(name.startswith(EXTENSION_PREFIX) for name in extension)
    return KnownKeys(key_ids, told=told, nonce=nonce_in(extension))


def parsed(model: type[M], body: bytes) -> M:
    """Return the JSON object in ``body``; raises BadParameter naming the first field that is wrong."""
    try:
        return model.model_validate_json(body)
    except ValidationError as fault:
        first = fault.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        place = f"field {_shown(where)} of the body" if where else "the body"
        raise BadParameter(
            f"{place}: {first['msg']}", remedy="send a JSON object as ETSI GS QKD 014, clause 6, defines it"
        ) from None


def _more_slaves(names: Sequence[str], limits: Limits) -> tuple[SaeId, ...]:
    """Return the slaves besides the one in the path; whether they exist is the key manager's to say."""
    if len(names) > limits.max_additional_slaves:
        raise BadParameter(
            f"additional_slave_SAE_IDs names {len(names)} applications",
            remedy=f"name at most {limits.max_additional_slaves}, the status's max_SAE_ID_count",
        )
    if any(len(name) > MAX_ID_CHARACTERS for name in names):
        raise BadParameter("an id in additional_slave_SAE_IDs is too long", remedy="name SAEs of this network")
    return tuple(map(SaeId, names))


def _checked(
    number: int | None, size: int | None, wishes: Wishes, limits: Limits, more_slaves: tuple[SaeId, ...] = ()
) -> NewKeys:
    count = 1 if number is None else number
    size_bits = limits.key_size_bits if size is None else size
    if not 1 <= count <= limits.max_keys_per_request:
        raise _out_of_range("number", str(count), limits)
    if size_bits > 0 and size_bits % 8:
        raise BadParameter(SIZE_NOT_WHOLE_BYTES)
    if not limits.min_key_size_bits <= size_bits <= limits.max_key_size_bits:
        raise _out_of_range("size", str(size_bits), limits)
    if count * size_bits > limits.max_request_bits:
        raise BadParameter(
            f"{count} keys of {size_bits} bits are too much for one call",
            remedy=f"ask for at most {limits.max_request_bits // size_bits} keys of this size at a time",
        )
    return NewKeys(count, size_bits, wishes, more_slaves)


def _integer(name: str, text: str, limits: Limits) -> int:
    if not _WHOLE_NUMBER.fullmatch(text):
        raise BadParameter(f"{name} is {_shown(text)}", remedy="give a whole number in decimal digits")
    if len(text) > MAX_DIGITS:
        raise _out_of_range(name, text, limits)
    return int(text)


def _out_of_range(name: str, digits: str, limits: Limits) -> BadParameter:
    shown = digits if len(digits) <= 24 else f"{digits[:21]}..."
    if name == "number":
        return BadParameter(f"number is {shown}", remedy=f"ask for 1 to {limits.max_keys_per_request} keys at a time")
    least, most = limits.min_key_size_bits, limits.max_key_size_bits
    return BadParameter(f"size is {shown} bits", remedy=f"ask for {least} to {most} bits")


def _require_single_names(body: bytes) -> None:
    """Raise BadParameter when an object in a body, which is known to be JSON, has a name twice.

    Readers of JSON differ in which of the two counts (RFC 8259, section 4), so a proxy may have seen another request.
    """

    def check(pairs: list[tuple[str, object]]) -> None:
        names = [name for name, _ in pairs]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise BadParameter(f"{_shown(twice)} is given more than once in the body", remedy="give it once")

    # numbers stay texts: only names are looked at
    text = body.decode("utf-8", "replace")
    json.loads(text, strict=False, object_pairs_hook=check, parse_int=str, parse_float=str)


def _shown(text: str) -> str:
    """Return a stranger's text as it may stand in an answer: short and quoted."""
    return repr(text if len(text) <= 64 else text[:61] + "...")

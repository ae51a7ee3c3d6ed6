"""The ETSI GS QKD 014 door over HTTP: paths, methods and bodies in, answers out, the schema at ``/openapi.json``.

A plain ASGI application: a framework would take longer over a request than the door does. FastAPI makes the schema.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from qanat.adapters.http_server import PEER
from qanat.doors.etsi014 import Answer, Etsi014Door, Limits
from qanat.doors.etsi014.encoding import plain_error

MAX_BODY_BYTES = 256 * 1024
"""Far more than the longest legal request; a longer body is answered by 413."""
SCHEMA_PATH = "/openapi.json"
NO_PATH = "no such path; a door has /api/v1/keys/{SAE_ID}/status, .../enc_keys and .../dec_keys"
NO_METHOD = "this path does not take this method; status: GET; enc_keys and dec_keys: GET or POST"
TOO_LONG = f"the body is longer than {MAX_BODY_BYTES} bytes; ask for fewer keys at a time"
CUT_SHORT = "the connection ended before the body did"
OWN_SLIP = "the key manager made a mistake; its log has the details"

_PATH = re.compile(r"/api/v1/keys/(.*)/(status|enc_keys|dec_keys)", re.DOTALL)

SLAVES = "qanat.slaves"
"""Where the scope says, once a request is answered by keys, which applications they are for besides the master."""
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
QueryCall = Callable[[str | None, str, list[tuple[str, str]]], Awaitable[Answer]]
BodyCall = Callable[[str | None, str, bytes], Awaitable[Answer]]
Call = Callable[[Scope, str, Receive], Awaitable[Answer]]
"""Answers a request whose path names this SAE ID."""


class DoorApp:
    """The application of one door. The caller's identity is ``PEER`` of the scope."""

    def __init__(self, door: Etsi014Door) -> None:
        self._calls: Mapping[str, Mapping[str, Call]] = {
            "status": {"GET": _plain(door.get_status)},
            "enc_keys": {"GET": _by_query(door.get_key_by_query), "POST": _by_body(door.get_key_by_body)},
            "dec_keys": {
                "GET": _by_query(door.get_key_with_id_by_query),
                "POST": _by_body(door.get_key_with_ids_by_body),
            },
        }
        self._limits = door.limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. A slip of ours is answered too, then raised, so that the server logs it."""
        try:
            answer = await self._answer(scope, receive)
        except BaseException as slip:
            if isinstance(slip, Exception):  # and no cancellation, to which the server has an answer of its own
                await _send(send, plain_error(503, OWN_SLIP))
            raise
        scope[SLAVES] = answer.slaves
        await _send(send, answer)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        method, path = scope["method"], scope["path"]
        if path == SCHEMA_PATH:
            return _schema(self._limits) if method in ("GET", "HEAD") else _no_method(("GET", "HEAD"))
        if (found := _PATH.fullmatch(path)) is None:
            return plain_error(404, NO_PATH)
        sae_id, name = found.groups()
        calls = self._calls[name]
        if (call := calls.get(method)) is None:
            return _no_method(calls)
        return await call(scope, sae_id, receive)


def etsi014_app(door: Etsi014Door) -> DoorApp:
    """Return the ASGI application of a door, for ``HttpDoor``."""
    return DoorApp(door)


@functools.lru_cache
def _schema(limits: Limits) -> Answer:
    from qanat.adapters.etsi014_schema import etsi014_openapi  # here, since few ask, and FastAPI is slow to import

    return Answer(200, json.dumps(etsi014_openapi(limits)).encode(), ((b"content-type", b"application/json"),))


def _plain(call: Callable[[str | None, str], Awaitable[Answer]]) -> Call:
    async def answer(scope: Scope, sae_id: str, _: Receive) -> Answer:
        return await call(scope[PEER], sae_id)

    return answer


def _by_query(call: QueryCall) -> Call:
    async def answer(scope: Scope, sae_id: str, _: Receive) -> Answer:
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        return await call(scope[PEER], sae_id, query)

    return answer


def _by_body(call: BodyCall) -> Call:
    """Read the body first; one that is too long is refused at once where its length is said, and at its excess else."""

    async def answer(scope: Scope, sae_id: str, receive: Receive) -> Answer:
        if _said_length(scope) > MAX_BODY_BYTES:
            return _too_long()
        body, is_more = b"", True
        while is_more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return plain_error(400, CUT_SHORT)
            body += message.get("body", b"")
            is_more = message.get("more_body", False)
            if len(body) > MAX_BODY_BYTES:
                return _too_long()
        return await call(scope[PEER], sae_id, body)

    return answer


def _said_length(scope: Scope) -> int:
    """Return the Content-Length, which the parser has seen to be a number; 0 where none is said."""
    return next((int(value) for name, value in scope["headers"] if name == b"content-length"), 0)


def _too_long() -> Answer:
    """Return 413; what is left of the body is not read, so the connection ends."""
    return _with_header(plain_error(413, TOO_LONG), b"connection", b"close")


def _no_method(methods: Mapping[str, Call] | tuple[str, ...]) -> Answer:
    """Return 405 with every method that the path takes."""
    return _with_header(plain_error(405, NO_METHOD), b"allow", ", ".join(sorted(methods)).encode())


def _with_header(answer: Answer, name: bytes, value: bytes) -> Answer:
    return Answer(answer.status, answer.body, (*answer.headers, (name, value)))


async def _send(send: Send, answer: Answer) -> None:
    headers = [(b"content-length", b"%d" % len(answer.body)), *answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})

"""The ETSI GS QKD 014 door over HTTP: paths, methods and bodies in, answers out, the schema at ``/openapi.json``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match

from qanat.adapters.etsi014_schema import Endpoint, add_routes, empty_app
from qanat.adapters.http_server import PEER
from qanat.doors.etsi014 import Answer, Etsi014Door
from qanat.doors.etsi014.encoding import plain_error

MAX_BODY_BYTES = 256 * 1024
"""Far more than the longest legal request; a longer body is answered by 413."""

QueryCall = Callable[[str | None, str, list[tuple[str, str]]], Awaitable[Answer]]
BodyCall = Callable[[str | None, str, bytes], Awaitable[Answer]]


def etsi014_app(door: Etsi014Door) -> FastAPI:
    """Return the ASGI application of a door, for ``HttpDoor``. The caller's identity is ``PEER`` of the scope."""
    app = empty_app()

    async def get_status(request: Request) -> Response:
        return _response(await door.get_status(request.scope[PEER], request.path_params["sae_id"]))

    endpoints: dict[str, Endpoint] = {
        "get_status": get_status,
        "get_enc_keys": _by_query(door.get_key_by_query),
        "post_enc_keys": _by_body(door.get_key_by_body),
        "get_dec_keys": _by_query(door.get_key_with_id_by_query),
        "post_dec_keys": _by_body(door.get_key_with_ids_by_body),
    }
    add_routes(app, endpoints, door.limits)
    app.add_exception_handler(HTTPException, _http_fault)
    app.add_exception_handler(Exception, _own_slip)
    return app


def _by_query(call: QueryCall) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        query = parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        return _response(await call(request.scope[PEER], request.path_params["sae_id"], query))

    return endpoint


def _by_body(call: BodyCall) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = await _bounded_body(request)
        return _response(await call(request.scope[PEER], request.path_params["sae_id"], body))

    return endpoint


async def _bounded_body(request: Request) -> bytes:
    """Return the body; one that is too long is refused at once where its length is said, and at its excess else."""
    _check_length(int(request.headers.get("content-length", "0")))
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            _check_length(len(body))
    except ClientDisconnect:
        raise HTTPException(400, "the connection ended before the body did") from None
    return bytes(body)


def _check_length(num_bytes: int) -> None:
    if num_bytes > MAX_BODY_BYTES:
        raise HTTPException(413, f"the body is longer than {MAX_BODY_BYTES} bytes; ask for fewer keys at a time")


def _response(answer: Answer) -> Response:
    response = Response(answer.body, answer.status)
    response.raw_headers.extend(answer.headers)
    return response


async def _http_fault(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    texts = {
        404: "no such path; a door has /api/v1/keys/{SAE_ID}/status, .../enc_keys and .../dec_keys",
        405: "this path does not take this method; status: GET; enc_keys and dec_keys: GET or POST",
    }
    response = _response(plain_error(fault.status_code, texts.get(fault.status_code, fault.detail)))
    response.headers.update(fault.headers or {})
    if fault.status_code == 405:
        response.headers["allow"] = ", ".join(_methods(request))
    if fault.status_code == 413:
        response.headers["connection"] = "close"  # what is left of the body is not read
    return response


def _methods(request: Request) -> list[str]:
    """Return every method that the request's path takes: each is a route of its own, and the first one answered."""
    matching = (route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE)
    return sorted({method for route in matching for method in route.methods})


async def _own_slip(_: Request, __: Exception) -> Response:
    # The server raises it again after this answer, so the log has it; the caller learns only whose fault it is.
    return _response(plain_error(503, "the key manager made a mistake; its log has the details"))

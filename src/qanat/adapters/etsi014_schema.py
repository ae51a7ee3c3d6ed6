"""The published schema of the ETSI GS QKD 014 door (OpenAPI 3.1): FastAPI makes it of our models and of what is said
here. ``qanat openapi etsi014`` prints it, every door serves it at ``/openapi.json``. Requests never come here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from qanat.doors.etsi014 import Limits
from qanat.doors.etsi014.extensions import READERS
from qanat.doors.etsi014.messages import Error, KeyContainer, KeyIDs, KeyRequest, Status

Schema = dict[str, Any]

PATH = "/api/v1/keys/{sae_id}/"
_TEXTS = {
    400: "the request is wrong; the message says what to change",
    401: "the caller may not have this",
    503: "the key manager cannot, for now; Retry-After says when to ask again, where that is known",
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": text} for status, text in _TEXTS.items()
}
_TOO_LONG: dict[int | str, dict[str, Any]] = {413: {"model": Error, "description": "the body is longer than 256 KiB"}}


def _empty_app() -> FastAPI:
    """Return an application without routes, which names the interface."""
    return FastAPI(
        title="ETSI GS QKD 014 key delivery",
        version="1.1.1",
        description="Key delivery after ETSI GS QKD 014 V1.1.1, over mutual TLS. The caller is the SAE that the "
        "client certificate proves. Optional extensions of Qanat: " + ", ".join(sorted(READERS)) + ".",
        docs_url=None,  # the interactive pages would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )


def etsi014_openapi(limits: Limits) -> Schema:
    """Return the schema of a door with these limits."""

    async def unserved(_: Request) -> Response:
        raise NotImplementedError("this application is there for its schema")

    app = _empty_app()
    for name, declare in OPERATIONS.items():
        method, call = name.split("_", 1)
        extra, answer = declare(limits), Status if call == "status" else KeyContainer
        app.add_api_route(
            PATH + call,
            unserved,
            methods=[method.upper()],
            operation_id=name,
            summary=_SUMMARIES[call],
            response_model=None,
            responses={
                200: {"model": answer, "description": "done"},
                **_ERRORS,
                **(_TOO_LONG if "requestBody" in extra else {}),
            },
            openapi_extra=extra,
        )
    return app.openapi()


_SUMMARIES = {
    "status": "what the caller, as master, has in stock with the slave",
    "enc_keys": "fresh keys for the caller, as master, and the slave",
    "dec_keys": "for the caller, as slave, the keys that the master was given",
}


def _status(_: Limits) -> Schema:
    return {"parameters": [_path_id("slave")]}


def _enc_keys_by_query(limits: Limits) -> Schema:
    return {
        "parameters": [
            _path_id("slave"),
            _query("number", _number(limits), "number of keys, 1 by default"),
            _query("size", _size(limits), "bits per key; key_size of the status by default"),
        ]
    }


def _enc_keys_by_body(limits: Limits) -> Schema:
    schema = _schema_of(KeyRequest)
    fields = schema["properties"]
    fields["number"] |= _or_null(_number(limits))
    fields["size"] |= _or_null(_size(limits))
    fields["additional_slave_SAE_IDs"] |= _or_null(
        {"type": "array", "maxItems": limits.max_additional_slaves, "items": {"type": "string", "maxLength": 256}}
    )
    fields["size"]["description"] += f"; number times size is at most {limits.max_request_bits}"
    return {"parameters": [_path_id("slave")], "requestBody": _body(schema, required=False)}


def _dec_keys_by_query(_: Limits) -> Schema:
    key_id = {"type": "string", "format": "uuid"}
    return {"parameters": [_path_id("master"), _query("key_ID", key_id, "id of the key", required=True)]}


def _dec_keys_by_body(limits: Limits) -> Schema:
    schema = _schema_of(KeyIDs)
    ids = schema["properties"]["key_IDs"]
    ids |= {"minItems": 1, "maxItems": limits.max_keys_per_request, "uniqueItems": True}
    ids["items"]["properties"]["key_ID"]["format"] = "uuid"
    return {"parameters": [_path_id("master")], "requestBody": _body(schema, required=True)}


OPERATIONS: Mapping[str, Callable[[Limits], Schema]] = {
    "get_status": _status,
    "get_enc_keys": _enc_keys_by_query,
    "post_enc_keys": _enc_keys_by_body,
    "get_dec_keys": _dec_keys_by_query,
    "post_dec_keys": _dec_keys_by_body,
}
"""Operation (method and call) -> what its schema says beyond its answers."""


def _path_id(whose: str) -> Schema:
    schema = {"type": "string", "minLength": 1, "maxLength": 256}
    return {"name": "sae_id", "in": "path", "required": True, "description": f"id of the {whose} SAE", "schema": schema}


def _query(name: str, schema: Schema, description: str, *, required: bool = False) -> Schema:
    return {"name": name, "in": "query", "required": required, "description": description, "schema": schema}


def _number(limits: Limits) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": limits.max_keys_per_request}


def _size(limits: Limits) -> Schema:
    low, high = limits.min_key_size_bits, limits.max_key_size_bits
    return {"type": "integer", "minimum": low, "maximum": high, "multipleOf": 8}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _body(schema: Schema, *, required: bool) -> Schema:
    return {"required": required, "content": {"application/json": {"schema": schema}}}


def _schema_of(model: type[KeyRequest] | type[KeyIDs]) -> Schema:
    schema = model.model_json_schema(mode="validation")
    inlined: Schema = _inlined(schema, schema.pop("$defs", {}))
    return inlined


def _inlined(schema: Any, definitions: Schema) -> Any:
    """Return a JSON schema with its references replaced by what they name; ours do not recur."""
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return {} if name == "JsonValue" else _inlined(definitions[name], definitions)
    return {key: _inlined(part, definitions) for key, part in schema.items()}

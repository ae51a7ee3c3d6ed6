"""Writing answers: the hot path, so bytes are put together by hand where nothing in them needs escaping."""

from __future__ import annotations

import json
import math
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from qanat.doors.etsi014.extensions import MANDATORY_UNMET, READERS, OddValue
from qanat.doors.etsi014.parsing import KEYS_NOT_FOUND, Limits
from qanat.ground.errors import (
    BadParameter,
    KeyNotFound,
    KeyShortage,
    NoRoute,
    NotEntitled,
    QanatError,
    RequestError,
    RequirementUnmet,
)
from qanat.ground.events import Json
from qanat.ground.identifiers import EventId, NodeId, SaeId
from qanat.ground.keys import KeyStatus, SecretKey

COUNTER_MAX = 2**31 - 1
"""A client in C keeps the counters of a status in signed 32 bits."""

HEADERS = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer before it meets HTTP: status code, body, headers without the length. The body may hold keys, and
    ``slaves`` then names the applications that they are for besides the master (``slaves_together``)."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = HEADERS
    slaves: SaeId | None = None

    def __repr__(self) -> str:
        return f"<Answer {self.status}, {len(self.body)} bytes>"


def status_answer(status: KeyStatus, limits: Limits) -> Answer:
    """Return the Status object (clause 6.1); its extension says which of our extensions are understood."""
    fields: dict[str, Json] = {
        "source_KME_ID": status.source_kme,
        "target_KME_ID": status.target_kme,
        "master_SAE_ID": status.master,
        "slave_SAE_ID": status.slave,
        "key_size": status.key_size_bits,
        "stored_key_count": min(status.stored_key_count, status.max_key_count, COUNTER_MAX),
        "max_key_count": min(status.max_key_count, COUNTER_MAX),
        "max_key_per_request": status.max_keys_per_request,
        "max_key_size": status.max_key_size_bits,
        "min_key_size": status.min_key_size_bits,
        "max_SAE_ID_count": status.max_additional_slaves,
        "status_extension": {
            "qanat_extensions": sorted(READERS),
            "qanat_nonce_s": limits.repeat_window_s,
            "qanat_max_request_bits": limits.max_request_bits,
            "qanat_ready_key_count": min(status.ready_key_count, status.max_key_count, COUNTER_MAX),
            **({"qanat_refusal": status.refusal} if status.refusal else {}),
        },
    }
    return Answer(200, _json(fields))


def keys_answer(
    keys: Sequence[SecretKey], *, details: bool = False, extension: Mapping[str, Json] | None = None
) -> Answer:
    """Return the Key container (clause 6.3). The keys are taken: nothing but the answer holds them afterwards.

    Key ids and base64 hold no character that JSON escapes. ``details`` adds to each key where it came from.
    """
    told = [_details(key) for key in keys] if details else [b""] * len(keys)
    parts = [
        b'{"key_ID":"%b","key":"%b"%b}' % (key.key_id.encode(), b2a_base64(key.secret.take(), newline=False), one)
        for key, one in zip(keys, told, strict=True)
    ]
    tail = b',"key_container_extension":' + _json(extension) if extension else b""
    return Answer(200, b'{"keys":[%b]%b}' % (b",".join(parts), tail), slaves=keys[0].pair.slave if keys else None)


def container_extension(
    event_id: EventId, classical_route: Sequence[NodeId], unmet: Sequence[str] = ()
) -> dict[str, Json]:
    """Return what is said about a whole container to a caller who used our extensions; ``unmet`` are optional ones
    that could not be met."""
    extension: dict[str, Json] = {"qanat_event": event_id, "qanat_classical_route": list(classical_route)}
    return {**extension, "qanat_unmet": list(unmet)} if unmet else extension


def error_answer(error: QanatError, *, told: bool = False) -> Answer:
    """Return the answer to a failure; ``told`` adds its name, what helps and the wait in our own fields.

    NoRoute is answered by 503: that no chain of relays joins the two is not the application's doing, and it may pass.
    """
    headers: tuple[tuple[bytes, bytes], ...] = HEADERS
    message = str(error)
    ours: dict[str, Json] = {"qanat_fault": type(error).__name__, "qanat_remedy": error.remedy}
    match error:
        case OddValue():  # who gave it used ours
            status, message, told = 400, error.message, True
            ours["qanat_fault"] = BadParameter.__name__
        case KeyNotFound():
            status, message = 400, KEYS_NOT_FOUND
        case RequirementUnmet():
            status, message = 400, MANDATORY_UNMET
        case NotEntitled():
            status = 401
        case KeyShortage():
            status = 503
            headers = (*HEADERS, (b"retry-after", b"%d" % max(1, math.ceil(error.retry_after_s))))
            ours["qanat_retry_after_s"] = error.retry_after_s
        case RequestError() if not isinstance(error, NoRoute):
            status = 400
        case _:
            status = 503
    return Answer(status, _json({"message": message, **(ours if told else {})}), headers)


def plain_error(status: int, message: str) -> Answer:
    """Return an Error object for what HTTP itself refuses (paths, methods, lengths) and for slips of our own."""
    return Answer(status, _json({"message": message}))


def _details(key: SecretKey) -> bytes:
    fields: dict[str, Json] = {
        "qanat_route": list(key.route),
        "qanat_origin": key.origin,
        "qanat_created_utc_s": key.created_utc_s,
        "qanat_qkd_bits_spent": key.qkd_bits_spent,
        "qanat_record": cast(Json, key.record.to_json()),
    }
    return b',"key_extension":' + _json(fields)


def _json(fields: Mapping[str, Json]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()

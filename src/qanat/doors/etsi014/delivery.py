"""The other side of the door: how a client words its requests and reads the answers. Pure, like the door itself."""

from __future__ import annotations

import binascii
import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, JsonValue

from qanat.doors.etsi014.extensions import MANDATORY_UNMET, Wishes
from qanat.doors.etsi014.messages import Error, Key, KeyContainer, Status
from qanat.doors.etsi014.parsing import KEYS_NOT_FOUND, parsed
from qanat.ground.errors import (
    BadParameter,
    KeyManagementError,
    KeyNotFound,
    KeyShortage,
    LinkFailed,
    NodeSilent,
    NoDirectLink,
    NoRoute,
    NotEntitled,
    PeerProtocolError,
    QanatError,
    RequirementUnmet,
    UnknownNode,
)
from qanat.ground.events import Json
from qanat.ground.identifiers import EventId, KeyID, NodeId, SaeId, SaePair, canonical_key_id
from qanat.ground.keys import KeyRecord, KeyStatus, Origin, SecretBytes, SecretKey
from qanat.ground.requirements import Requirements

_PATH_CHARACTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:")
"""What may stand for itself in a part of a path (RFC 3986, section 3.3; we encode more than we must)."""
M = TypeVar("M", bound=BaseModel)

_FAULTS: Mapping[str, type[QanatError]] = {
    fault.__name__: fault
    for fault in (BadParameter, KeyNotFound, NoDirectLink, NoRoute, NotEntitled, RequirementUnmet, UnknownNode)
}

_SHORTAGES: Mapping[str, type[KeyShortage]] = {fault.__name__: fault for fault in (LinkFailed, NodeSilent)}
"""Kinds of shortage that a key manager of ours tells apart."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Keys as a client receives them; ``event_id`` and ``classical_route`` are known of key managers of ours only."""

    keys: tuple[SecretKey, ...]
    event_id: EventId | None = None
    classical_route: tuple[NodeId, ...] = ()
    unmet: tuple[str, ...] = ()


def path(sae: SaeId, call: str) -> str:
    """Return the path of a call (``status``, ``enc_keys``, ``dec_keys``); an id is free text and is encoded."""
    encoded = "".join(chr(byte) if byte in _PATH_CHARACTERS else f"%{byte:02X}" for byte in sae.encode())
    return f"/api/v1/keys/{encoded}/{call}"


def key_request_body(*, count: int, size_bits: int, wishes: Wishes, more_slaves: Sequence[SaeId] = ()) -> bytes:
    """Return the body of POST enc_keys. Our extensions are optional ones, which other key managers pass over; but for
    what is required of the keys, which they must refuse."""
    named: dict[str, Json] = {
        "qanat_cause": wishes.cause,
        "qanat_request": wishes.request_id,
        "qanat_patience_s": wishes.patience_s,
        "qanat_details": wishes.told or None,
        "qanat_nonce": wishes.nonce,
        "qanat_priority": wishes.priority,
        **_required(wishes.prefer),
    }
    extensions: list[Json] = [{name: value} for name, value in named.items() if value is not None]
    mandatory: list[Json] = [{name: value} for name, value in _required(wishes.require).items() if value is not None]
    body: dict[str, Json] = {"number": count, "size": size_bits}
    if more_slaves:
        body["additional_slave_SAE_IDs"] = list(more_slaves)
    if mandatory:
        body["extension_mandatory"] = mandatory
    return _json({**body, "extension_optional": extensions} if extensions else body)


def key_ids_body(key_ids: Sequence[KeyID], *, nonce: str | None = None) -> bytes:
    """Return the body of POST dec_keys; asks a key manager of ours where each key came from."""
    extension: dict[str, Json] = {"qanat_details": True, **({"qanat_nonce": nonce} if nonce is not None else {})}
    return _json({"key_IDs": [{"key_ID": key_id} for key_id in key_ids], "key_IDs_extension": extension})


def nonce_window_s(body: bytes) -> float:
    """Return how long, by a status, a call with a nonce may be repeated; 0 where the key manager knows no nonces."""
    window_s = (_trusted(Status, body).status_extension or {}).get("qanat_nonce_s")
    return float(window_s) if isinstance(window_s, (int, float)) and not isinstance(window_s, bool) else 0.0


def read_status(body: bytes) -> KeyStatus:
    """Return the Status in an answer; raises PeerProtocolError."""
    status = _trusted(Status, body)
    extension = status.status_extension or {}
    ready, refusal = extension.get("qanat_ready_key_count"), extension.get("qanat_refusal")
    return KeyStatus(
        source_kme=status.source_kme,
        target_kme=status.target_kme,
        master=SaeId(status.master),
        slave=SaeId(status.slave),
        key_size_bits=status.key_size,
        min_key_size_bits=status.min_key_size,
        max_key_size_bits=status.max_key_size,
        stored_key_count=status.stored_key_count,
        max_key_count=status.max_key_count,
        max_keys_per_request=status.max_key_per_request,
        max_additional_slaves=status.max_additional_slaves,
        ready_key_count=ready if isinstance(ready, int) and not isinstance(ready, bool) and ready > 0 else 0,
        refusal=refusal if isinstance(refusal, str) else "",
    )


def read_keys(body: bytes, pair: SaePair) -> Delivery:
    """Return the keys in an answer; raises PeerProtocolError.

    What a foreign key manager does not tell is empty or zero; its keys count as a twin's, since nobody said that
    devices made them.
    """
    container = _trusted(KeyContainer, body)
    extension = container.key_container_extension or {}
    event, route = extension.get("qanat_event"), extension.get("qanat_classical_route")
    return Delivery(
        keys=tuple(_secret_key(key, pair) for key in container.keys),
        event_id=EventId(event) if isinstance(event, str) else None,
        classical_route=_nodes(route),
        unmet=_nodes(extension.get("qanat_unmet")),
    )


def read_error(status: int, body: bytes, *, retry_after: str | None = None) -> QanatError:
    """Return the failure that an answer with another code than 200 tells, as an error of our tree."""
    try:
        error = parsed(Error, body)
    except BadParameter:
        error = Error(message=f"the key manager answered {status} without an Error object")
    what, remedy = error.message, error.qanat_remedy or ""
    remedy = remedy or _in_last_parentheses(what)
    message = f"the key manager answered {status}: {what.removesuffix(f' ({remedy})')}"
    if (fault := _FAULTS.get(error.qanat_fault or "")) is not None:
        return fault(message, remedy=remedy)
    match status:
        case 400 if error.message == MANDATORY_UNMET:
            return RequirementUnmet(message, remedy="require less of the keys")
        case 400 if error.message == KEYS_NOT_FOUND:
            return KeyNotFound(message, remedy="ask for each key once, at the slave's key manager, naming its master")
        case 400:
            return BadParameter(message, remedy=remedy)
        case 401:
            return NotEntitled(message, remedy=remedy)
        case 503 if error.qanat_retry_after_s is not None:
            shortage = _SHORTAGES.get(error.qanat_fault or "", KeyShortage)
            return shortage(message, remedy=remedy, retry_after_s=error.qanat_retry_after_s)
        case 503 if retry_after is not None and retry_after.isdecimal():
            return KeyShortage(message, remedy=remedy, retry_after_s=float(retry_after))
        case 503:
            return KeyManagementError(message, remedy=remedy)
        case _:
            message = f"the key manager answered {status}: {what}"
            return PeerProtocolError(message, remedy="check that the address is a key manager's ETSI GS QKD 014 door")


def _in_last_parentheses(words: str) -> str:
    """Return what stands in parentheses at the end: so a key manager of ours ends its words to who uses no extension of
    ours. Empty where nothing does."""
    depth = 0
    for at in range(len(words) - 1, 0, -1) if words.endswith(")") else ():
        depth += (words[at] == ")") - (words[at] == "(")
        if not depth:
            return words[at + 1 : -1] if words[at - 1] == " " else ""
    return ""


def _required(require: Requirements) -> dict[str, Json]:
    """Return requirements as extensions; None for what is not asked."""
    return {
        "qanat_max_age_s": require.max_age_s,
        "qanat_max_hops": require.max_hops,
        "qanat_multipath": require.disjoint_routes if require.disjoint_routes > 1 else None,
        "qanat_far_side_ready": require.far_side_ready or None,
        "qanat_avoid": sorted(require.policy.avoid) or None,
        "qanat_domestic_only": require.policy.domestic_only or None,
        "qanat_direct_only": require.policy.direct_only or None,
        "qanat_route": require.measure,
    }


def _secret_key(key: Key, pair: SaePair) -> SecretKey:
    try:
        secret = SecretBytes(b64decode(key.key, validate=True))
        key_id = canonical_key_id(key.key_id)
    except (binascii.Error, BadParameter):
        raise PeerProtocolError("the key manager sent a key that is no base64, or an id that is no UUID") from None
    told = key.key_extension or {}
    created_utc_s, spent = told.get("qanat_created_utc_s"), told.get("qanat_qkd_bits_spent")
    origin: Origin = "device" if told.get("qanat_origin") == "device" else "twin"
    try:
        return SecretKey(
            key_id=key_id,
            pair=pair,
            secret=secret,
            route=_nodes(told.get("qanat_route")),
            origin=origin,
            created_utc_s=float(created_utc_s) if isinstance(created_utc_s, (int, float)) else 0.0,
            qkd_bits_spent=spent if isinstance(spent, int) else 0,
            full_record=_record_of_shares(told.get("qanat_record")),
        )
    except ValueError as fault:
        raise PeerProtocolError(f"the key manager's word on where a key came from is torn: {fault}") from None


def _record_of_shares(told: JsonValue) -> KeyRecord | None:
    """Return the record of a key that came in shares; of others it follows from the rest."""
    record = KeyRecord.from_json(told) if told is not None else None
    return record if record is not None and len(record.routes) > 1 else None


def _nodes(value: JsonValue) -> tuple[NodeId, ...]:
    return tuple(NodeId(name) for name in value if isinstance(name, str)) if isinstance(value, list) else ()


def _trusted(model: type[M], body: bytes) -> M:
    try:
        return parsed(model, body)
    except BadParameter as fault:
        raise PeerProtocolError(
            f"the key manager's answer is not as the standard has it: {fault.message}",
            remedy="check that the address is a key manager's ETSI GS QKD 014 door",
        ) from None


def _json(fields: Mapping[str, Json]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()

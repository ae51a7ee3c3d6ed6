"""Our cases against the statements of ETSI GS QKD 014: calls over real mutual TLS, and what must come of them. Data only.

Site a serves alice and anna, site b bob, site c carol; r is the relay between them. Every step says who calls, what,
and what is answered. ``$ids`` in a body stands for the ids of the keys that were given last, ``$bob`` for bob's SAE ID.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Method = Literal["GET", "POST", "PUT", "DELETE", "PATCH"]
UNKNOWN_ID = "00000000-0000-4000-8000-00000000dead"
NOT_FOUND = "one or more keys specified are not found on KME"
SIZE = "size shall be a multiple of 8"
UNKNOWN = "not all extension_mandatory parameters are supported"
UNMET = "not all extension_mandatory request options could be met"
UNHANDLED = "not all extension_optional request options handled"
STATUS_FIELDS = {
    **dict.fromkeys(("source_KME_ID", "target_KME_ID", "master_SAE_ID", "slave_SAE_ID"), str),
    **dict.fromkeys(("key_size", "stored_key_count", "max_key_count", "max_key_per_request"), int),
    **dict.fromkeys(("max_key_size", "min_key_size", "max_SAE_ID_count"), int),
}


@dataclass(frozen=True)
class Step:
    """A call and its answer. ``keys`` is how many of which size; ``same``: they are those given last, to the byte."""

    by: str
    method: Method
    call: str
    of: str
    status: int = 200
    query: str = ""
    body: Any = None
    message: str | None = None
    keys: tuple[int, int] | None = None
    same: bool = False
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Handshake:
    """A connection by ``who`` with TLS of at most ``version``; ``accepted`` or not."""

    who: Literal["alice", "nobody", "stranger"]
    version: Literal["1.1", "1.2", "1.3"]
    accepted: bool


@dataclass(frozen=True)
class Case:
    """Steps in order that show that the ``statements`` hold."""

    name: str
    statements: tuple[str, ...]
    title: str
    steps: tuple[Step | Handshake, ...]


def post(body: Any = None, *, by: str = "alice", of: str = "bob", **expect: Any) -> Step:
    if expect.get("status", 200) == 200:
        expect.setdefault("keys", (1, 256))
    return Step(by, "POST", "enc_keys", of, body=body, **expect)


def get(query: str = "", *, by: str = "alice", of: str = "bob", **expect: Any) -> Step:
    if expect.get("status", 200) == 200:
        expect.setdefault("keys", (1, 256))
    return Step(by, "GET", "enc_keys", of, query=query, **expect)


def fetch(*, by: str = "bob", of: str = "alice", body: Any = "$ids", status: int = 200, **expect: Any) -> Step:
    return Step(by, "POST", "dec_keys", of, body=body, status=status, same=status == 200, **expect)


def fetch_one(query: str = "key_ID=$id", *, by: str = "bob", of: str = "alice", status: int = 200, **more: Any) -> Step:
    return Step(by, "GET", "dec_keys", of, query=query, status=status, same=status == 200, **more)


def status(*, by: str = "alice", of: str = "bob", **expect: Any) -> Step:
    return Step(by, "GET", "status", of, **expect)


def bad(body: Any, message: str | None = None) -> Step:
    return post(body, status=400, message=message)


def case(name: str, statements: str, title: str, *steps: Step | Handshake) -> Case:
    return Case(name, tuple(statements.split()), title, steps)


def _connection() -> Iterator[Case]:
    for version in ("1.2", "1.3"):
        yield case(f"C-tls-{version}", "https tls-1.2 mutual", f"TLS {version} with a good certificate is accepted",
                   Handshake("alice", version, accepted=True))  # fmt: skip
    yield case("C-tls-1.1", "tls-1.2", "TLS 1.1 is refused", Handshake("alice", "1.1", accepted=False))
    yield case("C-nobody", "mutual", "no certificate: no answer", Handshake("nobody", "1.3", accepted=False))
    yield case("C-stranger", "mutual", "another authority's certificate: no answer",
               Handshake("stranger", "1.3", accepted=False))  # fmt: skip
    yield case("C-stranger-1.2", "mutual", "the same by TLS 1.2", Handshake("stranger", "1.2", accepted=False))
    yield case("C-identity", "sae-by-certificate kme-by-certificate status-given",
               "the certificate makes the master, the site's name is the source's",
               status(fields={"master_SAE_ID": "$alice", "source_KME_ID": "$kme-a"}),
               status(by="anna", fields={"master_SAE_ID": "$anna"}),
               status(by="bob", of="alice", fields={"master_SAE_ID": "$bob", "source_KME_ID": "$kme-b"}))  # fmt: skip
    yield case("C-wrong-site", "keys-unauthorized sae-by-certificate", "another site's SAE gets 401 with an Error",
               Step("bob@a", "POST", "enc_keys", "carol", status=401))  # fmt: skip
    yield case("C-wrong-site-status", "status-refused", "and for a status too",
               Step("bob@a", "GET", "status", "carol", status=401))  # fmt: skip
    yield case("C-wrong-site-fetch", "only-named-slaves", "and for keys by ID",
               Step("bob@a", "POST", "dec_keys", "alice", body=_ids(UNKNOWN_ID), status=401))  # fmt: skip
    yield case("C-claimed", "sae-by-certificate", "an SAE ID in a header or a body moves nobody",
               post({"master_SAE_ID": "$bob", "SAE_ID": "$bob"}), fetch())  # fmt: skip
    yield case("P-encoded", "unique-ids path", "an SAE ID in the path may be URL-encoded",
               post(of="%bob"), fetch(of="%alice"))  # fmt: skip
    yield case("P-unknown", "path error", "another path is 404 with an Error", Step("alice", "GET", "keys", "bob", 404))
    yield case("P-root", "path", "so is a path outside", Step("alice", "GET", "/", "", 404))
    yield case("P-version", "path", "and another version", Step("alice", "GET", "/api/v2/keys/x/status", "", 404))
    for method in ("PUT", "DELETE", "PATCH"):
        for call in ("enc_keys", "dec_keys", "status"):
            yield case(f"M-{method.lower()}-{call}", "methods error", f"{method} {call} is 405",
                       Step("alice", method, call, "bob", 405))  # fmt: skip
    yield case("M-post-status", "methods", "POST status is 405", Step("alice", "POST", "status", "bob", 405, body={}))


def _status() -> Iterator[Case]:
    yield case("S-fields", "status-fields status-given", "every field, with its type", status(fields=STATUS_FIELDS))
    yield case("S-ends", "status-given", "both ends by their IDs",
               status(of="carol", fields={"slave_SAE_ID": "$carol", "target_KME_ID": "$kme-c"}))  # fmt: skip
    yield case("S-same-site", "status-given", "a slave at the same site",
               status(of="anna", fields={"target_KME_ID": "$kme-a"}))  # fmt: skip
    yield case(
        "S-extension", "status-extension", "the extension is an object", status(fields={"status_extension": dict})
    )
    yield case("S-multicast", "multicast-limit", "further slaves are possible", status(fields={"max_SAE_ID_count": 15}))
    yield case("S-limits", "status-truth", "the limits named",
               status(fields={"min_key_size": 8, "max_key_size": 65_536, "max_key_per_request": 128}))  # fmt: skip
    yield case("S-unknown", "status-refused error", "an unknown slave is 400", status(of="?nobody", status=400))
    yield case("S-self", "status-refused", "oneself as slave is 400", status(of="alice", status=400))
    yield case("S-long", "status-refused", "an ID of 300 characters is 400", status(of="?" + "x" * 300, status=400))


def _amounts() -> Iterator[Case]:
    for size in (8, 16, 64, 72, 128, 192, 256, 352, 1000, 1024, 2048, 4096, 65_536):
        yield case(f"K-size-{size}", "size-limits key-base64 same-keys", f"a key of {size} bits, the same at both ends",
                   post({"size": size}, keys=(1, size)), fetch())  # fmt: skip
    for size in (8, 72, 4096):
        yield case(f"K-get-size-{size}", "get-simple size-limits", f"GET with size={size}",
                   get(f"size={size}", keys=(1, size)), fetch_one())  # fmt: skip
    for size in (1, 7, 9, 63, 65, 100, 129, 257, 65_537):
        yield case(
            f"K-odd-{size}", "size-bytes", f"{size} bits are refused by the fixed text", bad({"size": size}, SIZE)
        )
    yield case("K-get-odd", "size-bytes get-simple", "by GET too", get("size=129", status=400, message=SIZE))
    for size in (0, -8, 65_544, 10**12):
        yield case(f"K-beyond-{size}", "size-limits keys-refused", f"{size} bits are out of range", bad({"size": size}))
    for number in (1, 2, 64, 128):
        yield case(f"N-{number}", "number-limit container key-id-uuid", f"{number} keys at once",
                   post({"number": number}, keys=(number, 256)), fetch())  # fmt: skip
    yield case("N-get-3", "get-simple", "GET with number=3", get("number=3", keys=(3, 256)), fetch())
    yield case("N-get-both", "get-simple", "GET with number and size", get("number=2&size=128", keys=(2, 128)), fetch())
    for number in (0, -1, 129, 10**9):
        yield case(
            f"N-beyond-{number}", "number-limit keys-refused", f"number {number} is refused", bad({"number": number})
        )
        yield case(f"N-get-beyond-{number}", "number-limit", "by GET too", get(f"number={number}", status=400))
    yield case("N-times-size", "keys-refused", "more bits than one call gives are refused",
               bad({"number": 9, "size": 65_536}))  # fmt: skip
    yield case("N-times-size-most", "keys-given", "as many as it gives", post({"number": 64, "size": 4096}, keys=(64, 4096)),
               fetch())  # fmt: skip


def _requests() -> Iterator[Case]:
    for name, body in (("none", None), ("empty", b""), ("space", b" \r\n"), ("object", {}), ("null", {"number": None})):
        yield case(f"E-{name}", "empty-request number-default size-default", f"POST with {name}: one key of key_size",
                   post(body))  # fmt: skip
    yield case("E-get", "empty-request get-simple", "GET with nothing: one key of key_size", get())
    yield case("E-unknown", "keys-given", "an unknown field is passed over", post({"colour": "red"}))
    yield case("E-list", "keys-refused json error", "an array is refused", bad([]))
    for name, body in (
        ("text", b"number=1"), ("half", b'{"number": 1'), ("nan", b'{"number": NaN}'), ("latin", b'{"x": "\xe9"}'),
        ("twice", b'{"number": 1, "number": 2}'), ("deep", b"[" * 5000), ("null", b"null"), ("word", b'"size"'),
    ):  # fmt: skip
        yield case(f"J-{name}", "json keys-refused error", f"a body that is no JSON object of use ({name})", bad(body))
    for name, value in (("string", "1"), ("float", 1.5), ("true", True), ("list", [1]), ("object", {})):
        yield case(f"T-number-{name}", "number-default keys-refused", f"number as {name}", bad({"number": value}))
        yield case(f"T-size-{name}", "size-default keys-refused", f"size as {name}", bad({"size": value}))
    for query in ("number=1&number=2", "size=", "number=one", "key_ID=x", "number=1.0", "number=%2B1", "extra=1"):
        yield case(f"Q-{query}", "get-simple keys-refused", f"GET ?{query} is refused", get(query, status=400))
    yield case("U-unknown", "keys-refused", "an unknown slave is 400", post(of="?nobody", status=400))
    yield case("U-self", "keys-refused", "oneself as slave is 400", post(of="alice", status=400))
    yield case("U-relay", "keys-refused", "a KME is no slave", post(of="?urn:qanat:star:kme:b", status=400))
    yield case("D-distinct", "leave-the-pool key-id-uuid", "two calls give different keys", post(), post(keys=(1, 256)))
    yield case("D-same-site", "keys-given same-keys", "a slave at the same site", post(of="anna"), fetch(by="anna"))
    yield case("D-other-way", "keys-given same-keys", "the other direction",
               post(by="bob", of="alice"), fetch(by="alice", of="bob"))  # fmt: skip


def _by_id() -> Iterator[Case]:
    yield case("I-post", "known-keys-given same-keys", "POST with one ID", post(), fetch())
    yield case("I-get", "known-keys-given get-one-id", "GET with one key_ID", post(), fetch_one())
    yield case(
        "I-upper", "get-one-id key-id-uuid", "a UUID in capitals is the same one", post(), fetch_one("key_ID=$ID")
    )
    yield case("I-rotator", "get-simple get-one-id", "what a rotator of WireGuard keys asks",
               get("number=1&size=256"), fetch_one())  # fmt: skip
    yield case("I-once", "once", "asked again: not found", post(), fetch(), fetch(status=400, message=NOT_FOUND))
    yield case("I-once-get", "once", "by GET too", post(), fetch_one(), fetch_one(status=400, message=NOT_FOUND))
    yield case("I-master", "once leave-the-pool", "the master has had it", post(),
               fetch(by="alice", status=400, message=NOT_FOUND))  # fmt: skip
    yield case("I-other", "once", "the master has had it, by GET too", post(of="anna"),
               fetch_one(by="alice", status=400, message=NOT_FOUND), fetch(by="anna"))  # fmt: skip
    yield case("I-third", "only-named-slaves", "an SAE at the slave's site of another master's key",
               post(by="bob", of="anna"), fetch(by="alice", of="bob", status=401), fetch(by="anna", of="bob"))  # fmt: skip
    yield case("I-elsewhere", "all-or-nothing", "at a site where the key never came it is not found",
               post(), fetch(by="carol", status=400, message=NOT_FOUND), fetch())  # fmt: skip
    yield case("I-wrong-master", "known-keys-given all-or-nothing", "another master in the path: not found, and not spent",
               post(), fetch(of="anna", status=400, message=NOT_FOUND), fetch())  # fmt: skip
    yield case("I-slave-in-path", "known-keys-given", "the slave's own ID in the path: not found",
               post(), fetch(of="bob", status=400, message=NOT_FOUND))  # fmt: skip
    yield case("I-unknown", "all-or-nothing", "an ID that never was",
               fetch(body=_ids(UNKNOWN_ID), status=400, message=NOT_FOUND))  # fmt: skip
    yield case("I-one-missing", "all-or-nothing", "one of three missing: nothing is given, nothing is spent",
               post({"number": 2}, keys=(2, 256)), fetch(body="$ids+unknown", status=400, message=NOT_FOUND),
               fetch())  # fmt: skip
    yield case("I-twice", "ids-refused", "an ID named twice", post(), fetch(body="$ids+again", status=400), fetch())
    for name, body in (
        ("none", {"key_IDs": []}), ("absent", {}), ("string", {"key_IDs": UNKNOWN_ID}), ("no-uuid", _ids("7")),
        ("number", {"key_IDs": [{"key_ID": 7}]}), ("bare", {"key_IDs": [UNKNOWN_ID]}), ("text", b"x"), ("nothing", b""),
        ("many", _ids(*(f"00000000-0000-4000-8000-{place:012x}" for place in range(129)))),
    ):  # fmt: skip
        yield case(f"I-bad-{name}", "ids-refused error", f"malformed: {name}", fetch(body=body, status=400))
    for query in ("", "key_ID=", "key_ID=7", f"key_ID={UNKNOWN_ID}&key_ID={UNKNOWN_ID}", f"key_ID={UNKNOWN_ID}&x=1",
                  f"key_id={UNKNOWN_ID}"):  # fmt: skip
        yield case(f"I-query-{query[:12]}-{len(query)}", "get-one-id ids-refused", f"GET ?{query[:40]} is refused",
                   fetch_one(query, status=400))  # fmt: skip
    yield case(
        "I-extensions", "key-ids", "extensions beside the IDs are passed over", post(), fetch(body="$ids+extensions")
    )


def _multicast() -> Iterator[Case]:
    three = {"additional_slave_SAE_IDs": ["$carol", "$anna"]}
    yield case("A-three", "multicast same-keys", "one key for slaves at three sites, once for each",
               post(three), fetch(), fetch(by="carol"), fetch(by="anna"))  # fmt: skip
    yield case("A-once", "multicast once", "and not again", post(three), fetch(by="carol"),
               fetch(by="carol", status=400, message=NOT_FOUND), fetch())  # fmt: skip
    yield case("A-batch", "multicast", "several keys of an odd size", post({**three, "number": 5, "size": 72}, keys=(5, 72)),
               fetch(by="carol"), fetch())  # fmt: skip
    yield case("A-others", "multicast only-named-slaves", "who was not named gets 401",
               post({"additional_slave_SAE_IDs": ["$carol"]}, by="bob", of="anna"),
               fetch(by="alice", of="bob", status=401), fetch(by="anna", of="bob"), fetch(by="carol", of="bob"))  # fmt: skip
    yield case("A-none", "multicast", "an empty list names nobody", post({"additional_slave_SAE_IDs": []}), fetch())
    yield case("A-too-many", "multicast-limit", "more than max_SAE_ID_count",
               bad({"additional_slave_SAE_IDs": [f"urn:x:{place}" for place in range(16)]}))  # fmt: skip
    for name, names in (("twice", ["$carol", "$carol"]), ("path", ["$bob"]), ("self", ["$alice"]), ("unknown", ["x"])):
        yield case(
            f"A-{name}", "multicast keys-refused", f"an odd list: {name}", bad({"additional_slave_SAE_IDs": names})
        )
    for name, value in (("string", "$carol"), ("numbers", [1]), ("object", {})):
        yield case(
            f"A-type-{name}", "multicast keys-refused", f"named by {name}", bad({"additional_slave_SAE_IDs": value})
        )


def _extensions() -> Iterator[Case]:
    yield case(
        "X-unknown",
        "mandatory-unknown",
        "a foreign mandatory one",
        bad({"extension_mandatory": [{"abc_x": 1}]}, UNKNOWN),
    )
    yield case("X-unknown-2", "mandatory-unknown", "one of two is foreign",
               bad({"extension_mandatory": [{"qanat_details": True}, {"abc_x": None}]}, UNKNOWN))  # fmt: skip
    yield case("X-ours-unknown", "mandatory-unknown", "our prefix alone is not enough",
               bad({"extension_mandatory": [{"qanat_wings": True}]}, UNKNOWN))  # fmt: skip
    yield case("X-met", "mandatory-unmet", "mandatory ones of ours that are met",
               post({"extension_mandatory": [{"qanat_max_hops": 2}, {"qanat_max_age_s": 60}]}), fetch())  # fmt: skip
    for name, value in (("max_hops", 1), ("multipath", 2), ("max_hops", "two"), ("nonce", "short"), ("details", False)):
        yield case(f"X-unmet-{name}-{value}", "mandatory-unmet", f"{name} = {value} cannot be met",
                   bad({"extension_mandatory": [{f"qanat_{name}": value}]}, UNMET))  # fmt: skip
    yield case("X-optional", "optional-ignored extension-lists", "foreign optional ones, of any JSON value",
               post({"extension_optional": [{"abc_x": {"y": [None, 1.5, "z"]}}, {}]}), fetch())  # fmt: skip
    yield case("X-optional-unmet", "optional-ignored", "ours that cannot be met are passed over, and it is said",
               post({"extension_optional": [{"qanat_multipath": 2}]},
                    fields={"key_container_extension": dict}), fetch())  # fmt: skip
    yield case("X-optional-odd", "optional-refused", "ours with a senseless value",
               bad({"extension_optional": [{"qanat_patience_s": "long"}]}, UNHANDLED))  # fmt: skip
    yield case("X-far-side", "mandatory-unmet", "the far side is up", post({"extension_mandatory": [{"qanat_far_side_ready": True}]}),
               fetch())  # fmt: skip
    yield case("X-priority", "mandatory-unmet", "a priority that the application has (ours)",
               post({"extension_mandatory": [{"qanat_priority": 0}]}), fetch())  # fmt: skip
    yield case("X-priority-above", "mandatory-unmet", "one above it is refused where it is mandatory (ours)",
               bad({"extension_mandatory": [{"qanat_priority": 9}]}, UNMET))  # fmt: skip
    yield case("X-priority-optional", "optional-ignored", "and gives way where it is optional, and it is said (ours)",
               post({"extension_optional": [{"qanat_priority": 9}]}, fields={"key_container_extension": dict}), fetch())  # fmt: skip
    for value in (10, -1, 1.5, "high"):
        yield case(f"X-priority-{value}", "optional-refused", f"{value} is no priority (ours)",
                   bad({"extension_optional": [{"qanat_priority": value}]}, UNHANDLED))  # fmt: skip
    yield from _ways()
    for name, value in (("object", {"a": 1}), ("numbers", [1]), ("string", "x")):
        yield case(
            f"X-type-{name}",
            "extension-lists keys-refused",
            f"extensions as {name}",
            bad({"extension_mandatory": value}),
        )
    nonce = {"number": 2, "extension_optional": [{"qanat_nonce": "case-nonce-0001"}]}
    yield case("X-nonce", "leave-the-pool", "the same nonce: the same keys (ours)",
               post(nonce, keys=(2, 256)), post(nonce, keys=(2, 256), same=True), fetch())  # fmt: skip
    near = {"extension_optional": [{"qanat_nonce": "case-nonce-0004"}, {"qanat_max_hops": 1}]}
    yield case("X-nonce-unmet", "leave-the-pool optional-ignored", "the same where something preferred cannot be had (ours)",
               post(near), post(near, same=True), fetch())  # fmt: skip
    yield case("X-nonce-other", "keys-refused", "the same nonce, another request (ours)", post(
               {"extension_optional": [{"qanat_nonce": "case-nonce-0002"}]}),
               bad({"number": 2, "extension_optional": [{"qanat_nonce": "case-nonce-0002"}]}))  # fmt: skip
    yield case("X-nonce-fetch", "once", "the same nonce on IDs: the same keys (ours)", post(), fetch(body="$ids+nonce"),
               fetch(body="$ids+nonce"), fetch(status=400, message=NOT_FOUND))  # fmt: skip


def _ways() -> Iterator[Case]:
    """Our extensions about the way of a key; all keys between sites pass the relay r, and no site states a region."""
    for name, value in (("avoid", ["c"]), ("route", "widest"), ("route", "cheapest"), ("route", "freshest")):
        yield case(f"X-way-{name}-{value if isinstance(value, str) else value[0]}", "mandatory-unmet",
                   f"{name} = {value} can be met (ours)", post({"extension_mandatory": [{f"qanat_{name}": value}]}), fetch())  # fmt: skip
    for name, value in (
        ("avoid", ["r"]),
        ("avoid", ["a"]),
        ("avoid", ["nowhere"]),
        ("domestic_only", True),
        ("direct_only", True),
    ):
        yield case(f"X-way-unmet-{name}" + (f"-{value[0]}" if isinstance(value, list) else ""), "mandatory-unmet",
                   f"{name} = {value} cannot be met (ours)", bad({"extension_mandatory": [{f"qanat_{name}": value}]}, UNMET))  # fmt: skip
    for place, (name, value) in enumerate(
        (("avoid", []), ("avoid", "r"), ("avoid", [1]), ("domestic_only", False), ("route", "best"))
    ):
        yield case(f"X-way-odd-{place + 1}", "mandatory-unmet optional-refused", f"{name} = {value} says nothing (ours)",
                   bad({"extension_mandatory": [{f"qanat_{name}": value}]}, UNMET),
                   bad({"extension_optional": [{f"qanat_{name}": value}]}, UNHANDLED))  # fmt: skip
    yield case("X-way-optional", "optional-ignored", "what cannot be met gives way where it is optional, and it is said (ours)",
               post({"extension_optional": [{"qanat_avoid": ["r"]}, {"qanat_domestic_only": True}, {"qanat_direct_only": True}]},
                    fields={"key_container_extension": dict}), fetch())  # fmt: skip


def _ids(*names: str) -> dict[str, Any]:
    return {"key_IDs": [{"key_ID": name} for name in names]}


CASES: tuple[Case, ...] = (
    *_connection(), *_status(), *_amounts(), *_requests(), *_by_id(), *_multicast(), *_extensions(),
)  # fmt: skip

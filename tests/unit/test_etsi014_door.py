"""Every rule of ETSI GS QKD 014 V1.1.1 that the door keeps, on the pure handlers."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanat.doors.etsi014 import Answer, Etsi014Door, Limits
from qanat.doors.etsi014.delivery import key_request_body, read_error, read_status
from qanat.doors.etsi014.encoding import error_answer
from qanat.doors.etsi014.extensions import READERS, VALUES, Wishes
from qanat.doors.etsi014.parsing import key_request_of_body
from qanat.ground.errors import (
    KeyManagementError,
    KeyShortage,
    NoRoute,
    NotEntitled,
    QanatError,
    QberTooHigh,
    RequestError,
    UnknownNode,
)
from qanat.ground.identifiers import NodeId
from qanat.ground.requirements import Requirements
from qanat.ground.route_policy import RoutePolicy
from unit.etsi014_fakes import ALICE, BOB, CAROL, EVENT, KME_A, KME_B, ROUTE, FakeSupplier, faults

UUID_1 = "00000000-0000-4000-8000-000000000001"
UUID_2 = "00000000-0000-4000-8000-000000000002"
FIELDS = st.sampled_from(
    ["number", "size", "additional_slave_SAE_IDs", "extension_mandatory", "extension_optional", "key_IDs", "key_ID"]
)


@pytest.fixture
def supplier() -> FakeSupplier:
    return FakeSupplier()


@pytest.fixture
def door(supplier: FakeSupplier) -> Etsi014Door:
    return Etsi014Door(supplier, saes={ALICE, BOB, CAROL}, max_patience_s=60)


def answered(call: Awaitable[Answer]) -> tuple[int, dict[str, Any]]:
    async def wait() -> Answer:
        return await call

    answer = asyncio.run(wait())
    assert (b"content-type", b"application/json") in answer.headers
    return answer.status, json.loads(answer.body)


def post_keys(door: Etsi014Door, body: Any, *, slave: str = BOB) -> tuple[int, dict[str, Any]]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return answered(door.get_key_by_body(ALICE, slave, raw))


def post_ids(door: Etsi014Door, body: Any, *, caller: str = BOB, master: str = ALICE) -> tuple[int, dict[str, Any]]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return answered(door.get_key_with_ids_by_body(caller, master, raw))


def test_status_has_every_field_of_the_standard_and_its_type(door: Etsi014Door) -> None:
    status, body = answered(door.get_status(ALICE, BOB))
    assert status == 200
    assert body == {
        "source_KME_ID": KME_A,
        "target_KME_ID": KME_B,
        "master_SAE_ID": ALICE,
        "slave_SAE_ID": BOB,
        "key_size": 256,
        "stored_key_count": 25_000,
        "max_key_count": 100_000,
        "max_key_per_request": 128,
        "max_key_size": 65_536,
        "min_key_size": 8,
        "max_SAE_ID_count": 15,
        "status_extension": {
            "qanat_extensions": sorted(READERS),
            "qanat_max_request_bits": 2**19,
            "qanat_nonce_s": 300.0,
            "qanat_ready_key_count": 600,
        },
    }
    del body["status_extension"]
    assert all(type(value) in (str, int) for value in body.values())


def test_the_status_of_two_that_can_never_have_keys_says_why_and_is_read_back(
    door: Etsi014Door, supplier: FakeSupplier
) -> None:
    async def barred(**asked: Any) -> Any:
        return replace(await FakeSupplier().get_status(**asked), stored_key_count=0, refusal="no QKD link joins them")

    supplier.get_status = barred  # type: ignore[method-assign]
    answer = asyncio.run(_await(door.get_status(ALICE, BOB)))
    body = json.loads(answer.body)
    assert (answer.status, body["stored_key_count"], body["max_key_count"]) == (200, 0, 100_000)
    assert body["status_extension"]["qanat_refusal"] == "no QKD link joins them"
    read = read_status(answer.body)
    assert (read.refusal, read.ready_key_count) == ("no QKD link joins them", 600)


def test_counters_fit_signed_32_bits_and_stay_in_order(door: Etsi014Door, supplier: FakeSupplier) -> None:
    async def huge(**asked: Any) -> Any:
        status = await FakeSupplier().get_status(**asked)
        return type(status)(
            KME_A, KME_B, ALICE, BOB, 256, 64, 4096, stored_key_count=2**40, max_key_count=2**50, max_keys_per_request=9
        )

    supplier.get_status = huge  # type: ignore[method-assign]
    _, body = answered(door.get_status(ALICE, BOB))
    assert body["stored_key_count"] <= body["max_key_count"] == 2**31 - 1


@pytest.mark.parametrize("body", [b"", b"  \r\n", b"{}", b'{"number": null, "unknown": [1]}'])
def test_an_empty_request_asks_for_one_key_of_the_usual_size(door: Etsi014Door, body: bytes) -> None:
    status, container = post_keys(door, body)
    assert status == 200
    assert list(container) == ["keys"]
    (key,) = container["keys"]
    assert list(key) == ["key_ID", "key"]
    assert len(b64decode(key["key"], validate=True)) == 32


def test_get_asks_for_number_and_size(door: Etsi014Door) -> None:
    status, container = answered(door.get_key_by_query(ALICE, BOB, [("number", "3"), ("size", "512")]))
    assert status == 200
    assert [len(b64decode(key["key"])) for key in container["keys"]] == [64, 64, 64]
    assert len({key["key_ID"] for key in container["keys"]}) == 3


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ([("number", "1"), ("number", "2")], "more than once"),
        ([("size", "256"), ("size", "256")], "more than once"),
        ([("number", "")], "whole number"),
        ([("number", "-1")], "number is -1 (ask for 1 to 128"),
        ([("size", "-1")], "size is -1 bits (ask for 8 to 65536"),
        ([("size", "-256")], "size is -256 bits (ask for 8 to 65536"),
        ([("size", "9" * 20)], f"size is {'9' * 20} bits (ask for 8 to 65536"),
        ([("number", "1_0")], "whole number"),
        ([("number", "+1")], "whole number"),
        ([("number", "１")], "whole number"),
        ([("number", "9" * 5000)], "99... (ask for 1 to 128"),
        ([("number", "0")], "1 to 128"),
        ([("extension_mandatory", "x")], "POST"),
        ([("key_ID", UUID_1)], "POST"),
    ],
)
def test_queries_of_enc_keys_are_checked(door: Etsi014Door, query: list[tuple[str, str]], word: str) -> None:
    status, error = answered(door.get_key_by_query(ALICE, BOB, query))
    assert status == 400
    assert word in error["message"]
    assert len(error["message"]) < 300


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"size": 255}, "size shall be a multiple of 8"),
        ({"size": 65}, "size shall be a multiple of 8"),
        ({"extension_mandatory": [{"abc_unknown": 1}]}, "not all extension_mandatory parameters are supported"),
        (
            {"extension_mandatory": [{"qanat_details": True}, {"qanat_tomorrow": 1}]},
            "not all extension_mandatory parameters are supported",
        ),
        (
            {"extension_mandatory": [{"qanat_patience_s": "soon"}]},
            "not all extension_mandatory request options could be met",
        ),
        ({"extension_mandatory": [{"qanat_cause": "x"}]}, "not all extension_mandatory request options could be met"),
        ({"extension_optional": [{"qanat_patience_s": -1}]}, "not all extension_optional request options handled"),
        ({"extension_optional": [{"qanat_patience_s": True}]}, "not all extension_optional request options handled"),
        ({"extension_optional": [{"qanat_request": 7}]}, "not all extension_optional request options handled"),
    ],
)
def test_fixed_texts_of_the_standard_are_verbatim(door: Etsi014Door, body: Any, message: str) -> None:
    status, error = post_keys(door, body)
    assert (status, error.pop("message")) == (400, message)
    is_of_ours = "options" in message
    assert error.keys() == ({"qanat_fault", "qanat_remedy"} if is_of_ours else set()), "to those alone who used ours"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"number": 0}, ["number is 0", "1 to 128"]),
        ({"number": 129}, ["number is 129", "1 to 128"]),
        ({"number": -5}, ["number is -5"]),
        ({"number": "1"}, ["'number'", "integer"]),
        ({"number": 1.5}, ["'number'", "integer"]),
        ({"number": True}, ["'number'", "integer"]),
        ({"size": 65_544}, ["size is 65544", "8 to 65536"]),
        ({"size": 65_536, "number": 9}, ["9 keys of 65536 bits", "at most 8 keys"]),
        ({"size": 0}, ["size is 0"]),
        ({"size": 2**70}, ["size"]),
        ({"additional_slave_SAE_IDs": [CAROL] * 16}, ["additional_slave_SAE_IDs", "at most 15"]),
        ({"additional_slave_SAE_IDs": ["x" * 257]}, ["additional_slave_SAE_IDs", "too long"]),
        ({"extension_optional": [{"qanat_max_hops": 2}, {"qanat_max_hops": 3}]}, ["more than once"]),
        ({"additional_slave_SAE_IDs": "x"}, ["additional_slave_SAE_IDs"]),
        ({"extension_mandatory": {"a": 1}}, ["extension_mandatory"]),
        ({"extension_mandatory": [1]}, ["extension_mandatory"]),
        ([], ["the body"]),
        (None, ["the body"]),
        (b"{", ["the body"]),
        (b"\xff\xfe", ["the body"]),
        (b"[" * 100_000, ["the body"]),
        (b'{"number": 1e400}', ["number"]),
        (b'{"number": 1, "number": 2}', ["'number' is given more than once", "once"]),
        (b'{"number": 1, "extension_optional": [{"abc": 1, "abc": 2}]}', ["'abc' is given more than once"]),
        (b'{"number": 1, "x": %b, "x": 1}' % (b"7" * 4000), ["'x' is given more than once"]),
    ],
)
def test_wrong_bodies_of_enc_keys_say_what_to_change(
    door: Etsi014Door, supplier: FakeSupplier, body: Any, words: list[str]
) -> None:
    status, error = post_keys(door, body)
    assert status == 400
    assert list(error) == ["message"]
    assert all(word in error["message"] for word in words), error
    assert supplier.calls == []


def test_unknown_optional_extensions_and_empty_lists_are_passed_over(door: Etsi014Door) -> None:
    body = {
        "extension_optional": [{"abc_route": "direct"}, {}],
        "extension_mandatory": [],
        "additional_slave_SAE_IDs": [],
    }
    status, container = post_keys(door, body)
    assert status == 200
    assert list(container) == ["keys"]


def test_our_extensions_reach_the_key_manager_and_are_answered(door: Etsi014Door, supplier: FakeSupplier) -> None:
    extensions = [{"qanat_cause": UUID_1}, {"qanat_request": UUID_2, "qanat_patience_s": 12.5}]
    status, container = post_keys(door, {"number": 2, "extension_optional": extensions})
    assert status == 200
    assert supplier.calls == [
        {
            "master": ALICE,
            "slave": BOB,
            "count": 2,
            "size_bits": 256,
            "request_id": UUID_2,
            "cause": UUID_1,
            "patience_s": 12.5,
            "more_slaves": (),
            "require": Requirements(),
            "prefer": Requirements(),
            "nonce": None,
            "priority": None,
        }
    ]
    assert container["key_container_extension"] == {"qanat_event": EVENT, "qanat_classical_route": list(ROUTE)}
    assert container["keys"][0]["key_extension"] == {
        "qanat_route": list(ROUTE),
        "qanat_origin": "twin",
        "qanat_created_utc_s": 1_500_000_000.25,
        "qanat_qkd_bits_spent": 1024,
        "qanat_record": {
            "routes": [list(ROUTE)],
            "hops": 2,
            "threshold": 1,
            "pad_bits": 512,
            "authentication_bits": 512,
        },
    }


def test_patience_is_capped_and_mandatory_extensions_of_ours_are_met(door: Etsi014Door, supplier: FakeSupplier) -> None:
    assert post_keys(door, {"extension_mandatory": [{"qanat_patience_s": 3600}]})[0] == 200
    assert supplier.calls[0]["patience_s"] == 60


def test_requirements_that_are_only_preferred_give_way_and_the_answer_says_which(
    door: Etsi014Door, supplier: FakeSupplier
) -> None:
    wanted = [{"qanat_max_hops": 1}, {"qanat_multipath": 2}, {"qanat_max_age_s": 60}]
    status, container = post_keys(door, {"extension_optional": wanted})
    assert status == 200
    assert container["key_container_extension"]["qanat_unmet"] == ["qanat_multipath", "qanat_max_hops"]
    assert supplier.calls[-1]["require"] == Requirements()
    assert supplier.calls[-1]["prefer"] == Requirements(max_age_s=60.0, max_hops=1, disjoint_routes=2)
    status, error = post_keys(door, {"extension_mandatory": wanted[:1], "extension_optional": wanted[2:]})
    assert (status, error["message"]) == (400, "not all extension_mandatory request options could be met")
    status, container = post_keys(door, {"extension_mandatory": [{"qanat_max_hops": 2}]})
    assert (status, "qanat_unmet" in container["key_container_extension"]) == (200, False)


WAY = {
    "qanat_avoid": ["hefei", "nanjing"],
    "qanat_domestic_only": True,
    "qanat_direct_only": True,
    "qanat_route": "freshest",
}
ASKED_WAY = Requirements(
    policy=RoutePolicy(frozenset({NodeId("hefei"), NodeId("nanjing")}), domestic_only=True, direct_only=True),
    measure="freshest",
)


def test_wishes_for_the_way_reach_the_key_manager_required_or_preferred(
    door: Etsi014Door, supplier: FakeSupplier
) -> None:
    status, container = post_keys(door, {"extension_mandatory": [WAY]})
    assert (status, "qanat_unmet" in container["key_container_extension"]) == (200, False)
    assert (supplier.calls[-1]["require"], supplier.calls[-1]["prefer"]) == (ASKED_WAY, Requirements())
    assert post_keys(door, {"extension_optional": [{name: value} for name, value in WAY.items()]})[0] == 200
    assert (supplier.calls[-1]["require"], supplier.calls[-1]["prefer"]) == (Requirements(), ASKED_WAY)


def test_what_the_key_manager_could_not_keep_of_the_way_is_told(door: Etsi014Door, supplier: FakeSupplier) -> None:
    supplier.unmet = ("avoid", "route")
    _, container = post_keys(door, {"extension_optional": [{"qanat_max_hops": 1}, WAY]})
    assert container["key_container_extension"]["qanat_unmet"] == ["qanat_max_hops", "qanat_avoid", "qanat_route"]


@pytest.mark.parametrize(
    "odd",
    [
        *({"qanat_avoid": value} for value in (True, "hefei", [], [1], [""], ["x" * 65], ["x"] * 65, {"hefei": 1})),
        *({name: value} for name in ("qanat_domestic_only", "qanat_direct_only") for value in (False, 1, "true", None)),
        *({"qanat_route": value} for value in ("shortest", "", True, ["widest"], None, {})),
    ],
)
def test_wishes_for_the_way_that_say_nothing_are_refused(
    door: Etsi014Door, supplier: FakeSupplier, odd: dict[str, Any]
) -> None:
    for kind, text in (
        ("extension_mandatory", "not all extension_mandatory request options could be met"),
        ("extension_optional", "not all extension_optional request options handled"),
    ):
        status, error = post_keys(door, {kind: [odd]})
        assert (status, error["message"], error["qanat_fault"]) == (400, text, "BadParameter")
        (name,) = odd
        assert error["qanat_remedy"] == f"{name} is {VALUES[name]}"
    assert supplier.calls == []


def test_what_a_client_requires_and_prefers_is_what_the_door_reads() -> None:
    prefer = Requirements(max_age_s=5.0, max_hops=2, disjoint_routes=2, far_side_ready=True)
    for require, preferred in ((ASKED_WAY, prefer), (prefer, ASKED_WAY)):
        body = key_request_body(count=1, size_bits=256, wishes=Wishes(require=require, prefer=preferred))
        read = key_request_of_body(body, Limits()).wishes
        assert (read.require, read.prefer) == (require, preferred)


def test_a_call_may_have_a_priority_up_to_that_of_its_application(supplier: FakeSupplier) -> None:
    door = Etsi014Door(supplier, saes={ALICE, BOB}, priorities={ALICE: 5})
    for asked in (None, 0, 5):
        extensions = [] if asked is None else [{"qanat_priority": asked}]
        for kind in ("extension_mandatory", "extension_optional"):
            status, container = post_keys(door, {kind: extensions})
            assert status == 200
            assert supplier.calls[-1]["priority"] == asked
            assert "qanat_unmet" not in container.get("key_container_extension", {})


def test_a_priority_above_that_of_the_application_is_refused_or_gives_way_and_it_is_said(
    supplier: FakeSupplier,
) -> None:
    door = Etsi014Door(supplier, saes={ALICE, BOB}, priorities={ALICE: 5})
    status, error = post_keys(door, {"extension_mandatory": [{"qanat_priority": 6}]})
    assert (status, error["message"]) == (400, "not all extension_mandatory request options could be met")
    assert supplier.calls == []
    status, container = post_keys(door, {"extension_optional": [{"qanat_priority": 6}]})
    assert (status, supplier.calls[-1]["priority"]) == (200, 5)
    assert container["key_container_extension"]["qanat_unmet"] == ["qanat_priority"]


def test_an_application_of_which_nothing_is_said_has_the_lowest_priority(
    door: Etsi014Door, supplier: FakeSupplier
) -> None:
    status, _ = post_keys(door, {"extension_optional": [{"qanat_priority": 9}]})
    assert (status, supplier.calls[-1]["priority"]) == (200, 0)


def test_a_repeated_call_has_the_same_answer_to_the_byte(door: Etsi014Door, supplier: FakeSupplier) -> None:
    body = {"number": 3, "extension_optional": [{"qanat_nonce": "nonce-0001"}]}
    first = post_keys(door, body)
    assert first == post_keys(door, body)
    assert supplier.made == 3
    ids = [{"key_ID": key["key_ID"]} for key in first[1]["keys"]]
    fetch = {"key_IDs": ids, "key_IDs_extension": {"qanat_nonce": "nonce-0002"}}
    assert post_ids(door, fetch) == post_ids(door, fetch)
    assert post_ids(door, {"key_IDs": ids})[0] == 400
    assert post_ids(door, {"key_IDs": ids, "key_IDs_extension": {"qanat_nonce": 7}})[0] == 400


def test_a_key_is_given_once_to_each_recipient(door: Etsi014Door) -> None:
    _, given = post_keys(door, {"number": 2})
    wanted = {"key_IDs": [{"key_ID": key["key_ID"]} for key in given["keys"]]}
    assert post_ids(door, wanted) == (200, given)
    assert post_ids(door, wanted) == (400, {"message": "one or more keys specified are not found on KME"})


def test_get_dec_keys_takes_one_id(door: Etsi014Door) -> None:
    _, given = post_keys(door, {})
    query = [("key_ID", given["keys"][0]["key_ID"].upper())]
    assert answered(door.get_key_with_id_by_query(BOB, ALICE, query)) == (200, given)


def test_a_key_of_another_master_is_not_found_and_not_burnt(door: Etsi014Door) -> None:
    _, given = post_keys(door, {})
    wanted = {"key_IDs": [{"key_ID": given["keys"][0]["key_ID"]}]}
    status, error = post_ids(door, wanted, master=CAROL)
    assert (status, error["message"]) == (400, "one or more keys specified are not found on KME")
    assert post_ids(door, wanted)[0] == 200


def test_one_missing_id_spends_none(door: Etsi014Door) -> None:
    _, given = post_keys(door, {})
    known = {"key_ID": given["keys"][0]["key_ID"]}
    status, error = post_ids(door, {"key_IDs": [known, {"key_ID": UUID_2.replace("8000", "9000")}]})
    assert (status, error["message"]) == (400, "one or more keys specified are not found on KME")
    assert post_ids(door, {"key_IDs": [known]})[0] == 200


def test_another_recipient_gets_401_with_a_body(door: Etsi014Door) -> None:
    _, given = post_keys(door, {})
    status, error = post_ids(door, {"key_IDs": [{"key_ID": given["keys"][0]["key_ID"]}]}, caller=CAROL)
    assert status == 401
    assert "not for" in error["message"]


def test_unknown_fields_of_key_ids_are_ignored_and_details_come_when_asked(door: Etsi014Door) -> None:
    _, given = post_keys(door, {})
    entry = {"key_ID": given["keys"][0]["key_ID"], "key_ID_extension": "text", "more": 1}
    status, container = post_ids(door, {"key_IDs": [entry], "key_IDs_extension": {"qanat_details": True}, "x": 1})
    assert status == 200
    assert container["keys"][0]["key_extension"]["qanat_route"] == list(ROUTE)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "the body"),
        ({}, "key_IDs"),
        ({"key_IDs": []}, "1 to 128"),
        ({"key_IDs": [{"key_ID": f"00000000-0000-4000-8000-{number:012d}"} for number in range(129)]}, "1 to 128"),
        ({"key_IDs": ["x"]}, "key_IDs.0"),
        ({"key_IDs": [{"key_ID": 1}]}, "key_IDs.0.key_ID"),
        ({"key_IDs": [{"key_ID": "x"}]}, "UUID"),
        ({"key_IDs": [{"key_ID": UUID_1}, {"key_ID": UUID_1.upper()}]}, "more than once"),
        ({"key_IDs": [{"key_ID": UUID_1}, {"key_ID": UUID_1.replace("-", "")}]}, "more than once"),
    ],
)
def test_wrong_bodies_of_dec_keys_say_what_to_change(
    door: Etsi014Door, supplier: FakeSupplier, body: Any, word: str
) -> None:
    status, error = post_ids(door, body)
    assert status == 400
    assert word in error["message"]
    assert supplier.calls == []


@pytest.mark.parametrize(
    "query",
    [
        [],
        [("key_ID", UUID_1), ("key_ID", UUID_2)],
        [("key_ID", UUID_1), ("size", "8")],
        [("key_id", UUID_1)],
        [("key_ID", "nonsense")],
    ],
)
def test_queries_of_dec_keys_are_checked(
    door: Etsi014Door, supplier: FakeSupplier, query: list[tuple[str, str]]
) -> None:
    status, _ = answered(door.get_key_with_id_by_query(BOB, ALICE, query))
    assert status == 400
    assert supplier.calls == []


@pytest.mark.parametrize("peer", [None, "urn:qanat:test:kme:a", "urn:qanat:test:sae:stranger", "", "alice"])
def test_only_applications_of_this_site_are_served(door: Etsi014Door, supplier: FakeSupplier, peer: str | None) -> None:
    calls = [
        door.get_status(peer, BOB),
        door.get_key_by_query(peer, BOB, []),
        door.get_key_by_body(peer, BOB, b""),
        door.get_key_with_id_by_query(peer, BOB, [("key_ID", UUID_1)]),
        door.get_key_with_ids_by_body(peer, BOB, b'{"key_IDs": [{"key_ID": "%b"}]}' % UUID_1.encode()),
    ]
    answers = [answered(call) for call in calls]
    assert [status for status, _ in answers] == [401] * 5
    assert all(error["message"] for _, error in answers)
    assert supplier.calls == []


def test_a_shortage_is_503_with_a_hint(door: Etsi014Door, supplier: FakeSupplier) -> None:
    supplier.fault = KeyShortage("3 keys asked, 1 in stock", remedy="come again", retry_after_s=2.4)
    answer = asyncio.run(_await(door.get_key_by_body(ALICE, BOB, b"")))
    assert answer.status == 503
    assert (b"retry-after", b"3") in answer.headers
    assert json.loads(answer.body) == {"message": "3 keys asked, 1 in stock (come again)"}
    _, error = post_keys(door, {"extension_optional": [{"qanat_details": True}]})
    assert error["qanat_retry_after_s"] == 2.4
    assert error["qanat_fault"] == "KeyShortage"


async def _await(call: Awaitable[Answer]) -> Answer:
    return await call


@pytest.mark.parametrize("fault", faults(), ids=lambda fault: type(fault).__name__)
def test_every_failure_has_a_code_by_whose_fault_it_is(fault: QanatError) -> None:
    answer = error_answer(fault)
    if isinstance(fault, NotEntitled):
        expected = 401
    elif isinstance(fault, RequestError) and not isinstance(fault, NoRoute):
        expected = 400
    else:
        expected = 503
    assert answer.status == expected
    assert list(json.loads(answer.body)) == ["message"]


def test_unknown_slave_and_missing_route(door: Etsi014Door, supplier: FakeSupplier) -> None:
    status, error = post_keys(door, {}, slave="urn:qanat:test:sae:nobody")
    assert (status, "nobody" in error["message"]) == (400, True)
    status, error = answered(door.get_status(ALICE, "x" * 30_000))
    assert (status, len(error["message"]) < 200) == (400, True)
    supplier.fault = NoRoute("no chain of relays joins a and b")
    assert post_keys(door, {})[0] == 503
    supplier.fault = UnknownNode("no SAE 'x'")
    assert answered(door.get_status(ALICE, "x"))[0] == 400
    for fault in (QberTooHigh("e"), KeyManagementError("e")):
        supplier.fault = fault
        assert answered(door.get_status(ALICE, BOB))[0] == 503


def test_a_slip_of_ours_is_not_dressed_up(door: Etsi014Door, supplier: FakeSupplier) -> None:
    supplier.fault = ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"):
        asyncio.run(_await(door.get_status(ALICE, BOB)))


def test_answers_do_not_show_keys_in_their_repr(door: Etsi014Door) -> None:
    answer = asyncio.run(_await(door.get_key_by_body(ALICE, BOB, b"")))
    assert json.loads(answer.body)["keys"][0]["key"] not in repr(answer)


def test_limits_are_the_key_managers(supplier: FakeSupplier) -> None:
    door = Etsi014Door(supplier, saes={ALICE}, limits=Limits(128, 128, 128, 2))
    assert len(b64decode(post_keys(door, {})[1]["keys"][0]["key"])) == 16
    assert post_keys(door, {"size": 256})[0] == 400
    assert post_keys(door, {"number": 3})[0] == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS | st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@settings(derandomize=True, max_examples=300, deadline=None)
@given(body=st.binary(max_size=200) | st.dictionaries(FIELDS, JSON, max_size=5).map(lambda it: json.dumps(it).encode()))
def test_whatever_is_sent_is_answered_by_the_standard(body: bytes) -> None:
    supplier = FakeSupplier()
    door = Etsi014Door(supplier, saes={ALICE, BOB})
    for call in (door.get_key_by_body(ALICE, BOB, body), door.get_key_with_ids_by_body(BOB, ALICE, body)):
        status, answer = answered(call)
        assert status in (200, 400)
        assert ("keys" in answer) == (status == 200)
        assert ("message" in answer) == (status == 400)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    query=st.lists(st.tuples(FIELDS | st.text(max_size=9), st.integers().map(str) | st.text(max_size=40)), max_size=3)
)
def test_whatever_is_queried_is_answered_by_the_standard(query: list[tuple[str, str]]) -> None:
    door = Etsi014Door(FakeSupplier(), saes={ALICE, BOB})
    for call in (door.get_key_by_query(ALICE, BOB, query), door.get_key_with_id_by_query(BOB, ALICE, query)):
        assert answered(call)[0] in (200, 400)


def test_of_every_extension_it_is_said_what_its_value_is_to_be() -> None:
    assert VALUES.keys() == READERS.keys()


@pytest.mark.parametrize(
    ("told", "message", "remedy"),
    [
        (
            "today's 9 key bits are given (more from midnight UTC on)",
            "today's 9 key bits are given",
            "more from midnight UTC on",
        ),
        ("keys (of 7 bits) asked (ask for 8 (or 16))", "keys (of 7 bits) asked", "ask for 8 (or 16)"),
        ("bad thing(3)", "bad thing(3)", ""),
        ("(all of it)", "(all of it)", ""),
        ("unbalanced 3)", "unbalanced 3)", ""),
        ("plain", "plain", ""),
    ],
)
@pytest.mark.parametrize("status", [400, 401, 503])
def test_what_a_plain_answer_ends_with_in_parentheses_is_the_remedy(
    told: str, message: str, remedy: str, status: int
) -> None:
    fault = read_error(status, json.dumps({"message": told}).encode(), retry_after="3" if status == 503 else None)
    assert fault.message == f"the key manager answered {status}: {message}"
    assert fault.remedy == remedy


def test_words_of_what_is_no_key_manager_stay_whole() -> None:
    fault = read_error(404, json.dumps({"message": "no such page (gone)"}).encode())
    assert "no such page (gone)" in fault.message

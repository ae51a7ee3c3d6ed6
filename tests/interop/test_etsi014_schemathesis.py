"""schemathesis, written by others, reads the published schema over mutual TLS and asks the door whatever that allows,
and much that it does not: no answer may contradict the schema, and no request may bring the door down.

It does not know which applications and keys there are, so half of its requests are led to ones that exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi_checks

from interop.doors_at_work import Doors, doors_open, make_credentials
from unit.etsi014_fakes import BOB, CAROL

OPERATIONS = {
    "get_status": ("/api/v1/keys/{sae_id}/status", "GET"),
    "get_enc_keys": ("/api/v1/keys/{sae_id}/enc_keys", "GET"),
    "post_enc_keys": ("/api/v1/keys/{sae_id}/enc_keys", "POST"),
    "get_dec_keys": ("/api/v1/keys/{sae_id}/dec_keys", "GET"),
    "post_dec_keys": ("/api/v1/keys/{sae_id}/dec_keys", "POST"),
}
MET_BY_EVERY_WISH = ("get_status", "get_enc_keys")
"""Calls of which every request that the schema allows is met, once it is led to an application that exists. The others
name further applications, extensions or keys, which schemathesis invents."""
CHECKS = [
    checks.not_a_server_error,
    *(
        getattr(openapi_checks, name)
        for name in (
            *("status_code_conformance", "content_type_conformance", "response_headers_conformance"),
            *("response_schema_conformance", "negative_data_rejection"),
        )
    ),
]


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    with doors_open(make_credentials(tmp_path_factory.mktemp("pki"))) as world:
        yield world


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_answer_contradicts_the_published_schema(doors: Doors, operation: str, mode: Any) -> None:
    session = requests.Session()
    session.trust_env = False  # it would put the machine's authorities before ours
    session.cert = (str(doors.credentials.alice.certificate), str(doors.credentials.alice.key))
    session.verify = str(doors.credentials.alice.ca)
    url = f"https://127.0.0.1:{doors.ports[0]}"
    schema = schemathesis.openapi.from_dict(session.get(f"{url}/openapi.json").json())
    path, method = OPERATIONS[operation]
    seen: set[int] = set()

    @given(case=schema[path][method].as_strategy(generation_mode=mode), led=st.booleans())
    @settings(
        max_examples=40,
        phases=[Phase.explicit, Phase.generate],
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[*HealthCheck],
    )
    def ask(case: Any, led: bool) -> None:
        if led:
            case.path_parameters = {"sae_id": CAROL if "dec" in operation else BOB}
        response = case.call(base_url=url, session=session, cert=session.cert, verify=session.verify)
        seen.add(response.status_code)
        case.validate_response(response, checks=CHECKS)
        if led and mode is GenerationMode.POSITIVE and operation in MET_BY_EVERY_WISH:
            assert response.status_code == 200 or "too much for one call" in response.text

    with session:
        ask()
    if operation in MET_BY_EVERY_WISH and mode is GenerationMode.POSITIVE:
        assert 200 in seen
    assert seen <= {200, 400, 401, 404, 405}

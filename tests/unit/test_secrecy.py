"""The search for many secrets at once, against Python's own ``in``."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanat.simulation.secrecy import found_in, spellings

SECRET = bytes(range(16))


@pytest.mark.parametrize("spelled", spellings(SECRET))
@pytest.mark.parametrize("before", [0, 1, 1000])
def test_a_secret_is_found_in_each_spelling_wherever_it_stands(spelled: bytes, before: int) -> None:
    others = [bytes([place]) * 16 for place in range(200, 220)]
    assert list(found_in(bytes(before) + spelled, [*others, SECRET])) == [spelled]
    assert not list(found_in(bytes(before) + spelled[:-1], [*others, SECRET]))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.lists(st.binary(min_size=12, max_size=20), max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.binary(max_size=9)), max_size=6),
)
def test_what_is_found_is_what_stands_in_the_text(secrets: list[bytes], pieces: list[tuple[int, int, bytes]]) -> None:
    text = b"".join(
        (spellings(secrets[which % len(secrets)])[form] if secrets else b"") + between
        for which, form, between in pieces
    )
    assert len(list(found_in(text, secrets))) == len(set(found_in(text, secrets)))
    every = {one for secret in secrets for one in spellings(secret)}
    assert set(found_in(text, secrets)) == {one for one in every if one in text}

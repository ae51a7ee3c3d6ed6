"""How long commands wait for key and for the other end: no longer than they are to be patient."""

from __future__ import annotations

import pytest

from qanat.apps.cli.service_options import KEY_WAIT_S, LEAST_WAIT_S, Sealing
from qanat.apps.cli.service_place import terms_of
from qanat.services.conversation import Terms


@pytest.mark.parametrize(
    ("patience_s", "key_s", "word_s"),
    [
        (0.0, LEAST_WAIT_S, LEAST_WAIT_S),
        (8.0, 8.0, 8.0),
        (75.0, KEY_WAIT_S, 75.0),
        (600.0, KEY_WAIT_S, Terms().silence_s),
    ],
)
def test_no_wait_is_longer_than_the_patience_of_the_command(patience_s: float, key_s: float, word_s: float) -> None:
    terms = terms_of(Sealing.within("aes-128-gcm", 60.0, 0.0, patience_s=patience_s))
    assert (terms.patience_s, terms.silence_s) == (key_s, word_s)


def test_a_pad_that_is_waited_for_is_not_taken_for_silence() -> None:
    terms = terms_of(Sealing.within("one-time-pad", 60.0, 40.0, patience_s=5.0))
    assert (terms.pad_wait_s, terms.silence_s) == (40.0, 45.0)


def test_without_a_word_on_patience_terms_are_the_usual_ones() -> None:
    terms = terms_of(Sealing("aes-128-gcm", 60.0, 0.0))
    assert (terms.patience_s, terms.silence_s) == (Terms().patience_s, Terms().silence_s)

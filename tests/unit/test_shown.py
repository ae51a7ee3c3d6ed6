"""What strangers say is shown as they wrote it, but for what could steer a terminal or pass one name off as another."""

from __future__ import annotations

import pytest

from qanat.services.conversation import printable
from qanat.services.file_names import file_name_for_all, is_file_name

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
WHOLE = [
    FAMILY,
    "\U0001f469\U0001f3fd\u200d\U0001f4bb",  # a colour of skin before the joiner
    "\U0001f3f3\ufe0f\u200d\U0001f308",  # drawn in colour
    "\U0001f408\u200d\u2b1b",
    "\U0001f9d4\U0001f3fb\u200d\u2642\ufe0f",
    "Grüße, 北京!",
]
SPOILT = [
    ("a\u200db", "a?b"),
    ("\u200d\U0001f469", "?\U0001f469"),
    ("\U0001f469\u200d", "\U0001f469?"),
    ("\U0001f469\u200d\u200d\U0001f469", "\U0001f469??\U0001f469"),
    ("a\ufe0f\u200d\U0001f469", "a\ufe0f?\U0001f469"),
    ("\U0001f469\u200d\x1b[2J", "\U0001f469??[2J"),
    ("invoice\u202efdp.exe", "invoice?fdp.exe"),
    ("\u2066x\u2069", "?x?"),
    ("\u200b\u200c\u200e\ufeff", "????"),
    ("a\x07\x9b\n", "a???"),
]


@pytest.mark.parametrize("text", WHOLE)
def test_what_harms_nobody_is_left_as_it_is(text: str) -> None:
    name = text.replace("!", "")
    assert printable(text) == text
    assert file_name_for_all(name) == name
    assert is_file_name(name)


@pytest.mark.parametrize(("text", "shown"), SPOILT)
def test_what_could_steer_or_deceive_is_replaced(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert not is_file_name(text)
    assert is_file_name(file_name_for_all(text))

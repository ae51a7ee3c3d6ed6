"""What is told at the start where the programs for calls are not installed."""

from __future__ import annotations

import importlib.util

import pytest

from qanat.apps.cli.services import tell_of_calls


@pytest.mark.parametrize("is_there", [True, False])
def test_who_receives_is_told_that_calls_cannot_be_answered_and_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_there: bool
) -> None:
    found = importlib.util.find_spec("json") if is_there else None
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: found)
    tell_of_calls()
    said = capsys.readouterr().err
    assert ("calls and conferences cannot be answered here" in said) is not is_there
    assert ("pip install 'qanat[services]'" in said) is not is_there

"""What `qanat text` takes for the text: also what begins with a dash, unless it looks like an option."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from qanat.apps.cli import services
from qanat.apps.cli.main import app
from qanat.apps.cli.service_options import Who


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What texts were to be sent, and how."""
    heard: list[dict[str, Any]] = []

    def run_text(recipient: str, message: str, **how: Any) -> int:
        heard.append({"recipient": recipient, "message": message, **how})
        return 0

    monkeypatch.setattr(services, "run_text", run_text)
    return heard


@pytest.mark.parametrize("message", ["-5 degrees", "-5", "- milk, eggs", "-", "-- he said", "--- cut here", "-> there"])
def test_a_text_may_begin_with_a_dash(said: list[dict[str, Any]], message: str) -> None:
    words = ["text", "--as", "alice", "bob", message, "--data", "d", "--patience", "2", "--json"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    (one,) = said
    assert (one["recipient"], one["message"]) == ("bob", message)
    assert one["who"] == Who("alice", Path("d"), None)
    assert (one["patience_s"], one["as_json"]) == (2.0, True)


@pytest.mark.parametrize("slip", ["--ciphr", "--ciphr=one time pad", "-json", "-h"])
def test_what_looks_like_an_option_and_is_none_is_refused_and_not_sent(said: list[dict[str, Any]], slip: str) -> None:
    result = CliRunner().invoke(app, ["text", "bob", slip])
    assert result.exit_code == 2
    assert "No such option" in result.output
    assert said == []
    assert CliRunner().invoke(app, ["text", "bob", "--", slip]).exit_code == 0
    assert [one["message"] for one in said] == [slip]


def test_an_option_keeps_its_value_whatever_that_begins_with(said: list[dict[str, Any]]) -> None:
    assert CliRunner().invoke(app, ["text", "bob", "-5", "--as", "--odd"]).exit_code == 2, "--odd looks like an option"
    assert CliRunner().invoke(app, ["text", "bob", "5", "--as", "--odd"]).exit_code == 0
    assert [one["who"].name for one in said] == ["--odd"]


@pytest.mark.parametrize("value", ["inf", "nan", "-inf"])
@pytest.mark.parametrize(
    "words",
    [
        "text bob hello --patience",
        "text bob hello --pad-wait",
        "send x bob --patience",
        "call bob --seconds",
        "receive --key-wait",
        "collect bob --run true --every",
        "hook command --with bob --run true --every",
    ],
)
def test_a_wait_without_end_is_refused(said: list[dict[str, Any]], words: str, value: str) -> None:
    option = words.split()[-1]
    result = CliRunner().invoke(app, [*words.split(), value])
    assert (result.exit_code, said) == (2, [])
    assert option in result.output
    assert f"{value} is no number of seconds" in " ".join(result.output.split())

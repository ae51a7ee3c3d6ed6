"""Help says what its author wrote: a word in brackets is no markup of the terminal's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import typer
from rich.text import Text

from qanat.apps.cli.main import app


def helps(command: typer.core.TyperCommand | typer.core.TyperGroup, name: str) -> Iterator[tuple[str, str]]:
    yield name, command.help or ""
    for parameter in command.params:
        yield f"{name} {parameter.name}", getattr(parameter, "help", None) or ""
    for word, one in getattr(command, "commands", {}).items():
        yield from helps(one, f"{name} {word}")


HELPS = dict(helps(typer.main.get_command(app), "qanat"))  # type: ignore[arg-type]


def test_all_help_is_looked_at() -> None:
    assert len(HELPS) > 300
    assert "[me]" in HELPS["qanat send name"]


@pytest.mark.parametrize("name", [name for name, text in HELPS.items() if "[" in text])
def test_no_word_of_help_is_eaten_as_markup(name: str) -> None:
    assert Text.from_markup(HELPS[name]).plain == HELPS[name].replace("\\[", "[")

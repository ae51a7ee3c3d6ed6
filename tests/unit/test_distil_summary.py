"""What ``qanat distil`` prints at the end of a run that made keys and then failed: all that was made, and the fault."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qanat.apps.cli import distil as command
from qanat.apps.distil.setup import Made
from qanat.ground.errors import ChannelClosed, PadExhausted

OPTIONS: Any = SimpleNamespace(role="bob", out=Path("keys"), host="127.0.0.1", port=1)
FAULTS = [PadExhausted("no pads", remedy="fresh ones"), ChannelClosed("gone"), KeyboardInterrupt(), OSError(28, "full")]


def failing(monkeypatch: pytest.MonkeyPatch, fault: BaseException, *, blocks: int) -> None:
    """Let a run make so many blocks, and then fail."""

    def distil(*_: object, made: Made, **__: object) -> None:
        made.blocks += [{"block_id": str(number)} for number in range(blocks)]
        made.secret_bits = 1000 * blocks
        raise fault

    monkeypatch.setattr(command, "distil", distil)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: type(one).__name__)
def test_what_was_made_is_told_after_a_fault(
    fault: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, fault, blocks=2)
    with pytest.raises(type(fault)):
        command.run_distil(OPTIONS, as_json=False)
    assert capsys.readouterr().out == "2,000 secret bits from 2 blocks in keys\n"
    with pytest.raises(type(fault)):
        command.run_distil(OPTIONS, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert [one["block_id"] for one in said["blocks"]] == ["0", "1"]
    assert said["fault"]
    assert said["secret_bits"] == 2000
    if isinstance(fault, PadExhausted):
        assert (said["fault"], said["remedy"]) == ("no pads", "fresh ones")


def test_a_refusal_prints_a_json_object_and_nothing_otherwise(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(monkeypatch, FAULTS[0], blocks=0)
    with pytest.raises(PadExhausted):
        command.run_distil(OPTIONS, as_json=False)
    assert capsys.readouterr().out == ""
    with pytest.raises(PadExhausted):
        command.run_distil(OPTIONS, as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert (said["fault"], said["blocks"], said["pad_bits_left"]) == ("no pads", [], None)

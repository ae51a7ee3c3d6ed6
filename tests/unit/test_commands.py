"""Commands of others, as real processes: what they say is heard up to a bound, and none is waited for in vain."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from qanat.adapters.commands import ONCE_BYTES, Fate, Outcome, run_command
from service_support import until
from unit.test_collect_command import is_gone

MOST_BYTES = 1000
PATIENCE_S = 30.0
LEAVES_ONE_RUNNING = "sh -c 'echo $$ > started; exec sleep 60' & until [ -s started ]; do :; done"


def ran(*words: str, within_s: float = PATIENCE_S, told: bytes | None = None, hear_errors: bool = False) -> Outcome:
    return asyncio.run(run_command(words, within_s=within_s, most_bytes=MOST_BYTES, told=told, hear_errors=hear_errors))


def python(program: str) -> tuple[str, ...]:
    return sys.executable, "-c", program


def test_a_command_is_told_and_heard_and_its_status_known() -> None:
    assert ran("sh", "-c", "cat; echo done >&2; exit 3", told=b"\0key", hear_errors=True) == Outcome(
        Fate.ENDED, 3, b"\0key", b"done\n"
    )
    assert ran("cat", "/dev/stdin", told=b"key").output == b"key", "wg opens it anew"
    assert ran("true", told=b"nobody reads this").status == 0
    assert ran("sh", "-c", "kill -TERM $$").status == -15
    with pytest.raises(FileNotFoundError):
        ran("no-such-command")


@pytest.mark.parametrize("stream", [1, 2])
def test_as_much_as_may_be_said_is_heard_and_no_more(stream: int) -> None:
    says = f"import os; os.write({stream}, b'7' * {{}})"
    enough = ran(*python(says.format(MOST_BYTES)), hear_errors=True)
    assert (enough.fate, len(enough.output + enough.errors)) == (Fate.ENDED, MOST_BYTES)
    too_much = ran(*python(says.format(MOST_BYTES + 1)), hear_errors=True)
    assert (too_much.fate, len(too_much.output + too_much.errors)) == (Fate.TOO_MUCH, MOST_BYTES + 1)


def test_a_command_that_says_things_without_end_is_killed_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    end = ran("sh", "-c", f"{LEAVES_ONE_RUNNING}; yes")
    assert (end.fate, len(end.output)) == (Fate.TOO_MUCH, MOST_BYTES + 1)
    assert is_gone(int((tmp_path / "started").read_text()))


def test_more_than_a_pipe_holds_is_heard_whole() -> None:
    size = 5 * ONCE_BYTES
    end = asyncio.run(run_command(python(f"print('7' * {size}, end='')"), within_s=PATIENCE_S, most_bytes=size))
    assert end == Outcome(Fate.ENDED, 0, b"7" * size)


def test_who_gives_up_waiting_leaves_nothing_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    started = tmp_path / "started"

    async def work() -> None:
        words = ("sh", "-c", f"{LEAVES_ONE_RUNNING}; touch ready; wait")
        running = asyncio.create_task(run_command(words, within_s=PATIENCE_S, most_bytes=MOST_BYTES))
        await until((tmp_path / "ready").exists)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(work())
    assert is_gone(int(started.read_text()))

"""What a command does with a signal that comes once it is over: it ends with its own status, and no traceback."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import signal, sys, typer
from qanat.apps.cli import main

class Out:
    def flush(self):
        for number in (signal.SIGINT, signal.SIGTERM) * 2:
            signal.raise_signal(number)

def command():
    if COMES_FIRST:
        signal.raise_signal(signal.SIGINT)
    return 4

def warned(*words):
    signal.raise_signal(signal.SIGINT)

main.open_closed = main.name_output = lambda: None
main.warn = warned
main.app = typer.Typer()
main.app.command()(lambda: main._end_with(command))
sys.argv = ["qanat"]
sys.stdout = Out()
main.run()
"""


@pytest.mark.parametrize(("comes_first", "status"), [(False, 4), (True, 130)])
def test_a_signal_after_the_end_breaks_into_nothing(comes_first: bool, status: int) -> None:
    script = SCRIPT.replace("COMES_FIRST", str(comes_first))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stderr, done.returncode) == ("", status)


def test_who_asks_again_later_is_rid_of_a_process_whose_output_nobody_takes() -> None:
    script = SCRIPT.replace("COMES_FIRST", "False") + "raise AssertionError('it went on')"
    script = script.replace("main.run()", "main.END_S = -1.0\nmain.run()")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stderr, done.returncode) == ("", 130)

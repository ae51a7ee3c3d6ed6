"""A device behind a pipe: another process, the same answers, and words when it is gone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qanat.adapters.device_pipe import DevicePipe
from qanat.ground.errors import QuantumLayerError
from qanat.ground.ports import Job
from qanat.quantum_layer.calibration.delay import scan_delays
from qanat.quantum_layer.calibration.session import CalibrationSession, run_session
from qanat.quantum_layer.calibration.wire import encode_command
from qanat.quantum_layer.device_twin.device import DeviceTwin, open_device
from qanat.quantum_layer.device_twin.settings import TwinSettings

SETTINGS = TwinSettings("backbone-625", 16.0, 7)


def is_gone(process_id: int) -> bool:
    return not Path(f"/proc/{process_id}").exists()


@pytest.mark.slow
def test_a_session_finds_the_same_through_the_pipe_as_beside_the_device() -> None:
    with DevicePipe(Job(open_device, (SETTINGS,))) as pipe:
        assert pipe.process_id != os.getpid()
        through = run_session(CalibrationSession(scan_delays), pipe.exchange)
    beside = run_session(CalibrationSession(scan_delays), DeviceTwin(SETTINGS).answer)
    assert through.counts.tolist() == beside.counts.tolist()
    assert through.delays_ps == beside.delays_ps
    assert is_gone(pipe.process_id)


@pytest.mark.slow
def test_a_device_that_dies_is_reported_with_a_remedy() -> None:
    with DevicePipe(Job(open_device, (SETTINGS,))) as pipe:
        pipe.exchange(encode_command(None))
        os.kill(pipe.process_id, 9)
        with pytest.raises(QuantumLayerError, match="process ended") as caught:
            pipe.exchange(encode_command(None))
    assert caught.value.remedy


@pytest.mark.slow
def test_a_device_that_is_silent_is_reported() -> None:
    with (
        DevicePipe(Job(open_device, (SETTINGS,)), timeout_s=0.05) as pipe,
        pytest.raises(QuantumLayerError, match="does not answer"),
    ):
        pipe.exchange(b"\x00")  # not a whole frame: the device waits for the rest
    assert is_gone(pipe.process_id)


@pytest.mark.slow
def test_the_device_ends_with_its_owner_however_that_ends() -> None:
    """The owner is killed without a word; its device is gone soon after (ten seconds are a bound, not a measure)."""
    program = (
        "import os, signal; from qanat.adapters.device_pipe import DevicePipe; from qanat.ground.ports import Job\n"
        "from qanat.quantum_layer.device_twin.device import open_device\n"
        "from qanat.quantum_layer.device_twin.settings import TwinSettings\n"
        "pipe = DevicePipe(Job(open_device, (TwinSettings('backbone-625', 16.0, 7),)))\n"
        "print(pipe.process_id, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    # its device inherits standard error only, so reading to the end of standard output waits for the owner alone
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=False
    )
    process_id = int(done.stdout)
    until_s = time.monotonic() + 10
    while not has_ended(process_id) and time.monotonic() < until_s:
        time.sleep(0.02)
    assert has_ended(process_id)


def has_ended(process_id: int) -> bool:
    """Gone, or left for somebody to collect its status."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True

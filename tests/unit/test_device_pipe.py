"""A device behind a pipe: another process, the same answers, and words when it is gone."""

from __future__ import annotations

import os
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

"""A recording of raw samples: each used once, over runs that end and runs that are killed."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from qanat.adapters import entropy_samples
from qanat.adapters.entropy_samples import Recording, open_samples
from qanat.adapters.physical_entropy import STARTUP_SAMPLES, PhysicalEntropy
from qanat.ground.errors import ConfigurationError, EntropyFailed


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "samples.bin"
    path.write_bytes(np.random.default_rng(1).bytes(10_000))
    path.chmod(0o600)
    return path


def note_of(path: Path) -> Path:
    return path.with_name(path.name + ".used")


def test_the_next_run_goes_on_where_the_last_one_ended(recording: Path) -> None:
    raw = recording.read_bytes()
    for start in (0, 1500, 3000):
        with closing(open_samples(recording)) as samples:
            assert samples.read(1500) == raw[start : start + 1500]
    assert json.loads(note_of(recording).read_text(encoding="utf-8"))["samples_used"] == 4500


def test_what_a_killed_process_had_set_aside_is_never_used_again(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark is on the disk before the samples are handed out; here the first life ends without closing."""
    monkeypatch.setattr(entropy_samples, "SET_ASIDE", 4000)
    first = Recording(recording)
    first.read(10)
    assert json.loads(note_of(recording).read_text(encoding="utf-8"))["samples_used"] == 4000
    first._file.close()  # closes nothing else, as a kill would
    os.close(first._note)
    with closing(Recording(recording)) as second:
        assert second.read(10) == recording.read_bytes()[4000:4010]


def test_a_recording_ends_and_does_not_begin_again(recording: Path) -> None:
    entropy = PhysicalEntropy(recording, min_entropy_bits=8.0)
    entropy.public_bytes((10_000 - STARTUP_SAMPLES) // 40 * 32)
    with pytest.raises(EntropyFailed, match="it ended after 10000 samples"):
        entropy.public_bytes(32)
    entropy.close()
    with pytest.raises(ConfigurationError, match=r"all 10,000 samples .* are used") as caught:
        PhysicalEntropy(recording, min_entropy_bits=8.0)
    assert "another file" in caught.value.remedy


def test_two_runs_never_give_the_same_bytes(recording: Path) -> None:
    given = []
    for _ in range(2):
        with closing(PhysicalEntropy(recording, min_entropy_bits=8.0)) as entropy:
            given.append(entropy.public_bytes(1024))
    blocks = {part[start : start + 32] for part in given for start in range(0, 1024, 32)}
    assert len(blocks) == 64


def test_two_processes_do_not_share_a_recording(recording: Path) -> None:
    with (
        closing(open_samples(recording)),
        pytest.raises(ConfigurationError, match="another process takes samples"),
    ):
        open_samples(recording)


@pytest.mark.parametrize("note", ["nonsense", '{"format": "qanat-samples-used/1"}', "[]"])
def test_a_note_that_tells_of_something_else_is_not_overwritten(recording: Path, note: str) -> None:
    note_of(recording).write_text(note, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="another recording"):
        open_samples(recording)
    assert note_of(recording).read_text(encoding="utf-8") == note


def test_other_samples_under_the_same_name_are_refused(recording: Path) -> None:
    with closing(open_samples(recording)) as samples:
        samples.read(100)
    recording.write_bytes(np.random.default_rng(2).bytes(10_000))
    with pytest.raises(ConfigurationError, match="another recording") as caught:
        open_samples(recording)
    assert "a name of their own" in caught.value.remedy


def test_a_line_set_for_people_is_refused() -> None:
    ours, theirs = os.openpty()
    try:
        with pytest.raises(ConfigurationError, match="alters what it carries") as caught:
            open_samples(Path(os.ttyname(theirs)))
        assert caught.value.remedy.startswith("stty -F")
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_source_that_falls_silent_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entropy_samples, "SILENCE_S", 0.01)
    path = tmp_path / "fifo"
    os.mkfifo(path, 0o600)
    writer = os.open(path, os.O_RDWR)  # on Linux this waits for nobody
    try:
        os.write(writer, np.random.default_rng(1).bytes(STARTUP_SAMPLES))
        with (
            closing(PhysicalEntropy(path, min_entropy_bits=8.0)) as entropy,
            pytest.raises(EntropyFailed, match=r"no sample came for 0\.01 s"),
        ):
            entropy.secret_bytes(1)
    finally:
        os.close(writer)

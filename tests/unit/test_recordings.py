"""Recordings of calls: what came is in the file while the call lasts, and a file that cannot be is told by its name."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from qanat.adapters.media import TEST, AudioSource, MediaSink, VideoSource
from qanat.adapters.sound_mix import SoundFile
from qanat.apps.cli.service_options import Who
from qanat.apps.cli.services import run_receive
from qanat.ground.errors import ConfigurationError
from qanat.users.speaking import CallMedia
from service_support import House

av: Any = pytest.importorskip("av")

RECORD_AND_DIE = """
import os, signal, sys
from array import array
from pathlib import Path
from qanat.adapters.media import TEST, AudioSource, MediaSink, VideoSource
from qanat.adapters.sound_mix import SLOT_MS, SLOT_SAMPLES, SoundFile

folder, sound_ms, end_ms = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
sink, mix = MediaSink(audio=True, video=True, record=folder / "call.webm"), SoundFile(folder / "mix.webm")
sources = [AudioSource(TEST), VideoSource(TEST)]
due = [source.next(key=True) for source in sources]
while min(one.at_ms for one in due) < end_ms:
    medium = min((0, 1), key=lambda medium: due[medium].at_ms)
    one, due[medium] = due[medium], sources[medium].next(key=False)
    if medium == 1 or one.at_ms < sound_ms:
        sink.take(medium, one.data, at_ms=one.at_ms, is_key=one.is_key)
for _ in range(end_ms // SLOT_MS):
    mix.write(array("h", bytes(2 * SLOT_SAMPLES)))
os.kill(os.getpid(), signal.SIGKILL)
"""


def played_s(recording: Path, kind: str) -> float:
    """Return up to when a recording plays."""
    with av.open(str(recording)) as file:
        return max(float(shown.time) for shown in file.decode(**{kind: 0}))


@pytest.mark.parametrize("sound_ms", [4000, 1000])
def test_of_a_process_that_was_killed_the_recording_plays_up_to_a_second_before(tmp_path: Path, sound_ms: int) -> None:
    """Also where one of the two media has ended, for which a muxer waits."""
    words = [sys.executable, "-c", RECORD_AND_DIE, str(tmp_path), str(sound_ms), "4000"]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    assert played_s(tmp_path / "call.webm", "video") >= 3.0
    assert played_s(tmp_path / "call.webm", "audio") >= min(sound_ms / 1000 - 0.1, 3.0)
    assert played_s(tmp_path / "mix.webm", "audio") >= 3.0


def test_a_recording_that_cannot_be_is_told_with_its_name_before_anybody_is_called(tmp_path: Path) -> None:
    async def run() -> None:
        house = House(tmp_path / "data")
        async with house.user("alice") as alice, house.reception("bob"):
            with pytest.raises(ConfigurationError) as fault:
                await alice.call("bob", CallMedia(record=tmp_path / "nodir" / "x.webm"), seconds_s=0.1)
        assert fault.value.message == f"{tmp_path}/nodir/x.webm: there is no folder {tmp_path}/nodir"
        assert "in a folder that is there" in fault.value.remedy
        assert house.faults["bob"] == []

    asyncio.run(run())


def test_a_place_that_takes_no_recording_is_told_with_its_name(tmp_path: Path) -> None:
    place = tmp_path / "nodir" / "x.webm"
    with pytest.raises(ConfigurationError, match=r"nodir/x\.webm: No such file") as fault:
        MediaSink(audio=True, video=True, record=place)
    assert "in a folder that is there" in fault.value.remedy
    with pytest.raises(ConfigurationError, match=r"nodir/x\.webm: No such file"):
        SoundFile(place)
    with pytest.raises(ConfigurationError, match=r"/dev/full: No space left"):
        MediaSink(audio=True, video=True, record=Path("/dev/full"))


def test_a_disk_that_is_full_in_the_middle_is_told_with_the_recordings_name(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    sink, source = MediaSink(audio=True, video=False, record=pipe), AudioSource(TEST)
    with Path("/dev/full").open("wb") as full:
        assert sink._pipe is not None
        os.dup2(full.fileno(), sink._pipe.fileno())
    os.close(reading)
    encoded = source.next(key=True)
    assert encoded is not None
    with pytest.raises(ConfigurationError, match=r"pipe: No space left"):
        deque((sink.take(0, encoded.data, at_ms=20 * number, is_key=True) for number in range(100)), maxlen=0)
    sink.close()  # says nothing of it a second time


@pytest.mark.parametrize("source", [VideoSource, AudioSource])
@pytest.mark.parametrize(("name", "told"), [("gone.mp4", "gone.mp4.: there is no such file"), ("", "'': there is no")])
def test_a_file_to_be_sent_that_is_not_there_is_told_with_its_name(source: Any, name: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as fault:
        source(name)
    assert "'test', or 'none'" in fault.value.remedy


@pytest.mark.parametrize("media", [CallMedia(video="gone.mp4"), CallMedia(audio="gone.mp4")])
def test_who_receives_with_a_file_that_is_not_there_hears_so_at_once(tmp_path: Path, media: CallMedia) -> None:
    who = Who("bob", tmp_path, None)
    with pytest.raises(ConfigurationError, match=r"gone\.mp4.: there is no such file"):
        run_receive(who, out=tmp_path, port=0, once=True, as_json=False, media=media)
    CallMedia(TEST, "camera").check()


def test_a_recording_into_which_nothing_came_is_no_file_and_is_not_told_of(tmp_path: Path) -> None:
    """As of a call that no datagram gets through: no player takes a file of nothing."""
    for audio in (True, False):
        sink = MediaSink(audio=audio, video=False, record=tmp_path / "call.webm")
        assert (tmp_path / "call.webm").exists() is audio
        sink.close()
        assert not sink.is_recorded
        assert list(tmp_path.iterdir()) == []


def test_a_recording_that_was_never_begun_leaves_alone_what_is_at_its_place(tmp_path: Path) -> None:
    """As of a call with an end that sends neither sound nor pictures, after another that was recorded there."""
    earlier = tmp_path / "call.webm"
    earlier.write_bytes(b"an earlier call")
    MediaSink(audio=False, video=False, record=earlier).close()
    assert earlier.read_bytes() == b"an earlier call"

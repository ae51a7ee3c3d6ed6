"""Devices as far as a machine without any can tell: ALSA's own file and null devices, FFmpeg's drawn pictures, a pipe.

The microphone and the loudspeaker are real ones to ALSA (``type file``, ``type null``); in place of a camera stands
FFmpeg's device ``lavfi``, opened as V4L2 would be.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from array import array
from pathlib import Path
from typing import Any

import pytest

from qanat.adapters import media_devices
from qanat.adapters.media import CALL_QUALITY, CONFERENCE_QUALITY, TEST, AudioSource, MediaSink, VideoSource
from qanat.adapters.media_devices import DRIVERS, fresh, is_device
from qanat.adapters.sound_mix import LOUDEST, SLOT_SAMPLES, SoundMix
from qanat.ground.errors import ConfigurationError

av: Any = pytest.importorskip("av")

ALSA = """
pcm.!default {{ type null }}
pcm.mic {{ type file slave.pcm {{ type null }} file "/dev/null" infile "{heard}" format "raw" }}
pcm.spk {{ type file slave.pcm {{ type null }} file "{played}" format "raw" }}
"""
PROGRAM = """
import sys
from array import array
from qanat.adapters.media import AudioSource, MediaSink
from qanat.adapters.sound_mix import Loudspeaker
source, sink, got = AudioSource("microphone:mic"), None, []
sink = MediaSink(audio=True, video=False, on_sound=lambda sound, at_ms: got.append(sound.samples))
for _ in range(50):
    encoded = source.next(key=False)
    assert sink.take(0, encoded.data, at_ms=encoded.at_ms, is_key=True)
speaker = Loudspeaker("speaker:spk")
for _ in range(5):
    speaker.write(array("h", [1234] * 1920))
speaker.close()
print(sum(got))
"""
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="ALSA is of Linux")


@only_linux
def test_alsas_own_devices_are_heard_and_played_to(tmp_path: Path) -> None:
    """In a process of its own: the library reads its configuration once."""
    heard, played = tmp_path / "heard.raw", tmp_path / "played.raw"
    heard.write_bytes(array("h", [(place * 37) % 2000 - 1000 for place in range(48_000 * 20)]).tobytes())
    (tmp_path / "asound.conf").write_text(ALSA.format(heard=heard, played=played), encoding="utf-8")
    environment = os.environ | {"ALSA_CONFIG_PATH": str(tmp_path / "asound.conf")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == pytest.approx(48_000, rel=0.05), "a second of the microphone's sound"
    samples = array("h", played.read_bytes())
    assert samples.count(1234) >= 4 * 1920, "what was played"


@only_linux
@pytest.mark.parametrize(
    ("open_it", "said"),
    [
        (lambda: VideoSource("camera:/dev/no-such"), "no camera '/dev/no-such' can be opened here: No such file"),
        (lambda: AudioSource("microphone:no-such"), "no microphone 'no-such' can be opened here:"),
        (lambda: media_devices.open_output("speaker:no-such"), "no speaker 'no-such' can be opened here:"),
    ],
    ids=media_devices.KINDS,
)
def test_a_device_that_is_not_there_is_told_with_the_remedy(open_it: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_it()
    assert caught.value.message.startswith(said)
    assert "qanat call --devices" in caught.value.remedy


def test_a_system_that_is_not_known_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "plan9")
    with pytest.raises(ConfigurationError, match="no camera is known of on this system"):
        VideoSource("camera")
    assert media_devices.find_devices() == []


def test_a_camera_is_a_source_at_our_rate_whatever_its_own_is(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = media_devices._Driver("lavfi", "testsrc2=size=320x240:rate=10")
    monkeypatch.setitem(DRIVERS, sys.platform, {"camera": drawn})
    camera, sink = VideoSource("camera", quality=CONFERENCE_QUALITY), MediaSink(audio=False, video=True)
    for number in range(45):
        encoded = camera.next(key=number == 0)
        assert encoded is not None
        assert encoded.at_ms == number * 1000 // 15
        assert sink.take(1, encoded.data, at_ms=encoded.at_ms, is_key=encoded.is_key)


def test_what_waited_in_a_device_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr(media_devices.time, "monotonic", lambda: now_s[0])

    def device() -> Any:
        for piece, waited_s in enumerate((0.0, 0.001, 0.0, 0.03, 0.0, 0.02)):
            now_s[0] += waited_s
            yield piece

    assert list(fresh(device())) == [3, 4, 5]


def test_words_of_devices_are_no_files() -> None:
    assert all(map(is_device, ("camera", "camera:/dev/video1", "microphone:hw:1", "speaker")))
    assert not any(map(is_device, ("cameras", "film.mp4", "./camera", TEST)))


def test_a_pipe_is_recorded_to_while_the_call_lasts(tmp_path: Path) -> None:
    """As a player would read it: pictures are there before the end."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    seen: list[bytes] = []

    def read() -> None:
        with pipe.open("rb") as file:
            while piece := file.read1(2**16):  # type: ignore[attr-defined]
                seen.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    sink, pictures = MediaSink(audio=True, video=True, record=pipe), VideoSource(TEST, quality=CALL_QUALITY)
    for _ in range(45):
        encoded = pictures.next(key=False)
        assert encoded is not None
        sink.take(1, encoded.data, at_ms=encoded.at_ms, is_key=encoded.is_key)
    before_the_end = sum(map(len, seen))
    sink.close()
    reader.join()
    assert before_the_end > 0.5 * sum(map(len, seen))
    (tmp_path / "seen.webm").write_bytes(b"".join(seen))
    with av.open(str(tmp_path / "seen.webm")) as file:
        assert sum(1 for _ in file.decode(video=0)) == 45


class Kept:
    """Where mixed sound is kept."""

    def __init__(self) -> None:
        self.samples = array("h")

    def write(self, samples: array[int], /) -> None:
        self.samples += samples

    def close(self) -> None:
        self.samples.append(0)


def piece(value: int) -> Any:
    sound = av.AudioFrame(format="s16", layout="mono", samples=SLOT_SAMPLES)
    sound.sample_rate = 48_000
    sound.planes[0].update(array("h", [value] * SLOT_SAMPLES).tobytes())
    return sound


def test_several_are_mixed_each_in_its_place_and_what_is_too_loud_is_cut() -> None:
    kept = Kept()
    mix = SoundMix([kept])
    mix.add("bob", piece(1000), at_ms=5000, now_ms=40)  # his count began long before ours
    mix.add("carol", piece(-300), at_ms=0, now_ms=80)
    mix.add("bob", piece(2000), at_ms=5040, now_ms=95)  # late by 15 ms: its place is where it was due
    mix.add("bob", piece(30_000), at_ms=5080, now_ms=120)
    mix.add("carol", piece(30_000), at_ms=40, now_ms=125)
    mix.flush(200)
    assert len(kept.samples) == 0, "there is patience for what comes late"
    mix.close(200)
    slots = [set(kept.samples[place : place + SLOT_SAMPLES]) for place in range(0, 5 * SLOT_SAMPLES, SLOT_SAMPLES)]
    assert slots == [{0}, {1000}, {1700}, {LOUDEST}, {0}]
    assert SLOT_SAMPLES == 1920, "of 40 ms"
    assert len(kept.samples) == 5 * SLOT_SAMPLES + 1


def test_a_mix_is_the_sum_sample_by_sample_wherever_its_pieces_begin() -> None:
    dice, kept = random.Random(7), Kept()
    mix, wanted = SoundMix([kept]), [0] * (4 * SLOT_SAMPLES)
    for who in range(7):
        values = [dice.randint(-16_000, 16_000) for _ in range(SLOT_SAMPLES)]
        first = dice.randint(0, 2 * 40)
        sound = piece(0)
        sound.planes[0].update(array("h", values).tobytes())
        mix.add(str(who), sound, at_ms=0, now_ms=first)
        for place, value in enumerate(values, start=first * 48):
            wanted[place] += value
    mix.close(160)
    assert list(kept.samples[:-1]) == [max(-LOUDEST, min(LOUDEST, value)) for value in wanted]
    assert max(map(abs, wanted)) > LOUDEST

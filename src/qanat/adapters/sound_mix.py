"""The sound of several, mixed into one: each at its place in time, summed, what is too loud cut off.

Each speaker's first piece takes its place by when it came, and the others follow it by when they were due there. What
came within ``PATIENCE_MS`` is mixed; where nothing came there is silence. All calls block: run them in a thread.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from array import array
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from qanat.adapters.media import AUDIO_BITS_PER_S, LASTING, SAMPLES_PER_S
from qanat.adapters.media_devices import open_output
from qanat.adapters.media_faults import RECORDED, load_av, named_as_ours

SLOT_MS = 40
SLOT_SAMPLES = SAMPLES_PER_S * SLOT_MS // 1000
PATIENCE_MS = 400
LOUDEST = 32_767
_LANE_BITS = 32
_HALF, _LIFT = 2**15, 2**20
_SAMPLES_PER_MS = SAMPLES_PER_S // 1000


class SoundOut(Protocol):
    """Where mixed sound goes: one channel of 16 bits, ``SAMPLES_PER_S``, one slot at a time."""

    def write(self, samples: array[int], /) -> None: ...

    def close(self) -> None: ...


class _Slot:
    """The sum of a slot, sample by sample, each in 32 bits of one long integer: so many are added in one step.

    Samples are made positive first, by ``_HALF`` each; ``_halves`` is the sum of what was added so.
    """

    def __init__(self) -> None:
        self._sum = self._halves = 0

    def add(self, samples: array[int], start: int) -> None:
        """Add samples from place ``start`` on."""
        count, shift = len(samples), start * _LANE_BITS
        positive = int.from_bytes(samples.tobytes(), "little") ^ _lanes(_HALF, 16, count)
        wide = array("I", array("H", positive.to_bytes(2 * count, "little")))
        self._sum += int.from_bytes(wide.tobytes(), "little") << shift
        self._halves += _lanes(_HALF, _LANE_BITS, count) << shift

    def mixed(self) -> array[int]:
        """Return the sums, cut off where they are too loud."""
        lifted = self._sum + _lanes(_LIFT, _LANE_BITS, SLOT_SAMPLES) - self._halves
        sums = array("I", lifted.to_bytes(4 * SLOT_SAMPLES, "little"))
        if max(sums) > _LIFT + LOUDEST or min(sums) < _LIFT - LOUDEST:
            return array("h", [max(-LOUDEST, min(LOUDEST, value - _LIFT)) for value in sums])
        return array("h", array("h", sums.tobytes())[::2])  # the lower half of each, as _LIFT has nothing there


@functools.lru_cache(maxsize=256)
def _lanes(value: int, bits: int, count: int) -> int:
    """Return ``value`` in each of ``count`` lanes."""
    return int.from_bytes(value.to_bytes(bits // 8, "little") * count, "little")


class SoundMix:
    """Mixes into ``outs``; several threads may add at once."""

    def __init__(self, outs: list[SoundOut]) -> None:
        self._outs = outs
        self._lock = threading.Lock()
        self._slots: dict[int, _Slot] = {}
        self._shift_samples: dict[str, int] = {}
        self._to_mono: dict[str, Any] = {}
        self._next_slot = 0
        self._av = load_av()

    def add(self, who: str, sound: Any, *, at_ms: int, now_ms: int) -> None:
        """Add a decoded piece of sound that was due ``at_ms`` by the speaker's count, and came ``now_ms`` by ours."""
        with self._lock:
            if who not in self._to_mono:
                self._to_mono[who] = self._av.AudioResampler(format="s16", layout="mono", rate=SAMPLES_PER_S)
            sound.pts = None  # each piece says itself when it is due
            for piece in self._to_mono[who].resample(sound):
                samples = array("h", bytes(piece.planes[0])[: 2 * piece.samples])
                shift = self._shift_samples.setdefault(who, (now_ms - at_ms) * _SAMPLES_PER_MS)
                self._put(at_ms * _SAMPLES_PER_MS + shift, samples)

    def leave(self, who: str) -> None:
        """Forget a speaker's place: it takes a new one if it comes again."""
        with self._lock:
            self._shift_samples.pop(who, None)
            self._to_mono.pop(who, None)

    def flush(self, now_ms: int) -> None:
        """Write out all slots that are over by ``now_ms``, but for the patience."""
        with self._lock:
            due = (now_ms - PATIENCE_MS) // SLOT_MS
            while self._next_slot < due:
                slot = self._slots.pop(self._next_slot, None)
                mixed = array("h", bytes(2 * SLOT_SAMPLES)) if slot is None else slot.mixed()
                for out in self._outs:
                    out.write(mixed)
                self._next_slot += 1

    def close(self, now_ms: int) -> None:
        """Write out what is left up to ``now_ms``, and close the outs."""
        self.flush(now_ms + PATIENCE_MS)
        for out in self._outs:
            out.close()

    def _put(self, first: int, samples: array[int]) -> None:
        place = 0
        while place < len(samples):
            slot, start = divmod(first + place, SLOT_SAMPLES)
            count = min(SLOT_SAMPLES - start, len(samples) - place)
            if slot >= self._next_slot:
                self._slots.setdefault(slot, _Slot()).add(samples[place : place + count], start)
            place += count


class SoundFile:
    """Mixed sound as Opus in a new .webm. Raises ConfigurationError."""

    def __init__(self, path: Path) -> None:
        self._av, self._path = load_av(), path
        with self._recording():
            self._output = self._av.open(str(path), "w", format="webm", options=LASTING)
            self._stream = self._output.add_stream("libopus", rate=SAMPLES_PER_S, layout="mono")
            self._stream.codec_context.bit_rate = AUDIO_BITS_PER_S
            self._stream.codec_context.options = {"frame_duration": str(SLOT_MS)}
            self._output.start_encoding()
        self._num_samples = 0

    def write(self, samples: array[int], /) -> None:
        """Append one slot; raises ConfigurationError where it cannot be written."""
        with self._recording():
            for packet in self._stream.encode(_sound_of(self._av, samples, pts=self._num_samples)):
                self._output.mux(packet)
        self._num_samples += len(samples)

    def close(self) -> None:
        """End the file."""
        with self._recording():
            for packet in self._stream.encode(None):
                self._output.mux(packet)
            self._output.close()

    def _recording(self) -> contextlib.AbstractContextManager[None]:
        return named_as_ours(self._av, self._path, remedy=RECORDED)


class Loudspeaker:
    """Plays mixed sound at a device of this machine. Raises ConfigurationError where there is none."""

    def __init__(self, source: str) -> None:
        self._av = load_av()
        self._output = open_output(source)
        self._stream = self._output.streams.audio[0]
        self._num_samples = 0

    def write(self, samples: array[int], /) -> None:
        """Play one slot; waits while the device has enough. What it does not take is a gap, and the next is heard."""
        with contextlib.suppress(self._av.FFmpegError):
            for packet in self._stream.encode(_sound_of(self._av, samples, pts=self._num_samples)):
                self._output.mux(packet)
        self._num_samples += len(samples)

    def close(self) -> None:
        """Let the device go."""
        with contextlib.suppress(self._av.FFmpegError):
            self._output.close()


def _sound_of(av: Any, samples: array[int], *, pts: int) -> Any:
    """Return samples as a piece of sound that begins at sample ``pts``."""
    sound = av.AudioFrame(format="s16", layout="mono", samples=len(samples))
    sound.sample_rate, sound.pts, sound.time_base = SAMPLES_PER_S, pts, Fraction(1, SAMPLES_PER_S)
    sound.planes[0].update(samples.tobytes())
    return sound

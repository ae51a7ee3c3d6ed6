"""Sound and pictures of calls: test sources and files in, Opus and VP8 out, and what comes decoded and recorded.

By PyAV (FFmpeg), from the extra ``services``. All calls block: run them in a thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from qanat.adapters.media_devices import fresh, is_device, open_input
from qanat.adapters.media_faults import PLAYED, RECORDED, load_av, named_as_ours
from qanat.ground.errors import ConfigurationError

AUDIO_BITS_PER_S, SAMPLES_PER_S = 32_000, 48_000
KEY_FRAME_EVERY_S = 10
"""Also when nobody asks for one."""
TEST = "test"
"""In place of a file: a test picture with a running clock, or a tone."""
LIVE = {"live": "1", "cluster_time_limit": "200", "flush_packets": "1", "max_interleave_delta": "200000"}
LASTING = {"cluster_time_limit": "500", "flush_packets": "1", "max_interleave_delta": "500000"}
"""Of a recording: what came up to a second ago (both limits together) stands in the file, and plays, whatever becomes
of this process. ms and us."""
_MS = Fraction(1, 1000)


@dataclass(frozen=True, slots=True)
class Quality:
    """How large and how many pictures are, and how much sound is in a frame: what Opus can, 20 or 40 ms."""

    width: int
    height: int
    pictures_per_s: int
    video_bits_per_s: int
    frame_ms: int

    @property
    def samples_per_frame(self) -> int:
        return SAMPLES_PER_S * self.frame_ms // 1000


CALL_QUALITY = Quality(640, 360, 30, 600_000, 20)
CONFERENCE_QUALITY = Quality(320, 180, 15, 200_000, 40)
"""Each end decodes those of seven others, and its line carries its own seven times."""


def check_source(source: str | None) -> None:
    """Raise ConfigurationError where a source (None: there is none) is a file that is not there."""
    if source is None or source == TEST or is_device(source):
        return
    if not source or not Path(source).exists():
        raise ConfigurationError(f"{source!r}: there is no such file", remedy=PLAYED)


def check_recording(path: Path | None) -> None:
    """Raise ConfigurationError where a recording (None: there is none) is to go into a folder that is not there."""
    if path is not None and not path.parent.is_dir():
        raise ConfigurationError(f"{path}: there is no folder {path.parent}", remedy=RECORDED)


@dataclass(frozen=True, slots=True)
class Encoded:
    """One encoded frame, and when it is due."""

    data: bytes
    is_key: bool
    at_ms: int


class VideoSource:
    """Pictures as VP8."""

    def __init__(self, source: str, *, quality: Quality = CALL_QUALITY) -> None:
        """``source``: a file's name, ``TEST``, or a word of ``media_devices``. Raises ConfigurationError."""
        av = load_av()
        self._kinds = av.video.frame.PictureType
        self._pictures = _test_pictures(av, quality) if source == TEST else _pictures_of(av, source, quality)
        self._number = 0
        self._pictures_per_s = rate = quality.pictures_per_s
        self._codec = codec = av.CodecContext.create("libvpx", "w")
        codec.width, codec.height, codec.pix_fmt = quality.width, quality.height, "yuv420p"
        codec.time_base, codec.framerate = _MS, Fraction(rate)
        codec.bit_rate, codec.gop_size, codec.thread_count = quality.video_bits_per_s, KEY_FRAME_EVERY_S * rate, 1
        codec.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "error-resilient": "1"}

    def next(self, *, key: bool) -> Encoded | None:
        """Return the next picture, with ``key`` one that stands by itself; None at the end."""
        for picture in self._pictures:
            at_ms = self._number * 1000 // self._pictures_per_s
            self._number += 1
            picture.pts, picture.time_base = at_ms, _MS
            picture.pict_type = self._kinds.I if key else self._kinds.NONE
            for packet in self._codec.encode(picture):
                return Encoded(bytes(packet), bool(packet.is_keyframe), at_ms)
        return None


class AudioSource:
    """Sound as Opus, one channel."""

    def __init__(self, source: str, *, quality: Quality = CALL_QUALITY) -> None:
        """``source``: a file's name, ``TEST``, or a word of ``media_devices``. Raises ConfigurationError."""
        av = load_av()
        self._samples_per_frame = samples = quality.samples_per_frame
        self._sounds = _test_sounds(av, samples) if source == TEST else _sounds_of(av, source, samples)
        self._number = 0
        self._codec = codec = av.CodecContext.create("libopus", "w")
        codec.sample_rate, codec.layout, codec.format = SAMPLES_PER_S, "mono", "s16"
        codec.bit_rate, codec.time_base = AUDIO_BITS_PER_S, Fraction(1, SAMPLES_PER_S)
        codec.options = {"frame_duration": str(quality.frame_ms)}

    def next(self, *, key: bool) -> Encoded | None:  # noqa: ARG002 - as of pictures; all of Opus stands by itself
        """Return the next frame; None at the end."""
        for sound in self._sounds:
            sound.pts, sound.time_base = self._number * self._samples_per_frame, Fraction(1, SAMPLES_PER_S)
            at_ms = self._number * 1000 * self._samples_per_frame // SAMPLES_PER_S
            self._number += 1
            for packet in self._codec.encode(sound):
                return Encoded(bytes(packet), True, at_ms)
        return None


class MediaSink:
    """Decodes what comes, and records it as it came, in WebM, where ``record`` names a file.

    Of a process that is killed the recording plays up to a second before its end.
    ``on_sound`` is handed each decoded piece of sound and when it was due; in the thread of ``take``.
    """

    def __init__(
        self,
        *,
        audio: bool,
        video: bool,
        record: Path | None = None,
        quality: Quality = CALL_QUALITY,
        on_sound: Callable[[Any, int], None] | None = None,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        """``audio``, ``video``: what will come. ``now_ms``: the clock of the recording, in which the first frame takes
        its place by when it comes, and the others follow it; None: the sender's own. Raises ConfigurationError."""
        self._on_sound = on_sound
        self._now_ms, self._shift_ms = now_ms, None if now_ms is not None else 0
        av = load_av()
        self._av = av
        self._sound, self._picture = av.CodecContext.create("opus", "r"), av.CodecContext.create("vp8", "r")
        self._sound.sample_rate, self._sound.layout = SAMPLES_PER_S, "mono"
        self._output = None
        self._record = record
        self._is_lost = False
        """Whether the recording could not be written, which was told then."""
        self.is_recorded = False
        """Whether anything came that is in the recording."""
        self._pipe: BinaryIO | None = None
        self._streams: list[Any] = [None, None]
        if record is not None:
            with contextlib.ExitStack() as stack, self._recording():
                if record.exists() and not record.is_file():  # a pipe, behind which a player may be
                    self._pipe = stack.enter_context(record.open("wb", buffering=0))
                target, options = (str(record), LASTING) if self._pipe is None else (self._pipe, LIVE)
                self._output = output = av.open(target, "w", format="webm", options=options)
                if audio:
                    self._streams[0] = output.add_stream("libopus", rate=SAMPLES_PER_S, layout="mono")
                if video:
                    self._streams[1] = stream = output.add_stream("libvpx", rate=quality.pictures_per_s)
                    stream.width, stream.height, stream.pix_fmt = quality.width, quality.height, "yuv420p"
                if audio or video:
                    output.start_encoding()  # makes the file: who named a place for none hears so at once
                stack.pop_all()  # the pipe is closed at the end

    def take(self, medium: int, data: bytes, *, at_ms: int, is_key: bool) -> bool:
        """Take an encoded frame of audio (0) or video (1); returns whether it could be decoded.

        Raises ConfigurationError where it cannot be recorded; BrokenPipeError where nobody reads the pipe any more.
        """
        packet = self._av.Packet(data)
        packet.pts = packet.dts = at_ms
        packet.time_base, packet.is_keyframe = _MS, is_key
        if self._shift_ms is None and self._now_ms is not None:
            self._shift_ms = self._now_ms() - at_ms
        try:
            shown = (self._picture if medium else self._sound).decode(packet)
        except self._av.FFmpegError:
            return False
        if (stream := self._streams[medium]) is not None and self._output is not None:
            packet.pts = packet.dts = at_ms + (self._shift_ms or 0)
            packet.stream = stream
            self._is_lost = True
            with self._recording():
                self._output.mux(packet)
            self._is_lost, self.is_recorded = False, True
        if medium == 0 and self._on_sound is not None:
            for sound in shown:
                self._on_sound(sound, at_ms)
        return bool(shown)

    def close(self) -> None:
        """End the recording; a file that was begun and in which nothing is, which no player takes, is removed."""
        if self._output is not None:
            with contextlib.ExitStack() as stack:
                if self._pipe is not None:
                    stack.enter_context(self._pipe)
                    stack.enter_context(contextlib.suppress(BrokenPipeError))  # its reader has gone
                if self._is_lost:
                    stack.enter_context(contextlib.suppress(ConfigurationError))
                stack.enter_context(self._recording())
                self._output.close()
            self._output = None
            is_begun = any(stream is not None for stream in self._streams)  # else what is there is of another call
            if is_begun and not self.is_recorded and self._pipe is None and self._record is not None:
                self._record.unlink(missing_ok=True)

    def _recording(self) -> contextlib.AbstractContextManager[None]:
        """Have failures inside told as those of the recording."""
        assert self._record is not None
        return named_as_ours(self._av, self._record, remedy=RECORDED)


# --- inside ---


def _pulled(av: Any, source: str, options: str, sink: str) -> Iterator[Any]:
    graph = av.filter.Graph()
    begin, end = graph.add(source, options), graph.add(sink)
    begin.link_to(end)
    graph.configure()
    while True:
        yield graph.pull()


def _test_pictures(av: Any, quality: Quality) -> Iterator[Any]:
    options = f"size={quality.width}x{quality.height}:rate={quality.pictures_per_s}"
    for picture in _pulled(av, "testsrc2", options, "buffersink"):
        yield picture.reformat(format="yuv420p")


def _test_sounds(av: Any, samples: int) -> Iterator[Any]:
    options = f"frequency=440:sample_rate={SAMPLES_PER_S}:samples_per_frame={samples}"
    return _pulled(av, "sine", options, "abuffersink")


def _pictures_of(av: Any, source: str, quality: Quality) -> Iterator[Any]:
    """Return a file's or a camera's pictures at our rate: as often as each is to be seen, in our size."""
    file = _opened(av, source, "video")

    def pictures() -> Iterator[Any]:
        shown, begun_s = 0, None if is_device(source) else 0.0
        with file, named_as_ours(av, source):
            for picture in _decoded(file, source, "video"):
                at_s = float(picture.time or 0.0)
                begun_s = at_s if begun_s is None else begun_s  # a camera's clock may count from anywhere
                while shown <= (at_s - begun_s) * quality.pictures_per_s:
                    shown += 1
                    yield picture.reformat(width=quality.width, height=quality.height, format="yuv420p")

    return pictures()


def _sounds_of(av: Any, source: str, samples: int) -> Iterator[Any]:
    file = _opened(av, source, "audio")

    def sounds() -> Iterator[Any]:
        to_ours = av.AudioResampler(format="s16", layout="mono", rate=SAMPLES_PER_S, frame_size=samples)
        with file, named_as_ours(av, source):
            for sound in _decoded(file, source, "audio"):
                sound.pts = None  # what comes is told when it is due by its place
                yield from to_ours.resample(sound)

    return sounds()


def _decoded(file: Any, source: str, kind: str) -> Iterator[Any]:
    pieces = file.decode(**{kind: 0})
    return fresh(pieces) if is_device(source) else pieces


def _opened(av: Any, source: str, kind: str) -> Any:
    if is_device(source):
        file = open_input(source)
    else:
        check_source(source)
        with named_as_ours(av, source):
            file = av.open(source)
    if not getattr(file.streams, kind):
        file.close()
        raise ConfigurationError(f"{source} has no {kind}", remedy=f"name a file that has, or --{kind} none")
    return file

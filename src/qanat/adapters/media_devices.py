"""Cameras, microphones and loudspeakers of this machine, by FFmpeg's own devices (from the extra ``services``).

``camera``, ``microphone``, ``speaker`` name the first, or the system's own choice; ``camera:NAME`` another, by the name
that ``find_devices`` tells. Linux by V4L2 and ALSA, macOS by AVFoundation, Windows by DirectShow (no loudspeaker).
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from qanat.adapters.media_faults import load_av
from qanat.ground.errors import ConfigurationError

CAMERA, MICROPHONE, SPEAKER = "camera", "microphone", "speaker"
KINDS = (CAMERA, MICROPHONE, SPEAKER)
SAMPLES_PER_S = 48_000
STALE_S = 0.005
"""A piece that comes sooner was waiting in the device since before anybody listened."""
MOST_STALE = 100
ALSA_CONFIG = Path("/usr/share/alsa/alsa.conf")
ALSA_PLUGINS = ("/usr/lib/*/alsa-lib", "/usr/lib64/alsa-lib", "/usr/lib/alsa-lib")


@dataclass(frozen=True, slots=True)
class _Driver:
    """How FFmpeg opens one kind: its format, what is opened by itself, and how a name is written."""

    format: str
    first: str
    written: str = "{}"


DRIVERS: Final[dict[str, dict[str, _Driver]]] = {
    "linux": {
        CAMERA: _Driver("v4l2", "/dev/video0"),
        MICROPHONE: _Driver("alsa", "default"),
        SPEAKER: _Driver("alsa", "default"),
    },
    "darwin": {
        CAMERA: _Driver("avfoundation", "default", "{}:none"),
        MICROPHONE: _Driver("avfoundation", "default", "none:{}"),
        SPEAKER: _Driver("audiotoolbox", "default"),
    },
    "win32": {CAMERA: _Driver("dshow", "", "video={}"), MICROPHONE: _Driver("dshow", "", "audio={}")},
}
"""By ``sys.platform``. An empty ``first``: the first that is listed."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device: ``word`` is what names it among the options."""

    kind: str
    word: str
    description: str


def is_device(source: str) -> bool:
    """Return whether a word names a device of this machine, and no file."""
    return source.partition(":")[0] in KINDS


def find_devices() -> list[Device]:
    """Return what is there; raises ConfigurationError where the extra is not installed."""
    return [
        Device(kind, f"{kind}:{name}", description)
        for kind, driver in DRIVERS.get(sys.platform, {}).items()
        for name, description in _listed(kind, driver)
    ]


def open_input(source: str) -> Any:
    """Return FFmpeg's input of a camera or microphone; raises ConfigurationError with what is there instead."""
    av, (kind, driver, name) = load_av(), _found(source)
    sound = {"sample_rate": str(SAMPLES_PER_S), "channels": "1"} if driver.format == "alsa" else {}
    for options in (sound, {}) if sound else ({},):  # some devices have two channels, and no converter before them
        try:
            return av.open(driver.written.format(name), format=driver.format, options=options)
        except (av.FFmpegError, OSError, ValueError) as fault:
            reason = getattr(fault, "strerror", None) or str(fault)
    raise _none(kind, name, reason)


def fresh(pieces: Iterator[Any]) -> Iterator[Any]:
    """Yield what a device gives from now on: what has waited in it is left out, for it would stay behind for ever."""
    num_stale, asked_s = 0, time.monotonic()
    for piece in pieces:
        if num_stale < MOST_STALE and time.monotonic() - asked_s < STALE_S:
            num_stale, asked_s = num_stale + 1, time.monotonic()
            continue
        num_stale = MOST_STALE
        yield piece


def open_output(source: str) -> Any:
    """Return FFmpeg's output of a loudspeaker; raises ConfigurationError where there is none."""
    av, (kind, driver, name) = load_av(), _found(source)
    try:
        output = av.open(driver.written.format(name), "w", format=driver.format)
        output.add_stream("pcm_s16le", rate=SAMPLES_PER_S, layout="mono")
        output.start_encoding()
    except (av.FFmpegError, OSError, ValueError) as fault:
        raise _none(kind, name, getattr(fault, "strerror", None) or str(fault)) from None
    return output


def _found(source: str) -> tuple[str, _Driver, str]:
    """Return kind, driver and name of what a word names."""
    kind, _, name = source.partition(":")
    driver = DRIVERS.get(sys.platform, {}).get(kind)
    if driver is None:
        raise ConfigurationError(f"no {kind} is known of on this system", remedy=_instead(kind))
    _let_alsa_find_its_files()
    if not name:
        name = driver.first or next((name for name, _ in _listed(kind, driver)), "")
    if not name:
        raise _none(kind, "", "none is listed")
    return kind, driver, name


def _listed(kind: str, driver: _Driver) -> Iterator[tuple[str, str]]:
    """Yield names and descriptions of a kind, as FFmpeg lists them; it does so since PyAV 15."""
    load_av()
    _let_alsa_find_its_files()
    try:
        device = importlib.import_module("av.device")
        found = (device.enumerate_output_devices if kind == SPEAKER else device.enumerate_input_devices)(driver.format)
    except (ImportError, ValueError, OSError):
        found = []
    wanted = "video" if kind == CAMERA else "audio"
    names = [(one.name, one.description) for one in found if wanted in (one.media_types or [wanted])]
    if driver.format == "v4l2":
        there = {name for name, _ in names}
        names += [(str(path), "") for path in sorted(Path("/dev").glob("video*")) if str(path) not in there]
    yield from names


def _let_alsa_find_its_files() -> None:
    """Tell the ALSA library that comes with PyAV where this system has ALSA's files: it looks where it was built."""
    if sys.platform == "linux" and "ALSA_CONFIG_PATH" not in os.environ and ALSA_CONFIG.exists():
        os.environ["ALSA_CONFIG_PATH"] = str(ALSA_CONFIG)
        folders = (folder for pattern in ALSA_PLUGINS for folder in Path("/").glob(pattern[1:]))
        if (plugins := next(folders, None)) is not None:
            os.environ.setdefault("ALSA_PLUGIN_DIR", str(plugins))


def _none(kind: str, name: str, reason: str) -> ConfigurationError:
    called = f" {name!r}" if name else ""
    return ConfigurationError(f"no {kind}{called} can be opened here: {reason}", remedy=_instead(kind))


def _instead(kind: str) -> str:
    other = "record to a file" if kind == SPEAKER else "name a file, or 'test', or 'none'"
    return f"look at `qanat call --devices`; or {other}"

"""What a calibration session and a device say to each other: one command frame, one answer frame.

    0x60  command  header {"do": "describe"}                                   -> 0x61
          command  header {"do": "measure", "what", "window_s", "knobs": {..}} -> 0x62
    0x61  description of the device (``DeviceInfo``); null where a device has no such thing
    0x62  reading: header {"elapsed_s", "num_clicks"}, body as ``what`` says; all numbers big-endian
            "counts"   one u32 per detector
            "signals"  u32 per preparation and detector: clicks in slots where Alice sent a signal pulse in H, V, +, -
            "tags"     per click u8 detector and u32 offset in its pulse period in ps, all detectors first
    0x63  fault of the device: header {"message", "remedy"}

A command sets all knobs, so that a repeated one does no harm. ``elapsed_s`` is the device's own clock: what a
calibration costs is read there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import FrameError, QuantumLayerError
from qanat.ground.events import Json
from qanat.ground.framing import decode_frame, encode_frame

COMMAND: Final = 0x60
DESCRIPTION: Final = 0x61
READING: Final = 0x62
FAULT: Final = 0x63

NUM_DETECTORS: Final = 4
NUM_STATES: Final = 4

Light = Literal["off", "H", "V", "+", "-", "random", "bb84"]
"""What the transmitter sends: nothing, one state at the signal's intensity, the four states at random at the signal's
intensity, or the protocol's mixture of states and intensities."""
What = Literal["counts", "signals", "tags"]
GateShape = Literal["sine", "rectangular", "none"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """What a device says of itself. Times are in whole picoseconds where a knob or a counter works in them.

    brightness_db: lowest and highest setting of the transmitter's attenuator, above the level of the protocol.
    gate_shape: what the counting rate does over the gate delay: a crest ("sine"), a plateau ("rectangular"), or nothing
    ("none": the detectors run freely). gate_period_ps, gate_width_ps: None without gates. window_ps: width of the
    coincidence window that "signals" are counted in, round the pulse; None where every click in the slot counts. Counts
    of other light are those of all clicks: before synchronization no window can be set.
    hold_off_slots: pulse slots after a click in which a detector is dead. max_retardance_rad: of every squeezer.
    """

    system: str
    pulse_rate_hz: float
    gate_shape: GateShape
    gate_period_ps: int | None
    gate_width_ps: int | None
    window_ps: int | None
    delay_step_ps: float
    hold_off_slots: int
    brightness_db: tuple[float, float]
    num_squeezers: int
    max_retardance_rad: float


@dataclass(frozen=True, slots=True)
class Knobs:
    """Everything that can be set. ``delay_steps``: per detector. ``retardances_rad``: per controller and squeezer.

    is_slow: pulses at the rate of synchronization (100 kHz) instead of the system's.
    """

    light: Light = "off"
    is_slow: bool = False
    brightness_db: float = 0.0
    delay_steps: tuple[int, ...] = (0,) * NUM_DETECTORS
    retardances_rad: tuple[tuple[float, ...], ...] = ((0.0,) * 4,) * 2


@dataclass(frozen=True, slots=True)
class Measure:
    """Set the knobs, wait for a window, read."""

    what: What
    window_s: float
    knobs: Knobs


@dataclass(frozen=True, slots=True)
class Tags:
    """Time tags. detectors: uint8, shape (n,). offsets_ps: int64, shape (n,), within the period of the slow pulses."""

    detectors: NDArray[np.uint8]
    offsets_ps: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Reading:
    """What came back. counts: int64, shape (4,) for "counts", (4, 4) [state, detector] for "signals"."""

    elapsed_s: float
    counts: NDArray[np.int64] | None = None
    tags: Tags | None = None


def encode_command(command: Measure | None) -> bytes:
    """Return a command's frame; None asks the device to describe itself."""
    if command is None:
        return encode_frame(COMMAND, {"do": "describe"})
    knobs = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(command.knobs).items()}
    knobs["retardances_rad"] = [list(one) for one in command.knobs.retardances_rad]
    return encode_frame(COMMAND, {"do": "measure", "what": command.what, "window_s": command.window_s, "knobs": knobs})


def decode_command(data: bytes) -> Measure | None:
    """Return the command in a frame, None for "describe"; raises FrameError on anything else."""
    frame = decode_frame(data)
    match dict(frame.header):
        case {"do": "describe"} if frame.kind == COMMAND:
            return None
        case {
            "do": "measure",
            "what": "counts" | "signals" | "tags" as what,
            "window_s": int() | float() as window_s,
            "knobs": dict(knobs),
        } if frame.kind == COMMAND and 0 < window_s < 3600:
            return Measure(what, float(window_s), _read(_knobs, knobs))
    raise FrameError("no command of a calibration session")


def encode_info(info: DeviceInfo) -> bytes:
    """Return a device's description as a frame."""
    return encode_frame(DESCRIPTION, {**asdict(info), "brightness_db": list(info.brightness_db)})


def encode_counts(counts: NDArray[np.int64], *, elapsed_s: float) -> bytes:
    """Return a reading of counts (int64, any shape) as a frame."""
    return encode_frame(
        READING, {"elapsed_s": elapsed_s, "num_clicks": int(counts.sum())}, counts.astype(">u4").tobytes()
    )


def encode_tags(tags: Tags, *, elapsed_s: float) -> bytes:
    """Return a reading of time tags as a frame."""
    body = tags.detectors.tobytes() + tags.offsets_ps.astype(">u4").tobytes()
    return encode_frame(READING, {"elapsed_s": elapsed_s, "num_clicks": tags.detectors.size}, body)


def encode_fault(fault: QuantumLayerError | FrameError) -> bytes:
    """Return a device's fault as a frame."""
    return encode_frame(FAULT, {"message": fault.message, "remedy": fault.remedy})


def decode_info(data: bytes) -> DeviceInfo:
    """Return a device's description; raises FrameError, or QuantumLayerError with the device's own fault."""
    return _read(_info, _answer(data, DESCRIPTION)[0])


def decode_reading(data: bytes, what: What) -> Reading:
    """Return a reading of the kind that was asked for; raises FrameError, or QuantumLayerError with the fault told."""
    header, body = _answer(data, READING)
    elapsed_s = _read(lambda fields: float(fields["elapsed_s"]), header)
    if what == "tags":
        count, left_over = divmod(len(body), 5)
        detectors = np.frombuffer(body, dtype=np.uint8, count=count)
        if left_over or (count and detectors.max() >= NUM_DETECTORS):
            raise FrameError("time tags of a wrong length, or of a detector that is none")
        offsets = np.frombuffer(body, dtype=">u4", offset=count).astype(np.int64)
        return Reading(elapsed_s, tags=Tags(detectors, offsets))
    shape = (NUM_DETECTORS,) if what == "counts" else (NUM_STATES, NUM_DETECTORS)
    if len(body) != 4 * int(np.prod(shape)):
        raise FrameError(f"a reading of {len(body)} bytes, not of {what}")
    return Reading(elapsed_s, counts=np.frombuffer(body, dtype=">u4").astype(np.int64).reshape(shape))


def _answer(data: bytes, kind: int) -> tuple[Mapping[str, Any], bytes]:
    frame = decode_frame(data)
    if frame.kind == FAULT:
        told = {name: str(frame.header.get(name, "")) for name in ("message", "remedy")}
        raise QuantumLayerError(f"the device says: {told['message']}", remedy=told["remedy"])
    if frame.kind != kind:
        raise FrameError(f"the device answered with a frame of kind {frame.kind:#x}, not {kind:#x}")
    return frame.header, frame.body


def _read(convert: Callable[[Mapping[str, Any]], T], fields: Mapping[str, Any]) -> T:
    try:
        return convert(fields)
    except (KeyError, TypeError, ValueError) as fault:
        raise FrameError(f"a field is missing or wrong: {fault}") from None


def _knobs(fields: Mapping[str, Json]) -> Knobs:
    known: Mapping[str, Any] = fields
    light: Any = known["light"]
    knobs = Knobs(
        light=light,
        is_slow=bool(known["is_slow"]),
        brightness_db=float(known["brightness_db"]),
        delay_steps=tuple(int(step) for step in known["delay_steps"]),
        retardances_rad=tuple(tuple(float(one) for one in some) for some in known["retardances_rad"]),
    )
    if light not in ("off", "H", "V", "+", "-", "random", "bb84") or len(knobs.delay_steps) != NUM_DETECTORS:
        raise ValueError(f"light {light!r} or {len(knobs.delay_steps)} delays")
    return knobs


def _whole_or_none(field: Any) -> int | None:
    return None if field is None else int(field)


def _info(fields: Mapping[str, Any]) -> DeviceInfo:
    low, high = fields["brightness_db"]
    shape: Any = fields["gate_shape"]
    gates = _whole_or_none(fields["gate_period_ps"]), _whole_or_none(fields["gate_width_ps"])
    wanted = (None, None) if shape == "none" else tuple(abs(one or 0) or 1 for one in gates)
    if shape not in ("sine", "rectangular", "none") or gates != wanted or not float(fields["delay_step_ps"]) > 0:
        raise ValueError(f"gates of shape {shape!r}, period and width {gates}, steps {fields['delay_step_ps']}")
    return DeviceInfo(
        system=str(fields["system"]),
        pulse_rate_hz=float(fields["pulse_rate_hz"]),
        gate_shape=shape,
        gate_period_ps=gates[0],
        gate_width_ps=gates[1],
        window_ps=_whole_or_none(fields["window_ps"]),
        delay_step_ps=float(fields["delay_step_ps"]),
        hold_off_slots=int(fields["hold_off_slots"]),
        brightness_db=(float(low), float(high)),
        num_squeezers=int(fields["num_squeezers"]),
        max_retardance_rad=float(fields["max_retardance_rad"]),
    )

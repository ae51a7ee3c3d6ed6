"""Looks after the generator that the devices draw from: tells when links wait for it, and raises the alarm once."""

from __future__ import annotations

from qanat.adapters.entropy_server import EntropyServer, EntropyState
from qanat.ground.events import EventKind, Json
from qanat.ground.ports import Clock
from qanat.ground.tracing import EventRecorder
from qanat.ground.units import format_rate

LOOK_PERIOD_S = 1.0
MUCH = 0.8
"""Share of a period in which somebody waited for the generator, from which on it is what holds the links up."""
SILENCE_S = 10.0
"""How long nothing more is said of a wait."""


async def watch_entropy(server: EntropyServer, *, clock: Clock, recorder: EventRecorder) -> None:
    """Record, until the generator fails: that links wait for it (now and then), and its alarm (once)."""
    before, told_s = server.state, clock.monotonic_s() - SILENCE_S
    while server.state.fault is None:
        now_s = clock.monotonic_s()
        await clock.sleep_until(now_s + LOOK_PERIOD_S)
        state, took_s = server.state, clock.monotonic_s() - now_s
        if state.asked_s - before.asked_s > MUCH * took_s and now_s - told_s >= SILENCE_S:
            told_s = now_s
            rate = 8 * state.bytes_given / state.asked_s
            text = f"{server.source.path} gives {format_rate(rate)} after conditioning"
            recorder.record(EventKind.ENTROPY_AWAITED, text=text, rate_bits_per_s=rate)
        before = state
    text = f"{server.state.fault}; no link makes key, keys in stock are given"
    recorder.alarm("EntropyFailed", text, server.state.remedy)


def entropy_record(server: EntropyServer | None, state: EntropyState | None = None) -> dict[str, Json]:
    """Return where the devices' entropy comes from and whether that is in order, as JSON has it.

    With a ``state``, its account too: raw samples read, bytes given after conditioning.
    """
    if server is None:
        return {"source": "operating system", "fault": None, "remedy": ""}
    record: dict[str, Json] = {
        "source": str(server.source.path),
        "min_entropy_bits": server.source.min_entropy_bits,
        "fault": server.state.fault,
        "remedy": server.state.remedy,
    }
    return record if state is None else record | {"samples_read": state.samples_read, "bytes_given": state.bytes_given}

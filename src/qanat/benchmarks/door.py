"""How fast the ETSI 014 door of a site gives keys over mutual TLS, and how long a call takes at half of that rate.

The site is what an operator runs (``door_site``): the key manager with its ten steps, the guard with its limits, the
audit log and the event log, and a durable store in which the keys lie. What asks is this process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qanat.adapters.tls import TlsFiles
from qanat.benchmarks.door_load import Load, drive
from qanat.benchmarks.door_server import served_fixed_bytes
from qanat.benchmarks.door_site import KEY_SIZE_BITS, DoorAddress, ServedSite
from qanat.benchmarks.rows import Row

CONNECTIONS = 16
WARM_UP_CALLS = 100
LATENCY = "etsi014-latency"
LATENCY_GOAL_MS = 20.0


@dataclass(frozen=True, slots=True)
class _Case:
    """``calls`` as fast as answers come, then ``half_load_calls`` at half of that rate."""

    name: str
    goal: float
    keys_per_call: int
    calls: int
    half_load_calls: int

    @property
    def stock(self) -> int:
        return self.keys_per_call * (WARM_UP_CALLS + self.calls + self.half_load_calls)


CASES = (
    _Case("etsi014-single", goal=3_000, keys_per_call=1, calls=10_000, half_load_calls=5_000),
    _Case("etsi014-batch", goal=100_000, keys_per_call=128, calls=1_000, half_load_calls=600),
)


@dataclass(frozen=True, slots=True)
class _Latency:
    """Milliseconds from the moment at which a call was due to its whole answer."""

    p50_ms: float
    p99_ms: float

    def __str__(self) -> str:
        return f"p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms"


@dataclass(frozen=True, slots=True)
class _Measured:
    """One case at the site's door, and at the same server with fixed bytes in the door's place."""

    case: _Case
    calls_per_s: float
    cpu_us: float | None
    """Microseconds of the serving process's processor time per call at full load."""
    half_load: _Latency
    reference_calls_per_s: float
    reference: _Latency
    """At the same half rate."""


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmarks of these names and yield their rows."""
    found = []
    for case in CASES:
        if case.name in names or LATENCY in names:
            found.append(measured := _measured(case))
            if case.name in names:
                yield _rate_row(measured)
    if LATENCY in names:
        yield _latency_row(found)


def _rate_row(found: _Measured) -> Row:
    case = found.case
    cpu = "" if found.cpu_us is None else f"; {found.cpu_us:,.0f} us of processor time per call"
    return Row(
        name=case.name,
        rate=found.calls_per_s * case.keys_per_call,
        unit="keys/s",
        goal=case.goal,
        reference_name="fixed bytes from the same server",
        reference_rate=found.reference_calls_per_s * case.keys_per_call,
        note=(
            f"{KEY_SIZE_BITS}-bit keys, {case.keys_per_call} per call, {CONNECTIONS} connections kept open; "
            f"`qanat node` with guard, audit log and durable stock; at half of this rate {found.half_load}{cpu}"
        ),
    )


def _latency_row(found: Sequence[_Measured]) -> Row:
    """Return the worse of the cases' p99."""
    worst = max(found, key=lambda one: one.half_load.p99_ms)
    return Row(
        name=LATENCY,
        rate=worst.half_load.p99_ms,
        unit="ms",
        goal=LATENCY_GOAL_MS,
        reference_name="p99 of fixed bytes from the same server at the same rate",
        reference_rate=worst.reference.p99_ms,
        note="p99, from the moment at which a call was due, at half of the rate just measured, the worst of "
        + "; ".join(
            f"{one.case.keys_per_call} per call, {one.calls_per_s / 2:,.0f} calls/s: {one.half_load}" for one in found
        ),
        is_limit=True,
    )


def _measured(case: _Case) -> _Measured:
    with ServedSite(case.stock) as door:
        request = _request(case, door)
        _drive(Load(request, WARM_UP_CALLS), door.port, door.files)
        before_s = door.cpu_s
        calls_per_s = case.calls / _drive(Load(request, case.calls), door.port, door.files)
        after_s = door.cpu_s
        cpu_us = None if before_s is None or after_s is None else 1e6 * (after_s - before_s) / case.calls
        half_load = _latency(Load(request, case.half_load_calls, calls_per_s=calls_per_s / 2), door.port, door.files)
        with served_fixed_bytes(door.site_files, case.keys_per_call) as port:
            _drive(Load(request, WARM_UP_CALLS), port, door.files)
            reference_calls_per_s = case.calls / _drive(Load(request, case.calls), port, door.files)
            reference = _latency(Load(request, case.half_load_calls, calls_per_s=calls_per_s / 2), port, door.files)
    return _Measured(case, calls_per_s, cpu_us, half_load, reference_calls_per_s, reference)


def _request(case: _Case, door: DoorAddress) -> bytes:
    body = b'{"number":%d,"size":%d}' % (case.keys_per_call, KEY_SIZE_BITS)
    path = f"/api/v1/keys/{door.pair.slave}/enc_keys".encode()
    return b"POST %b HTTP/1.1\r\nhost: door\r\ncontent-length: %d\r\n\r\n%b" % (path, len(body), body)


def _latency(load: Load, port: int, files: TlsFiles) -> _Latency:
    _drive(load, port, files)
    return _Latency(1000 * load.percentile_s(0.5), 1000 * load.percentile_s(0.99))


def _drive(load: Load, port: int, files: TlsFiles) -> float:
    return asyncio.run(drive(load, port=port, files=files, connections=CONNECTIONS))

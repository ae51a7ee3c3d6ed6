"""``qanat distil``: what its commands print."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from qanat.adapters.machine_faults import machine_fault
from qanat.apps.distil.example import COUNTS_NAME, ExampleFiles, make_counted, make_raw, make_sifted
from qanat.apps.distil.party import PartyOptions, distil
from qanat.apps.distil.setup import Made
from qanat.ground.errors import ConfigurationError, QanatError
from qanat.quantum_layer.link_plan import LinkTask


def run_distil(options: PartyOptions, *, as_json: bool) -> int:
    """Run a party and tell what came of it, after an error too. Returns 0 when secret key was made, else 1."""

    def say(text: str) -> None:
        sys.stderr.write(f"{options.role}: {text}\n")  # in one piece: two parties may share a terminal
        sys.stderr.flush()

    made = Made()
    try:
        distil(options, tell=say, on_port=lambda port: say(f"listening on {options.host}:{port}"), made=made)
    except (QanatError, OSError, KeyboardInterrupt) as fault:
        if as_json or made.blocks:
            _print(options, made, fault, as_json=as_json)
        raise
    _print(options, made, None, as_json=as_json)
    return 0 if made.blocks else 1


def _print(options: PartyOptions, made: Made, fault: BaseException | None, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(record(options, made, fault), indent=2), flush=True)
    else:
        blocks = f"{len(made.blocks)} block{'s' if len(made.blocks) != 1 else ''}"
        print(f"{made.secret_bits:,} secret bits from {blocks} in {options.out}", flush=True)


def record(options: PartyOptions, made: Made, fault: BaseException | None = None) -> dict[str, Any]:
    """Return what machines are told: everything but the keys; ``fault``: what ended the run, None when nothing did."""
    named = machine_fault(fault) if isinstance(fault, OSError) else fault
    if isinstance(named, KeyboardInterrupt):
        named = QanatError("stopped by its user", remedy="the same command goes on behind what was used")
    return {
        "fault": named.message if isinstance(named, QanatError) else None,
        "remedy": named.remedy if isinstance(named, QanatError) else None,
        "role": options.role,
        "blocks": made.blocks,
        "dropped": made.dropped,
        "secret_bits": made.secret_bits,
        "pad_bits_spent": made.pad_bits_spent,
        "pad_bits_left": made.pad_bits_left,
        "out": str(options.out),
    }


def run_make_example(
    folder: Path, *, task: LinkTask | None, bits: tuple[int, float], num_ranges: int, seed: int, as_json: bool
) -> int:
    """Write an example and tell how to distil it; bits: how many sifted ones, and their error rate. Returns 0."""
    if task is None and num_ranges:
        raise ConfigurationError(
            "bits of a stated error rate come of no light: there is nothing to count",
            remedy="leave --sifted-bits out: with --counts the twin's light is sifted",
        )
    kind, options = "--sifted", " --min-entropy 0.5"
    if task is None:
        files = make_sifted(folder, num_bits=bits[0], qber=bits[1], seed=seed)
    elif num_ranges:
        files, options = make_counted(folder, task, num_ranges=num_ranges, seed=seed), " --counts {}"
    else:
        files, kind, options = make_raw(folder, task, seed=seed), "--raw", ""
    if as_json:
        print(json.dumps({name: _told(one) for name, one in files.items()}, indent=2))
        return 0
    print(f"{files['bob'].num_events:,} {'bits' if kind == '--sifted' else 'detections'} in {folder}. Two terminals:")
    ways = {"alice": "--listen 127.0.0.1:7000", "bob": "--connect 127.0.0.1:7000"}
    for name, way in ways.items():
        one = files[name]
        stated = options.format(one.record.with_name(COUNTS_NAME))
        print(f"  qanat distil {name} {way} {kind} {one.record} --key {one.key} --out {folder / name / 'keys'}{stated}")
    return 0


def _told(one: ExampleFiles) -> dict[str, Any]:
    return {"record": str(one.record), "key": str(one.key), "num_events": one.num_events}

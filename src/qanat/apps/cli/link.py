"""``qanat link``: one link for so many seconds of its own time, photon by photon, with real distillation.

Its chance and its entropy both come from the seed, so a run can be had again. Such keys are known to whoever knows the
seed: they are compared, counted and overwritten in ``quantum_layer.link_run``, and no block leaves it.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any, cast

from qanat.apps.cli.presentation import RunView, people_console, show_table
from qanat.ground.errors import ConfigurationError
from qanat.ground.randomness import SeededChance
from qanat.ground.units import format_rate
from qanat.postprocessing.reconciliation.port import MethodName
from qanat.quantum_layer.link_plan import LinkTask, plan_blocks
from qanat.quantum_layer.link_run import LinkFigures, run_link
from qanat.simulation.entropy import SimulationEntropy

MOST_SEED = 2**63 - 1


def run_link_command(
    system: str,
    *,
    loss_db: float,
    seconds: float,
    seed: int,
    disturbance: float,
    as_json: bool,
    reconciliation: str = "cascade",
) -> int:
    """Run a link and print what came of it. Returns 0 when key was made, alike at both ends, without alarm; else 1."""
    if not 0 <= seed <= MOST_SEED:
        raise ConfigurationError(f"{seed} is no seed", remedy=f"give a whole number from 0 to {MOST_SEED}")
    task = LinkTask(
        system=system,
        loss_db=loss_db,
        seconds=seconds,
        disturbance=disturbance,
        reconciliation=cast("MethodName", reconciliation),
    )
    chance = SeededChance(seed).child("link")
    started = time.perf_counter()
    with RunView() as view:
        plan = plan_blocks(task)
        if plan.num_blocks:
            view.say(
                f"{system} at {loss_db:g} dB: {plan.num_blocks} x {plan.block_bits:,} bits in {seconds:g} s of light"
            )
        figures = run_link(
            task,
            chance=chance,
            entropy=SimulationEntropy(chance.child("entropy")),
            on_progress=lambda share: view.show_progress("light", share),
        )
    pulses_per_s = figures.pulses / (time.perf_counter() - started)
    if as_json:
        print(json.dumps(_record(task, figures, seed=seed, pulses_per_s=pulses_per_s), indent=2))
    else:
        _print(task, figures, pulses_per_s)
    return 0 if figures.all_held else 1


def _record(task: LinkTask, figures: LinkFigures, *, seed: int, pulses_per_s: float) -> dict[str, Any]:
    return {
        **asdict(task),
        "seed": seed,
        **asdict(figures),
        "sifted_rate_bits_per_s": figures.sifted_bits / task.seconds,
        "secret_rate_bits_per_s": figures.secret_bits / task.seconds,
        "pulses_per_s": pulses_per_s,
        "provenance": "predicted (photon level, real distillation); chance and entropy from the seed: no key leaves",
    }


def _print(task: LinkTask, figures: LinkFigures, pulses_per_s: float) -> None:
    console = people_console(is_answer=True)
    rows = [
        ("pulses", f"{figures.pulses:,}"),
        ("detections", f"{figures.detections:,}"),
        ("sifted bits (signal, equal bases)", f"{figures.sifted_bits:,}"),
        ("QBER", _percent(figures.qber)),
        ("QBER, lowest and highest tenth of the time", _spread(figures)),
        ("blocks distilled", f"{figures.num_blocks} x {figures.block_bits:,} bits" if figures.num_blocks else "none"),
        (f"told by error correction ({task.reconciliation})", f"{figures.leaked_bits:,} bits"),
        ("f_EC", "-" if figures.f_ec is None else f"{figures.f_ec:.3f}"),
        ("secret bits", f"{figures.secret_bits:,}"),
        ("secret rate", format_rate(figures.secret_bits / task.seconds)),
        ("keys identical at both ends", {True: "yes", False: "NO", None: "-"}[figures.keys_identical]),
        ("pulses computed per second", f"{pulses_per_s:.2e}"),
    ]
    show_table(console, f"{task.system}, {task.loss_db:g} dB, {task.seconds:g} s of light", ("figure", "value"), rows)
    for alarm in figures.alarms:
        console.print(f"alarm {alarm.code}: {alarm.text}", style="red", soft_wrap=True)
        console.print(f"  what to do: {alarm.remedy}", soft_wrap=True)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.3f} %"


def _spread(figures: LinkFigures) -> str:
    known = [qber for qber in figures.qber_by_part if qber is not None]
    return f"{_percent(min(known))} to {_percent(max(known))}" if known else "-"

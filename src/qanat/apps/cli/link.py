"""``qanat link``: one link for so many seconds of its own time, photon by photon, with real distillation.

Its chance and its entropy both come from the seed, so a run can be had again. Such keys are known to whoever knows the
seed: they are compared, counted and overwritten in ``quantum_layer.link_run``, and no block leaves it. Entropy may come
from a physical generator instead, to see what it does to a link, and what becomes of the link when it fails.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, cast

from qanat.adapters.physical_entropy import EntropySource, PhysicalEntropy
from qanat.apps.cli.presentation import RunView, people_console, show_table
from qanat.apps.pictures.files import check_picture_name, write_picture
from qanat.apps.pictures.link import draw_link
from qanat.ground.errors import ConfigurationError
from qanat.ground.ports import Chance, Entropy
from qanat.ground.randomness import SeededChance
from qanat.ground.units import format_rate
from qanat.postprocessing.amplification import Amplification
from qanat.postprocessing.reconciliation.methods import ABOUT
from qanat.postprocessing.reconciliation.port import MethodName
from qanat.protocols.decoy import DecoyProtocol
from qanat.quantum_layer.link_plan import LinkTask, plan_blocks
from qanat.quantum_layer.link_run import LinkFigures, run_link
from qanat.quantum_layer.link_upkeep import OpticsFigures
from qanat.simulation.entropy import SimulationEntropy

MOST_SEED = 2**63 - 1


class OpticsOptions(NamedTuple):
    """What the command line said of the link's devices; ``calibrate`` False: its optical error is the record's."""

    calibrate: bool = True
    drift_rad_per_sqrt_s: float = 0.0
    delay_drift_ps_per_sqrt_s: float = 0.0
    with_feedback: bool = True


def run_link_command(
    system: str,
    *,
    loss_db: float,
    seconds: float,
    seed: int,
    disturbance: float,
    as_json: bool,
    entropy_source: EntropySource | None = None,
    optics: OpticsOptions = OpticsOptions(),  # noqa: B008 - a constant
    out: Path | None = None,
    reconciliation: str = "cascade",
    amplification: str = "toeplitz",
    charge_replies: bool = False,
) -> int:
    """Run a link and print what came of it. Returns 0 when key was made, alike at both ends, without alarm; else 1.

    out: where the picture of the run goes, .svg or .png.
    """
    check_picture_name(out)
    if not 0 <= seed <= MOST_SEED:
        raise ConfigurationError(f"{seed} is no seed", remedy=f"give a whole number from 0 to {MOST_SEED}")
    task = LinkTask(
        system=system,
        loss_db=loss_db,
        seconds=seconds,
        disturbance=disturbance,
        reconciliation=cast("MethodName", reconciliation),
        amplification=cast("Amplification", amplification),
        charges_replies=charge_replies,
        **optics._asdict(),
    )
    chance = SeededChance(seed).child("link")
    started = time.perf_counter()
    with RunView() as view, _entropy(entropy_source, chance) as entropy:
        plan = plan_blocks(task)
        if plan.num_blocks:
            view.say(
                f"{system} at {loss_db:g} dB: {plan.num_blocks} x {plan.block_bits:,} bits in {seconds:g} s of light"
            )
        figures = run_link(
            task,
            chance=chance,
            entropy=entropy,
            on_progress=lambda share: view.show_progress("light", share),
        )
    pulses_per_s = figures.pulses / (time.perf_counter() - started)
    if out is not None:
        title = f"{system} over {loss_db:g} dB, {seconds:g} s of light, seed {seed}"
        write_picture(out, draw_link(figures, title=title, as_png=out.suffix.lower() == ".png"))
    if as_json:
        record = _record(task, figures, seed=seed, pulses_per_s=pulses_per_s)
        print(json.dumps(record | _entropy_record(entropy_source, entropy), indent=2))
    else:
        _print(task, figures, pulses_per_s)
    return 0 if figures.all_held else 1


@contextmanager
def _entropy(source: EntropySource | None, chance: Chance) -> Iterator[Entropy]:
    """Lend the entropy of a run: a generator's, or one that the seed determines."""
    if source is None:
        yield SimulationEntropy(chance.child("entropy"))
        return
    with closing(PhysicalEntropy(source.path, min_entropy_bits=source.min_entropy_bits)) as entropy:
        yield entropy


def _entropy_record(source: EntropySource | None, entropy: Entropy) -> dict[str, Any]:
    """Return what a generator has given; nothing where the seed stood for it."""
    if source is None or not isinstance(entropy, PhysicalEntropy):
        return {}
    return {
        "provenance": "predicted (photon level, real distillation); chance from the seed, entropy from a generator; "
        "no key leaves",
        "entropy": {
            "source": str(source.path),
            "min_entropy_bits": source.min_entropy_bits,
            "samples_read": entropy.raw_samples_read,
            "bytes_given": entropy.bytes_given,
            "fault": entropy.fault,
        },
    }


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
        ("of the undisclosed sifted bits, the blocks hold", _share_in_blocks(figures)),
        (f"error correction ({task.reconciliation})", ABOUT[task.reconciliation]),
        ("paid for it by the secret length", _paid(task, figures)),
        ("f_EC", "-" if figures.f_ec is None else f"{figures.f_ec:.3f}"),
        ("secret bits", f"{figures.secret_bits:,}"),
        ("secret rate", format_rate(figures.secret_bits / task.seconds)),
        *_optics_rows(figures),
        ("keys identical at both ends", {True: "yes", False: "NO", None: "-"}[figures.keys_identical]),
        ("pulses computed per second", f"{pulses_per_s:.2e}"),
    ]
    show_table(console, f"{task.system}, {task.loss_db:g} dB, {task.seconds:g} s of light", ("figure", "value"), rows)
    for text in figures.optics.abnormalities if figures.optics else ():
        console.print(f"abnormality at {text}", soft_wrap=True)
    for alarm in figures.alarms:
        console.print(f"alarm {alarm.code}: {alarm.text}", style="red", soft_wrap=True)
        console.print(f"  what to do: {alarm.remedy}", soft_wrap=True)


def _paid(task: LinkTask, figures: LinkFigures) -> str:
    replies = f"{figures.reply_bits:,} of Bob's replies"
    words = f"with {replies}" if task.charges_replies else f"{replies} tell positions of errors, not charged"
    return f"{figures.leaked_bits:,} bits ({words})" if figures.num_blocks else "-"


def _share_in_blocks(figures: LinkFigures) -> str:
    """The rest is light that filled no block: a plan must not promise more than the light will give."""
    undisclosed = figures.sifted_bits * (1 - DecoyProtocol().signal_disclosed)
    return f"{figures.key_bits / undisclosed:.0%}" if undisclosed else "-"


def _optics_rows(figures: LinkFigures) -> list[tuple[str, str]]:
    optics = figures.optics
    if optics is None:
        return []
    one, other = (
        f"{error:.2%} +- {sigma:.2%}"
        for error, sigma in zip(optics.optical_errors, optics.optical_error_sigmas, strict=True)
    )
    reasons = [stop.reason for stop in optics.stops]
    return [
        ("optical error, calibrated, rectilinear", one),
        ("optical error, calibrated, diagonal", other),
        ("optical error while key was made, mean", f"{optics.mean_optical_error:.3%}"),
        (
            "stops for polarization feedback, for a delay scan",
            f"{reasons.count('polarization')}, {reasons.count('delay')}",
        ),
        ("link time: light + calibration + stops", _times(optics)),
        ("secret rate, of all link time", format_rate(figures.secret_bits / optics.link_time_s)),
    ]


def _times(optics: OpticsFigures) -> str:
    light_s = optics.link_time_s - optics.calibration_s - optics.stopped_s
    return f"{light_s:.1f} + {optics.calibration_s:.1f} + {optics.stopped_s:.1f} s (duty {optics.duty:.0%})"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.3f} %"


def _spread(figures: LinkFigures) -> str:
    known = [qber for qber in figures.qber_by_part if qber is not None]
    return f"{_percent(min(known))} to {_percent(max(known))}" if known else "-"

"""The commands on one link, its rate, its calibration and its detectors; added to the others in ``main``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qanat.apps.cli.entropy_options import EntropyOption, MinEntropyOption, entropy_source
from qanat.apps.cli.light_commands import EndWith, JsonOption
from qanat.apps.cli.paths import named_path


def add_link_commands(app: typer.Typer, end_with: EndWith) -> None:
    """Add the commands; ``end_with`` runs one and tells its errors."""
    detector_app = typer.Typer(help="Look at single-photon detectors.", no_args_is_help=True)
    app.add_typer(detector_app, name="detector")
    _add_link(app, end_with)
    _add_rate(app, end_with)
    _add_calibrate(app, end_with)
    _add_characterize(detector_app, end_with)


def _add_link(app: typer.Typer, end_with: EndWith) -> None:
    @app.command()
    def link(
        system: Annotated[str, typer.Option(help="The QKD system, by its name.")],
        loss_db: Annotated[float, typer.Option(help="Loss of the link, without the receiver's own.")],
        seconds: Annotated[float, typer.Option(help="How long the light is on, in the link's own time.")],
        seed: Annotated[
            int, typer.Option(help="What is drawn comes from it: same seed, same result (but for --entropy).")
        ] = 1,
        entropy: EntropyOption = None,
        min_entropy: MinEntropyOption = None,
        disturbance: Annotated[float, typer.Option(help="Odds that somebody on the line flips a photon.")] = 0.0,
        no_calibration: Annotated[
            bool,
            typer.Option("--no-calibration", help="Take the record's optical error instead of calibrated devices."),
        ] = False,
        drift: Annotated[float, typer.Option(help="Polarization drift of the fibre, rad per root second.")] = 0.0,
        delay_drift: Annotated[float, typer.Option(help="Drift of the arrival times, ps per root second.")] = 0.0,
        no_feedback: Annotated[
            bool, typer.Option("--no-feedback", help="Let the link drift after calibration.")
        ] = False,
        out: Annotated[
            Path | None,
            typer.Option(parser=named_path, help="Draw error rate and counts into this file, .svg or .png."),
        ] = None,
        reconciliation: Annotated[
            str, typer.Option(help="How errors are corrected: cascade, winnow or ldpc.")
        ] = "cascade",
        amplification: Annotated[str, typer.Option(help="The last hash: toeplitz or modified-toeplitz.")] = "toeplitz",
        charge_replies: Annotated[
            bool, typer.Option("--charge-replies", help="Let the length pay for Bob's messages of it too.")
        ] = False,
        json: JsonOption = False,
    ) -> None:
        """Calibrate one link, run it photon by photon, distil what it gives. Its keys are for looking at alone."""

        def command() -> int:
            from qanat.apps.cli.link import OpticsOptions, run_link_command

            return run_link_command(
                system,
                loss_db=loss_db,
                seconds=seconds,
                seed=seed,
                disturbance=disturbance,
                entropy_source=entropy_source(entropy, min_entropy),
                as_json=json,
                optics=OpticsOptions(not no_calibration, drift, delay_drift, not no_feedback),
                out=out,
                reconciliation=reconciliation,
                amplification=amplification,
                charge_replies=charge_replies,
            )

        end_with(command)


def _add_rate(app: typer.Typer, end_with: EndWith) -> None:
    @app.command()
    def rate(
        system: Annotated[str, typer.Option(help="A QKD system, such as backbone-625.")],
        loss_db: Annotated[str, typer.Option(help="Losses of the link in dB, commas between: 10.3,16.0,20.5.")],
        block_bits: Annotated[int, typer.Option(help="Verified bits per amplification block.")] = 100_000_000,
        proof: Annotated[
            list[str] | None,
            typer.Option(help="Only these proofs (repeat the option); the first one gives the secret rate."),
        ] = None,
        f_ec: Annotated[
            float | None, typer.Option(help="Bits told by error correction over the Shannon limit; 1.1 unless said.")
        ] = None,
        reconciliation: Annotated[
            str | None,
            typer.Option(help="In its place a method: cascade, winnow or ldpc, each with its own f."),
        ] = None,
        json: JsonOption = False,
    ) -> None:
        """Tell what a link gives at a loss: sifted rate, QBER and the secret rate by every proof."""

        def command() -> int:
            from qanat.apps.cli.rate import run_rate

            return run_rate(
                system,
                losses=loss_db,
                block_bits=block_bits,
                proofs=proof or [],
                f_ec=f_ec,
                as_json=json,
                reconciliation=reconciliation,
            )

        end_with(command)


def _add_calibrate(app: typer.Typer, end_with: EndWith) -> None:
    @app.command()
    def calibrate(
        system: Annotated[
            str, typer.Option(help="The QKD system; detectors with sine gates, rectangular gates or none.")
        ] = "backbone-625",
        loss_db: Annotated[float, typer.Option(help="Loss of the fibre, dB.")] = 16.0,
        seed: Annotated[int, typer.Option(min=0, help="Seed of the device's twin.")] = 1,
        drift: Annotated[float, typer.Option(help="Polarization drift of the fibre, rad per root second.")] = 0.0,
        watch_s: Annotated[
            float, typer.Option(min=0, max=3600, help="Seconds of key generation under drift after calibration.")
        ] = 120.0,
        no_feedback: Annotated[
            bool, typer.Option("--no-feedback", help="Let the link drift after calibration.")
        ] = False,
        fault: Annotated[
            list[str] | None, typer.Option(help="Give the twin a fault, to see what is said of it.")
        ] = None,
        out: Annotated[
            Path | None, typer.Option(parser=named_path, help="Draw the pictures into this file, .svg or .png.")
        ] = None,
        json: JsonOption = False,
    ) -> None:
        """Calibrate a link's twin: gate delays (where there are gates), polarization, synchronization; then keep it
        aligned under drift. Prints the link time that it costs."""

        def command() -> int:
            from qanat.apps.cli.calibrate import CalibrateOptions, run_calibrate

            options = CalibrateOptions(system, loss_db, seed, drift, watch_s, not no_feedback, tuple(fault or ()))
            return run_calibrate(options, out=out, as_json=json)

        end_with(command)


def _add_characterize(app: typer.Typer, end_with: EndWith) -> None:
    @app.command()
    def characterize(
        detector: Annotated[str, typer.Option(help="The detector's name.")] = "ingaas-sine",
        seed: Annotated[int, typer.Option(min=0, help="Seed of the simulated clicks.")] = 1,
        json: JsonOption = False,
    ) -> None:
        """Recover efficiency, dark counts, dead time, after-pulses from clicks, with intervals, beside the record."""

        def command() -> int:
            from qanat.apps.cli.detector import run_characterize

            return run_characterize(detector, seed=seed, as_json=json)

        end_with(command)

"""The commands ``qanat distil ...`` with their options; added to the others in ``main``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from qanat.apps.cli.paths import named_path

if TYPE_CHECKING:
    from qanat.apps.cli.light_commands import EndWith
    from qanat.apps.distil.record_files import Role


RawOption = Annotated[Path | None, typer.Option("--raw", parser=named_path, help="This party's raw record (.npz).")]
SiftedOption = Annotated[
    Path | None, typer.Option("--sifted", parser=named_path, help="In its place: sifted bits that were recorded.")
]
KeyOption = Annotated[
    Path,
    typer.Option(
        "--key",
        parser=named_path,
        help="This party's copy of the link's initial key; taken into KEY.account, then removed.",
    ),
]
OutOption = Annotated[Path, typer.Option("--out", parser=named_path, help="Folder of the secret key files, mode 0600.")]
BlockOption = Annotated[
    int | None,
    typer.Option(
        "--block-bits",
        help="Bits that are corrected, verified and amplified together, 2048 or more; 4000000 unless said. Rounded up:"
        " to whole 262144 bits, below that to whole frames of an eighth to a quarter of it (50000 makes 57344).",
    ),
]
CountsOption = Annotated[
    Path | None,
    typer.Option(
        "--counts",
        parser=named_path,
        help="For sifted bits: decoy counts (.json) that prove the length.",
    ),
]
ChargeOption = Annotated[
    bool, typer.Option("--charge-replies", help="Let the length pay for Bob's messages of error correction too.")
]
SystemOption = Annotated[
    str | None, typer.Option("--system", help="The QKD system, where the raw files do not say how light was made.")
]
DisclosedOption = Annotated[float, typer.Option("--disclosed", help="Share of the signal told to estimate errors.")]
EntropyOption = Annotated[
    float | None,
    typer.Option("--min-entropy", help="For sifted bits: min-entropy per bit that YOUR proof grants. Not proven here."),
]
QberOption = Annotated[
    float, typer.Option("--qber-abort", help="Highest error rate, of the sample and of all the signal.")
]
EpsOption = Annotated[float, typer.Option("--eps-sec", help="Secrecy: distance of a block's key from an ideal one.")]
EpsAuthOption = Annotated[
    float, typer.Option("--eps-auth", help="Odds of forging one tag; a smaller one takes longer tags and more pads.")
]
ReplenishOption = Annotated[
    bool, typer.Option("--replenish", help="Give 3,072 bits of each block back to the account of pads.")
]
ReconciliationOption = Annotated[
    str,
    typer.Option(
        "--reconciliation", help="How errors are corrected: cascade, winnow, or ldpc, of few messages for long delays."
    ),
]
AmplificationOption = Annotated[
    str, typer.Option("--amplification", help="The last hash: toeplitz, or modified-toeplitz, of a shorter seed.")
]
InFlightOption = Annotated[
    int | None,
    typer.Option(
        "--in-flight",
        min=1,
        max=256,
        help="Most blocks made side by side, to bridge the line's delay; as many as it asks for unless said.",
    ),
]
WaitOption = Annotated[
    float, typer.Option("--wait", min=0.1, help="Seconds to wait for the other party, at the start and after a break.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output.")]

_PARTIES: Final[Mapping[Role, tuple[str, str, int, str]]] = {
    "alice": (
        "--listen",
        "HOST:PORT to listen on; port 0: any free one, which is printed.",
        0,
        "Be the party that prepared the light: listen for Bob, and make secret keys with him.",
    ),
    "bob": (
        "--connect",
        "HOST:PORT where Alice listens.",
        1,
        "Be the party that detected the light: call Alice, and make secret keys with her.",
    ),
}
"""Role -> the option with the address, what it means, the least port, and the command in a sentence."""


def add_distil_commands(app: typer.Typer, end_with: EndWith) -> None:
    """Add the commands; ``end_with`` runs one and tells its errors."""
    distil_app = typer.Typer(help="Two parties for real: recorded detections to secret keys.", no_args_is_help=True)
    app.add_typer(distil_app, name="distil")
    for role in _PARTIES:
        _add_party(distil_app, end_with, role)
    _add_make_example(distil_app, end_with)


def _add_party(app: typer.Typer, end_with: EndWith, role: Role) -> None:
    """Add one party's command: the two differ in who calls whom, and in nothing else."""
    option, address_help, least_port, words = _PARTIES[role]

    @app.command(role, help=words)
    def party(
        *,
        address: str = typer.Option(..., option, help=address_help),
        key: KeyOption,
        out: OutOption,
        raw: RawOption = None,
        sifted: SiftedOption = None,
        counts: CountsOption = None,
        block_bits: BlockOption = None,
        system: SystemOption = None,
        disclosed: DisclosedOption = 0.1,
        min_entropy: EntropyOption = None,
        qber_abort: QberOption = 0.05,
        eps_sec: EpsOption = 0.999e-9,
        eps_auth: EpsAuthOption = 1e-22,
        replenish: ReplenishOption = False,
        reconciliation: ReconciliationOption = "cascade",
        amplification: AmplificationOption = "toeplitz",
        charge_replies: ChargeOption = False,
        in_flight: InFlightOption = None,
        wait: WaitOption = 300.0,
        json: JsonOption = False,
    ) -> None:
        options = {
            "raw": raw,
            "sifted": sifted,
            "key": key,
            "out": out,
            "block_bits": block_bits,
            "system": system,
            "disclosed": disclosed,
            "min_entropy": min_entropy,
            "qber_abort": qber_abort,
            "eps_sec": eps_sec,
            "eps_auth": eps_auth,
            "replenish": replenish,
            "wait_s": wait,
            "reconciliation": reconciliation,
            "amplification": amplification,
            "counts": counts,
            "charge_replies": charge_replies,
            "in_flight": in_flight,
        }
        end_with(_party(role, address, least_port=least_port, options=options, as_json=json))


def _party(role: Role, address: str, *, least_port: int, options: dict[str, Any], as_json: bool) -> Callable[[], int]:
    def command() -> int:
        from qanat.apps.cli.distil import run_distil
        from qanat.apps.distil.party import PartyOptions, parse_address

        host, port = parse_address(address, least_port=least_port)
        return run_distil(PartyOptions(role, host, port, **options), as_json=as_json)

    return command


def _add_make_example(app: typer.Typer, end_with: EndWith) -> None:
    @app.command("make-example")
    def make_example(
        folder: Annotated[Path, typer.Argument(parser=named_path, help="A new folder.")],
        system: Annotated[str, typer.Option(help="The QKD system of the twin.")] = "backbone-625",
        loss_db: Annotated[float, typer.Option(help="Loss of the link, dB.")] = 16.0,
        seconds: Annotated[float, typer.Option(help="How long the light is on.")] = 20.0,
        disturbance: Annotated[float, typer.Option(help="Odds that somebody on the line flips a photon.")] = 0.0,
        sifted_bits: Annotated[
            int, typer.Option(help="Write sifted bits in place of raw records: so many, with errors at --qber.")
        ] = 0,
        qber: Annotated[float, typer.Option(help="Error rate of those bits.")] = 0.01,
        counts: Annotated[
            int, typer.Option("--counts", min=0, help="Write the light's sifted bits, with counts of so many ranges.")
        ] = 0,
        seed: Annotated[int, typer.Option(min=0, help="Fixes what nature draws; never the bits or the keys.")] = 1,
        json: JsonOption = False,
    ) -> None:
        """Write records and keys of both parties, as recorders would have, from a twin at photon level."""

        def command() -> int:
            from qanat.apps.cli.distil import run_make_example
            from qanat.quantum_layer.link_plan import LinkTask

            task = None if sifted_bits else LinkTask(system, loss_db, seconds, disturbance)
            bits = (sifted_bits, qber)
            return run_make_example(folder, task=task, bits=bits, num_ranges=counts, seed=seed, as_json=json)

        end_with(command)

"""The command ``qanat simulate`` with its options; added to the others in ``main``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from qanat.apps.cli.paths import named_path

STOPPED_STATUS = 130
"""As a shell has it for what Ctrl-C ended."""
ForecastsOption = Annotated[
    Path | None,
    typer.Option(
        parser=named_path,
        metavar="FILE",
        help="What is foretold of links; it comes true, and the run begins on the day of the first.",
    ),
]
UnforeseenOption = Annotated[
    bool, typer.Option("--unforeseen", help="What --forecasts says comes true, and nobody was told.")
]
EachRemovedOption = Annotated[
    bool,
    typer.Option(
        "--each-removed",
        help="Take out each ring node, switch and (backbone) relay in turn. Where there is a backbone, all once more "
        "with a second one: about twice as many runs.",
    ),
]
FullLoadOption = Annotated[
    bool,
    typer.Option("--full-load", help="All pairs ask without end: what each gets beside the optimum of their sharing."),
]


def add_simulate_command(app: typer.Typer, end_with: Callable[[Callable[[], int]], NoReturn]) -> None:
    """Add the command; ``end_with`` runs it and exits with its status."""

    @app.command()
    def simulate(
        network: Annotated[str, typer.Argument(help="A network file, or the name of a packaged network.")],
        days: Annotated[int, typer.Option(help="Days of the network's time.")] = 1,
        seed: Annotated[int, typer.Option(min=0, help="Who asks for keys when: same seed, same answer.")] = 1,
        without: Annotated[
            list[str] | None, typer.Option(help="Take out a site, a link or a switch; may be given again.")
        ] = None,
        at: Annotated[str | None, typer.Option(help="When it is taken out, HH:MM; else at the beginning.")] = None,
        for_: Annotated[str | None, typer.Option("--for", help="How long, HH:MM; else to the end.")] = None,
        second_backbone: Annotated[
            bool, typer.Option("--second-backbone", help="Close the backbone to a ring, as the paper's outlook has it.")
        ] = False,
        each_removed: EachRemovedOption = False,
        pairs: Annotated[
            int | None,
            typer.Option(help="Pairs of sites that ask for keys; else all that a route joins, 1000 at most."),
        ] = None,
        near_share: Annotated[float, typer.Option(help="Share of pairs within 100 km of each other.")] = 0.5,
        demand: Annotated[float, typer.Option(help="What each pair asks for, bits per minute.")] = 128.0,
        key_bits: Annotated[
            int | None, typer.Option(min=1, help="Size of a key; else 128, with --full-load 1024.", show_default=False)
        ] = None,
        ready_blocks: Annotated[
            int, typer.Option(help="Blocks that lie ready on each link; 0: the network is switched on.")
        ] = 1,
        full_load: FullLoadOption = False,
        forecasts: ForecastsOption = None,
        unforeseen: UnforeseenOption = False,
        ground_only: Annotated[
            bool, typer.Option("--ground-only", help="Leave satellites out, and who is reached by them alone.")
        ] = False,
        workers: Annotated[
            int | None, typer.Option(min=1, help="Processes of --each-removed; by default one per core.")
        ] = None,
        out: Annotated[Path | None, typer.Option(parser=named_path, help="Folder for tables of all results.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output.")] = False,
    ) -> None:
        """Run days of a network at rate level: who is served over which routes, also when parts of it fail."""

        def command() -> int:
            from qanat.apps.cli.simulate import SimulateOptions, run_simulate

            options = SimulateOptions(
                days=days,
                seed=seed,
                without=tuple(without or ()),
                at=at,
                for_time=for_,
                second_backbone=second_backbone,
                each_removed=each_removed,
                pairs=pairs,
                near_share=near_share,
                demand_bits_per_minute=demand,
                key_bits=key_bits,
                ready_blocks=ready_blocks,
                workers=workers,
                forecasts=forecasts,
                unforeseen=unforeseen,
                ground_only=ground_only,
                full_load=full_load,
            )
            return run_simulate(network, options, out=out, as_json=as_json)

        end_with(partial(_unless_stopped, command))


def _unless_stopped(command: Callable[[], int]) -> int:
    """Run the command; a stop is told in words of its own, since no key is in the game."""
    try:
        return command()
    except KeyboardInterrupt:
        typer.secho("stopped by you; a run that has not ended has no result", err=True)
        return STOPPED_STATUS

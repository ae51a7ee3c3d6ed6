"""The commands of ``qanat plan`` with their options; added to the others in ``main``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NoReturn, Protocol

import typer
from typer.core import TyperGroup

from qanat.apps.cli.plan_satellites_commands import add_satellite_plans

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output.")]
RateOption = Annotated[float, typer.Option(help="The rate that every span must carry, kbit/s.")]
SystemOption = Annotated[str, typer.Option(help="The QKD system of new spans, such as metro-40-i.")]
PriceOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=NUMBER",
        help="Another price, in units of a transmitter: transmitter, receiver_optics, detector, relay, switch or "
        "fibre_km; repeatable.",
    ),
]
DEFAULT_NETWORK = "nature2021"


class LooksByDefault(TyperGroup):
    """A group whose command ``network`` is meant when none of its commands is named first."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["network", *args]
        return super().parse_args(ctx, args)


class EndWith(Protocol):
    """Runs a command and exits with its status."""

    def __call__(self, command: Callable[[], int], /) -> NoReturn: ...


def add_plan_commands(app: typer.Typer, end_with: EndWith) -> None:
    """Add ``qanat plan`` to ``app``; ``end_with`` runs a command and tells its errors."""
    plan = typer.Typer(
        help="Plan a network: what it can carry, for whom, what is weak, what more would give (`qanat plan NETWORK`); "
        "pairs for a demand, relays at least cost, shapes side by side, satellites under weather.",
        cls=LooksByDefault,
    )
    app.add_typer(plan, name="plan")
    _add_network(plan, end_with)
    _add_pairs(plan, end_with)
    _add_relays(plan, end_with)
    _add_shapes(plan, end_with)
    _add_shares(plan, end_with)
    add_satellite_plans(plan, end_with)


def _add_network(plan: typer.Typer, end_with: EndWith) -> None:
    @plan.command("network")
    def network(
        name: Annotated[
            str, typer.Argument(metavar="NETWORK", help="A network file, or the name of a packaged network.")
        ] = DEFAULT_NETWORK,
        from_site: Annotated[
            str | None, typer.Option("--from", metavar="SITE", help="One of two sites; by default the backbone's ends.")
        ] = None,
        to_site: Annotated[str | None, typer.Option("--to", metavar="SITE", help="The other one.")] = None,
        rate_kbit_s: Annotated[
            float | None, typer.Option(help="Count the users of a bottleneck of this rate too, kbit/s.")
        ] = None,
        key_bits: Annotated[int, typer.Option(help="Bits of a key that a pair of users takes.")] = 128,
        per_minute: Annotated[float, typer.Option(help="Keys that a pair takes in a minute; banks: 10.")] = 1.0,
        without: Annotated[
            list[str] | None,
            typer.Option(metavar="PART", help="What if this site, link or switch were lost? Repeatable."),
        ] = None,
        add_span: Annotated[
            list[str] | None,
            typer.Option(
                metavar="A,B,LOSS_DB[,SYSTEM[,PAIRS]]",
                help="What if this span were laid between two sites? Repeatable.",
            ),
        ] = None,
        add_chain: Annotated[
            list[str] | None,
            typer.Option(
                metavar="A,B,RELAYS,LOSS_DB[,SYSTEM[,PAIRS]]",
                help="What if so many new relays joined two sites, with spans of this loss? Repeatable.",
            ),
        ] = None,
        second_backbone: Annotated[
            bool,
            typer.Option("--second-backbone", help="What if a chain like the backbone joined the backbone's ends too?"),
        ] = False,
        one_pair: Annotated[
            bool, typer.Option("--one-pair", help="Count one pair of devices on each fibre, whatever stands there.")
        ] = False,
        price: PriceOption = None,
        json: JsonOption = False,
    ) -> None:
        """Tell what a network can carry, for how many users, what is weak in it, and what less or more would change."""

        def command() -> int:
            from qanat.apps.cli.plan import NetworkOptions, run_network

            options = NetworkOptions(
                name=name,
                one=from_site,
                other=to_site,
                rate_kbit_per_s=rate_kbit_s,
                key_bits=key_bits,
                keys_per_minute=per_minute,
                without=tuple(without or ()),
                spans=tuple(add_span or ()),
                chains=tuple(add_chain or ()),
                second_backbone=second_backbone,
                one_pair=one_pair,
                prices=tuple(price or ()),
            )
            return run_network(options, as_json=json)

        end_with(command)


def _add_pairs(plan: typer.Typer, end_with: EndWith) -> None:
    @plan.command()
    def pairs(
        name: Annotated[
            str, typer.Argument(metavar="NETWORK", help="A network file, or the name of a packaged network.")
        ],
        from_site: Annotated[str, typer.Option("--from", metavar="SITE", help="Where the demand begins.")],
        to_site: Annotated[str, typer.Option("--to", metavar="SITE", help="Where it ends.")],
        rate_kbit_s: RateOption,
        price: PriceOption = None,
        json: JsonOption = False,
    ) -> None:
        """Tell how many pairs of devices each span of a network needs, so that a demand passes."""

        def command() -> int:
            from qanat.apps.cli.plan_building import run_pairs

            return run_pairs(
                name, one=from_site, other=to_site, rate_kbit_per_s=rate_kbit_s, prices=price or [], as_json=json
            )

        end_with(command)


def _add_relays(plan: typer.Typer, end_with: EndWith) -> None:
    @plan.command()
    def relays(
        rate_kbit_s: RateOption,
        km: Annotated[
            float | None, typer.Option(help="Fibre of a way along which relays may stand anywhere, km.")
        ] = None,
        every_km: Annotated[float, typer.Option(help="With --km: relays stand at whole multiples of this.")] = 5.0,
        network: Annotated[
            str | None, typer.Option(help="In place of --km: a network whose relays' sites are the candidates.")
        ] = None,
        end: Annotated[
            list[str] | None,
            typer.Option(metavar="SITE", help="With --network: a site to be joined; two to six of them."),
        ] = None,
        db_per_km: Annotated[float, typer.Option(help="Loss of the fibre, dB per km.")] = 0.25,
        system: SystemOption = "backbone-625",
        price: PriceOption = None,
        json: JsonOption = False,
    ) -> None:
        """Choose relays and spans at least cost, along a way or among the sites of a network."""

        def command() -> int:
            from qanat.apps.cli.plan_building import RelayOptions, run_relays

            options = RelayOptions(
                rate_kbit_per_s=rate_kbit_s,
                length_km=km,
                every_km=every_km,
                network=network,
                ends=tuple(end or ()),
                loss_db_per_km=db_per_km,
                system=system,
                prices=tuple(price or ()),
            )
            return run_relays(options, as_json=json)

        end_with(command)


def _add_shapes(plan: typer.Typer, end_with: EndWith) -> None:
    @plan.command()
    def shapes(
        users: Annotated[int, typer.Option(help="Number of users.")] = 15,
        radius_km: Annotated[float, typer.Option(help="Fibre from the middle to each user, km.")] = 15.0,
        db_per_km: Annotated[
            float, typer.Option(help="Loss of the fibre, dB per km; by default Beijing's means, 9.3 dB over 29.8 km.")
        ] = 0.312,
        system: SystemOption = "metro-40-i",
        price: PriceOption = None,
        json: JsonOption = False,
    ) -> None:
        """Set star, ring, tree and switch side by side for the same users: cost, trust, failures, capacity."""

        def command() -> int:
            from qanat.apps.cli.plan_building import run_shapes

            return run_shapes(
                users=users,
                radius_km=radius_km,
                loss_db_per_km=db_per_km,
                system=system,
                prices=price or [],
                as_json=json,
            )

        end_with(command)


def _add_shares(plan: typer.Typer, end_with: EndWith) -> None:
    @plan.command()
    def shares(
        name: Annotated[
            str, typer.Argument(metavar="NETWORK", help="A network file, or the name of a packaged network.")
        ] = DEFAULT_NETWORK,
        json: JsonOption = False,
    ) -> None:
        """Tell how pairs share the links when all ask at once, by the declared objective, and which guarantees hold."""

        def command() -> int:
            from qanat.apps.cli.shares import run_shares

            return run_shares(name, as_json=json)

        end_with(command)

"""The commands of `qanat hook`; added to the others in ``main``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qanat.apps.cli.paths import named_path
from qanat.apps.cli.service_commands import AsOption, DataOption, DirectoryOption, JsonOption
from qanat.apps.cli.service_options import Who, seconds
from qanat.ground.errors import BadParameter

if TYPE_CHECKING:
    from qanat.apps.cli.light_commands import EndWith

WithOption = Annotated[str, typer.Option("--with", metavar="CONTACT", help="Who runs the other end.")]
SlotOption = Annotated[str, typer.Option("--slot", metavar="NAME", help="What both ends call this connection.")]
EveryOption = Annotated[
    float, typer.Option("--every", parser=seconds(1), metavar="SECONDS", help="How long a key is used.")
]
FollowOption = Annotated[bool, typer.Option("--follow", help="Take the keys that the other end names; one must lead.")]
CountOption = Annotated[int | None, typer.Option("--count", min=1, help="End after so many keys.")]


def add_hook_commands(app: typer.Typer, end_with: EndWith) -> None:
    """Add the commands; ``end_with`` runs one and tells its errors."""
    hook_app = typer.Typer(no_args_is_help=True, help="Give keys of the network to encryptors of others.")
    app.add_typer(hook_app, name="hook")
    _add_wireguard(hook_app, end_with)
    _add_strongswan(hook_app, end_with)
    _add_command(hook_app, end_with)


def _add_wireguard(hook_app: typer.Typer, end_with: EndWith) -> None:
    @hook_app.command()
    def wireguard(
        contact: WithOption,
        interface: Annotated[str, typer.Option(help="The interface here, such as wg0.")],
        peer: Annotated[str, typer.Option(metavar="PUBLIC_KEY", help="The other end's public key.")],
        program: Annotated[str, typer.Option(help="What sets the key.")] = "wg",
        slot: SlotOption = "wireguard",
        every_s: EveryOption = 120.0,
        follow: FollowOption = False,
        count: CountOption = None,
        name: AsOption = None,
        data: DataOption = None,
        directory: DirectoryOption = None,
        json: JsonOption = False,
    ) -> None:
        """Rotate the pre-shared key of a WireGuard peer, the same at both ends."""

        def command() -> int:
            from qanat.adapters.encryptor_programs import WireguardSlot
            from qanat.apps.cli.hook import Rotation, run_hook

            rotation = Rotation(contact, slot, every_s, follow, count)
            who = Who(name, data, directory)
            return run_hook(WireguardSlot(interface, peer, program), rotation, who=who, as_json=json)

        end_with(command)


def _add_strongswan(hook_app: typer.Typer, end_with: EndWith) -> None:
    @hook_app.command()
    def strongswan(
        contact: WithOption,
        file: Annotated[Path, typer.Option(parser=named_path, help="File of secrets that swanctl.conf includes.")],
        ppk_id: Annotated[str, typer.Option("--ppk-id", metavar="ID", help="As `ppk_id` of the connection.")],
        program: Annotated[str, typer.Option(help="What loads the file.")] = "swanctl",
        reauth: Annotated[
            str | None,
            typer.Option(metavar="CONNECTION", help="Re-authenticated after each key; IKE takes it only then."),
        ] = None,
        slot: SlotOption = "strongswan",
        every_s: EveryOption = 120.0,
        follow: FollowOption = False,
        count: CountOption = None,
        name: AsOption = None,
        data: DataOption = None,
        directory: DirectoryOption = None,
        json: JsonOption = False,
    ) -> None:
        """Rotate a post-quantum pre-shared key (PPK) of strongSwan, the same at both ends."""

        def command() -> int:
            from qanat.adapters.encryptor_programs import StrongswanSlot
            from qanat.apps.cli.hook import Rotation, run_hook

            if follow and reauth is not None:
                raise BadParameter(
                    "--reauth with --follow", remedy="give it to the end that leads: its key is set last"
                )
            rotation = Rotation(contact, slot, every_s, follow, count)
            who = Who(name, data, directory)
            return run_hook(StrongswanSlot(file, ppk_id, program, reauth), rotation, who=who, as_json=json)

        end_with(command)


def _add_command(hook_app: typer.Typer, end_with: EndWith) -> None:
    @hook_app.command()
    def command(
        contact: WithOption,
        run: Annotated[
            str, typer.Option(metavar="COMMAND", help="Is run for each key, which it reads from its input.")
        ],
        form: Annotated[str, typer.Option(help="How the key is written: hex, base64 or raw.")] = "hex",
        slot: SlotOption = "command",
        every_s: EveryOption = 120.0,
        follow: FollowOption = False,
        count: CountOption = None,
        name: AsOption = None,
        data: DataOption = None,
        directory: DirectoryOption = None,
        json: JsonOption = False,
    ) -> None:
        """Give each fresh 256-bit key to a command of your own on its standard input, the same key at both ends."""

        def give() -> int:
            from qanat.apps.cli.hook import Rotation, command_slot, run_hook

            rotation = Rotation(contact, slot, every_s, follow, count)
            return run_hook(command_slot(run, form), rotation, who=Who(name, data, directory), as_json=json)

        end_with(give)

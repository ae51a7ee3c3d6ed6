"""The command `tunnel`; added to the others in ``main``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qanat.apps.cli.service_commands import (
    AsOption,
    CipherOption,
    DataOption,
    DirectoryOption,
    JsonOption,
    KeyWaitOption,
    RefreshOption,
)
from qanat.apps.cli.service_options import CIPHERS, Sealing, Who

if TYPE_CHECKING:
    from qanat.apps.cli.light_commands import EndWith


def add_tunnel_command(app: typer.Typer, end_with: EndWith) -> None:
    """Add the command; ``end_with`` runs it and tells its errors."""

    @app.command()
    def tunnel(
        to: Annotated[str, typer.Option("--to", metavar="CONTACT", help="Who runs `qanat receive --tunnel`.")],
        listen: Annotated[
            str, typer.Option(metavar="PORT", help="Where programs connect: a port of this machine, or HOST:PORT.")
        ] = "0",
        name: AsOption = None,
        data: DataOption = None,
        directory: DirectoryOption = None,
        cipher: CipherOption = CIPHERS[0],
        refresh_s: RefreshOption = 60.0,
        tls: Annotated[
            bool, typer.Option(help="TLS 1.3 around the sealed records; without it a connection takes a key less.")
        ] = True,
        key_wait_s: KeyWaitOption = 60.0,
        json: JsonOption = False,
    ) -> None:
        """Carry TCP connections of any program to a contact's program, sealed under keys of the network."""

        def command() -> int:
            from qanat.apps.cli.tunnel import run_tunnel

            who, sealing = Who(name, data, directory), Sealing(cipher, refresh_s, 0.0, key_wait_s)
            return run_tunnel(to, listen=listen, who=who, sealing=sealing, with_tls=tls, as_json=json)

        end_with(command)

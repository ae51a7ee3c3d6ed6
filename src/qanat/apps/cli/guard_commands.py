"""Commands of those who guard doors: the audit log, and certificates that are taken back or made anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from qanat.apps.cli.paths import named_path

EndWith = Callable[[Callable[[], int]], NoReturn]
FolderArgument = Annotated[
    Path, typer.Argument(parser=named_path, help="A data folder, a site's folder in it, or an audit folder.")
]
PkiOption = Annotated[Path, typer.Option("--out", parser=named_path, help="The folder of the PKI.")]
NamesArgument = Annotated[
    list[str], typer.Argument(help="Names of nodes or applications; nodes/NAME or saes/NAME where both exist.")
]
HostsOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        parser=named_path,
        metavar="FILE",
        help="A deployment file: certificates of sites name the hosts of their doors.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


class MakesByDefault(TyperGroup):
    """A group whose command ``make`` is meant when none of its commands is named first."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["make", *args]
        return super().parse_args(ctx, args)


def add_audit_commands(app: typer.Typer, end_with: EndWith) -> None:
    """Add ``qanat audit`` to ``app``; ``end_with`` runs a command and exits with its status."""
    audit = typer.Typer(help="Check and read the audit logs of sites.", no_args_is_help=True)
    app.add_typer(audit, name="audit")

    @audit.command()
    def verify(
        folder: FolderArgument,
        head: Annotated[
            str | None, typer.Option(metavar="NUMBER:SHA256", help="A head noted before: its line must stand there.")
        ] = None,
        part: Annotated[bool, typer.Option("--part", help="Older files of the log were put elsewhere.")] = False,
        json: JsonOption = False,
    ) -> None:
        """Check that no line was altered, removed, moved or put in; exit status 1 and the first bad line if one was."""

        def command() -> int:
            from qanat.apps.cli.audit import run_verify

            return run_verify(folder, head=head, is_part=part, as_json=json)

        end_with(command)

    @audit.command()
    def show(
        folder: FolderArgument,
        kind: Annotated[list[str] | None, typer.Option(help="Only lines of this kind (repeat the option).")] = None,
        having: Annotated[
            list[str] | None, typer.Option(help="Only lines with this in them: a key id, an application (repeat).")
        ] = None,
        since: Annotated[str | None, typer.Option(metavar="UTC", help="Only from then on: 2026-01-31T12:00.")] = None,
        last: Annotated[int | None, typer.Option(min=0, help="Only so many, the newest ones.")] = None,
        etsi015: Annotated[
            str | None,
            typer.Option(
                metavar="NETWORK", help="As notifications of ETSI GS QKD 015, with the names in this network."
            ),
        ] = None,
        json: JsonOption = False,
    ) -> None:
        """Print the lines of audit logs, the oldest first."""

        def command() -> int:
            from qanat.apps.cli.audit import LineFilter, run_notifications, run_show

            wanted = LineFilter(kinds=kind or [], words=having or [], since=since, last=last)
            if etsi015 is not None:
                return run_notifications(folder, wanted, network_name=etsi015)
            return run_show(folder, wanted, as_json=json)

        end_with(command)


def add_certificate_commands(pki: typer.Typer, end_with: EndWith) -> None:
    """Add ``revoke`` and ``renew`` to ``qanat pki``."""

    @pki.command()
    def revoke(names: NamesArgument, out: PkiOption, json: JsonOption = False) -> None:
        """Take back every certificate of somebody: doors and lines that see the new crl.pem refuse it at once."""

        def command() -> int:
            from qanat.apps.cli.certificates import run_revoke

            return run_revoke(names, pki=out, as_json=json)

        end_with(command)

    @pki.command()
    def renew(names: NamesArgument, out: PkiOption, config: HostsOption = None, json: JsonOption = False) -> None:
        """Make a new certificate and key for somebody, in the place of the old ones. It names the hosts of the old
        one, or with --config that of the deployment file."""

        def command() -> int:
            from qanat.apps.cli.certificates import run_renew

            return run_renew(names, pki=out, config=config, as_json=json)

        end_with(command)

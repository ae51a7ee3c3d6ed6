"""The commands of users: send, fax, call, receive, text, contacts, group; added to the others in ``main``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand

from qanat.apps.cli.paths import named_path
from qanat.apps.cli.service_options import CIPHERS, Sealing, Who, seconds
from qanat.ground.errors import BadParameter

if TYPE_CHECKING:
    from qanat.apps.cli.light_commands import EndWith
    from qanat.users.speaking import CallMedia

AsOption = Annotated[
    str | None, typer.Option("--as", metavar="NAME", help="Which application you are; not needed with a \\[me].")
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data", parser=named_path, help="Data folder of a network that is up here; by default `qanat up`'s own."
    ),
]
DirectoryOption = Annotated[
    Path | None,
    typer.Option("--directory", parser=named_path, help="Your directory file; by default DATA/directory.toml."),
]
CipherOption = Annotated[
    str, typer.Option("--cipher", help="aes-128-gcm, aes-256-gcm or one-time-pad; it is never replaced by another.")
]
RefreshOption = Annotated[
    float,
    typer.Option(
        "--refresh",
        parser=seconds(0.1, 86_400),
        metavar="SECONDS",
        help="How long a key of AES lasts; banks take 6.",
    ),
]
PadWaitOption = Annotated[
    float,
    typer.Option(
        "--pad-wait",
        parser=seconds(0),
        metavar="SECONDS",
        help="How long the network may take to make a one-time pad; 0: none.",
    ),
]
KeyWaitOption = Annotated[
    float,
    typer.Option(
        "--key-wait",
        parser=seconds(0),
        metavar="SECONDS",
        help="How long what is said stands still for a fresh key of AES before the connection is broken off.",
    ),
]
AudioOption = Annotated[
    str,
    typer.Option(
        "--audio", metavar="FILE", help="Sound for calls: a file, 'microphone', 'test' for a tone, or 'none'."
    ),
]
VideoOption = Annotated[
    str,
    typer.Option(
        "--video", metavar="FILE", help="Pictures for calls: a file, 'camera', 'test' for a picture, or 'none'."
    ),
]
PlayOption = Annotated[
    str | None, typer.Option("--play", metavar="SPEAKER", help="'speaker': let sound be heard at this machine.")
]
LIKE_AN_OPTION: Final = re.compile(r"--?[a-z][\w-]*(=.*)?", re.ASCII | re.IGNORECASE | re.DOTALL)
NONE = "none"
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")]

TEXT_PATIENCE_S = 5.0


def add_service_commands(app: typer.Typer, end_with: EndWith) -> None:
    """Add the commands; ``end_with`` runs one and tells its errors."""
    _add_send(app, end_with)
    _add_fax(app, end_with)
    _add_call(app, end_with)
    _add_receive(app, end_with)
    _add_text(app, end_with)
    _add_contacts(app, end_with)
    _add_group(app, end_with)


def _add_send(app: typer.Typer, end_with: EndWith) -> None:
    @app.command()
    def send(
        file: Annotated[Path, typer.Argument(parser=named_path, help="The file to send.")],
        recipient: Annotated[str, typer.Argument(help="A contact, or a group: then to each of it in turn.")],
        name: AsOption = None,
        data: DataOption = None,
        directory: DirectoryOption = None,
        cipher: CipherOption = CIPHERS[0],
        refresh_s: RefreshOption = 60.0,
        pad_wait_s: PadWaitOption = 0.0,
        patience_s: Annotated[
            float,
            typer.Option(
                "--patience",
                parser=seconds(0),
                metavar="SECONDS",
                help="How long all waits take before it begins; then, each break.",
            ),
        ] = 600.0,
        json: JsonOption = False,
    ) -> None:
        """Send a file under keys of the network. After a break the same command goes on where it stopped."""

        def command() -> int:
            from qanat.apps.cli.services import run_send

            who, sealing = (
                Who(name, data, directory),
                Sealing.within(cipher, refresh_s, pad_wait_s, patience_s=patience_s),
            )
            return run_send(file, recipient, who=who, sealing=sealing, patience_s=patience_s, as_json=json)

        end_with(command)


def _add_fax(app: typer.Typer, end_with: EndWith) -> None:
    @app.command()
    def fax(
        file: Annotated[Path, typer.Argument(parser=named_path, help="A PDF, TIFF or PNG.")],
        recipient: Annotated[str, typer.Argument(help="A contact, or a group: then to each of it in turn.")],
        name: AsOption = None,
        data: DataOption = None,
        directory: DirectoryOption = None,
        cipher: CipherOption = CIPHERS[0],
        refresh_s: RefreshOption = 60.0,
        pad_wait_s: PadWaitOption = 0.0,
        patience_s: Annotated[
            float,
            typer.Option(
                "--patience",
                parser=seconds(0),
                metavar="SECONDS",
                help="How long all waits take before it begins; then, each break.",
            ),
        ] = 600.0,
        json: JsonOption = False,
    ) -> None:
        """Fax a document: Group-4 pages, black and white, which the recipient has read when this says so."""

        def command() -> int:
            from qanat.apps.cli.services import run_fax

            who, sealing = (
                Who(name, data, directory),
                Sealing.within(cipher, refresh_s, pad_wait_s, patience_s=patience_s),
            )
            return run_fax(file, recipient, who=who, sealing=sealing, patience_s=patience_s, as_json=json)

        end_with(command)


def _media(audio: str, video: str, record: Path | None, play: str | None) -> CallMedia:
    from qanat.users.speaking import CallMedia

    return CallMedia(None if audio == NONE else audio, None if video == NONE else video, record, play)


def _add_call(app: typer.Typer, end_with: EndWith) -> None:
    @app.command()
    def call(
        recipients: Annotated[
            list[str] | None,
            typer.Argument(metavar="RECIPIENT...", help="A contact; or several, or a group: then a conference."),
        ] = None,
        name: AsOption = None,
        data: DataOption = None,
        directory: DirectoryOption = None,
        cipher: CipherOption = CIPHERS[0],
        refresh_s: RefreshOption = 60.0,
        audio: AudioOption = "test",
        video: VideoOption = "test",
        seconds_s: Annotated[
            float | None,
            typer.Option("--seconds", parser=seconds(0), metavar="SECONDS", help="How long; by default until Ctrl-C."),
        ] = None,
        record: Annotated[
            Path | None,
            typer.Option(
                parser=named_path, metavar="FILE", help="Record what comes, as .webm; of a conference into this folder."
            ),
        ] = None,
        play: PlayOption = None,
        devices: Annotated[
            bool, typer.Option("--devices", help="List the cameras, microphones and speakers of this machine.")
        ] = False,
        json: JsonOption = False,
    ) -> None:
        """Call one who receives, or up to seven: sound and pictures, each frame sealed, keys changed in mid-call."""

        def command() -> int:
            from qanat.apps.cli.calls import run_call, run_devices

            if devices:
                return run_devices(as_json=json)
            return run_call(
                recipients or [],
                who=Who(name, data, directory),
                sealing=Sealing(cipher, refresh_s, 0.0),
                media=_media(audio, video, record, play),
                seconds_s=seconds_s,
                as_json=json,
            )

        end_with(command)


def _add_receive(app: typer.Typer, end_with: EndWith) -> None:
    @app.command()
    def receive(
        name: AsOption = None,
        data: DataOption = None,
        directory: DirectoryOption = None,
        out: Annotated[Path, typer.Option(parser=named_path, help="Folder that files come into.")] = Path(),
        port: Annotated[
            int | None,
            typer.Option(min=0, max=65_535, help="Port to listen on; 0, and where no \\[me] says: any free."),
        ] = None,
        tunnel: Annotated[
            str | None,
            typer.Option(
                metavar="PORT",
                help="Let contacts reach the program at this port of this machine, or at HOST:PORT, each by its own "
                "`qanat tunnel`.",
            ),
        ] = None,
        once: Annotated[
            bool, typer.Option("--once", help="End after the first thing that comes; with 2 after a dead call.")
        ] = False,
        key_wait_s: KeyWaitOption = 60.0,
        audio: AudioOption = "test",
        video: VideoOption = "test",
        record_calls: Annotated[
            bool, typer.Option("--record-calls", help="Record what callers send, as .webm in the folder of files.")
        ] = False,
        play: PlayOption = None,
        json: JsonOption = False,
    ) -> None:
        """Receive files, faxes, texts and calls until stopped, and deliver what waits in your outbox.

        With --json a line for each.
        """

        def command() -> int:
            from qanat.apps.cli.services import run_receive

            who, media = Who(name, data, directory), _media(audio, video, out if record_calls else None, play)
            return run_receive(
                who,
                out=out,
                port=port,
                once=once,
                as_json=json,
                tunnel_to=tunnel,
                media=media,
                key_wait_s=key_wait_s,
            )

        end_with(command)


class _TextCommand(TyperCommand):
    """Takes what begins with a dash, and does not look like an option, for what it is: ``text bob "-5 degrees"``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        words = args[: args.index("--")] if "--" in args else args
        known = {option for one in self.get_params(ctx) for option in one.opts}
        unknown = [word for word in words if LIKE_AN_OPTION.fullmatch(word) and word.partition("=")[0] not in known]
        ctx.ignore_unknown_options = not unknown
        return super().parse_args(ctx, args)


def _add_text(app: typer.Typer, end_with: EndWith) -> None:
    @app.command(cls=_TextCommand)
    def text(
        recipient: Annotated[str | None, typer.Argument(help="A contact or a group.")] = None,
        message: Annotated[
            str | None, typer.Argument(help="What to say; behind `--` where it looks like an option.")
        ] = None,
        name: AsOption = None,
        data: DataOption = None,
        directory: DirectoryOption = None,
        cipher: CipherOption = CIPHERS[0],
        pad_wait_s: PadWaitOption = 0.0,
        patience_s: Annotated[
            float | None,
            typer.Option(
                "--patience",
                parser=seconds(0),
                metavar="SECONDS",
                help="How long delivery is tried for now, all its waits together; by default 5 s, and up to 60 s where "
                "key has to be made.",
                show_default=False,
            ),
        ] = None,
        json: JsonOption = False,
    ) -> None:
        """Send a text, delivered when the recipient receives. Without recipient: deliver what waits in the outbox."""

        def command() -> int:
            from qanat.apps.cli.services import run_outbox, run_text

            who, sealing, tried_s = Who(name, data, directory), Sealing(cipher, 60.0, pad_wait_s), TEXT_PATIENCE_S
            if patience_s is not None:
                sealing, tried_s = Sealing.within(cipher, 60.0, pad_wait_s, patience_s=patience_s), patience_s
            if recipient is None or message is None:
                if recipient is not None:
                    raise BadParameter("a text without a word", remedy='say it: qanat text RECIPIENT "MESSAGE"')
                return run_outbox(who=who, sealing=sealing, patience_s=tried_s, as_json=json)
            return run_text(recipient, message, who=who, sealing=sealing, patience_s=tried_s, as_json=json)

        end_with(command)


def _add_contacts(app: typer.Typer, end_with: EndWith) -> None:
    @app.command()
    def contacts(
        name: AsOption = None,
        data: DataOption = None,
        directory: DirectoryOption = None,
        json: JsonOption = False,
    ) -> None:
        """Tell whom you know: contacts and groups, and who receives on this machine now."""

        def command() -> int:
            from qanat.apps.cli.services import run_contacts

            return run_contacts(Who(name, data, directory), as_json=json)

        end_with(command)


def _add_group(app: typer.Typer, end_with: EndWith) -> None:
    @app.command()
    def group(
        group: Annotated[
            str | None, typer.Argument(metavar="[GROUP]", help="Its name; without it: all groups.")
        ] = None,
        members: Annotated[
            list[str] | None, typer.Argument(metavar="[CONTACT]...", help="Who is in it from now on; none: show it.")
        ] = None,
        remove: Annotated[bool, typer.Option("--remove", help="Take the group out of the directory.")] = False,
        name: AsOption = None,
        data: DataOption = None,
        directory: DirectoryOption = None,
        json: JsonOption = False,
    ) -> None:
        """Make a group of contacts, change or show it, or take it out of your directory file."""

        def command() -> int:
            from qanat.apps.cli.groups import run_group

            who = Who(name, data, directory)
            return run_group(group, members or [], who=who, remove=remove, as_json=json)

        end_with(command)

"""Programs that encrypt by themselves and take keys from us: WireGuard's ``wg``, strongSwan's ``swanctl``, any other.

Keys are never on a command line, where other users of the machine could read them.
"""

from __future__ import annotations

import base64
import enum
import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path

from qanat.adapters.addresses import write_whole
from qanat.adapters.commands import Fate, run_command
from qanat.adapters.machine_faults import machine_fault, machine_faults_named
from qanat.ground.errors import BadParameter, ConfigurationError

PATIENCE_S = 10.0
MOST_SAID_BYTES = 2**22
"""On each of its outputs; a hundred thousand peers have a place in it."""


@dataclass(frozen=True, slots=True)
class WireguardSlot:
    """The pre-shared key of one peer of one interface: ``wg set IFACE peer KEY preshared-key /dev/stdin`` (wg(8)).

    WireGuard mixes it in from the next handshake on, at most two minutes later; what is open stays open.
    """

    interface: str
    peer_key: str
    program: str = "wg"

    async def put(self, key: bytes, /) -> None:
        """Set the key; raises ConfigurationError when the program does not take it, and what ``check`` raises."""
        await self.check()
        words = (self.program, "set", self.interface, "peer", self.peer_key, "preshared-key", "/dev/stdin")
        await _run(words, base64.b64encode(key) + b"\n")

    async def check(self) -> None:
        """Raise ConfigurationError where there is no such interface, or it has no such peer: wg would make a new one of
        a misspelt key, and the old one would go on without the key."""
        words = (self.program, "show", self.interface, "peers")
        if self.peer_key not in (await _run(words, b"", fault=f"does not show interface {self.interface}")).split():
            raise ConfigurationError(
                f"interface {self.interface} has no peer {self.peer_key}",
                remedy=f"name one of `{self.program} show {self.interface} peers`",
            )


@dataclass(frozen=True, slots=True)
class StrongswanSlot:
    """A post-quantum pre-shared key (RFC 8784): a file of secrets (swanctl.conf(5)), and ``swanctl --load-creds``.

    ``file`` lies where swanctl.conf includes it. IKE mixes the PPK in when an IKE SA is made, not when one is rekeyed:
    ``reauth`` names the connection that is made anew once the key is loaded. Only the end that sets its key last may
    have it: while the ends' keys differ none can be made. Raises BadParameter for an id that strongSwan cannot read.
    """

    file: Path
    ppk_id: str
    program: str = "swanctl"
    reauth: str | None = None

    def __post_init__(self) -> None:
        """Check the id: with a quote in it swanctl finds no secrets at all, and unloads those that it had."""
        if not (self.ppk_id.isascii() and self.ppk_id.isprintable()) or not self.ppk_id or set(self.ppk_id) & {*'"\\'}:
            raise BadParameter(
                f"{self.ppk_id!r} cannot be the id of a PPK",
                remedy="use printable ASCII without quotes and backslashes",
            )

    @property
    def section(self) -> str:
        """How the name of its section begins, among all secrets: sections of one name are merged, and two connections
        would share a key."""
        return f"ppk-{hashlib.sha256(self.ppk_id.encode()).hexdigest()[:16]}-"

    async def put(self, key: bytes, /) -> None:
        """Write the key to the file (mode 0600), have it loaded, and re-authenticate; raises ConfigurationError, also
        when swanctl did not see the file, and MachineFault."""
        await self.check()
        section = self.section + secrets.token_hex(8)  # so that swanctl names this key, and not one of another file
        secret = f'secrets {{\n  {section} {{\n    id = "{self.ppk_id}"\n    secret = 0x{key.hex()}\n  }}\n}}\n'
        with machine_faults_named(self.file):
            write_whole(self.file, secret)
        # Without --clear: swanctl loads this key, then unloads the former, and no handshake meets a moment without any.
        said = await _run((self.program, "--load-creds", "--noprompt"), b"")
        loaded = [line for line in said.splitlines() if line.startswith(f"loaded ppk secret '{self.section}")]
        if loaded != [f"loaded ppk secret '{section}'"]:  # the status is 0 all the same
            fault = "loaded more keys of this id than the one" if len(loaded) > 1 else "did not load the key"
            raise ConfigurationError(
                f"{self.program} {fault} from {self.file}",
                remedy=f"let swanctl.conf include this file only; see what `{self.program} --load-creds` says",
            )
        if self.reauth is not None and await _run((self.program, "--list-sas", "--ike", self.reauth), b""):
            await _run((self.program, "--rekey", "--ike", self.reauth, "--reauth"), b"")

    async def check(self) -> None:
        """Raise ConfigurationError where strongSwan does not have the connection that is to be made anew."""
        if self.reauth is None:
            return
        connections = await _run((self.program, "--list-conns"), b"", fault="does not list connections")
        if not any(line.startswith(f"{self.reauth}: ") for line in connections.splitlines()):
            raise ConfigurationError(
                f"strongSwan has no connection {self.reauth}", remedy=f"name one of `{self.program} --list-conns`"
            )


class KeyForm(enum.StrEnum):
    """How a key is written to a program of somebody's own; the first two with a line feed after them."""

    HEX = "hex"
    BASE64 = "base64"
    RAW = "raw"


@dataclass(frozen=True, slots=True)
class CommandSlot:
    """A command of the user's own, run without a shell for each key, which it reads from its standard input.

    It has taken the key when it ends with status 0. What it leaves running is not waited for.
    """

    words: tuple[str, ...]
    form: KeyForm = KeyForm.HEX

    async def check(self) -> None:
        """Whether it would take a key cannot be told without one."""

    async def put(self, key: bytes, /) -> None:
        """Give the key to the command; raises ConfigurationError when it does not take it."""
        match self.form:
            case KeyForm.HEX:
                told = key.hex().encode() + b"\n"
            case KeyForm.BASE64:
                told = base64.b64encode(key) + b"\n"
            case KeyForm.RAW:
                told = key
        await _run(self.words, told, option="--run")


async def _run(
    words: tuple[str, ...], told: bytes, *, option: str = "--program", fault: str = "did not take the key"
) -> str:
    """Return what the program says. ``fault``: what is said of it where its status is not 0."""
    try:
        end = await run_command(words, within_s=PATIENCE_S, most_bytes=MOST_SAID_BYTES, told=told, hear_errors=True)
    except OSError as reason:
        raise machine_fault(reason, path=Path(words[0]), elsewhere=f"name the program with {option}") from None
    match end.fate:
        case Fate.TOO_LONG:
            raise ConfigurationError(f"{words[0]} took longer than {PATIENCE_S:g} s", remedy="look what it waits for")
        case Fate.TOO_MUCH:
            raise ConfigurationError(
                f"{words[0]} said more than {MOST_SAID_BYTES:,} bytes", remedy="run it by hand, and let it say less"
            )
    if end.status:
        said = end.errors.decode("utf-8", "replace").strip()[:300] or f"status {end.status}"
        raise ConfigurationError(f"{words[0]} {fault}: {said}", remedy="run it by hand; it may need root")
    return end.output.decode("utf-8", "replace")

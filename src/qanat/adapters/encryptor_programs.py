"""Programs that encrypt by themselves and take keys from us: WireGuard's ``wg``, strongSwan's ``swanctl``, any other.

Keys are never on a command line, where other users of the machine could read them.
"""

from __future__ import annotations

import asyncio
import base64
import enum
from dataclasses import dataclass
from pathlib import Path

from qanat.adapters.addresses import write_whole
from qanat.adapters.machine_faults import machine_fault, machine_faults_named
from qanat.ground.errors import ConfigurationError

PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class WireguardSlot:
    """The pre-shared key of one peer of one interface: ``wg set IFACE peer KEY preshared-key /dev/stdin`` (wg(8)).

    WireGuard mixes it in from the next handshake on, at most two minutes later; what is open stays open.
    """

    interface: str
    peer_key: str
    program: str = "wg"

    async def put(self, key: bytes, /) -> None:
        """Set the key; raises ConfigurationError when the program does not take it, or the interface has no such peer:
        wg would make a new one of a misspelt key, and the old one would go on without the key."""
        if self.peer_key not in (await _run((self.program, "show", self.interface, "peers"), b"")).split():
            raise ConfigurationError(
                f"interface {self.interface} has no peer {self.peer_key}",
                remedy=f"name one of `{self.program} show {self.interface} peers`",
            )
        words = (self.program, "set", self.interface, "peer", self.peer_key, "preshared-key", "/dev/stdin")
        await _run(words, base64.b64encode(key) + b"\n")


@dataclass(frozen=True, slots=True)
class StrongswanSlot:
    """A post-quantum pre-shared key (RFC 8784): a file of secrets (swanctl.conf(5)), and ``swanctl --load-creds``.

    ``file`` lies where swanctl.conf includes it. IKE mixes the PPK in when the next IKE SA is made, not when one is
    rekeyed: connections need ``reauth_time``.
    """

    file: Path
    ppk_id: str
    program: str = "swanctl"

    async def put(self, key: bytes, /) -> None:
        """Write the key to the file (mode 0600) and have it loaded; raises ConfigurationError, MachineFault."""
        secret = f'secrets {{\n  ppk-qanat {{\n    id = "{self.ppk_id}"\n    secret = 0x{key.hex()}\n  }}\n}}\n'
        with machine_faults_named(self.file):
            write_whole(self.file, secret)
        await _run((self.program, "--load-creds", "--clear"), b"")


class KeyForm(enum.StrEnum):
    """How a key is written to a program of somebody's own; the first two with a line feed after them."""

    HEX = "hex"
    BASE64 = "base64"
    RAW = "raw"


@dataclass(frozen=True, slots=True)
class CommandSlot:
    """A command of the user's own, run without a shell for each key, which it reads from its standard input.

    It has taken the key when it ends with status 0. What it leaves running must let go of standard error.
    """

    words: tuple[str, ...]
    form: KeyForm = KeyForm.HEX

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


async def _run(words: tuple[str, ...], told: bytes, *, option: str = "--program") -> str:
    """Return what the program says."""
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as fault:
        raise machine_fault(fault, path=Path(words[0]), elsewhere=f"name the program with {option}") from None
    try:
        async with asyncio.timeout(PATIENCE_S):
            answer, said = await process.communicate(told)
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise ConfigurationError(
            f"{words[0]} took longer than {PATIENCE_S:g} s", remedy="look what it waits for"
        ) from None
    if process.returncode:
        reason = said.decode("utf-8", "replace").strip()[:300] or f"status {process.returncode}"
        raise ConfigurationError(
            f"{words[0]} did not take the key: {reason}", remedy="run it by hand; it may need root"
        )
    return answer.decode("utf-8", "replace")

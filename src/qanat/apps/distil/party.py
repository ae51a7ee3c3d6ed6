"""A party's process: files and account opened, a line made, lost and made again, until the record is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from qanat.adapters.folder_lock import held
from qanat.adapters.resuming_channel import LineListener, ResumingChannel, dial_line
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.apps.distil.account import LinkAccount, open_account
from qanat.apps.distil.counts_file import read_counts
from qanat.apps.distil.ending import Ending, asked_by_signals
from qanat.apps.distil.in_flight import MOST_IN_FLIGHT
from qanat.apps.distil.key_files import KeyFolder
from qanat.apps.distil.record_files import Role, digest_of, file_digest_of, read_origin, read_raw, read_sifted
from qanat.apps.distil.run import run_party
from qanat.apps.distil.setup import Made, Setup
from qanat.apps.distil.terms import MAX_BLOCK_BITS, MIN_BLOCK_BITS, Terms
from qanat.ground.errors import ChannelError, ConfigurationError
from qanat.physics.systems import system_named
from qanat.protocols.decoy import DecoyProtocol, SecurityParameters
from qanat.protocols.prediction import protocol_of
from qanat.quantum_layer.record_counts import RecordCounts
from qanat.quantum_layer.recorded import RawDetections, RawPreparations, SiftedBits

if TYPE_CHECKING:
    from qanat.postprocessing.amplification import Amplification
    from qanat.postprocessing.reconciliation.port import MethodName

MOST_LINES_LOST: Final = 8
"""Lines in a row that may be lost without a block made."""
REPLENISH_BITS: Final = 3072
"""What each block gives back to the account with --replenish: two blocks' pads, so that a lost block is paid too."""
MOST_WAIT_S: Final = 1e7
"""Some four months."""
OWN_FOLDER: Final = "give each party a folder of its own with --out: both have keys of the same names"
MAX_PORT: Final = 65_535
DEFAULT_BLOCK_BITS: Final = 4_000_000
LEAST_LDPC_BLOCK_BITS: Final = 2**14
"""The shortest block whose frames are long enough for a sparse code, see ``grain_of``."""
WORTHLESS_EPS_SEC: Final = 0.5
"""From here on hashing costs nothing: 2 log2(1 / (2 eps_sec)) is not above 0."""


@dataclass(frozen=True, slots=True)
class PartyOptions:
    """What a party's command was given. Exactly one of ``raw`` and ``sifted`` is there; ``block_bits``: None for the
    default, or with ``counts``."""

    role: Role
    host: str
    port: int
    raw: Path | None
    sifted: Path | None
    key: Path
    out: Path
    block_bits: int | None
    system: str | None
    disclosed: float
    min_entropy: float | None
    qber_abort: float
    eps_sec: float
    replenish: bool
    wait_s: float
    reconciliation: str = "cascade"
    amplification: str = "toeplitz"
    eps_auth: float = 1e-22
    counts: Path | None = None
    charge_replies: bool = False
    in_flight: int | None = None


def parse_address(text: str, *, least_port: int) -> tuple[str, int]:
    """Return host and port of HOST:PORT; raises ConfigurationError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not least_port <= int(port) <= MAX_PORT:
        raise ConfigurationError(
            f"{text!r} is no address", remedy=f"write HOST:PORT with a port from {least_port} to {MAX_PORT}"
        )
    return host.removeprefix("[").removesuffix("]"), int(port)


def distil(
    options: PartyOptions,
    *,
    tell: Callable[[str], None],
    on_port: Callable[[int], None],
    made: Made | None = None,
) -> Made:
    """Run a party until the record is over; returns what was made, also in ``made`` when it ends in an error.

    Raises what it failed of, and KeyboardInterrupt when the user ended it, at once or after the blocks in flight.
    ``on_port`` hears where Alice listens, before anybody has called.
    """
    made, ending = made or Made(), Ending()

    async def main() -> None:
        with asked_by_signals(ending, tell=tell):
            await _distil(options, tell, on_port, made=made, ending=ending)

    try:
        asyncio.run(main())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    if ending.is_asked:
        raise KeyboardInterrupt
    return made


def _check_running(options: PartyOptions) -> None:
    """Raise ConfigurationError for what no run can wait for or hold."""
    if not 0 < options.wait_s <= MOST_WAIT_S:
        raise ConfigurationError(
            f"--wait {options.wait_s:g} is out of range", remedy=f"wait from 0.1 to {MOST_WAIT_S:,.0f} seconds"
        )
    if options.in_flight is not None and not 1 <= options.in_flight <= MOST_IN_FLIGHT:
        raise ConfigurationError(
            f"--in-flight {options.in_flight} is out of range", remedy=f"take 1 to {MOST_IN_FLIGHT} blocks"
        )


async def _distil(
    options: PartyOptions,
    tell: Callable[[str], None],
    on_port: Callable[[int], None],
    *,
    made: Made | None = None,
    ending: Ending | None = None,
) -> Made:
    _check_running(options)
    record, protocol = _read_record(options)
    path = options.raw or options.sifted or Path()
    digest = digest_of(record)
    entropy = SystemEntropy()
    async with AsyncExitStack() as held_here:
        account = await held_here.enter_async_context(open_account(options.key, options.role, entropy=entropy))
        setup = Setup(
            role=options.role,
            terms=_terms(options, record, protocol, account),
            record=record,
            record_digest=digest,
            account=account,
            keys=KeyFolder(options.out),
            entropy=entropy,
            clock=SystemClock(),
            provenance=f"distilled from the record {path.name}; its origin: {read_origin(path)}",
            tell=tell,
            in_flight=options.in_flight,
            made=made or Made(),
            ending=ending or Ending(),
        )
        held_here.enter_context(held(options.out, remedy=OWN_FOLDER))
        _tell_of_counts(setup)
        _take_over_progress(account, digest, file_digest_of(path))
        spent_before = await account.spent_bits()
        try:
            async with _lines(options, on_port) as next_line:
                await _run_lines(setup, next_line)
        finally:
            setup.made.pad_bits_spent = await account.spent_bits() - spent_before
            setup.made.pad_bits_left = await account.left_bits()
            tell(f"{setup.made.pad_bits_spent:,} pad bits were spent, {setup.made.pad_bits_left:,} are left")
        return setup.made


def _take_over_progress(account: LinkAccount, digest: str, file_digest: str) -> None:
    """Go on where an account of before, which knew a record by its file, says that it was used to."""
    used_to = account.first_slot(file_digest)
    if used_to > account.first_slot(digest):
        account.advance(digest, used_to)


def _tell_of_counts(setup: Setup) -> None:
    """Say what the counts cover: bits outside every range make no key, for nothing is proven of them."""
    counts = setup.terms.counts
    if counts is None:
        return
    idle = setup.terms.num_bits - counts.num_bits
    setup.tell(
        f"counts of {len(counts.ranges)} range{'s' * (len(counts.ranges) > 1)}, {counts.num_bits:,} bits, proof"
        f" {counts.proof}; each range is a block"
    )
    if idle:
        setup.tell(f"{idle:,} bits of the record lie in no range of the counts: they make no key")


async def _run_lines(setup: Setup, next_line: Callable[[], AsyncIterator[ResumingChannel]]) -> None:
    lost, made_before = 0, 0
    async for channel in next_line():
        try:
            await run_party(setup, channel)
        except ChannelError as fault:
            made = len(setup.made.blocks)
            lost, made_before = (1, made) if made > made_before else (lost + 1, made)
            setup.made.dropped.append(fault.message)
            setup.tell(f"the line was lost: {fault.message}")
            if lost >= MOST_LINES_LOST:
                raise
            if setup.ending.is_asked:
                return
            continue
        finally:
            await channel.close()
        if channel.num_connections > 1:
            setup.tell(f"the connection broke and was taken up again {channel.num_connections - 1} times")
        return


@asynccontextmanager
async def _lines(
    options: PartyOptions, on_port: Callable[[int], None]
) -> AsyncIterator[Callable[[], AsyncIterator[ResumingChannel]]]:
    """Yield a function that gives line after line: calls taken by Alice, calls made by Bob."""
    if options.role == "bob":

        async def dialled() -> AsyncIterator[ResumingChannel]:
            while True:
                yield await dial_line(options.host, options.port, patience_s=options.wait_s)

        yield dialled
        return
    listener = LineListener(host=options.host, port=options.port, patience_s=options.wait_s)
    await listener.start()
    try:
        on_port(listener.port)

        async def accepted() -> AsyncIterator[ResumingChannel]:
            while True:
                yield await listener.accept(timeout_s=options.wait_s)

        yield accepted
    finally:
        await listener.stop()


def _read_record(
    options: PartyOptions,
) -> tuple[RawDetections | RawPreparations | SiftedBits, DecoyProtocol | None]:
    if (options.raw is None) == (options.sifted is None):
        raise ConfigurationError("a party has one record", remedy="name a raw record with --raw or bits with --sifted")
    if options.sifted is not None:
        return read_sifted(options.sifted), None
    assert options.raw is not None
    return read_raw(options.raw, options.role)


def _terms(
    options: PartyOptions,
    record: RawDetections | RawPreparations | SiftedBits,
    protocol: DecoyProtocol | None,
    account: LinkAccount,
) -> Terms:
    """Return what the other party must agree to; raises ConfigurationError for options that cannot be."""
    is_sifted = isinstance(record, SiftedBits)
    if options.eps_sec >= WORTHLESS_EPS_SEC:
        raise ConfigurationError(
            f"--eps-sec {options.eps_sec:g} says that a key may be known", remedy="take a small one, as 1e-9"
        )
    _check_entropy(options, is_sifted=is_sifted)
    counts = read_counts(options.counts, record) if options.counts and isinstance(record, SiftedBits) else None
    light = _light(options, protocol, counts, is_sifted=is_sifted)
    try:
        return Terms(
            link_id=account.ends.link_id,
            mode="sifted" if is_sifted else "raw",
            block_bits=_block_bits(options),
            protocol=DecoyProtocol(light.intensities, light.p_intensities, light.p_rectilinear, options.disclosed),
            security=SecurityParameters(eps_sec=options.eps_sec, eps_auth=options.eps_auth),
            qber_abort=options.qber_abort,
            min_entropy=options.min_entropy,
            num_bits=record.num_slots if is_sifted else 0,
            replenish_bits=REPLENISH_BITS if options.replenish else 0,
            reconciliation=cast("MethodName", options.reconciliation),
            amplification=cast("Amplification", options.amplification),
            charges_replies=options.charge_replies,
            counts=counts,
        )
    except ValueError as fault:
        raise ConfigurationError(f"options that cannot be: {fault}", remedy="see --help for what each means") from None


def _block_bits(options: PartyOptions) -> int:
    """Return the bits of a block; of no meaning with counts, which have a block for each of their ranges."""
    if options.counts is not None and options.block_bits is not None:
        raise ConfigurationError(
            "--block-bits beside --counts: each range of the counts is one block, for its length is proven as a whole",
            remedy="leave --block-bits out, or count over ranges of another length",
        )
    wished = DEFAULT_BLOCK_BITS if options.block_bits is None else options.block_bits
    if not MIN_BLOCK_BITS <= wished <= MAX_BLOCK_BITS:
        raise ConfigurationError(
            f"blocks of {wished} bits cannot be made",
            remedy=f"--block-bits from {MIN_BLOCK_BITS} to {MAX_BLOCK_BITS}",
        )
    if options.counts is None and options.reconciliation == "ldpc" and wished < LEAST_LDPC_BLOCK_BITS:
        raise ConfigurationError(
            f"blocks of {wished} bits are too short for --reconciliation ldpc",
            remedy=f"--block-bits {LEAST_LDPC_BLOCK_BITS} or more, or another method, at both parties",
        )
    return wished


def _check_entropy(options: PartyOptions, *, is_sifted: bool) -> None:
    """Raise ConfigurationError unless there is just one ground for a length."""
    stated, counts = options.min_entropy, options.counts
    if stated is not None and not 0 < stated <= 1:
        raise ConfigurationError(
            f"--min-entropy {stated:g} is out of range",
            remedy="state bits of min-entropy per sifted bit: above 0, at most 1",
        )
    if is_sifted and counts is None and stated is None:
        raise ConfigurationError(
            "sifted bits alone say nothing of what an eavesdropper knows: no decoy counts, no proof",
            remedy="give with --counts what your sifting counted; or state with --min-entropy how many bits of"
            " min-entropy your own proof grants per sifted bit (0 to 1); or distil the raw record",
        )
    if is_sifted and counts is not None and stated is not None:
        raise ConfigurationError(
            "--min-entropy beside --counts: from counts the length is proven, not stated", remedy="leave one out"
        )
    if not is_sifted and (stated is not None or counts is not None):
        name = "--min-entropy" if counts is None else "--counts"
        raise ConfigurationError(
            f"{name} is for sifted bits; from a raw record the length is proven", remedy="leave it out"
        )


def _light(
    options: PartyOptions, protocol: DecoyProtocol | None, counts: RecordCounts | None, *, is_sifted: bool
) -> DecoyProtocol:
    """Return intensities and odds of the light: of the counts, else of the system named, else of the file; of sifted
    bits without counts, any."""
    if counts is not None:
        return counts.protocol
    if is_sifted:
        return DecoyProtocol()
    if options.system is not None:
        return protocol_of(system_named(options.system))
    if protocol is None:
        raise ConfigurationError(
            f"{options.raw} does not say how the light was made",
            remedy="put its intensities into the file, or name the system with --system",
        )
    return protocol

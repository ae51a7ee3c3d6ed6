"""The options that name a physical generator, for every command whose devices can draw from one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qanat.apps.cli.paths import named_path
from qanat.ground.errors import ConfigurationError

if TYPE_CHECKING:
    from qanat.adapters.physical_entropy import EntropySource

EntropyOption = Annotated[
    Path | None,
    typer.Option(
        parser=named_path,
        metavar="PATH",
        help="A physical generator that the links' devices draw from: a device, a FIFO or a file of raw samples of one "
        "byte. One that fails a health test stops the links. Else: the operating system's (`link`: the seed).",
    ),
]
MinEntropyOption = Annotated[
    float | None,
    typer.Option(metavar="BITS", help="Min-entropy that you claim of each sample of the generator, up to 8 (else 4)."),
]


def entropy_source(path: Path | None, min_entropy_bits: float | None) -> EntropySource | None:
    """Return the generator of the options, None without one; raises ConfigurationError."""
    from qanat.adapters.physical_entropy import DEFAULT_MIN_ENTROPY_BITS, EntropySource

    if path is not None:
        return EntropySource(path, DEFAULT_MIN_ENTROPY_BITS if min_entropy_bits is None else min_entropy_bits)
    if min_entropy_bits is not None:
        raise ConfigurationError(
            "--min-entropy is a claim about a generator, and none is named", remedy="name it with --entropy"
        )
    return None

"""What a worker is to call for a twin link, by names that the process of the doors can say without loading the loops.

Compiled loops are loaded where they run. A process that serves doors needs none of them, and what they load takes
some 60 MiB: so nothing here imports them but in the worker.
"""

from __future__ import annotations

from collections.abc import Iterator

from qanat.ground.ports import Chance, Entropy
from qanat.quantum_layer.block_job import LinkRun


def distil_link(run: LinkRun) -> Iterator[bytes]:
    """Make one block, in a worker: see ``link_job``. Raises RuntimeError where a loop cannot be compiled."""
    from numba.core.errors import NumbaError

    from qanat.quantum_layer import link_job

    try:
        yield from link_job.distil_link(run)
    except NumbaError as fault:  # its class is not for a process without compiled loops
        raise RuntimeError(f"{type(fault).__name__}: {fault}") from fault


def warm_up(entropy: Entropy, chance: Chance) -> None:
    """Load all kernels in a worker: see ``link_job.warm_up``."""
    from qanat.quantum_layer import link_job

    link_job.warm_up(entropy, chance)

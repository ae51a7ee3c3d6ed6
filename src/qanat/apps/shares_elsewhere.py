"""Shares are solved in a worker process: the one that hears key managers never waits for them."""

from __future__ import annotations

from qanat.control.sharing import Settled, SharingProblem
from qanat.control.solvers.by_name import settle
from qanat.control.steering import Solve
from qanat.ground.ports import Job, KernelPool

BEFORE_BLOCKS = 1
"""Priority in a pool whose workers make key too: a solution takes less than a block, and steers what blocks are for."""


def solved_in(pool: KernelPool) -> Solve:
    """Return what solves problems in the workers of a pool, which starts one when there is one to solve."""

    async def solve(problem: SharingProblem) -> Settled:
        job: Job[Settled] = Job(settle, (problem,))
        return await pool.run(job, priority=BEFORE_BLOCKS)

    return solve

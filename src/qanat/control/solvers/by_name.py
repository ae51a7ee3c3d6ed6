"""Solvers by names that a process of doors can say without loading them: they take scipy, and run in a worker."""

from __future__ import annotations

from qanat.control.sharing import Settled, SharingProblem


def settle(problem: SharingProblem) -> Settled:
    """Return the shares of a problem: see ``settling``. Raises UnknownNode for a demand of a site that is none."""
    from qanat.control.solvers import settling

    return settling.settle(problem)

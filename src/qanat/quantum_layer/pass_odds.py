"""The odds of clicks in a pass, whose loss is new every second."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanat.physics.clicks import cell_odds
from qanat.physics.system_record import QKDSystem

Floats = NDArray[np.float64]


class PassOdds:
    """The odds of the cells as the pass goes on (``nature.Odds``)."""

    def __init__(self, system: QKDSystem, losses_db: Floats, step_s: float) -> None:
        self._system, self._losses_db, self._step_s = system, losses_db, step_s
        self._elapsed_s, self._step = 0.0, -1

    def __call__(self, seconds: float) -> NDArray[np.float64] | None:
        middle_s = self._elapsed_s + seconds / 2
        self._elapsed_s += seconds
        step = min(int(middle_s / self._step_s), self._losses_db.size - 1)
        if step == self._step:
            return None
        self._step = step
        return cell_odds(self._system, loss_db=float(self._losses_db[step]))

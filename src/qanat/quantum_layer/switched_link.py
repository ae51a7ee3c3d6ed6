"""A link through an all-pass switch beside the same fibres spliced: rates and reach, by formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from qanat.physics.channels import OpticalSwitch
from qanat.physics.system_record import QKDSystem
from qanat.quantum_layer.coexistence import greatest
from qanat.quantum_layer.shared_fibre import pair_rate

FARTHEST_DB: Final = 100.0
STEP_DB: Final = 0.01


@dataclass(frozen=True, slots=True)
class SwitchedLink:
    """One pair on fibres of ``fibre_db`` together, spliced or joined by a switch.

    duty: share of the time in which light passes. reach: the most decibels of fibre that still give key, None where
    none do.
    """

    switch: OpticalSwitch
    fibre_db: float
    duty: float
    spliced_bits_per_s: float
    through_bits_per_s: float
    reach_spliced_db: float | None
    reach_through_db: float | None

    @property
    def path_db(self) -> float:
        """Loss from module to module (dB)."""
        return self.switch.path_loss_db(self.fibre_db, 0.0)

    @property
    def cost(self) -> float:
        """Share of the spliced fibres' rate that the switch takes, its turning included; 0 to 1."""
        if not self.spliced_bits_per_s:
            return 0.0
        return 1 - self.duty * self.through_bits_per_s / self.spliced_bits_per_s


def switched_link(
    system: QKDSystem, switch: OpticalSwitch, *, fibre_db: float, dwell_s: float | None = None
) -> SwitchedLink:
    """Return what a switch does to a link; ``dwell_s``: seconds from one turn to the next, None when it stays."""
    return SwitchedLink(
        switch=switch,
        fibre_db=fibre_db,
        duty=1.0 if dwell_s is None else switch.duty(dwell_s=dwell_s),
        spliced_bits_per_s=pair_rate(system, loss_db=fibre_db).secret_rate_bits_per_s,
        through_bits_per_s=pair_rate(system, loss_db=switch.path_loss_db(fibre_db, 0.0)).secret_rate_bits_per_s,
        reach_spliced_db=reach_db(system),
        reach_through_db=reach_db(system, extra_db=switch.insertion_loss_db),
    )


def reach_db(system: QKDSystem, *, extra_db: float = 0.0) -> float | None:
    """Return the most decibels of fibre, to 0.01 dB, that give key when ``extra_db`` are lost besides; None: none."""
    return greatest(
        lambda fibre_db: pair_rate(system, loss_db=fibre_db + extra_db).secret_rate_bits_per_s > 0,
        low=0.0,
        high=FARTHEST_DB,
        step=STEP_DB,
    )

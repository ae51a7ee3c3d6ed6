"""One row of a benchmark: what was reached, what was wanted, and a reference from the same run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A measured rate beside its goal.

    ``reference_rate`` is what a well-known or plain way gives in the same run, in the same unit: machines are noisy,
    ratios are not.
    """

    name: str
    rate: float
    unit: str
    goal: float
    reference_name: str
    reference_rate: float
    note: str = ""
    is_limit: bool = False
    """The goal is the most that it may be, such as bytes or seconds."""

    @property
    def ratio(self) -> float:
        """Rate over goal, of a limit goal over rate: 1 or more means that the goal is reached."""
        return self.goal / self.rate if self.is_limit else self.rate / self.goal

    @property
    def speed_up(self) -> float:
        """Rate over the reference's."""
        return self.rate / self.reference_rate

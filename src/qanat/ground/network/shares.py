"""What a network file says of sharing: the declared objective, and what pairs of applications have been promised."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from qanat.ground.network.part import Part, fault_of_field, with_exponent


class SharingOfPair(Part):
    """What holds for the keys that ``master`` asks for with ``slave``.

    Rates are of link key, as each hop of the way pays it: the keys, and 512 bits for each batch of them.
    """

    master: str
    slave: str
    weight: float = Field(default=1.0, gt=0, le=1e6)
    """It counts as so many pairs of sites."""
    guaranteed_bits_per_s: float = Field(default=0.0, ge=0, le=1e12)
    """So much it has before any other is given more than was promised to it."""
    cap_bits_per_s: float | None = Field(default=None, gt=0, le=1e12)
    """More is not made for it; who asks for more waits."""

    @model_validator(mode="after")
    def _cap_holds_guarantee(self) -> SharingOfPair:
        if self.cap_bits_per_s is not None and self.guaranteed_bits_per_s > self.cap_bits_per_s:
            raise fault_of_field(
                f"{self.guaranteed_bits_per_s:.15g} bit/s are guaranteed,"
                f" and the cap is {self.cap_bits_per_s:.15g} bit/s",
                remedy="raise the cap or lower the guarantee",
            )
        return self


class SharingRules(Part):
    """How pairs of sites that want key over the same links share what these give; a network without such rules sends
    keys the widest way, and who comes first is served first.

    ``alpha`` of the objective (docs/explanation/sharing.md): 0 the most in all, 1 proportional fairness, larger ones
    come ever nearer to all alike, ``max-min`` is the limit.
    """

    alpha: float | Literal["max-min"] = 1.0
    window_s: float = Field(default=60.0, ge=5, le=86_400)
    """A pair of sites shares from its first demand for key till so long after its last one."""
    pairs: tuple[SharingOfPair, ...] = Field(default=(), strict=False)

    @field_validator("alpha", mode="before")
    @classmethod
    def _alpha_is_known(cls, value: object) -> object:
        """All that ``alpha`` may be is looked at here: each kind of a union tells a fault of its own."""
        if value == "max-min":
            return value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
            number = with_exponent(value)
            hint = f" (YAML 1.1 takes {value} for a text: write {number} or all digits)" if number else ""
            raise fault_of_field(
                f"alpha is {value!r:.40}", remedy=f"give a number from 0 to 100{hint}, or max-min, without quotes"
            )
        return value

    @model_validator(mode="after")
    def _objective_is_one(self) -> SharingRules:
        if self.alpha == "max-min" and any(pair.guaranteed_bits_per_s for pair in self.pairs):
            raise fault_of_field(
                "max-min fairness keeps no guarantees, and one is given",
                remedy="take a large alpha, such as 8, or leave the guarantees out",
            )
        return self

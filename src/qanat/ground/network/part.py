"""What every part of a described file is: checked strictly, frozen, without fields that nobody knows."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError

_EXPONENT = re.compile(r"([-+]?\d+)(\.\d*)?[eE]([-+]?)(\d+)")


class Part(BaseModel):
    """Strict: YAML's yes is no loss of 1 dB, and a number in quotes is a text. Whole numbers may stand for others."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


def fault_of_field(message: str, *, remedy: str) -> PydanticCustomError:
    """Return what a validator raises: a fault with its remedy, which the reader of files passes on."""
    return PydanticCustomError("qanat", "{message}", {"message": message, "remedy": remedy})


def with_exponent(value: object) -> str:
    """Return how YAML 1.1, which files are read by, has a number that it took for a text, such as 1e6: with a point,
    and with a sign before the exponent. Empty for what is no such number."""
    found = _EXPONENT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return ""
    whole, fraction, sign, exponent = found.groups(default="")
    return f"{whole}{fraction if len(fraction) > 1 else '.0'}e{sign or '+'}{exponent}"

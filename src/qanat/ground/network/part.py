"""What every part of a described file is: checked strictly, frozen, without fields that nobody knows."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Part(BaseModel):
    """Strict: YAML's yes is no loss of 1 dB, and a number in quotes is a text. Whole numbers may stand for others."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


def fault_of_field(message: str, *, remedy: str) -> PydanticCustomError:
    """Return what a validator raises: a fault with its remedy, which the reader of files passes on."""
    return PydanticCustomError("qanat", "{message}", {"message": message, "remedy": remedy})

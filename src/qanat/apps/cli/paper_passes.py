"""The paper's satellite figures beside ours: what was fitted to them, what is predicted, what is an input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from qanat.orbits.nature2021 import (
    FAR_QBER,
    FAR_RATE_BITS_PER_S,
    QBER,
    SECRET_2017,
    SIFTED_2017,
    SIFTED_BITS,
    TABLE_3,
    counted_2017,
    enhancement_factors,
    figure_3a,
    figure_3c_end,
    pass_2017,
)
from qanat.orbits.pass_light import PassLight, block_counts, block_length
from qanat.physics.micius import FITTED

F_EC: Final = 1.1
FITTED_KIND: Final = "Fitted: four numbers to these four (that they agree is no finding)"
PREDICTED_KIND: Final = "Predicted: nothing was fitted to these"
FACTORS_KIND: Final = "The five contributions to the key rate (Methods)"
TABLE_KIND: Final = "Extended Data Table 3, from its own entries and the beam that is named"


@dataclass(frozen=True, slots=True)
class PaperRow:
    """A figure of the paper beside ours. ``paper`` may be two numbers where it prints two."""

    kind: str
    name: str
    paper: tuple[float, ...]
    here: float
    unit: str

    @property
    def ratio(self) -> float:
        return self.here / self.paper[0]

    @property
    def ratio_text(self) -> str:
        return f"{self.here - self.paper[0]:+.1f} dB" if self.unit == "dB" else f"{self.ratio:.2f}"

    @property
    def paper_text(self) -> str:
        return " or ".join(f"{value:g}" for value in self.paper)

    @property
    def here_text(self) -> str:
        return f"{self.here:.4g}"


def paper_rows() -> list[PaperRow]:
    """Return the rows: fitted, predicted, factors, table. Takes two seconds."""
    near, far, old, counted = figure_3a(), figure_3c_end(), pass_2017(), counted_2017()
    chernoff, then = _secret(near.light, "chernoff"), _secret(counted, "chernoff")
    fitted = [
        PaperRow(FITTED_KIND, "Fig. 3a: sifted key", (SIFTED_BITS / 1e6,), near.light.sifted_bits / 1e6, "Mbit"),
        PaperRow(FITTED_KIND, "Fig. 3a: QBER", (100 * QBER,), 100 * near.light.qber, "%"),
        PaperRow(
            FITTED_KIND,
            "Fig. 3c: sifted rate at 2,043 km",
            (FAR_RATE_BITS_PER_S / 1e3,),
            float(far.light.sifted_rate_bits_per_s[0]) / 1e3,
            "kbit/s",
        ),
        PaperRow(FITTED_KIND, "Fig. 3c: QBER at 2,043 km", (100 * FAR_QBER,), 100 * far.light.qber, "%"),
    ]
    peak = float(near.light.sifted_rate_bits_per_s.max()) / 1e3
    predicted = [
        (f"Fig. 3a: greatest sifted rate ({10 * math.log10(peak / 462.0):+.1f} dB)", (462.0, 642.0), peak, "kbit/s"),
        ("total loss at 508 km (Table 1)", (20.0,), float(near.budget.total_db.min()), "dB"),
        ("total loss at 2,043 km (Table 1)", (40.0,), float(far.budget.total_db[0]), "dB"),
        ("secret key, Hoeffding", (17.4,), _secret(near.light, "hoeffding") / 1e6, "Mbit"),
        ("secret key, Chernoff", (17.4,), chernoff / 1e6, "Mbit"),
        ("secret rate over 364 s, Chernoff", (47.8,), chernoff / 364 / 1e3, "kbit/s"),
        (
            "2017: secret key of its 1.67 Mbit, Hoeffding",
            (SECRET_2017 / 1e6,),
            _secret(counted, "hoeffding") / 1e6,
            "Mbit",
        ),
        ("2017: secret key of its 1.67 Mbit, Chernoff", (SECRET_2017 / 1e6,), then / 1e6, "Mbit"),
        ("2017: sifted key by this link with its optics", (SIFTED_2017 / 1e6,), old.light.sifted_bits / 1e6, "Mbit"),
    ]
    rows = fitted + [PaperRow(PREDICTED_KIND, *row) for row in predicted]
    rows += _factor_rows(chernoff / near.light.sifted_bits, then / counted.sifted_bits)
    return rows + [
        PaperRow(TABLE_KIND, f"{one.name}: {one.beam.shape} beam", (one.paper_db,), one.total_db(), "dB")
        for one in TABLE_3
    ]


def paper_record(rows: Sequence[PaperRow]) -> dict[str, Any]:
    """Return the rows as JSON has them."""
    return {
        "rows": [{**asdict(row), "ratio": row.ratio} for row in rows],
        "fitted": asdict(FITTED),
        "f_ec": F_EC,
        "provenance": {
            "fitted": "air, constant, optical error and background, to the four rows of that kind",
            "predicted": "the link model with these four, and the proof at 1e-9",
        },
    }


def _factor_rows(share: float, share_2017: float) -> list[PaperRow]:
    factors = enhancement_factors({"secret_share": share, "secret_share_2017": share_2017})
    rows = [PaperRow(FACTORS_KIND, f"{one.name}: {one.how}", (one.paper,), one.ours, "times") for one in factors]
    product = math.prod(one.ours for one in factors)
    return [
        *rows,
        PaperRow(
            FACTORS_KIND, "product (the paper says 40)", (math.prod(f.paper for f in factors), 40.0), product, "times"
        ),
    ]


def _secret(light: PassLight, proof: str) -> int:
    return block_length(block_counts([light]), light.protocol, proof=proof, f_ec=F_EC).num_bits

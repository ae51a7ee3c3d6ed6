"""The paper's satellite figures beside ours: what was fitted, what follows from the fit, what is predicted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from qanat.orbits.nature2021 import (
    DURATION_2017_S,
    DURATION_S,
    FAR_QBER,
    FAR_RATE_BITS_PER_S,
    MEAN_SECRET_2017_KBIT_PER_S,
    MEAN_SECRET_KBIT_PER_S,
    PEAK_2017_KBIT_PER_S,
    PEAKS_KBIT_PER_S,
    QBER,
    QBER_2017,
    SECRET_2017,
    SECRET_BITS,
    SECRET_TIANGONG_2_BITS_PER_S,
    SIFTED_2017,
    SIFTED_BITS,
    SIFTED_TABLE_2,
    TABLE_3,
    TIANGONG_2_KM,
    Factor,
    PaperPass,
    counted_2017,
    enhancement_factors,
    figure_3a,
    figure_3c_end,
    pass_2017,
    pass_tiangong_2,
)
from qanat.orbits.pass_light import PassLight, block_counts, block_length
from qanat.physics.micius import FITTED

F_EC: Final = 1.1
FITTED_KIND: Final = "Fitted: four numbers to these four (that they agree is no finding)"
FOLLOWS_KIND: Final = (
    "Follows from the fit, given source and track: constant and air take up what beam and pointing leave"
)
PREDICTED_KIND: Final = "Predicted: nothing was fitted to these"
MISSED_KIND: Final = "2017, the model end to end: nothing was fitted to that pass, and the model misses it"
COUNTED_KIND: Final = (
    "2017, from its own counts: two more numbers are solved for, to 1.67 Mbit and to the 1.1 % of another paper"
)
TIANGONG_KIND: Final = (
    "Tiangong-2: the paper has its rate, distances and orbit alone; Micius' source and telescope, Xinglong's of 2017 "
    "and the fitted link stand in for its own, and miss it"
)
FACTORS_KIND: Final = "The five contributions to the key rate (Methods)"
TABLE_KIND: Final = "Extended Data Table 3, from its own entries; the beam of a row is chosen by its answer"


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
    """Return the rows: fitted, what follows, predicted, 2017 twice, Tiangong-2, factors, table. Takes two seconds."""
    near, far, old, counted = figure_3a(), figure_3c_end(), pass_2017(), counted_2017()
    rows = [
        *_of(FITTED_KIND, _fitted_rows(near.light, far.light)),
        PaperRow(FOLLOWS_KIND, "total loss at 508 km (Table 1)", (20.0,), float(near.budget.total_db.min()), "dB"),
        PaperRow(FOLLOWS_KIND, "total loss at 2,043 km (Table 1)", (40.0,), float(far.budget.total_db[0]), "dB"),
        *_of(PREDICTED_KIND, _predicted_rows(near.light)),
        *_of(MISSED_KIND, _rows_2017(old.light, "by this link with its optics")),
        *_of(COUNTED_KIND, _rows_2017(counted, "of its 1.67 Mbit")),
        *_factor_rows(near.light, counted),
    ]
    rows += _of(TIANGONG_KIND, _rows_tiangong_2(pass_tiangong_2()))
    return rows + [
        PaperRow(
            TABLE_KIND, f"{one.name}: {one.beam.shape}, the beam that gives it", (one.paper_db,), one.total_db(), "dB"
        )
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
            "follows": "the four fitted numbers over again, with the source and the track that are taken",
            "predicted": "the link model with these four, and the proof at 1e-9",
            "Tiangong-2": "stated: source and telescopes of Micius and Xinglong in 2017; nothing is solved for",
            "2017, from its own counts": "two more numbers, a further constant and the optical error, are solved for",
        },
    }


def _of(kind: str, rows: Sequence[tuple[str, float, float, str]]) -> list[PaperRow]:
    return [PaperRow(kind, name, (paper,), here, unit) for name, paper, here, unit in rows]


def _fitted_rows(near: PassLight, far: PassLight) -> list[tuple[str, float, float, str]]:
    far_rate = float(far.sifted_rate_bits_per_s[0])
    return [
        ("Fig. 3a: sifted key", SIFTED_BITS / 1e6, near.sifted_bits / 1e6, "Mbit"),
        ("Fig. 3a: QBER", 100 * QBER, 100 * near.qber, "%"),
        ("Fig. 3c: sifted rate at 2,043 km", FAR_RATE_BITS_PER_S / 1e3, far_rate / 1e3, "kbit/s"),
        ("Fig. 3c: QBER at 2,043 km", 100 * FAR_QBER, 100 * far.qber, "%"),
    ]


def _predicted_rows(near: PassLight) -> list[tuple[str, float, float, str]]:
    peak = float(near.sifted_rate_bits_per_s.max()) / 1e3
    hoeffding, chernoff = (_secret(near, proof) for proof in ("hoeffding", "chernoff"))
    return [
        *(
            (f"Fig. 3a: greatest sifted rate, {where} ({10 * math.log10(peak / paper):+.1f} dB)", paper, peak, "kbit/s")
            for where, paper in PEAKS_KBIT_PER_S.items()
        ),
        ("secret key, Hoeffding", SECRET_BITS / 1e6, hoeffding / 1e6, "Mbit"),
        ("secret key, Chernoff", SECRET_BITS / 1e6, chernoff / 1e6, "Mbit"),
        *(
            (f"secret rate over {DURATION_S:g} s, {name}", MEAN_SECRET_KBIT_PER_S, bits / DURATION_S / 1e3, "kbit/s")
            for name, bits in (("Hoeffding", hoeffding), ("Chernoff", chernoff))
        ),
    ]


def _rows_2017(light: PassLight, whose: str) -> list[tuple[str, float, float, str]]:
    peak = float(light.sifted_rate_bits_per_s.max()) / 1e3
    secret_bits = {name: _secret(light, name.lower()) for name in ("Hoeffding", "Chernoff")}
    mean = f"2017: secret rate over {DURATION_2017_S:g} s {whose}"
    return [
        (f"2017: sifted key {whose}", SIFTED_2017 / 1e6, light.sifted_bits / 1e6, "Mbit"),
        (f"2017: greatest sifted rate {whose}", PEAK_2017_KBIT_PER_S, peak, "kbit/s"),
        (f"2017: QBER {whose}", 100 * QBER_2017, 100 * light.qber, "%"),
        *(
            (f"2017: secret key {whose}, {name}", SECRET_2017 / 1e6, bits / 1e6, "Mbit")
            for name, bits in secret_bits.items()
        ),
        *(
            (f"{mean}, {name}", MEAN_SECRET_2017_KBIT_PER_S, bits / DURATION_2017_S / 1e3, "kbit/s")
            for name, bits in secret_bits.items()
        ),
    ]


def _rows_tiangong_2(one: PaperPass) -> list[tuple[str, float, float, str]]:
    seconds = one.light.step_s * len(one.budget.track)
    nearest_km, farthest_km = TIANGONG_2_KM
    mean = f"Tiangong-2: secret rate over {seconds:.0f} s, {nearest_km:g} to {farthest_km:g} km"
    paper = SECRET_TIANGONG_2_BITS_PER_S / 1e3
    return [
        (f"{mean}, {name}", paper, _secret(one.light, name.lower()) / seconds / 1e3, "kbit/s")
        for name in ("Hoeffding", "Chernoff")
    ]


def _factor_rows(now: PassLight, then: PassLight) -> list[PaperRow]:
    """The five factors; the one that is of secret bits, and the product, by both bounds of chance."""
    found: dict[str, tuple[Factor, ...]] = {}
    for proof in ("chernoff", "hoeffding"):
        shares = (_secret(now, proof) / now.sifted_bits, _secret(then, proof) / then.sifted_bits)
        found[proof] = enhancement_factors({"secret_share": shares[0], "secret_share_2017": shares[1]}, proof=proof)
    factors = dict.fromkeys(one for each in found.values() for one in each)
    own = (SECRET_BITS / SIFTED_TABLE_2) / (SECRET_2017 / SIFTED_2017)
    names = "error rate and block: the paper's own numbers, (17.4 / 58.13) / (0.30 / 1.67)"
    return [
        *(PaperRow(FACTORS_KIND, f"{one.name}: {one.how}", (one.paper,), one.ours, "times") for one in factors),
        PaperRow(FACTORS_KIND, names, (2.0,), own, "times"),
        *(
            PaperRow(
                FACTORS_KIND,
                f"product, {proof.capitalize()} (the paper says 40)",
                (math.prod(one.paper for one in each), 40.0),
                math.prod(one.ours for one in each),
                "times",
            )
            for proof, each in found.items()
        ),
    ]


def _secret(light: PassLight, proof: str) -> int:
    return block_length(block_counts([light]), light.protocol, proof=proof, f_ec=F_EC).num_bits

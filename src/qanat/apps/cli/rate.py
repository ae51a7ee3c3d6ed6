"""``qanat rate``: what a link of a system gives at a loss, by every proof, beside the paper's figures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast, get_args

from qanat.apps.cli.presentation import people_console, show_table
from qanat.ground.errors import RequestError
from qanat.physics.analytic import link_model
from qanat.physics.systems import QKDSystem, system_named
from qanat.postprocessing.reconciliation.efficiency import expected_f_ec
from qanat.postprocessing.reconciliation.port import MethodName
from qanat.protocols.block_trade import BlockTrade, block_trade
from qanat.protocols.decoy import SIGNAL
from qanat.protocols.prediction import ExpectedRate, expected_rate
from qanat.protocols.proofs import PROOFS, proof_named
from qanat.quantum_layer.forecast import amplification_bits

DEFAULT_BLOCK_BITS: Final = 100_000_000
MOST_BLOCK_BITS: Final = 10**12
MOST_LOSS_DB: Final = 100.0
DEFAULT_F_EC: Final = 1.1
MOST_F_EC: Final = 10.0

_CITIES: Final[Mapping[float, tuple[tuple[str, float], ...]]] = {
    5.8: (("Table 1, mean of Jinan", 26_300.0), ("Table 1, mean of Hefei", 19_700.0)),
    9.3: (("Table 1, mean of Beijing", 12_900.0),),
    9.8: (("Table 1, mean of Shanghai", 11_200.0),),
}
PAPER_BITS_PER_S: Final[Mapping[str, Mapping[float, tuple[tuple[str, float], ...]]]] = {
    "backbone-625": {
        10.3: (("Table 1, greatest", 235_400.0),),
        16.0: (("Table 1, mean", 79_300.0),),
        20.5: (("Table 1, least", 28_100.0),),
    },
    "metro-40-i": _CITIES,
    "metro-40-ii": _CITIES,
}
"""System -> loss of Table 1 (dB) -> where it stands in the paper and the secret rate printed there (bit/s)."""

MORE_THAN_ENDLESS: Final = (
    "  more than endless keys: their formula gives nothing for events without a photon and takes vacuum errors for "
    "half of the vacuum counts (docs/explanation/proofs.md); `none` bounds both\n"
)
"""Said of dark links, where a proof of blocks credits what the formula of endless keys leaves out."""


@dataclass(frozen=True, slots=True)
class RateRow:
    """One loss: the forecast by the first proof asked for, the rates of all, and the block that a twin would use."""

    forecast: ExpectedRate
    f_ec: float
    proof: str
    rates_bits_per_s: Mapping[str, float]
    twin: BlockTrade
    paper: tuple[tuple[str, float], ...]


def run_rate(
    system_name: str,
    *,
    losses: str,
    block_bits: int,
    proofs: Sequence[str],
    f_ec: float | None,
    as_json: bool,
    reconciliation: str | None = None,
) -> int:
    """Print the rates of links of these losses (dB, commas between). Returns 0; raises for values that cannot be.

    ``f_ec``: bits told by error correction over the Shannon limit; else ``reconciliation`` names a method, whose f at
    the error rate of each link is taken; else it is ``DEFAULT_F_EC``.
    """
    system = system_named(system_name)
    losses_db = read_losses(losses)
    method = _method(reconciliation, f_ec)
    stated_f_ec = DEFAULT_F_EC if f_ec is None else f_ec
    _check(block_bits, stated_f_ec)
    names = [proof_named(name).name for name in proofs] or list(PROOFS)
    rows = [
        rate_row(system, loss_db=loss_db, block_bits=block_bits, proofs=names, f_ec=stated_f_ec, method=method)
        for loss_db in losses_db
    ]
    ways = f"as {method} tells" if method else f"{stated_f_ec:g}"
    if as_json:
        print(json.dumps(_record(system, rows, names, block_bits=block_bits, method=method), indent=2))
    else:
        _print(system, rows, names, block_bits=block_bits, f_ec=ways)
    return 0


def _method(name: str | None, f_ec: float | None) -> MethodName | None:
    """Return a method of error correction by its name; raises RequestError."""
    if name is None:
        return None
    if f_ec is not None:
        raise RequestError("--f-ec beside --reconciliation: a method has its own f", remedy="leave one of them out")
    found = next((one for one in get_args(MethodName) if one == name), None)
    if found is None:
        known = ", ".join(get_args(MethodName))
        raise RequestError(f"{name!r} is no method of error correction", remedy=f"there are {known}")
    return cast("MethodName", found)


def read_losses(text: str) -> list[float]:
    """Return the losses (dB) of a text such as ``10.3,16.0``; raises RequestError on what is no loss."""
    losses = []
    for part in text.split(","):
        try:
            loss_db = float(part)
        except ValueError:
            loss_db = math.nan
        if not 0 <= loss_db <= MOST_LOSS_DB:
            raise RequestError(
                f"{part.strip()!r} is no loss of a link",
                remedy=f"give losses from 0 to {MOST_LOSS_DB:g} dB with commas between, such as 10.3,16.0,20.5",
            )
        losses.append(loss_db)
    return losses


def rate_row(
    system: QKDSystem,
    *,
    loss_db: float,
    block_bits: int,
    proofs: Sequence[str],
    f_ec: float,
    method: MethodName | None = None,
) -> RateRow:
    """Return what a link of ``loss_db`` (dB) gives by each of the proofs, all from the same light.

    ``method``: of error correction, in place of ``f_ec``.
    """
    if method is not None:
        f_ec = expected_f_ec(method, link_model(system, loss_db=loss_db).qber(SIGNAL))
    forecasts = {
        name: expected_rate(system, loss_db=loss_db, block_bits=block_bits, f_ec=f_ec, proof=name) for name in proofs
    }
    twin_bits = amplification_bits(system.name, loss_db=loss_db, reconciliation=method or "cascade")
    return RateRow(
        forecast=forecasts[proofs[0]],
        f_ec=f_ec,
        proof=proofs[0],
        rates_bits_per_s={name: forecast.secret_rate_bits_per_s for name, forecast in forecasts.items()},
        twin=block_trade(system, loss_db=loss_db, block_bits=twin_bits, f_ec=f_ec),
        paper=PAPER_BITS_PER_S.get(system.name, {}).get(loss_db, ()),
    )


def _check(block_bits: int, f_ec: float) -> None:
    if not 1 <= block_bits <= MOST_BLOCK_BITS:
        raise RequestError(
            f"an amplification block cannot have {block_bits} bits",
            remedy=f"give --block-bits from 1 to {MOST_BLOCK_BITS}; {DEFAULT_BLOCK_BITS} is the default",
        )
    if not 1 <= f_ec <= MOST_F_EC:
        raise RequestError(
            f"error correction cannot tell {f_ec:g} times the Shannon limit",
            remedy=f"give --f-ec from 1 to {MOST_F_EC:g}; Cascade reaches about 1.1",
        )


def _record(
    system: QKDSystem,
    rows: Sequence[RateRow],
    proofs: Sequence[str],
    *,
    block_bits: int,
    method: MethodName | None,
) -> dict[str, Any]:
    return {
        "system": system.name,
        "block_bits": block_bits,
        "f_ec": rows[0].f_ec if method is None else None,
        "reconciliation": method,
        "rows": [_row_record(row) for row in rows],
        "proofs": {
            name: {
                "source": PROOFS[name].source,
                "key": PROOFS[name].key,
                "assumptions": PROOFS[name].assumptions,
                "composable": PROOFS[name].is_composable,
            }
            for name in proofs
        },
        "provenance": {
            "loss_db, block_bits, f_ec": "input: the command",
            "rates, qber, block_time_s": "predicted (model): the analytic link model and the proof",
            "paper": "Nature 589, 214 (2021), Table 1; its averages are over a month of standard decoy-state analysis",
            "fitted": list(system.fitted),
            "parameters": dict(system.origins),
        },
    }


def _row_record(row: RateRow) -> dict[str, Any]:
    forecast, twin = row.forecast, row.twin
    return {
        "loss_db": forecast.loss_db,
        "f_ec": row.f_ec,
        "sifted_rate_bits_per_s": forecast.sifted_rate_bits_per_s,
        "qber": forecast.qber,
        "secret_rate_bits_per_s": forecast.secret_rate_bits_per_s,
        "secret_rate_asymptotic_bits_per_s": forecast.secret_rate_asymptotic_bits_per_s,
        "proof": row.proof,
        "proof_in_words": forecast.proof,
        "block_bits": forecast.block_bits,
        "block_time_s": forecast.block_time_s,
        "secret_rates_bits_per_s": dict(row.rates_bits_per_s),
        "twin_block": {
            "block_bits": twin.chosen.block_bits,
            "block_time_s": twin.chosen.block_time_s,
            "secret_rate_bits_per_s": twin.chosen.secret_rate_bits_per_s,
            "why": twin.words(),
        },
        "paper": [{"where": where, "secret_rate_bits_per_s": rate} for where, rate in row.paper],
    }


def _print(system: QKDSystem, rows: Sequence[RateRow], proofs: Sequence[str], *, block_bits: int, f_ec: str) -> None:
    console = people_console(is_answer=True)
    console.print(
        f"[bold]{system.name}[/]: blocks of {block_bits:,} verified bits, f_EC {f_ec}; rates in kbit/s, predicted\n"
    )
    show_table(
        console,
        f"Secret rate by {proofs[0]} beside the paper's",
        ("loss, dB", "sifted", "QBER, %", "secret", "endless keys", "paper", "secret / paper"),
        [_row(row) for row in rows],
    )
    if any(0 < row.forecast.secret_rate_asymptotic_bits_per_s < row.forecast.secret_rate_bits_per_s for row in rows):
        console.print(MORE_THAN_ENDLESS, soft_wrap=True)
    show_table(
        console,
        "The same light by every proof",
        ("proof", *(f"{row.forecast.loss_db:g} dB" for row in rows), "composable"),
        [_proof_row(name, rows) for name in proofs],
    )
    for name in proofs:
        console.print(f"  {name}: {PROOFS[name].source}; {PROOFS[name].key}", soft_wrap=True)
    console.print("\nThe block that a twin of such a link would use (by the proof that keys are made by)")
    for row in rows:
        console.print(f"  {row.forecast.loss_db:g} dB: {row.twin.words()}", soft_wrap=True)
    fitted = ", ".join(system.fitted) or "none"
    console.print(
        f"\nWhere the parameters come from (losses, block and f_EC are inputs; fitted: {fitted})", markup=False
    )
    for name, origin in system.origins.items():
        console.print(f"  {name}: {origin}", soft_wrap=True, markup=False)


def _row(row: RateRow) -> tuple[str, ...]:
    forecast = row.forecast
    secret = forecast.secret_rate_bits_per_s
    return (
        f"{forecast.loss_db:g}",
        _kbit(forecast.sifted_rate_bits_per_s),
        f"{100 * forecast.qber:.2f}",
        _kbit(secret),
        _kbit(forecast.secret_rate_asymptotic_bits_per_s),
        "; ".join(f"{_kbit(rate)} ({where})" for where, rate in row.paper) or "-",
        "; ".join(f"{secret / rate:.2f}" for _, rate in row.paper) or "-",
    )


def _proof_row(name: str, rows: Sequence[RateRow]) -> tuple[str, ...]:
    words = "yes" if PROOFS[name].is_composable else "no"
    return (name, *(_kbit(row.rates_bits_per_s[name]) for row in rows), words)


def _kbit(rate_bits_per_s: float) -> str:
    return f"{rate_bits_per_s / 1e3:,.3g}" if 0 < rate_bits_per_s < 1e4 else f"{rate_bits_per_s / 1e3:,.1f}"

"""``qanat fibre``: what else is on a fibre, what it costs, and how many pairs a multiple of one pair's rate takes."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from qanat.apps.cli.fibre_findings import SHARES, FibreFindings, FibreOptions, look
from qanat.apps.cli.fibre_tables import print_fibre
from qanat.quantum_layer.coexistence import Coexistence
from qanat.quantum_layer.shared_fibre import BLOCK_BITS, SharedFibre
from qanat.quantum_layer.switched_link import SwitchedLink


def run_fibre(options: FibreOptions, *, as_json: bool) -> int:
    """Print what shares a fibre. Returns 0 when the rate asked for is reached, 1 when no number of pairs reaches it."""
    found = look(options)
    if as_json:
        print(json.dumps(_record(found), indent=2))
    else:
        print_fibre(found)
    return 0 if found.needed is not None else 1


def _record(found: FibreFindings) -> dict[str, Any]:
    options = found.options
    return {
        "system": found.system.name,
        "loss_db": options.loss_db,
        "length_km": found.span.length_km,
        "block_bits": BLOCK_BITS,
        "single_rate_bits_per_s": found.alone_bits_per_s,
        "single_qber": found.alone_qber,
        "times": options.times,
        "pairs_needed": found.needed,
        "multiplexer": asdict(found.multiplexer) | {"cost_of_one_pair": found.insertion_cost},
        "rows": [_row_record(row) for row in found.rows],
        "filter_nm": found.filter_nm,
        "clock": None if found.clock is None else _light_record(found.clock),
        "classical": None if found.light is None or found.classical is None else _classical_record(found),
        "switch": None if found.switched is None else _switch_record(found.switched),
        "provenance": {
            "rates, qber": "predicted (model): the analytic link model and the composable proof; fitted in the record: "
            + (", ".join(found.system.fitted) or "nothing"),
            "multiplexer.insertion_loss_db": "input: the command; by default just below 1 dB, the bound of the paper",
            "multiplexer, else": "stated parameters, typical of thin-film filters on a 100-GHz grid",
            "classical": "stated parameters of the command; see docs/systems.md",
            "switch": "stated parameters, typical of micromechanical switches; 16 ports: Nature 589, 214 (2021)",
        },
    }


def _row_record(row: SharedFibre) -> dict[str, Any]:
    return {
        "num_pairs": row.num_pairs,
        "crosstalk": row.crosstalk,
        "qber": row.pair_qber,
        "pair_rate_bits_per_s": row.pair_rate_bits_per_s,
        "total_rate_bits_per_s": row.total_rate_bits_per_s,
        "gain": row.gain,
    }


def _light_record(one: Coexistence) -> dict[str, Any]:
    return {
        **asdict(one.noise),
        "counted_s_per_slot": one.counted_s,
        "clicks_per_slot_and_detector": one.odds_per_slot,
        "dark_counts_per_slot_and_detector": one.dark_per_slot,
        "qber": one.lit.qber,
        "rate_bits_per_s": one.lit.secret_rate_bits_per_s,
        "cost_of_one_pair": one.cost,
    }


def _classical_record(found: FibreFindings) -> dict[str, Any]:
    assert found.light is not None
    assert found.classical is not None
    return {
        **asdict(found.light),
        **_light_record(found.classical),
        "most_launch_dbm": [
            {"leaves_more_than": share, "launch_dbm": dbm} for share, dbm in zip(SHARES, found.launch_dbm, strict=True)
        ],
    }


def _switch_record(link: SwitchedLink) -> dict[str, Any]:
    return {
        **asdict(link.switch),
        "links_at_once": link.switch.num_links_at_once,
        "duty": link.duty,
        "spliced_bits_per_s": link.spliced_bits_per_s,
        "through_bits_per_s": link.through_bits_per_s,
        "cost_of_one_pair": link.cost,
        "reach_spliced_db": link.reach_spliced_db,
        "reach_through_db": link.reach_through_db,
    }

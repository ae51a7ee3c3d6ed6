"""What a run of service tests comes to: success by kind, causes of failure, times, keys, and the planted faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any, TypeAlias

from qanat.apps.acceptance.causes import Cause
from qanat.apps.acceptance.plan import KINDS
from qanat.apps.acceptance.run import Result

Figures: TypeAlias = dict[str, Any]
"""Counts, shares from 0 to 1, seconds, keys and bits, ready for JSON."""


def figures_of(results: Sequence[Result], *, duration_s: float) -> Figures:
    """Return all figures of a run. Tests with planted faults count nowhere but in their own part."""
    healthy = [result for result in results if result.test.fault is None]
    planted = [result for result in results if result.test.fault is not None]
    return {
        "duration_s": duration_s,
        "all": _figures(healthy),
        "kinds": {kind: _figures(found) for kind, found in _grouped(healthy, lambda one: one.test.kind, KINDS)},
        "pairs": {
            name: _figures(found)
            for name, found in _grouped(healthy, _place, ("near, cold", "near, warm", "far, cold", "far, warm"))
        },
        "planted": {name: _planted(found) for name, found in _grouped(planted, _fault, _in_order(planted))},
        "num_planted": len(planted),
        "planted_as_expected": sum(result.is_as_expected for result in planted),
    }


def rows_of(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return a row for each test, for a table of all."""
    return [
        {
            "test": result.test.number,
            "kind": result.test.kind,
            "sender": result.test.sender,
            "recipient": result.test.recipient,
            "distance_km": round(result.test.distance_km, 1),
            "planted": _fault(result),
            "cause": result.cause.value,
            "as_expected": result.is_as_expected,
            "tries": result.tries,
            "first_try": result.first_cause.value,
            "cold": result.is_cold,
            "begun_s": round(result.begun_s, 3),
            "duration_s": round(result.duration_s, 3),
            "keys": result.num_keys,
            "key_bits": result.key_bits,
            "error": result.fault,
            "message": result.message,
        }
        for result in results
    ]


def _figures(results: Sequence[Result]) -> Figures:
    succeeded = [result for result in results if result.cause is Cause.SUCCESS]
    causes = Counter(result.cause.value for result in results if result.cause is not Cause.SUCCESS)
    return {
        "tests": len(results),
        "succeeded": len(succeeded),
        "at_once": sum(result.tries == 1 for result in succeeded),
        "success_rate": len(succeeded) / len(results) if results else None,
        "causes": dict(causes.most_common()),
        "first_causes": dict(Counter(one.first_cause.value for one in results if one.tries > 1).most_common()),
        "median_s": _share([result.duration_s for result in succeeded], 0.5),
        "median_warm_s": _share([result.duration_s for result in succeeded if not result.is_cold], 0.5),
        "p99_warm_s": _share([result.duration_s for result in succeeded if not result.is_cold], 0.99),
        "median_cold_s": _share([result.duration_s for result in succeeded if result.is_cold], 0.5),
        "most_s": max((result.duration_s for result in succeeded), default=None),
        "keys": sum(result.num_keys for result in results),
        "key_bits": sum(result.key_bits for result in results),
    }


def _planted(results: Sequence[Result]) -> Figures:
    fault = results[0].test.fault
    assert fault is not None
    return {
        "tests": len(results),
        "expected": fault.cause.value,
        "as_expected": sum(result.is_as_expected for result in results),
        "found": dict(Counter(result.cause.value for result in results).most_common()),
        "median_s": median(result.duration_s for result in results),
    }


def _place(result: Result) -> str:
    return f"{'near' if result.test.is_near else 'far'}, {'cold' if result.is_cold else 'warm'}"


def _fault(result: Result) -> str:
    return "" if result.test.fault is None else result.test.fault.name


def _in_order(results: Iterable[Result]) -> list[str]:
    return sorted({_fault(result) for result in results})


def _grouped(
    results: Sequence[Result], name_of: Callable[[Result], str], names: Sequence[str]
) -> Iterable[tuple[str, list[Result]]]:
    groups: Mapping[str, list[Result]] = {name: [] for name in names}
    for result in results:
        groups[name_of(result)].append(result)
    return [(name, found) for name, found in groups.items() if found]


def _share(times_s: Sequence[float], share: float) -> float | None:
    """Return the time that so great a share keeps to, None of none; of a half the median."""
    if not times_s:
        return None
    if share == 0.5:
        return median(times_s)
    return sorted(times_s)[min(len(times_s) - 1, int(share * len(times_s)))]

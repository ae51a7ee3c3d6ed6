"""What each method of error correction is expected to tell, before any bit is corrected: for forecasts and plans.

f is what Alice tells over the Shannon limit of the errors there are. It depends on the method and on the error rate,
for block sizes and codes come in steps. The table was measured with our own methods on keys of 64 frames of 2^16 bits
with just that error rate, mean of two keys (a test measures some of it again); between its rates f is interpolated
over the logarithm of the error rate, outside it is that of the nearest one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from qanat.postprocessing.reconciliation.port import MethodName

ERROR_RATES: Final = (0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.065, 0.08)
MEASURED: Final[Mapping[MethodName, tuple[float, ...]]] = {
    "cascade": (1.071, 1.059, 1.058, 1.056, 1.056, 1.056, 1.060, 1.062, 1.068, 1.061, 1.075, 1.085),
    "winnow": (1.353, 1.314, 1.305, 1.337, 1.311, 1.358, 1.324, 1.379, 1.343, 1.363, 1.388, 1.437),
    "ldpc": (1.230, 1.191, 1.173, 1.161, 1.189, 1.178, 1.169, 1.162, 1.158, 1.153, 1.153, 1.149),
}
"""Method -> f at each of ERROR_RATES."""

REPLIES_PER_TOLD_BIT: Final[Mapping[MethodName, float]] = {"cascade": 1.0, "winnow": 1.0, "ldpc": 0.0}
"""What Bob's messages tell beyond Alice's, per bit of hers: as much, or some bits of a key (``port.Disclosed``)."""


def expected_f_ec(method: MethodName, qber: float) -> float:
    """Return the f to expect at an error rate; raises ValueError for one that is none."""
    if not 0 <= qber <= 0.5:
        raise ValueError(f"an error rate lies between 0 and 0.5, got {qber}")
    return float(np.interp(np.log(max(qber, 1e-12)), np.log(ERROR_RATES), MEASURED[method]))


def expected_paid_f_ec(method: MethodName, qber: float, *, charges_replies: bool) -> float:
    """Return what the secret length is expected to pay over the Shannon limit: f, with Bob's replies where charged."""
    return expected_f_ec(method, qber) * (1 + REPLIES_PER_TOLD_BIT[method] * charges_replies)

"""The methods of error correction by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qanat.postprocessing.reconciliation.cascade_messages import Cascade
from qanat.postprocessing.reconciliation.ldpc import Ldpc
from qanat.postprocessing.reconciliation.port import Method, MethodName
from qanat.postprocessing.reconciliation.winnow import Winnow

METHODS: Final[Mapping[MethodName, Method]] = {"cascade": Cascade(), "winnow": Winnow(), "ldpc": Ldpc()}

ABOUT: Final[Mapping[MethodName, str]] = {
    "cascade": "parities of blocks, then of halves of halves",
    "winnow": "the paper's: block parities, Hamming codes, permutations; what is told is charged, no bit discarded",
    "ldpc": "one syndrome of a sparse code, more of it for frames that do not decode",
}
"""What a method tells, in a few words: docs/explanation/reconciliation.md says more."""

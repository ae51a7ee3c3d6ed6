"""The methods of error correction by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qanat.postprocessing.reconciliation.cascade_messages import Cascade
from qanat.postprocessing.reconciliation.ldpc import Ldpc
from qanat.postprocessing.reconciliation.port import Method, MethodName
from qanat.postprocessing.reconciliation.winnow import Winnow

METHODS: Final[Mapping[MethodName, Method]] = {"cascade": Cascade(), "winnow": Winnow(), "ldpc": Ldpc()}

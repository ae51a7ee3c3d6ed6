"""What this processor can do beyond what every one can: the kernels choose their instructions by it."""

from __future__ import annotations

from collections.abc import Mapping

from llvmlite import binding
from numba import config


def instruction_sets() -> Mapping[str, bool]:
    """Return whether this processor has a set of instructions, by LLVM's name; none where code is for another one."""
    if config.CPU_NAME or config.CPU_FEATURES:  # type: ignore[attr-defined]  # numba sets them as it is imported
        return {}
    features: Mapping[str, bool] = binding.get_host_cpu_features()
    return features

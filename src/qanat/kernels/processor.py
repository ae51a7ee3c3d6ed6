"""What this processor can do beyond what every one can: the kernels choose their instructions by it."""

from __future__ import annotations

from collections.abc import Mapping

from llvmlite import binding
from numba import config


def processor_name() -> str:
    """Return which processor code is made for, by LLVM's name: kernels that were compiled for another are of no use."""
    return str(config.CPU_NAME or binding.get_host_cpu_name())  # type: ignore[attr-defined]


def instruction_sets() -> Mapping[str, bool]:
    """Return whether this processor has a set of instructions, by LLVM's name; none where code is for another one."""
    if config.CPU_NAME or config.CPU_FEATURES:  # type: ignore[attr-defined]  # numba sets them as it is imported
        return {}
    features: Mapping[str, bool] = binding.get_host_cpu_features()
    return features

"""The report of a demonstration: one HTML file that asks for nothing from anywhere."""

from qanat.apps.report.report import render_report
from qanat.apps.report.result import (
    Check,
    DemoResult,
    DoorLatency,
    IntensitySample,
    LifeStage,
    LinkPrediction,
    LinkResult,
    PoolSample,
    RelayAccount,
    Transfer,
    life_of_key,
)

__all__ = [
    "Check",
    "DemoResult",
    "DoorLatency",
    "IntensitySample",
    "LifeStage",
    "LinkPrediction",
    "LinkResult",
    "PoolSample",
    "RelayAccount",
    "Transfer",
    "life_of_key",
    "render_report",
]

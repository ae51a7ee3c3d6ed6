"""Every port of the system: the promises that rooms make to each other, and that adapters keep."""

from qanat.ground.ports.classical import ClassicalChannel, Session, Transport
from qanat.ground.ports.machine import Chance, Clock, Entropy, Job, KernelPool, Stopwatch, Tasks
from qanat.ground.ports.quantum import DistantModule, OpticalSwitch, QKDModule
from qanat.ground.ports.stores import KeyStore
from qanat.ground.ports.supply import KeySupply

__all__ = [
    "Chance",
    "ClassicalChannel",
    "Clock",
    "DistantModule",
    "Entropy",
    "Job",
    "KernelPool",
    "KeyStore",
    "KeySupply",
    "OpticalSwitch",
    "QKDModule",
    "Session",
    "Stopwatch",
    "Tasks",
    "Transport",
]

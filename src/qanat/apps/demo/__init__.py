"""The demonstration: a network comes up, a file and a letter cross it on keys made from photons, and all is checked."""

from qanat.apps.demo.findings import steps_of
from qanat.apps.demo.run import View, demonstrate

__all__ = ["View", "demonstrate", "steps_of"]

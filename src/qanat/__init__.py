"""Qanat: the software of a whole quantum key distribution (QKD) network."""

__version__ = "0.1.0"

"""ETSI GS QKD 014 V1.1.1: key delivery over REST."""

from qanat.doors.etsi014.encoding import Answer
from qanat.doors.etsi014.handlers import Etsi014Door, GivenKeys, KeySupplier
from qanat.doors.etsi014.parsing import Limits

__all__ = ["Answer", "Etsi014Door", "GivenKeys", "KeySupplier", "Limits"]

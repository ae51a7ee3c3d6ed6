"""Values of polynomials one by one: what the transforms of ``kernels.additive_transform`` compute."""

from __future__ import annotations

from collections.abc import Sequence

from qanat.kernels.byte_fields import CHANNELS, chain, channel_points, multiply


def segment_values(segment: int) -> list[int]:
    """Return the values of a polynomial over GF(2), given as an integer, at the channel points."""
    return [evaluate([segment >> k & 1 for k in range(segment.bit_length())], point) for point in channel_points()]


def spectrum(segments: Sequence[int], *, log_points: int) -> list[list[int]]:
    """Return, for each of 2^log_points points, the values in all channels of the polynomial with these coefficients.

    Point B is the sum of ``v_t`` over the bits t of B.
    """
    coefficients = [segment_values(segment) for segment in segments]
    values = []
    for index in range(1 << log_points):
        point = 0
        for t in range(log_points):
            if index >> t & 1:
                point ^= chain()[t]
        values.append([evaluate([row[channel] for row in coefficients], point) for channel in range(CHANNELS)])
    return values


def evaluate(coefficients: Sequence[int], point: int) -> int:
    """Return the value of a polynomial over the field, lowest coefficient first."""
    total = 0
    for coefficient in reversed(coefficients):
        total = multiply(total, point) ^ coefficient
    return total

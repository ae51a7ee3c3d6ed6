"""A key's frames as arrays, and bits of many frames as message bodies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import FrameError
from qanat.kernels import side_by_side
from qanat.postprocessing.reconciliation.port import FrameShape

WordArray = NDArray[np.uint64]


def spread_key(key: bytes, shape: FrameShape) -> WordArray:
    """Return a packed key side by side: uint64, shape (ceil(num_frames / 64), frame_bits)."""
    return _spread(key, shape.num_frames, shape.frame_bits)


def join(frames: WordArray, num_frames: int) -> bytes:
    """Pack bits that lie side by side, shape (num_groups, n), as one stream: place by place a bit per frame."""
    num_bits = frames.shape[1] * num_frames
    stream = np.zeros((num_bits + 63) // 64, dtype=np.uint64)
    side_by_side.join_frames(np.ascontiguousarray(frames), num_frames, stream)
    return stream.astype("<u8", copy=False).tobytes()[: (num_bits + 7) // 8]


def spread(body: bytes, num_frames: int, num_places: int) -> WordArray:
    """Undo ``join``; raises FrameError on a body of another length, or with padding that is not zero."""
    check_packed(body, num_frames * num_places)
    return _spread(body, num_frames, num_places)


def check_packed(body: bytes, num_bits: int) -> None:
    """Raise FrameError unless a body is ``num_bits`` packed bits with zero padding."""
    if len(body) != (num_bits + 7) // 8:
        raise FrameError(f"{num_bits} bits of error correction were expected, {len(body)} bytes came")
    if num_bits % 8 and body[-1] >> (num_bits % 8):
        raise FrameError("the padding of a body of error correction is not zero")


def stream_of(packed: bytes) -> WordArray:
    """Return packed bits as words, filled up with zeros; a copy."""
    return np.frombuffer(bytearray(packed) + bytes(-len(packed) % 8), dtype="<u8").astype(np.uint64, copy=False)


def _spread(packed: bytes, num_frames: int, num_places: int) -> WordArray:
    frames = np.empty((-(-num_frames // side_by_side.LANES), num_places), dtype=np.uint64)
    side_by_side.spread_frames(stream_of(packed), num_frames, frames)
    return frames


def difference(before: bytes, after: bytes) -> bytes:
    """Return the map of bits that differ between two packed keys of one length."""
    return (np.frombuffer(before, dtype=np.uint8) ^ np.frombuffer(after, dtype=np.uint8)).tobytes()

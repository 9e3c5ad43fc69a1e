"""x^T W in float32 from a matrix in the stored form, native."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..codecs.stream import Stream, StreamEncoded
from .stream import BATCHES, MAX_POSITIONS, ROOM, Numbers, StreamKernel


class MatrixKernel:
    """A stored matrix (n inputs, m outputs), made ready once to be multiplied many times.

    Every call decodes the streams anew; sums are those of float32 in the order of the streams, whatever the number of
    threads. A matrix of one value, of more than 256, of one that is not finite in float32, or of more than 65,535
    inputs is decoded here once, and multiplied densely.

    Raises NativeError where there are no native kernels, FormatError or StreamError for a damaged matrix.
    """

    def __init__(self, encoded: StreamEncoded) -> None:
        side, dictionary, streams = encoded.content
        self.shape = side.shape
        self.kernel: StreamKernel | None = None
        """What decodes the one plane, in the order of the result's rows; None for a matrix that is kept densely."""
        self._dense: npt.NDArray[np.float32] | None = None
        with np.errstate(over="ignore"):
            finite = bool(np.isfinite(dictionary.astype(np.float32)).all())
        if len(side.planes) != 1 or side.shape[0] > MAX_POSITIONS or not finite:
            self._dense = Stream().decode(encoded).astype(np.float32)
            return
        plane = side.planes[0]
        self.kernel = StreamKernel(
            plane.codes, streams[0], plane.lane_rows, plane.lane_tables, side.shape[0], plane.order
        )
        self._columns = plane.columns
        centres = np.zeros(256, np.float32)
        centres[: dictionary.size] = dictionary
        self._centres, self._base = centres, float(centres[plane.base])
        steps = np.diff(dictionary.astype(np.float64))
        self._step = float(steps[0]) if np.all(steps == steps[0]) else None
        self._numbers = None if self._step is not None else Numbers(self.kernel, plane.base)
        self._passes: dict[tuple[int, int], _Pass] = {}

    def product(self, x: npt.ArrayLike, threads: int = 1) -> npt.NDArray[np.float32]:
        """x (n,) or (batch, n) to float32 (m,) or (batch, m). ValueError for another shape. One caller at a time."""
        given = np.asarray(x, np.float32)
        n, m = self.shape
        if given.ndim not in (1, 2) or given.shape[-1] != n:
            raise ValueError(f"x has shape {given.shape}, must be ({n},) or (batch, {n})")
        if self._dense is not None:
            return given @ self._dense
        if given.ndim == 1:
            return self._multiply(given[:, None], threads)[:, 0]
        result = np.empty((len(given), m), np.float32)
        for first in range(0, len(given), BATCHES[-1]):
            part = given[first : first + BATCHES[-1]]
            result[first : first + len(part)] = self._multiply(part.T, threads).T
        return result

    def _multiply(self, x: npt.NDArray[np.float32], threads: int) -> npt.NDArray[np.float32]:
        """x (n, batch) to (m, batch), batch at most that of one pass."""
        batch = next(size for size in BATCHES if size >= x.shape[1])
        turn = self._passes.get((batch, threads))
        if turn is None:
            turn = self._passes[batch, threads] = self._pass(batch, threads)
        turn.x[: len(x), : x.shape[1]] = x if self._columns is None else x[self._columns]
        turn.run()
        y = turn.y[:, : x.shape[1]].copy()
        if self._base:
            y += np.float32(self._base) * x.sum(axis=0)
        return y

    def _pass(self, batch: int, threads: int) -> _Pass:
        kernel = self.kernel
        assert kernel is not None
        x, y = np.zeros((kernel.positions + ROOM, batch), np.float32), np.zeros((kernel.rows, batch), np.float32)
        if self._numbers is None:
            assert self._step is not None
            step = ctypes.c_float(self._step)
            run = kernel.bind("hr_stream_stepped", lambda _: [batch, x, step, y], threads)
        else:
            held, read_again = self._numbers.held, self._numbers.read_again
            stride = ctypes.c_int64(held.shape[2])
            run = kernel.bind(
                "hr_stream_float",
                lambda group: [batch, x, self._centres, read_again, held[group.first_lane :], stride, y],
                threads,
            )
        return _Pass(x, y, run)


@dataclass(frozen=True, eq=False)
class _Pass:
    """Memory of one pass over the streams: x (n and room, batch), zeros in the room; y (m, batch)."""

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.float32]
    run: Callable[[], None]

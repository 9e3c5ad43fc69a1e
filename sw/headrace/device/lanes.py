"""What the lanes make of a layer: sums or maxima of products, through the accumulator slots, on NumPy arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..config import Config
from ..model import exact_product
from ..stream import Operations

UNDEFINED_SUM = -7777
"""Content of accumulators that no row has written."""


@dataclass(frozen=True, eq=False)
class Reach:
    """Where every tap reads, and which pixels count; all arrays of T taps, int64."""

    addresses: NDArray[np.int64]
    shift: NDArray[np.int64]
    end: NDArray[np.int64]
    mask: NDArray[np.int64]
    """Row of `rows`."""
    rows: NDArray[np.bool_]
    """(masks + 1, phases * P): row 0 lets every pixel count."""

    def counts(self, first: int, pixels: int) -> NDArray[np.bool_]:
        """(T, pixels): whether a tap's activation counts for flat pixels `first` and on."""
        flat = first + np.arange(pixels)
        at = flat + self.shift[:, None]
        inside = (at >= 0) & (at < self.end[:, None])
        return inside & self.rows[self.mask][:, flat % self.rows.shape[1]]


@dataclass(frozen=True, eq=False)
class Layer:
    """A decoded layer: R rows, all lanes' in order, of K positions, those that no row uses left out."""

    lanes: tuple[Operations, ...]
    """Each lane's operations; `position` counts the K positions, `row` the lane's own rows."""
    rows: tuple[int, ...]
    """Rows of each lane, R together."""
    first_word: NDArray[np.int64]
    """(L,) of the output plane, where each lane begins."""
    keep: NDArray[np.int64]
    """(L, 2): first word of an output plane that the lane keeps, and the one after the last."""
    weights: NDArray[np.float32] | NDArray[np.float64]
    """(R, K) weights or differences, integers of a type in which their sums of products are exact."""
    addresses: NDArray[np.int64]
    """(K,) activation of each position for a lane's first pixel, below x_bytes."""
    taps: NDArray[np.int64]
    """(K,) tap of each position."""
    reach: Reach
    channels: NDArray[np.int64]
    """(R,) output channel of each row; bias, multiplier and shift, all (R,) int64, are that channel's."""
    bias: NDArray[np.int64]
    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]


def matrix(lanes: tuple[Operations, ...], rows: tuple[int, ...], positions: int) -> NDArray[np.floating]:
    """`Layer.weights`: float32 where no row's sum of products can reach 2**24, else float64.

    A float64 holds every sum exactly: of at most 2**23 products of a 9-bit and an 8-bit number.
    """
    weights = np.zeros((sum(rows), positions), np.int16)
    start = 0
    for lane, count in zip(lanes, rows, strict=True):
        weights[start + lane.row, lane.position] = lane.value
        start += count
    bound = 128 * int(np.abs(weights).sum(axis=1, dtype=np.int64).max(initial=0))
    return weights.astype(np.float32 if bound < 1 << 24 else np.float64)


def accumulate(
    config: Config, layer: Layer, lanes: list[int], windows: NDArray[np.int8], slot_shift: int, maximum: bool
) -> list[NDArray[np.int64]]:
    """The accumulators that the rows of each of `lanes` send on, (rows, n), in the two's complement of `acc_bits`.

    windows: (K, n) activations, n = words * P, as all of these lanes read them. A first tap overwrites; in max mode the
    others are compared with it, or with the sums of the slot where the row is differential.
    """
    starts = np.cumsum([0, *layer.rows])
    activations = windows.astype(layer.weights.dtype)
    results = []
    for lane in lanes:
        operations, count = layer.lanes[lane], layer.rows[lane]
        if maximum:
            values = _maxima(operations, count, windows)
        else:
            weights = layer.weights[starts[lane] : starts[lane] + count]
            values = exact_product(weights, activations).astype(np.int64)
        if operations.differential.any():
            _resolve(config, operations, values, slot_shift, maximum)
        results.append(wrap(values, config.acc_bits))
    return results


def wrap(values: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Two's complement of `bits` bits."""
    half = 1 << (bits - 1)
    return ((values + half) & (2 * half - 1)) - half


def _maxima(lane: Operations, rows: int, windows: NDArray[np.int8]) -> NDArray[np.int64]:
    starts = np.searchsorted(lane.row, np.arange(rows + 1))
    result = np.zeros((rows, windows.shape[1]), np.int64)
    for row in range(rows):
        taps = slice(starts[row], starts[row + 1])
        products = lane.value[taps, None].astype(np.int64) * windows[lane.position[taps]]
        result[row] = products.max(axis=0)
    return result


def _resolve(config: Config, lane: Operations, values: NDArray[np.int64], slot_shift: int, maximum: bool) -> None:
    """Start the differential rows, in place, from what their source slots hold."""
    memory = np.full((config.acc_words, config.pixels), UNDEFINED_SUM, np.int64)
    words = np.arange(values.shape[1] // config.pixels)
    for operation in np.flatnonzero(lane.first):
        row, target = lane.row[operation], int(lane.target[operation])
        if lane.differential[operation]:
            source = int(lane.source[operation])
            held = memory[((source << slot_shift) + words) % config.acc_words].reshape(-1)
            values[row] = np.maximum(values[row], held) if maximum else values[row] + held
        memory[((target << slot_shift) + words) % config.acc_words] = values[row].reshape(-1, config.pixels)

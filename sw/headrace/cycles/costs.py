"""What the accelerator takes for each step, in cycles: the constants of the cycle model, and the cost of a row.

Constants of the RTL have one home here. Those that are sums of pipeline registers were read off the simulated RTL.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ..isa import BEAT_BYTES, CODE_BEATS

IntArray = npt.NDArray[np.int64]

CODE_CHANGE_CYCLES = CODE_BEATS + 2
"""From the end of row in a literal to the first symbol of its code, beyond the one cycle of any symbol."""
SYMBOL_PLACES, OPERATION_PLACES = 5, 4
"""Symbols that are decoded and wait for their addresses; operations that wait for the MACs."""
PLACES = max(SYMBOL_PLACES, OPERATION_PLACES)
SYMBOLS_AHEAD = 5
"""Symbols whose addresses are known before the operation that they wait for is done."""
FRAGMENT_CYCLES = 1
"""Write-back of the part of a word that lies in one row of the plane."""
SPLIT_FRAGMENT_CYCLES = 2
"""The same where columns go to two planes, of the part of two words."""
OUTPUT_WORDS = 16
"""Words between a lane and the write-back at most: maxima, requantisation, buffers."""
OUTPUT_DELAY = 15
"""Cycles that a word takes from there to there."""
TOTAL_DELAY = 2
"""That its sum over all pixels takes longer."""
GATHER_DELAY = 1
"""From the last of the rows that make one word to that word."""

FIRST_SYMBOL = 17
"""From the lanes' start to their first symbol at the earliest: the first code is loaded."""
FIRST_DECODED = 4
"""From a layer's start to there, if that is later."""
BEAT_TO_SYMBOL = 6
"""From the arrival of a beat to its first symbol."""
ADDRESS_DELAY = 4
"""From a symbol's bits to its address."""
OPERATION_DELAY = 3
"""From the symbol behind an operation to the MACs."""
SUM_DELAY = 9
"""From the MACs to the sum."""
DRAIN = 4
"""From the write-back of a layer's last word to its end: the memory, the signature."""
LAYER_GAP = 3
"""From the end of a layer to the start of the next one, and of its lanes."""
LANES_LEFT = 2
"""From the last word that leaves the lanes to when they could start on the next layer without a gap."""
LANES_GAP, PREPARED_GAP = 2, 1
"""From then to the lanes' start on the next layer; from there, or the end of a layer, to the start of that layer."""
BLOCK_REQUEST = 3
"""From the front's request to the memory's, and back from its first beat."""
DESCRIPTOR_CHECK = 4
"""From a descriptor's last beat to when it is known to be valid."""
BURST_CYCLES, BLOCK_BURST_CYCLES = 5, 2
"""A port requests one of the lanes' bursts in so many cycles, one of a block's."""
NEXT_BLOCK = 1
"""More, where that burst is another block's."""
FIRST_BEATS = 4
"""Longest first burst of a stream."""
STREAM_REQUEST = 9
"""From the front's request of the streams to the memory's for the first burst."""
OUTSTANDING_BURSTS = 8
"""Bursts that a port has requested at most before they arrive."""
LOAD_END = 5
STORE_START = 7
"""LOAD: from its last beat to its end. STORE: from its start to its first beat."""
STREAMS_KNOWN = 2
"""From the last beat that says where a layer's streams are to their request."""
NEXT_DESCRIPTOR = 2
"""From the start of a LOAD or STORE to the front's request of the next descriptor, and from its end to when that is
taken."""
TABLES_KNOWN = 3
"""From a layer's last table beat to its start."""


def row_cycles(taps: npt.ArrayLike, words: int) -> IntArray:
    """Cycles that a lane takes for each row of `taps` weights (M,), if it waits for nothing.

    Every tap takes `words` cycles, the words of P pixels in a row, and a row without taps as many. Meanwhile the lane
    decodes, a symbol per cycle, one of them the end of row.
    """
    counts = np.asarray(taps, np.int64)
    return np.maximum(np.maximum(counts, 1) * words, counts + 1)


def written_beat_cycles(pixels: int) -> float:
    """Of a beat of a LOAD, until it is in an activation memory of so many pixels a word; of long words two take one."""
    return BEAT_BYTES / min(2 * BEAT_BYTES, pixels)


def write_cycles(fields: Mapping[str, int], first_row: int, pixels: int) -> int:
    """Cycles of the write-back for the words of one channel of a lane, which begin at row `first_row` of the plane.

    `fields` are those of the LAYER descriptor; a word has `pixels` pixels.
    """
    words, pitch, height = fields["words"], fields["pitch"], fields["out_height"]
    if fields["flat"]:
        return words * FRAGMENT_CYCLES
    if fields["split"]:
        return _split_cycles(words * pixels, pitch, height - first_row, pixels)
    first = np.arange(words) * pixels + first_row * pitch
    row = first // pitch
    last_row = np.minimum((first + pixels - 1) // pitch, height - 1)
    fragments = np.maximum(last_row - row + 1, 0)
    return int(np.maximum(fragments * FRAGMENT_CYCLES, 1).sum())


def _split_cycles(length: int, pitch: int, rows: int, pixels: int) -> int:
    """`length` flat pixels of which `rows` rows lie in the plane: two words at a time from where a row begins."""
    first = np.arange(0, min(length, max(rows, 0) * pitch), pitch)
    if not first.size:
        return length // pixels
    fragments = -((first // pixels * pixels - np.minimum(first + pitch, length)) // (2 * pixels))
    # Words of which nothing is written: those of the last fragment and the first one behind cost nothing.
    beyond = length // pixels - (int(first[-1]) // pixels + 2 * int(fragments[-1]))
    return int(fragments.sum()) * SPLIT_FRAGMENT_CYCLES + max(beyond - 1, 0)

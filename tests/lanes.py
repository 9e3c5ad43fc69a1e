"""A lane in plain Python, as docs/hardware.md tells it, to compare decoders, the device model and the RTL with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from headrace.bits import BitReader
from headrace.code import Code
from headrace.errors import StreamError
from headrace.isa import LITERAL, NO_ESCAPE, ROW, SLOTS, SYMBOL, ErrorCode
from headrace.stream import Operations


def reference_lane(
    codes: Sequence[Code], data: bytes, rows: int, positions: int, table: int = 0
) -> npt.NDArray[np.int64] | ErrorCode:
    """A lane as docs/hardware.md tells it, one symbol at a time, from the device's tables."""
    entries = np.concatenate([code.entries for code in codes])
    starts = np.cumsum([0, *(code.entries.size for code in codes)])
    tables = [code.limits(int(start)) for code, start in zip(codes, starts, strict=False)]
    missing = np.zeros(12, np.int64), np.zeros(12, np.int64), NO_ESCAPE
    bits, slots = BitReader(data), {}
    result = np.zeros((rows, positions), np.int64)
    row, column, target, sums = 0, 0, 0, np.zeros(positions, np.int64)
    while row < rows:
        limit, base, escape_limit = tables[table] if table < len(tables) else missing
        window = bits.peek(12)
        longer = np.flatnonzero(window < limit)
        if not bits.remaining:
            return ErrorCode.UNDERRUN
        if not longer.size:
            return ErrorCode.BAD_SYMBOL
        length = int(longer[0]) + 1
        try:
            codeword = bits.read(length)
            if window >= escape_limit:
                entry = bits.read(LITERAL.width)
                word = LITERAL.unpack(entry)
                if word["end"]:
                    table = ROW.unpack(entry & ((1 << ROW.width) - 1))["table"]
            else:
                entry = int(entries[(codeword + int(base[length - 1])) & 0xFFFF])
                word = SYMBOL.unpack(entry)
        except StreamError:
            return ErrorCode.UNDERRUN
        if word["end"]:
            result[row] = sums
            slots[target] = sums
            header = ROW.unpack(entry & ((1 << ROW.width) - 1))
            row, column, target = row + 1, 0, header["target"]
            if row < rows:
                sums = slots[header["source"]].copy() if header["differential"] else np.zeros(positions, np.int64)
        else:
            column += word["run"]
            if column >= positions:
                return ErrorCode.BAD_POSITION
            sums[column] += word["value"]
            column += 1
    return result


def replay(operations: Operations, rows: int, positions: int) -> npt.NDArray[np.int64]:
    """Rows of weights from operations through eight slots."""
    assert operations.first.sum() == operations.last.sum() == rows
    slots = np.zeros((SLOTS, positions), np.int64)
    result = np.zeros((rows, positions), np.int64)
    for i in range(operations.value.size):
        if operations.first[i]:
            sums = slots[operations.source[i]].copy() if operations.differential[i] else np.zeros(positions, np.int64)
        if operations.value[i]:
            sums[operations.position[i]] += operations.value[i]
        if operations.last[i]:
            slots[operations.target[i]] = result[operations.row[i]] = sums
    return result

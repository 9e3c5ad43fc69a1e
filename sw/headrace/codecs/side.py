"""What a stored stream needs besides its bits: shapes, orders, codes. Written and read by the same functions.

A function `code_x(coder, x)` codes x with an Encoder and returns it; with a Decoder it ignores x and returns what was
written, as a FormatError where that cannot be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from headrace.code import END_BIT, RUN_SHIFT, VALUE_MASK, Code
from headrace.errors import FormatError, StreamError
from headrace.isa import MAX_CODE_LENGTH, ROW, RUN_BITS, SYMBOL, VALUE_BITS

from .range_coder import Coder, code_number, code_signed, code_tree

IntArray = npt.NDArray[np.int64]
T = TypeVar("T")

MAX_LANES = 64
MAX_PLANES = 8
KINDS = "biuf"
_LENGTH_BITS = 4
_ROW_BITS = ROW.pack({"target": -1 & 7, "source": 7, "differential": 1}).bit_length()


@dataclass(frozen=True, eq=False)
class Plane:
    """One digit (base 256) of every entry's number in the dictionary, less `base`: a matrix with a row per output."""

    base: int
    """Digit that is sent as zero."""
    columns: IntArray | None
    """(n,) input at each position of a row; None: in order."""
    tables: IntArray | None
    """(m,) code of each output, where rows are sent code by code; None where `order` tells."""
    order: IntArray
    """(m,) output of each row as sent."""
    lane_rows: tuple[int, ...]
    lane_tables: tuple[int, ...]
    lane_beats: tuple[int, ...]
    codes: tuple[Code, ...]


@dataclass(frozen=True, eq=False)
class Side:
    """Everything but the dictionary's values and the streams' bits."""

    shape: tuple[int, int]
    kind: str
    itemsize: int
    values: int
    """Entries of the dictionary."""
    planes: tuple[Plane, ...]


def at(items: Any, index: int, otherwise: Any = 0) -> Any:
    """items[index], or something else where there are none, as in reading."""
    return otherwise if items is None else items[index]


def code_side(coder: Coder, side: Side | None, max_entries: int) -> Side:
    """Reading, a matrix of more than `max_entries` entries is a FormatError."""
    n = code_number(coder, "size", side.shape[0] if side else 0)
    m = code_number(coder, "size", side.shape[1] if side else 0)
    if side is None and n * m > max_entries:
        raise FormatError(f"a matrix of {n} x {m} exceeds the limit of {max_entries} entries")
    kind = KINDS[code_tree(coder, "kind", KINDS.index(side.kind) if side else 0, 2)]
    itemsize = code_number(coder, "itemsize", side.itemsize if side else 0)
    values = code_number(coder, "values", side.values if side else 0)
    if values > n * m or (values == 0) != (n * m == 0):
        raise FormatError(f"a dictionary of {values} values does not suit {n} x {m} entries")
    planes = tuple(code_plane(coder, at(side and side.planes, p, None), n, m) for p in range(digits(values)))
    return Side((n, m), kind, itemsize, values, planes)


def digits(values: int) -> int:
    """Digits, base 256, that number `values` things from 0 on: none where there is only one."""
    return (max(values - 1, 0).bit_length() + 7) // 8


def code_plane(coder: Coder, plane: Plane | None, n: int, m: int) -> Plane:
    """A plane of m rows of n positions, neither of them 0."""
    base = code_tree(coder, "base", plane.base if plane else 0, 8)
    columns = None
    if coder.bit("columns", int(plane is not None and plane.columns is not None)):
        columns = code_permutation(coder, "column", plane.columns if plane else None, n)
    codes_count = code_tree(coder, "codes", len(plane.codes) - 1 if plane else 0, 3) + 1
    codes = tuple(code_code(coder, at(plane and plane.codes, index, None)) for index in range(codes_count))
    tables = None
    if coder.bit("by code", int(plane is not None and plane.tables is not None)):
        previous, listed = 0, np.zeros(m, np.int64)
        for row in range(m):
            previous = code_tree(coder, ("table", previous), int(at(plane and plane.tables, row)), 3)
            listed[row] = previous
        tables, order = listed, np.argsort(listed, kind="stable")
    else:
        order = code_permutation(coder, "row", plane.order if plane else None, m)
    lanes = code_number(coder, "lanes", len(plane.lane_rows) if plane else 0)
    if not 1 <= lanes <= MAX_LANES:
        raise FormatError(f"{lanes} lanes, must be 1 to {MAX_LANES}")
    rows, first_tables, beats = [], [], []
    for lane in range(lanes):
        rows.append(code_number(coder, "rows", at(plane and plane.lane_rows, lane)))
        first_tables.append(code_tree(coder, "first table", at(plane and plane.lane_tables, lane), 3))
        beats.append(code_number(coder, "beats", at(plane and plane.lane_beats, lane)))
    if sum(rows) != m:
        raise FormatError(f"lanes hold {sum(rows)} of {m} rows")
    return Plane(base, columns, tables, order, tuple(rows), tuple(first_tables), tuple(beats), codes)


def code_permutation(coder: Coder, name: str, order: IntArray | None, size: int) -> IntArray:
    """An order of 0..size - 1, by the steps from one to the next: neighbours often stay neighbours."""
    result, previous = np.zeros(size, np.int64), -1
    for place in range(size):
        step = code_signed(coder, name, int(order[place]) - previous - 1 if order is not None else 0)
        previous += 1 + step
        result[place] = previous
    if order is None and (size and (result.min() < 0 or result.max() >= size or np.unique(result).size != size)):
        raise FormatError(f"the {name} order is no permutation of {size}")
    return result


def code_code(coder: Coder, code: Code | None) -> Code:
    """A code by the lengths of its entries, in which `code.build_code` leaves no freedom."""
    lengths = {} if code is None else dict(zip(code.entries.tolist(), code.lengths.tolist(), strict=False))
    read = code is None
    escape = bool(coder.bit("escape", int(code is not None and code.escape)))
    found: dict[int, int] = {}

    ends = sorted(word for word in lengths if word & END_BIT)
    for index in range(code_number(coder, "ends", len(ends))):
        row = code_tree(coder, "end", at(None if read else ends, index) & (END_BIT - 1), _ROW_BITS)
        word = row | END_BIT
        found[word] = _code_length(coder, "end length", lengths.get(word, 0))

    values = sorted({_value(word) for word in lengths if not word & END_BIT}, key=lambda value: (abs(value), value))
    above: list[int] = []
    size = 0
    for index in range(code_number(coder, "values of code", len(values))):
        value = at(None if read else values, index)
        size += code_number(coder, "value step", abs(value) - size)
        value = -size if coder.bit("negative", int(value < 0)) else size
        runs = [word >> RUN_SHIFT for word in lengths if not word & END_BIT and _value(word) == value]
        row_lengths: list[int] = []
        for run in range(code_number(coder, "runs", max(runs, default=-1) + 1)):
            word = SYMBOL.pack({"value": value, "run": run}) if run < 1 << RUN_BITS and _has(value) else -1
            length = _code_place(coder, row_lengths, above, lengths.get(word, 0))
            row_lengths.append(length)
            if length:
                found[word] = length
        above = row_lengths
    if not read:
        assert code is not None
        return code
    return _rebuilt(found, escape)


def _value(word: int) -> int:
    value = word & VALUE_MASK
    return value - (1 << VALUE_BITS) if value >> (VALUE_BITS - 1) else value


def _has(value: int) -> bool:
    return -(1 << (VALUE_BITS - 1)) <= value < 1 << (VALUE_BITS - 1)


def _code_place(coder: Coder, left: list[int], above: list[int], length: int) -> int:
    """The length of the entry at a value and run, 0 for none, after those of shorter runs and of the value before."""
    run = len(left)
    near = [left[-1] if left else 0, above[run] if run < len(above) else 0, left[-2] if run > 1 else 0]
    after = above[run + 1] if run + 1 < len(above) else 0
    if not coder.bit(("present", *(part > 0 for part in near), after > 0), int(length > 0)):
        return 0
    known = [part for part in (*near[:2], after) if part]
    return _code_length(coder, ("length", round(sum(known) / len(known)) if known else 0), length)


def _code_length(coder: Coder, context: Any, length: int) -> int:
    return code_tree(coder, context, max(length - 1, 0), _LENGTH_BITS) + 1


def _rebuilt(lengths: dict[int, int], escape: bool) -> Code:
    if any(length > MAX_CODE_LENGTH for length in lengths.values()) or -1 in lengths:
        raise FormatError("a code has entries that there cannot be")
    words, bits = np.array(list(lengths), np.int64), np.array(list(lengths.values()), np.int64)
    order = np.lexsort((words, bits))
    listed = bits[order].tolist()
    if escape:
        room = (1 << MAX_CODE_LENGTH) - int(sum(1 << (MAX_CODE_LENGTH - length) for length in listed))
        listed.append(MAX_CODE_LENGTH - room.bit_length() + 1 if 0 < room < 1 << MAX_CODE_LENGTH else 1)
    try:
        return Code(words[order].astype(np.uint32), np.array(listed, np.uint8), escape)
    except StreamError as error:
        raise FormatError(f"a stored code is none: {error}") from None

"""CLA: compressed linear algebra, groups of columns coded together as lists of the rows of each tuple of values.

Source: Elgohary, Boehm, Haas, Reiss, Reinwald, "Compressed linear algebra for large-scale machine learning", VLDB 2016.

What is taken over: column groups with a dictionary of distinct nonzero tuples; OLE and RLE lists in 16-bit units, OLE
in segments of 2**16 rows; the smaller of the two for each group; one group of uncompressed columns for all whose own
lists would take more than their entries; greedy co-coding by sizes estimated on a sample of rows; and the correction by
exact sizes after it. What differs:

- Merges are tried among 16 columns at a time that agree in many entries (min-wise hashing), in at most 512 such bins.
  The source packs columns into bins by estimated cardinality.
- On the sample, distinct tuples are counted, not extrapolated; if the exact size is not below that of the single
  columns, the group falls apart into these. The source drops its largest columns one by one.
- Columns of zeros form one group without a tuple.
- Values are in the entry type and counts in the smallest type that holds them, where the source counts 8 and 4 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from headrace.codecs.base import Codec, Encoded, Matrix, alphabet, as_matrix, check_part
from headrace.codecs.cla_plan import Group, plan
from headrace.codecs.offsets import Units, ranges, read_ole, read_rle, write_ole, write_rle
from headrace.codecs.shac import Indices, index_type
from headrace.codecs.sparse import (
    Counts,
    Ints,
    check_counts,
    check_distinct_cells,
    check_values,
    lists_of,
    product,
    scatter_sums,
    segment_sums,
    smallest,
    starts_of,
    zeros,
)
from headrace.errors import FormatError, StreamError

HEADER_BYTES = 4 + 4 + 1 + 4 + 4 + 3
"""Bytes counted for n, m, entry type, number of groups and of those in OLE, and types of the three counts."""


@dataclass(frozen=True, eq=False)
class ClaEncoded(Encoded):
    """A matrix as CLA. Groups with OLE lists come first, then those with RLE lists, then the uncompressed columns.

    Attributes:
        ole_groups: number of groups with OLE lists.
        columns: the columns, each once, group after group, then the uncompressed, `index_type(m)` (m,).
        widths: columns of each group, smallest type of the largest (groups,), as all counts here.
        tuples: distinct nonzero tuples of each group, (groups,).
        values: the tuples, group after group.
        lengths: 16-bit units of the list of each tuple, (tuples,).
        units: uint16, the lists as `headrace.codecs.offsets` writes them.
        dense: the uncompressed columns, (n, columns).
    """

    ole_groups: int
    columns: Indices
    widths: Counts
    tuples: Counts
    values: Matrix
    lengths: Counts
    units: Units
    dense: Matrix

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes: `header` and each array; `values` and `dense` in the entry type."""
        names = ("columns", "widths", "tuples", "values", "lengths", "units", "dense")
        return {"header": HEADER_BYTES, **{name: getattr(self, name).nbytes for name in names}}


@dataclass(frozen=True)
class Cla(Codec[ClaEncoded]):
    """The CLA codec."""

    name: ClassVar[str] = "cla"

    def encode(self, W: npt.ArrayLike) -> ClaEncoded:
        """See `Codec.encode`. Takes seconds for some million entries; equal matrices give equal parts."""
        matrix = as_matrix(W)
        n, m = matrix.shape
        _, _, index = alphabet(matrix.ravel(order="F"))
        codes = np.where(matrix.T != 0, index.reshape(m, n) + 1, 0)
        groups, rest = plan(codes, matrix.dtype.itemsize)
        groups.sort(key=lambda group: not group.ole)
        ole_groups = sum(group.ole for group in groups)
        stacked = np.stack([group.codes for group in groups]) if groups else np.zeros((0, n), np.int64)
        lines, _, starts, rows = lists_of(stacked)
        cut = int(np.searchsorted(lines, ole_groups))
        ole_lengths, ole_units, _ = write_ole(starts[: cut + 1], rows[: starts[cut]])
        rle_lengths, rle_units = write_rle(starts[cut:] - starts[cut], rows[starts[cut] :])
        return ClaEncoded(
            (n, m),
            matrix.dtype,
            ole_groups,
            np.concatenate([*(group.columns for group in groups), rest]).astype(index_type(m)),
            smallest(np.array([group.columns.size for group in groups], np.int64)),
            smallest(np.bincount(lines, minlength=len(groups))),
            _tuple_values(matrix, groups, lines, rows[starts[:-1]]),
            smallest(np.concatenate([ole_lengths, rle_lengths])),
            np.concatenate([ole_units, rle_units]),
            matrix[:, rest],
        )

    def decode(self, encoded: ClaEncoded) -> Matrix:
        """See `Codec.decode`."""
        parts = _parts(encoded)
        W = zeros(encoded.shape, encoded.dtype)
        counts = np.diff(parts.starts)
        first = starts_of(parts.width)[:-1]  # the first value of each tuple
        width = np.repeat(parts.width, counts)
        value = ranges(np.repeat(first, counts), width)  # of each entry, row after row of each list
        W[np.repeat(parts.rows, width), parts.place[value]] = encoded.values[value]
        W[:, encoded.columns[encoded.columns.size - encoded.dense.shape[1] :]] = encoded.dense
        return W

    def product(self, encoded: ClaEncoded, x: npt.ArrayLike) -> Matrix:
        """See `Codec.product`: x is summed over the list of each tuple, then multiplied once for each value in it."""
        parts = _parts(encoded)
        m, rest = encoded.shape[1], encoded.columns[encoded.columns.size - encoded.dense.shape[1] :]

        def one(x: Matrix) -> Matrix:
            sums = np.repeat(segment_sums(x[parts.rows], parts.starts), parts.width)
            result = scatter_sums(sums * encoded.values.astype(x.dtype), parts.place, m)
            result[rest] = x @ encoded.dense.astype(x.dtype)
            return result

        return product(encoded, (encoded.values, encoded.dense), x, one, lambda: self.decode(encoded))


def _tuple_values(matrix: Matrix, groups: list[Group], lines: Ints, rows: Ints) -> Matrix:
    """Values of each tuple, one after the other, from the first row of its list."""
    bounds = np.searchsorted(lines, np.arange(len(groups) + 1))
    parts = [
        matrix[rows[bounds[i] : bounds[i + 1], None], group.columns[None]].ravel() for i, group in enumerate(groups)
    ]
    return np.concatenate([np.zeros(0, matrix.dtype), *parts])


@dataclass(frozen=True, eq=False)
class _Parts:
    """The lists of an encoded matrix, all int64.

    Attributes:
        width: columns of each tuple's group, (tuples,).
        place: column of each value, (values,).
        starts: where the rows of each tuple start, and their number, (tuples + 1,).
        rows: rows of each tuple.
    """

    width: Ints
    place: Ints
    starts: Ints
    rows: Ints


def _parts(encoded: ClaEncoded) -> _Parts:
    """FormatError where the parts do not fit together, StreamError where the lists are not of rows of the matrix."""
    n, m = encoded.shape
    widths = check_counts("widths", encoded.widths, encoded.widths.size)
    groups = widths.size
    if not 0 <= encoded.ole_groups <= groups or np.any(widths < 1) or np.any(widths > m) or widths.sum() > m:
        raise FormatError(f"{groups} groups do not share {m} columns")
    check_part("columns", encoded.columns, (m,), index_type(m))
    columns = encoded.columns.astype(np.int64)
    if np.any(columns >= m) or np.any(np.bincount(columns, minlength=m) != 1):
        raise FormatError("a column is missing, or in two groups")
    tuples = check_counts("tuples", encoded.tuples, groups)
    lengths = check_counts("lengths", encoded.lengths, encoded.lengths.size)
    if np.any(tuples > lengths.size) or tuples.sum() != lengths.size:
        raise FormatError("there is not a list for each tuple")
    if np.any(lengths > encoded.units.size):
        raise FormatError("a list is longer than all units")
    check_part("units", encoded.units, (int(lengths.sum()),), np.uint16)
    check_values("values", encoded.values, (int((tuples * widths).sum()),), encoded.dtype, zeros=True)
    check_values("uncompressed columns", encoded.dense, (n, m - int(widths.sum())), encoded.dtype, zeros=True)

    cut = int(tuples[: encoded.ole_groups].sum())
    at = int(lengths[:cut].sum())
    group = np.repeat(np.arange(groups, dtype=np.int64), tuples)
    ole_counts, ole_rows = read_ole(lengths[:cut], encoded.units[:at], n)
    rle_counts, rle_rows = read_rle(lengths[cut:], encoded.units[at:], n, n * groups)
    counts, rows = np.concatenate([ole_counts, rle_counts]), np.concatenate([ole_rows, rle_rows])
    if np.any(counts == 0):
        raise StreamError("a list is empty")
    check_distinct_cells(np.repeat(group, counts), rows, n)
    first = np.repeat(starts_of(widths)[:-1], tuples)  # of the columns of each tuple
    return _Parts(widths[group], columns[ranges(first, widths[group])], starts_of(counts), rows)

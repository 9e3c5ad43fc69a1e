"""The two ways in which CLA writes a list of increasing row numbers in 16-bit units: offsets or runs.

- OLE, offset lists: for each segment of 2**16 rows up to the last that holds a row of the list, the number of its rows,
  then each row's offset in the segment. A number of 2**16 has no place in 16 bits: such a list must be written as runs.
- RLE, run lengths: for each run of consecutive rows, the distance of its start from the end of the previous run (from
  0 for the first), then its length. A distance of 2**16 or more is preceded by pairs (65535, 0), a longer run continued
  by pairs (0, length).

Source: Elgohary et al., "Compressed linear algebra for large-scale machine learning", VLDB 2016, section 3.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from headrace.codecs.sparse import Ints, starts_of
from headrace.errors import StreamError

Units = npt.NDArray[np.uint16]

SEGMENT = 1 << 16
_MOST = SEGMENT - 1


def ranges(starts: Ints, counts: Ints) -> Ints:
    """The integers starts[i] .. starts[i] + counts[i] - 1 for each i, one range after the other."""
    return np.repeat(starts - starts_of(counts)[:-1], counts) + np.arange(int(counts.sum()), dtype=np.int64)


def write_ole(starts: Ints, rows: Ints) -> tuple[Ints, Units, npt.NDArray[np.bool_]]:
    """Lists as offsets.

    Args:
        starts: where each list starts in `rows`, and their number, (lists + 1,); no list is empty.
        rows: increasing in each list.

    Returns:
        Units of each list, int64 (lists,); the units; and whether the list can be written so, its units being void if
        not.
    """
    counts = np.diff(starts)
    segments = (rows[starts[1:] - 1] >> 16) + 1
    slots = starts_of(segments)  # a slot is one segment of one list
    held = np.bincount(np.repeat(slots[:-1], counts) + (rows >> 16), minlength=int(slots[-1])).astype(np.int64)
    units = np.zeros(int(slots[-1]) + rows.size, np.uint16)
    heads = np.arange(held.size) + starts_of(held)[:-1]
    units[heads] = held & _MOST
    units[ranges(heads + 1, held)] = rows & _MOST
    possible = np.ones(counts.size, np.bool_)
    possible[np.repeat(np.arange(counts.size), segments)[held == SEGMENT]] = False
    return segments + counts, units, possible


def write_rle(starts: Ints, rows: Ints) -> tuple[Ints, Units]:
    """Lists as runs; arguments and result as `write_ole`, every list can be written so."""
    begins = np.ones(rows.size, np.bool_)
    begins[1:] = np.diff(rows) != 1
    begins[starts[:-1]] = True
    run = np.flatnonzero(begins)
    lengths = np.diff(np.append(run, rows.size))
    first = rows[run]
    gaps = first.copy()
    gaps[1:] -= first[:-1] + lengths[:-1]
    heads = np.searchsorted(run, starts[:-1])  # the first run of each list
    gaps[heads] = first[heads]

    fillers = np.maximum(gaps - 1, 0) // _MOST
    pairs = fillers + -(-lengths // _MOST)
    step = np.arange(int(pairs.sum())) - np.repeat(starts_of(pairs)[:-1], pairs)  # number of a pair in its run
    filler = np.repeat(fillers, pairs)
    gap, length = np.repeat(gaps, pairs), np.repeat(lengths, pairs)
    units = np.empty((step.size, 2), np.uint16)
    units[:, 0] = np.where(step < filler, _MOST, np.where(step == filler, gap - filler * _MOST, 0))
    units[:, 1] = np.where(step < filler, 0, np.minimum(length - (step - filler) * _MOST, _MOST))
    pair_starts = starts_of(pairs)
    return 2 * np.diff(np.append(pair_starts[heads], pair_starts[-1])), units.ravel()


def read_ole(lengths: Ints, units: Units, n: int) -> tuple[Ints, Ints]:
    """What `write_ole` wrote of rows below n: rows of each list, int64 (lists,), and all rows.

    `lengths` add up to the size of `units`. Rows may come in any order. StreamError where a list does not fill its
    units.
    """
    bounds, wide = starts_of(lengths), units.astype(np.int64)
    at, ends = bounds[:-1].copy(), bounds[1:]
    active = np.arange(lengths.size)[lengths > 0]
    found: list[tuple[Ints, Ints, Ints]] = []  # lists, rows of each, the rows
    for segment in range(-(-n // SEGMENT)):
        if not active.size:
            break
        held, first = wide[at[active]], at[active] + 1
        at[active] = first + held
        if np.any(at[active] > ends[active]):
            raise StreamError("an offset list goes beyond its units")
        found.append((active, held, wide[ranges(first, held)] + segment * SEGMENT))
        active = active[at[active] < ends[active]]
    if active.size:
        raise StreamError(f"an offset list goes on beyond row {n}")
    if len(found) == 1 and found[0][0].size == lengths.size:
        return found[0][1], found[0][2]
    counts, empty = np.zeros(lengths.size, np.int64), np.zeros(0, np.int64)
    for lists, held, _ in found:
        counts[lists] += held
    owners = np.concatenate([empty, *(np.repeat(lists, held) for lists, held, _ in found)])
    rows = np.concatenate([empty, *(part for _, _, part in found)])
    return counts, rows[np.argsort(owners, kind="stable")]


def read_rle(lengths: Ints, units: Units, n: int, most: int) -> tuple[Ints, Ints]:
    """What `write_rle` wrote of rows below n; as `read_ole`. StreamError for more than `most` rows in all lists."""
    if np.any(lengths & 1):
        raise StreamError("a run has no length")
    bounds, pairs = starts_of(lengths) // 2, units.reshape(-1, 2).astype(np.int64)
    ends = np.cumsum(pairs.sum(axis=1))
    before = np.append(0, ends)[bounds[:-1]]  # where the rows of each list are counted from
    stops = ends - np.repeat(before, lengths // 2)
    total = int(pairs[:, 1].sum())
    if np.any(stops > n) or total > most:
        raise StreamError(f"runs go beyond row {n} or overlap")
    counts = np.diff(np.append(0, np.cumsum(pairs[:, 1]))[bounds])
    return counts, ranges(stops - pairs[:, 1], pairs[:, 1])

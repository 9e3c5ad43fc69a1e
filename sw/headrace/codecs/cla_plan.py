"""Which columns CLA puts into one group, and which it leaves uncompressed. See `headrace.codecs.cla` for the source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headrace.codecs.offsets import write_ole, write_rle
from headrace.codecs.sparse import Ints, lists_of

SAMPLE = 1 << 10
"""Rows on which a merge of groups is judged; all where there are fewer."""
BIN = 16
"""Columns among which merges are tried."""
BINS = 512
"""Bins at most; further columns stay groups of their own."""

_BLOCK = 64  # sampled rows come in blocks of consecutive ones, for runs
_GROUP_BYTES = 3  # what the lists of groups take for each, about
_LENGTH_BYTES = 2  # the same for each tuple
_ODD = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)


@dataclass(frozen=True, eq=False)
class Group:
    """Columns coded together.

    Attributes:
        columns: int64, one or more.
        codes: int64 (n,), a number for each row's tuple of values, 0 for the tuple of zeros.
        ole: whether offsets take fewer bytes than runs.
    """

    columns: Ints
    codes: Ints
    ole: bool


def plan(codes: Ints, value_bytes: int) -> tuple[list[Group], Ints]:
    """Groups of columns, and the uncompressed columns.

    Args:
        codes: (m, n), a number for each value of each column, 0 for zero.
        value_bytes: bytes of an entry.
    """
    m, n = codes.shape
    sizes, ole = line_sizes(codes, np.ones(m, np.int64), value_bytes)
    empty = ~codes.any(axis=1)
    small = ~empty & (sizes < n * value_bytes)
    groups = [Group(np.flatnonzero(empty), np.zeros(n, np.int64), True)] if empty.any() else []
    for columns in _co_code(codes, np.flatnonzero(small), value_bytes):
        joint = _joint(codes, columns)
        total, offsets = line_sizes(joint[None], np.array([columns.size]), value_bytes)
        if columns.size > 1 and total[0] < sizes[columns].sum():
            groups.append(Group(columns, joint, bool(offsets[0])))
        else:  # the sample promised too much, or there is one column only
            groups += [Group(columns[i : i + 1], codes[column], bool(ole[column])) for i, column in enumerate(columns)]
    return groups, np.flatnonzero(~empty & ~small)


def line_sizes(codes: Ints, widths: Ints, value_bytes: int) -> tuple[Ints, Ints]:
    """Bytes of each group of `widths` (groups,) columns with the given codes (groups, n), column numbers not counted.

    Returns:
        The bytes in the better way, and whether that is OLE. Bytes of counts are estimates, the others exact.
    """
    lines, _, starts, rows = lists_of(codes)
    groups = codes.shape[0]
    ole, _, possible = write_ole(starts, rows)
    rle, _ = write_rle(starts, rows)
    units = np.zeros((2, groups), np.int64)
    np.add.at(units[0], lines, np.where(possible, ole, 2 * rows.size + 2))
    np.add.at(units[1], lines, rle)
    tuples = np.bincount(lines, minlength=groups)
    fixed = _GROUP_BYTES + tuples * (widths * value_bytes + _LENGTH_BYTES)
    return fixed + 2 * units.min(axis=0), units[0] <= units[1]


def _joint(codes: Ints, columns: Ints) -> Ints:
    """A number for each row's tuple of codes in the given columns, 0 for the tuple of zeros; small as can be."""
    joint = codes[columns[0]]
    for column in columns[1:]:
        joint = _dense(joint * (int(codes[column].max(initial=0)) + 1) + codes[column])
    return joint


def _dense(codes: Ints) -> Ints:
    """Equal numbers for equal codes, from 0 for 0, or 1 if there is none, upwards."""
    values = np.unique(codes)
    return np.searchsorted(values, codes) + (values[:1] != 0).any()


def _co_code(codes: Ints, columns: Ints, value_bytes: int) -> list[Ints]:
    """A partition of the given columns into groups that promise to be smaller together."""
    n = codes.shape[1]
    order = columns[np.lexsort(_signatures(codes[columns]))]
    at = np.arange(n)
    if n > SAMPLE:  # evenly spaced blocks
        at = (np.linspace(0, n - _BLOCK, SAMPLE // _BLOCK).astype(np.int64)[:, None] + np.arange(_BLOCK)).ravel()
    groups = []
    for first in range(0, min(order.size, BIN * BINS), BIN):
        members = order[first : first + BIN]
        groups += [np.sort(members[group]) for group in _merge(codes[members][:, at], n, value_bytes)]
    return groups + [order[i : i + 1] for i in range(BIN * BINS, order.size)]


def _signatures(codes: Ints) -> list[Ints]:
    """Sort keys that bring columns together which agree in many nonzero entries (min-wise hashing of the entries)."""
    cells = codes.astype(np.uint64) * np.uint64(codes.shape[1]) + np.arange(codes.shape[1], dtype=np.uint64)
    last = np.uint64(1 << 40)
    return [
        np.where(codes > 0, (cells * np.uint64(odd)) >> np.uint64(24), last).min(axis=1, initial=last) for odd in _ODD
    ]


def _merge(codes: Ints, n: int, value_bytes: int) -> list[list[int]]:
    """Greedy pairwise merges of groups, from single columns on, while sampled codes (columns, rows) promise a gain."""
    codes = np.stack([_dense(line) for line in codes])
    members = [[i] for i in range(len(codes))]
    width = np.ones(len(codes), np.int64)
    scale = n / max(codes.shape[1], 1)
    cost = _sampled_sizes(codes, width, value_bytes, scale)
    gains = np.full((len(codes), len(codes)), -np.inf)

    def assess(i: int, others: Ints) -> None:
        joint = codes[i] * (int(codes[others].max(initial=0)) + 1) + codes[others]
        gain = cost[i] + cost[others] - _sampled_sizes(joint, width[i] + width[others], value_bytes, scale)
        gains[np.minimum(i, others), np.maximum(i, others)] = gain

    for i in range(len(codes) - 1):
        assess(i, np.arange(i + 1, len(codes)))
    while gains.max(initial=-np.inf) > 0:
        i, j = (int(index) for index in np.unravel_index(np.argmax(gains), gains.shape))
        members[i] += members[j]
        members[j] = []
        codes[i] = _dense(codes[i] * (int(codes[j].max()) + 1) + codes[j])
        width[i] += width[j]
        cost[i] = _sampled_sizes(codes[i : i + 1], width[i : i + 1], value_bytes, scale)[0]
        gains[[i, j], :] = -np.inf
        gains[:, [i, j]] = -np.inf
        others = np.array([k for k, group in enumerate(members) if group and k != i], np.int64)
        if others.size:
            assess(i, others)
    return [group for group in members if group]


def _sampled_sizes(codes: Ints, widths: Ints, value_bytes: int, scale: float) -> np.ndarray:
    """Bytes of groups of which rows are sampled: rows and runs scaled up, tuples as many as seen."""
    sorted_codes = np.sort(codes, axis=1)
    tuples = (np.diff(sorted_codes, axis=1, prepend=0) != 0).sum(axis=1)
    rows = np.count_nonzero(codes, axis=1)
    runs = ((np.diff(codes, axis=1, prepend=0) != 0) & (codes != 0)).sum(axis=1)
    coded = np.minimum(2 * rows * scale + 2 * tuples, 4 * runs * scale)
    return _GROUP_BYTES + tuples * (widths * value_bytes + _LENGTH_BYTES) + coded

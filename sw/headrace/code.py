"""The device's prefix codes over symbol-table entries, and which entries are worth a place in the table.

An entry is an `isa.SYMBOL` word: a tap, or an end of row whose low bits are `isa.ROW`. A code is canonical with
codewords of at most 12 bits; the last codeword may be an escape, which has no entry. The codes of a layer share one
symbol table: the entries of code 0, then those of code 1, ...
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .errors import StreamError
from .huffman import canonical_codes, limited_code_lengths
from .isa import LITERAL_BITS, MAX_CODE_LENGTH, NO_ESCAPE, ROW, RUN_BITS, SLOTS, SYMBOL

IntArray = npt.NDArray[np.int64]

MAX_RUN = (1 << RUN_BITS) - 1
"""Longest zero run of a table entry; a longer one needs the escape."""
END_BIT = SYMBOL.pack({"end": 1})
VALUE_MASK = SYMBOL.pack({"value": -1})
RUN_SHIFT = SYMBOL.pack({"run": 1}).bit_length() - 1
TABLE_SHIFT = ROW.pack({"table": 1}).bit_length() - 1
SOURCE_SHIFT = ROW.pack({"source": 1}).bit_length() - 1
DIFFERENTIAL_BIT = ROW.pack({"differential": 1})
WINDOWS = 1 << MAX_CODE_LENGTH

_TAP_BITS = SYMBOL.pack({"value": -1, "run": MAX_RUN})
_ROW_BITS = END_BIT | ROW.pack({"target": SLOTS - 1, "source": SLOTS - 1, "differential": 1})
_RARE = 4  # an entry used more often than this repays its place in the table whatever the lengths are


@dataclass(frozen=True, eq=False)
class Code:
    """A canonical prefix code, at most 12 bits a codeword.

    Codeword i stands for `entries[i]`; the one after the last entry, if there is one, is the escape. The code is
    complete but for a single codeword, or none at all (a layer without rows).
    Raises StreamError for lengths that make no such code, and for entries with reserved bits set.
    """

    entries: npt.NDArray[np.uint32]
    """(n,) packed `isa.SYMBOL` words in canonical order; read-only."""
    lengths: npt.NDArray[np.uint8]
    """(n + escape,) bits, 1..12, non-decreasing; read-only."""
    escape: bool
    """Whether the last codeword is the escape."""

    def __post_init__(self) -> None:
        entries, lengths = np.array(self.entries, np.uint32), np.array(self.lengths, np.uint8)
        if entries.ndim != 1 or lengths.shape != (entries.size + bool(self.escape),):
            raise StreamError(f"code has {lengths.size} lengths for {entries.size} entries, escape: {self.escape}")
        is_end = (entries & np.uint32(END_BIT)) != 0
        if np.any(entries & ~np.where(is_end, _ROW_BITS, _TAP_BITS).astype(np.uint32)):
            raise StreamError("a symbol table entry has reserved bits set")
        if lengths.size:
            if lengths.min() < 1 or lengths.max() > MAX_CODE_LENGTH or np.any(lengths[1:] < lengths[:-1]):
                raise StreamError(f"code lengths do not rise within 1..{MAX_CODE_LENGTH}")
            used = int((WINDOWS >> lengths.astype(np.int64)).sum())
            if used > WINDOWS or (used < WINDOWS and lengths.size > 1):
                raise StreamError(f"code covers {used} of {WINDOWS} windows")
        entries.flags.writeable = lengths.flags.writeable = False
        object.__setattr__(self, "entries", entries)
        object.__setattr__(self, "lengths", lengths)
        object.__setattr__(self, "escape", bool(self.escape))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Code):
            return NotImplemented
        return (
            np.array_equal(self.entries, other.entries)
            and np.array_equal(self.lengths, other.lengths)
            and self.escape == other.escape
        )

    def __hash__(self) -> int:
        return hash((self.entries.tobytes(), self.lengths.tobytes(), self.escape))

    @property
    def codewords(self) -> npt.NDArray[np.uint32]:
        """(n + escape,) codeword i in the low `lengths[i]` bits."""
        return canonical_codes(self.lengths)

    def limits(self, first_entry: int = 0) -> tuple[IntArray, IntArray, int]:
        """The fields of the `isa.CODE` table, where the code's entries start at `first_entry` of the symbol table.

        Returns:
            limit (12,) for lengths 1..12, in 0..4096; base (12,), modulo 2**16 and 0 for a length without codewords;
            the escape codeword's first window, or NO_ESCAPE.
        """
        spans = WINDOWS >> self.lengths.astype(np.int64)
        limit = np.array([spans[self.lengths <= n].sum() for n in range(1, MAX_CODE_LENGTH + 1)], np.int64)
        base = np.zeros(MAX_CODE_LENGTH, np.int64)
        used, first = np.unique(self.lengths, return_index=True)
        base[used.astype(np.int64) - 1] = (first_entry + first - self.codewords[first].astype(np.int64)) & 0xFFFF
        return limit, base, int(limit[-1] - spans[-1]) if self.escape else NO_ESCAPE

    def lookup(self) -> tuple[npt.NDArray[np.uint8], IntArray]:
        """For each 12-bit window: the length of the codeword it begins with (0: none does), and the codeword's index,
        `entries.size` for the escape. Shapes (4096,).
        """
        spans = WINDOWS >> self.lengths.astype(np.int64)
        length, index = np.zeros(WINDOWS, np.uint8), np.zeros(WINDOWS, np.int64)
        covered = int(spans.sum())
        length[:covered] = np.repeat(self.lengths, spans)
        index[:covered] = np.repeat(np.arange(self.lengths.size), spans)
        return length, index


CodeTable = tuple[npt.ArrayLike, npt.ArrayLike, int]
"""limit (12,), base (12,) and escape limit, as `Code.limits` returns them."""


def codes_from_tables(tables: Sequence[CodeTable], entries: npt.ArrayLike) -> tuple[Code, ...]:
    """The codes that a device with these tables decodes; `Code.limits` reversed.

    Args:
        tables: of each code; the base of a length without codewords is ignored.
        entries: the symbol table, (n,) or, filled up to whole beats with one zero entry, (n + 1,).

    Raises:
        StreamError: the tables are those of no canonical code, or do not fit each other.
    """
    words = np.asarray(entries, np.uint32)
    codes: list[Code] = []
    first = 0
    for limit, base, escape_limit in tables:
        limits, bases = np.asarray(limit, np.int64), np.asarray(base, np.int64)
        lengths = _lengths_of(limits)
        escape = escape_limit != NO_ESCAPE
        size = lengths.size - escape
        if bases.shape != limits.shape or size < 0 or first + size > words.size:
            raise StreamError(f"symbol table has {words.size} entries, fewer than the code tables have codewords")
        code = Code(words[first : first + size], lengths, escape)
        expected = code.limits(first)
        used = np.isin(np.arange(1, MAX_CODE_LENGTH + 1), lengths)
        if np.any((bases != expected[1]) & used) or escape_limit != expected[2]:
            raise StreamError("base or escape limit of a code table does not fit the limits")
        codes.append(code)
        first += size
    if words.ndim != 1 or words.size > first + 1 or np.any(words[first:]):
        raise StreamError(f"symbol table has {words.size} entries, the code tables have codewords for {first}")
    return tuple(codes)


def _lengths_of(limits: IntArray) -> npt.NDArray[np.uint8]:
    """Code lengths of all codewords, from the limits."""
    if limits.shape != (MAX_CODE_LENGTH,):
        raise StreamError(f"code table is not of {MAX_CODE_LENGTH} lengths")
    spans = np.diff(limits, prepend=0)
    shifts = MAX_CODE_LENGTH - np.arange(1, MAX_CODE_LENGTH + 1)
    if np.any(spans < 0) or limits[-1] > WINDOWS or np.any(spans & ((1 << shifts) - 1)):
        raise StreamError("limits of the code table are not those of a canonical code")
    return np.repeat(np.arange(1, MAX_CODE_LENGTH + 1), spans >> shifts).astype(np.uint8)


def build_code(
    entries: npt.ArrayLike,
    counts: npt.ArrayLike,
    literal_count: int,
    max_entries: int,
    entry_bits: float = SYMBOL.width,
) -> Code:
    """The code of fewest bits, table included, that this search finds.

    The more frequent entries are in the table; the rest are left to the escape if its codeword and a literal each time
    come cheaper than a place in the table and a codeword each time. The escape takes a longest codeword, as the device
    needs it, so a frequent escape can make a smaller length limit the better one. Entries of equal length are sorted,
    so that entries and their lengths determine the code.

    Args:
        entries: distinct `isa.SYMBOL` words (n,).
        counts: how often each is used, positive (n,).
        literal_count: escapes that are needed in any case (runs that no entry holds, changes of table).
        max_entries: places in the symbol table.
        entry_bits: what a place costs.
    """
    words, uses = np.asarray(entries, np.uint32), np.asarray(counts, np.int64)
    order = np.lexsort((words, -uses))  # decreasing count; the word settles ties, for equal bytes everywhere
    words, uses = words[order], uses[order]
    best: tuple[float, Code] | None = None
    for kept in _candidates(uses, min(max_entries, WINDOWS, uses.size)):
        escapes = literal_count + int(uses[kept:].sum())
        if kept + (escapes > 0) > WINDOWS:
            kept -= 1
            escapes += int(uses[kept])
        bits, lengths = _lengths(uses[:kept], escapes)
        cost = bits + entry_bits * kept
        if best is None or cost < best[0]:
            rank = np.lexsort((words[:kept], lengths[:kept]))
            best = cost, Code(words[:kept][rank], lengths, escapes > 0)
    assert best is not None
    return best[1]


def _candidates(uses: IntArray, most: int) -> list[int]:
    """How many of the most frequent entries to try to keep, some if there are any: all but the rare ones, or as many
    as fill short codes."""
    sizes = {most}
    sizes |= {min(most, max(1, int(np.count_nonzero(uses > count)))) for count in range(1, _RARE + 1)}
    sizes |= {min(most, (1 << bits) - 1) for bits in range(1, MAX_CODE_LENGTH + 1)}
    return sorted(sizes, reverse=True)


def _lengths(uses: IntArray, escapes: int) -> tuple[int, npt.NDArray[np.uint8]]:
    """Bits of the stream, and code lengths (n + escape,) for entries by decreasing use and `escapes` literals."""
    if not escapes:
        lengths = limited_code_lengths(uses, MAX_CODE_LENGTH)
        return int(uses @ lengths), lengths.astype(np.uint8)
    best: tuple[int, npt.NDArray[np.uint8]] | None = None
    limit = MAX_CODE_LENGTH
    while limit >= 1 and uses.size + 1 <= 1 << limit:
        lengths = limited_code_lengths(np.append(uses, 1), limit)  # a last count of 1 gets a longest codeword
        bits = int(uses @ lengths[:-1]) + escapes * (int(lengths[-1]) + LITERAL_BITS)
        if best is not None and bits >= best[0]:
            break
        best = bits, lengths.astype(np.uint8)
        limit = int(lengths[-1]) - 1
    assert best is not None
    return best

"""The stream's prefix code: tables as the device reads them, and the choice of entries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.code import END_BIT, Code, build_code, codes_from_tables
from headrace.errors import StreamError
from headrace.huffman import limited_code_lengths
from headrace.isa import LITERAL_BITS, NO_ESCAPE, ROW, SYMBOL

EMPTY = Code(np.zeros(0, np.uint32), np.zeros(0, np.uint8), False)
SINGLE = Code(np.array([END_BIT], np.uint32), np.array([1], np.uint8), False)


def tap(run: int, value: int) -> int:
    return SYMBOL.pack({"run": run, "value": value})


def row(**fields: int) -> int:
    return SYMBOL.pack({"end": 1}) | ROW.pack(fields)


@st.composite
def alphabets(draw: st.DrawFn) -> tuple[list[int], list[int], int, int]:
    """entries, counts, literals, max_entries; something that needs a codeword, or nothing at all"""
    entries = draw(st.lists(st.integers(0, END_BIT + 127), unique=True, max_size=60))
    counts = draw(st.lists(st.integers(1, 2000) | st.integers(1, 3), min_size=len(entries), max_size=len(entries)))
    return entries, counts, draw(st.integers(0, 3000) | st.just(0)), draw(st.integers(0, 80))


def bits_of(code: Code, entries: list[int], counts: list[int], literals: int) -> int:
    """Bits of table and stream."""
    index = {int(entry): i for i, entry in enumerate(code.entries)}
    escape = int(code.lengths[-1]) + LITERAL_BITS if code.escape else 0
    stream = sum(
        count * (int(code.lengths[index[entry]]) if entry in index else escape)
        for entry, count in zip(entries, counts, strict=True)
    )
    return stream + literals * escape + SYMBOL.width * code.entries.size


@given(alphabets())
def test_tables_as_the_device_reads_them(alphabet: tuple[list[int], list[int], int, int]) -> None:
    entries, counts, literals, most = alphabet
    code = build_code(entries, counts, literals, most)
    limit, base, escape_limit = code.limits()
    assert limit.shape == base.shape == (12,)
    assert np.all(np.diff(limit) >= 0) and np.all((base >= 0) & (base < 1 << 16))
    length, index = code.lookup()
    for window in range(0, 4096, 7):
        longer = window < limit
        if not longer.any():
            assert length[window] == 0
            continue
        n = int(np.argmax(longer)) + 1
        assert n == length[window]
        found = ((window >> (12 - n)) + int(base[n - 1])) & 0xFFFF
        assert found == index[window]
        assert (window >= escape_limit) == (found == code.entries.size)
        assert code.codewords[found] == window >> (12 - n)
    padded = np.append(code.entries, 0)
    assert codes_from_tables([(limit, base, escape_limit)], code.entries) == (code,)
    assert codes_from_tables([(limit.tolist(), base.tolist(), escape_limit)], padded) == (code,)
    several = (code, SINGLE, code)
    starts = np.cumsum([0, *(part.entries.size for part in several)])
    tables = [part.limits(int(start)) for part, start in zip(several, starts, strict=False)]
    assert codes_from_tables(tables, np.concatenate([part.entries for part in several])) == several


@given(alphabets())
@settings(max_examples=200)
def test_choice_of_entries(alphabet: tuple[list[int], list[int], int, int]) -> None:
    entries, counts, literals, most = alphabet
    code = build_code(entries, counts, literals, most)
    kept = set(code.entries.tolist())
    assert len(kept) == code.entries.size <= most
    assert kept <= set(entries)
    assert code.escape == (literals > 0 or len(kept) < len(entries))
    lengths_of = code.lengths[: code.entries.size]
    same_length = lengths_of[1:] == lengths_of[:-1]
    assert np.all(np.diff(code.entries.astype(np.int64))[same_length] > 0)
    if 1 < len(entries) <= most and not literals:  # no worse than keeping all
        lengths = limited_code_lengths(counts, 12)
        assert bits_of(code, entries, counts, 0) <= int(lengths @ counts) + SYMBOL.width * len(entries)


def test_escape_is_the_last_codeword_however_frequent() -> None:
    entries = [row(), *(tap(run, 1) for run in range(100))]
    code = build_code(entries, [50] * 101, 100_000, 1024)
    assert code.escape and code.lengths[-1] == code.lengths.max()
    assert code.codewords[-1] == (1 << int(code.lengths[-1])) - 1
    # 101 codewords and the escape need 7 bits; the entries alone would leave a rare symbol with more
    assert code.lengths[-1] <= 7


def test_rare_taps_are_left_to_the_escape() -> None:
    entries = [row(), tap(0, 1), tap(1, 1), tap(2, 1), tap(3, 1)]
    code = build_code(entries, [100, 100, 100, 1, 1], 0, 1024)
    assert set(code.entries.tolist()) == {row(), tap(0, 1), tap(1, 1)} and code.escape


def test_a_cheap_place_keeps_rare_taps() -> None:
    entries = [row(), tap(0, 1), tap(1, 1), tap(2, 1), tap(3, 1)]
    assert not build_code(entries, [100, 100, 100, 1, 1], 0, 1024, entry_bits=3).escape


def test_full_table_leaves_room_for_the_escape() -> None:
    entries = np.arange(5000)
    code = build_code(entries, np.full(5000, 1000), 0, 8192)
    assert code.escape and code.lengths.size <= 4096
    assert build_code(entries[:4096], np.full(4096, 1000), 0, 4096).lengths.tolist() == [12] * 4096


def test_equal_counts_give_equal_codes_in_any_order() -> None:
    entries = np.array([row(), tap(0, -1), tap(5, 9), tap(255, -256)], np.uint32)
    counts = np.array([5, 5, 9, 9])
    assert build_code(entries, counts, 0, 16) == build_code(entries[::-1], counts[::-1], 0, 16)
    assert hash(build_code(entries, counts, 0, 16)) == hash(build_code(entries[::-1], counts[::-1], 0, 16))
    assert build_code(entries, counts, 0, 16) != SINGLE and EMPTY != 0


@pytest.mark.parametrize(
    ("code", "limit", "escape_limit"),
    [
        (EMPTY, [0] * 12, NO_ESCAPE),
        (SINGLE, [2048] * 12, NO_ESCAPE),
        (Code(np.zeros(0, np.uint32), np.array([1], np.uint8), True), [2048] * 12, 0),
        (Code(np.array([END_BIT], np.uint32), np.array([1, 1], np.uint8), True), [4096] * 12, 2048),
    ],
)
def test_smallest_codes(code: Code, limit: list[int], escape_limit: int) -> None:
    assert code.limits()[0].tolist() == limit
    assert code.limits()[2] == escape_limit
    assert codes_from_tables([code.limits()], code.entries) == (code,)
    assert np.count_nonzero(code.lookup()[0]) == limit[-1]


@pytest.mark.parametrize(
    ("entries", "lengths", "escape", "message"),
    [
        ([0], [1, 1], False, "2 lengths for 1 entries"),
        ([0, 1], [1, 1], True, "2 lengths for 2 entries"),
        ([0, 1], [1, 2], False, "covers 3072 of 4096"),
        ([0, 1, 2], [1, 1, 1], False, "covers 6144 of 4096"),
        ([0, 1, 2], [2, 2, 1], False, "do not rise"),
        ([0], [0], False, "do not rise"),
        ([0], [13], False, "do not rise"),
        ([END_BIT << 1], [1], False, "reserved"),
        ([END_BIT | 1 << 7], [1], False, "reserved"),
        ([[0]], [1], False, "lengths for"),
    ],
)
def test_no_code(entries: list[int], lengths: list[int], escape: bool, message: str) -> None:
    with pytest.raises(StreamError, match=message):
        Code(np.array(entries, np.uint32), np.array(lengths, np.uint8), escape)


def test_inconsistent_tables() -> None:
    code = build_code([row(), *(tap(run, 1) for run in range(9))], [20, 9, 8, 7, 6, 5, 5, 5, 5, 5], 9, 64)
    limit, base, escape_limit = code.limits()
    length = int(code.lengths[0])
    changes = [
        (np.append(limit, 4096), base, escape_limit, code.entries),
        (limit[::-1], base, escape_limit, code.entries),
        (limit + 1, base, escape_limit, code.entries),
        (limit // 2, base, escape_limit, code.entries),
        (limit, base + 1, escape_limit, code.entries),
        (limit, np.where(np.arange(12) == length - 1, base ^ 0x8000, base), escape_limit, code.entries),
        (limit, base, escape_limit - 1, code.entries),
        (limit, base, NO_ESCAPE, code.entries),
        (limit, base, escape_limit, code.entries[:-1]),
        (limit, base, escape_limit, np.append(code.entries, 7)),
        (limit, base, escape_limit, np.append(code.entries, [0, 0])),
        (np.zeros(12), base, 0, []),
    ]
    for tables in changes:
        with pytest.raises(StreamError):
            codes_from_tables([tables[:3]], tables[3])

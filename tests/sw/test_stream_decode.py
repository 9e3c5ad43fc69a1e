"""Damaged streams: every one stops, with the error that the device reports, or decodes to what the device computes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.code import Code, build_code
from headrace.errors import StreamError
from headrace.isa import ROW, SYMBOL, ErrorCode
from headrace.stream import LaneError, decode_lane, encode_layer, lane_operations
from lanes import reference_lane, replay
from plans import random_matrix, random_plan


def outcome(
    codes: Sequence[Code], data: bytes, rows: int, positions: int, table: int = 0
) -> npt.NDArray[np.int64] | ErrorCode:
    try:
        operations = lane_operations(codes, data, rows, positions, table)
    except LaneError as error:
        return error.code
    return replay(operations, rows, positions)


@given(
    seed=st.integers(0, 2**32 - 1),
    flips=st.lists(st.integers(0, 10**6), max_size=4),
    cut=st.integers(0, 3),
    single=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_damage_is_an_error_or_another_matrix(seed: int, flips: list[int], cut: int, single: bool) -> None:
    rng = np.random.default_rng(seed)
    rows, positions = (int(n) for n in rng.integers(1, [9, 60]))
    W = random_matrix(rng, rows, positions, 0 if single else rng.random() ** 2, 9)
    encoded = encode_layer(W, random_plan(rng, rows, 1, 0.4, int(rng.integers(1, 9))), 72)
    codes, table = encoded.codes[: rng.integers(1, 9)], encoded.lane_tables[0]
    data = bytearray(encoded.streams[0])
    for flip in flips:
        data[flip // 8 % len(data)] ^= 1 << flip % 8
    damaged = bytes(data[: len(data) - 8 * cut]) if cut else bytes(data)

    try:
        decoded = decode_lane(codes, damaged, rows, positions, table)
    except StreamError:
        decoded = None
    else:
        assert decoded.shape == (rows, positions)
    try:
        expected = reference_lane(codes, damaged, rows, positions, table)
    except KeyError:  # a row that starts from a slot that holds none
        assert decoded is None
        return
    found = outcome(codes, damaged, rows, positions, table)
    if isinstance(expected, ErrorCode):
        assert decoded is None and found is expected
    else:
        assert np.array_equal(found, expected)
        assert decoded is None or np.array_equal(decoded, expected)


@given(st.binary(max_size=400), st.integers(0, 50), st.integers(0, 50))
@settings(deadline=None)
def test_any_bytes_stop(data: bytes, rows: int, positions: int) -> None:
    rng = np.random.default_rng(0)
    codes = encode_layer(random_matrix(rng, 8, 9, 0.5), random_plan(rng, 8, 1, tables=3)).codes
    with suppress(StreamError):
        assert decode_lane(codes, data, rows, positions).shape == (rows, positions)


def lane_code() -> tuple[Code]:
    """end of row: 0; tap (run 2, value 5): 10; escape: 11"""
    entries = [SYMBOL.pack({"end": 1}), SYMBOL.pack({"run": 2, "value": 5})]
    return (Code(np.array(entries, np.uint32), np.array([1, 2, 2], np.uint8), True),)


def stream(bits: str) -> bytes:
    bits += "0" * (-len(bits) % 64)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def test_named_errors() -> None:
    code, single = lane_code(), (build_code([SYMBOL.pack({"end": 1})], [3], 0, 8),)
    assert decode_lane(code, stream("100"), 1, 3).tolist() == [[0, 0, 5]]
    literal = "110" + f"{1:012b}" + f"{-256 & 511:09b}"
    assert decode_lane(code, stream(literal + "0"), 1, 2).tolist() == [[0, -256]]
    change = "111" + f"{ROW.pack({'table': 1}):021b}"
    assert decode_lane((*code, *code), stream(change + "0"), 2, 3).shape == (2, 3)
    for data, rows, positions, used, error in [
        (stream("100"), 1, 2, code, ErrorCode.BAD_POSITION),
        (stream("10100"), 1, 5, code, ErrorCode.BAD_POSITION),
        (stream("0"), 65, 2, code, ErrorCode.UNDERRUN),
        (stream("10" * 32), 1, 1000, code, ErrorCode.UNDERRUN),
        (stream("0" + "10" * 31 + "1"), 2, 1000, code, ErrorCode.UNDERRUN),
        (stream("0" * 50 + literal[:14]), 51, 5000, code, ErrorCode.UNDERRUN),
        (b"", 1, 3, code, ErrorCode.UNDERRUN),
        (stream("01"), 2, 3, single, ErrorCode.BAD_SYMBOL),
        (stream("0"), 1, 3, (Code(np.zeros(0, np.uint32), np.zeros(0, np.uint8), False),), ErrorCode.BAD_SYMBOL),
        (stream("0"), 1, 3, (), ErrorCode.BAD_SYMBOL),
        (stream(change + "0"), 2, 3, code, ErrorCode.BAD_SYMBOL),
    ]:
        with pytest.raises(LaneError) as raised:
            decode_lane(used, data, rows, positions)
        assert raised.value.code is error


def test_other_errors() -> None:
    code = lane_code()
    for data, rows, positions, message in [
        (bytes(7), 1, 1, "7 bytes is not a multiple of 8"),
        (bytes(16), 1, 1, "goes on after its last row, at bit 1"),
        (stream("01"), 1, 1, "goes on after its last row, at bit 1"),
        (bytes(8), 0, 1, "goes on"),
        (bytes(8), 1 << 20, 1 << 20, "exceeds the limit"),
        (bytes(8), -1, 1, "exceeds the limit"),
    ]:
        with pytest.raises(StreamError, match=message):
            decode_lane(code, data, rows, positions)
    with pytest.raises(StreamError, match="exceeds the limit of 5 weights"):
        decode_lane(code, bytes(8), 2, 3, max_weights=5)
    kind = SYMBOL.pack({"end": 1}) | ROW.pack({"differential": 1, "source": 3})
    empty_slot = (Code(np.array([kind]), np.array([1]), False),)
    with pytest.raises(StreamError, match="row 1 starts from slot 3, which holds no row"):
        decode_lane(empty_slot, bytes(8), 2, 3)


def test_weight_outside_int16() -> None:
    entries = [SYMBOL.pack({"value": 255}), SYMBOL.pack({"end": 1}) | ROW.pack({"differential": 1})]
    code = (Code(np.array(entries, np.uint32), np.array([1, 1], np.uint8), False),)
    assert decode_lane(code, stream("01" * 128), 128, 1)[-1] == 128 * 255
    with pytest.raises(StreamError, match="row 128 has a weight outside int16"):
        decode_lane(code, stream("01" * 129), 129, 1)

"""The weight stream: round trips, wrong arguments, golden bytes.

Run as a program, this file writes the golden bytes anew; that is a change of format (see `test_golden_bytes`).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.errors import StreamError
from headrace.schedule import fresh_plan
from headrace.stream import (
    EncodedLayer,
    Plan,
    RowPlan,
    decode_layer,
    encode_layer,
    lane_operations,
)
from lanes import reference_lane, replay
from plans import random_matrix, random_plan

GOLDEN = Path(__file__).parent.parent / "golden" / "stream_v2.json"
MODULUS = 2**31 - 1


def check(W: npt.NDArray[np.integer], plan: Plan, max_entries: int = 1024, longest_run: int = 4095) -> EncodedLayer:
    """Encode, decode in every way there is, and compare."""
    encoded = encode_layer(W, plan, max_entries, longest_run)
    decoded = decode_layer(encoded)
    assert decoded.dtype == np.int16
    assert np.array_equal(decoded, W)
    assert encoded.order.tolist() == [row.row for lane in plan for row in lane]
    assert len(encoded.streams) == len(plan) and encoded.entries <= max_entries
    channel = 0
    for lane, data in enumerate(encoded.streams):
        rows, table = encoded.lane_rows[lane], encoded.lane_tables[lane]
        mine = W[encoded.order[channel : channel + rows]]
        channel += rows
        assert len(data) % 8 == 0
        assert np.array_equal(reference_lane(encoded.codes, data, rows, W.shape[1], table), mine)
        operations = lane_operations(encoded.codes, data, rows, W.shape[1], table)
        assert operations.value.size == encoded.lane_taps[lane]
        assert np.array_equal(replay(operations, rows, W.shape[1]), mine)
        assert encoded.lane_symbols[lane] <= encoded.lane_taps[lane] + rows
    assert encoded.sizes() == {
        "streams": sum(map(len, encoded.streams)),
        "symbol_table": (encoded.entries + 1) // 2 * 8,
        "code_tables": 13 * 8 * len(encoded.codes),
        "lane_tables": len(plan) * 24,
    }
    return encoded


@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(0, 12),
    positions=st.integers(0, 40) | st.sampled_from([255, 256, 257, 700]),
    density=st.sampled_from([0.0, 0.003, 0.05, 0.5, 1.0]),
    values=st.sampled_from([1, 2, 31, 255]),
    lanes=st.integers(1, 5),
    max_entries=st.sampled_from([1, 2, 20, 100, 1024]),
    longest_run=st.sampled_from([0, 1, 7, 255, 256, 4095]),
    tables=st.integers(1, 8),
)
@settings(max_examples=150, deadline=None)
def test_round_trip(seed, rows, positions, density, values, lanes, max_entries, longest_run, tables) -> None:
    rng = np.random.default_rng(seed)
    W = random_matrix(rng, rows, positions, density, values)
    check(W, fresh_plan(W, lanes, 1), max_entries)
    check(W, random_plan(rng, rows, lanes, tables=tables), max_entries, longest_run)


def test_no_rows() -> None:
    encoded = check(np.zeros((0, 5), np.int8), ((), ()))
    assert encoded.streams == (b"", b"") and encoded.lane_taps == (0, 0)
    assert check(np.zeros((0, 0), np.int8), ()).streams == ()


def test_no_positions() -> None:
    assert check(np.zeros((3, 0), np.int8), fresh_plan(np.zeros((3, 0)), 2, 1)).lane_taps == (2, 1)


@pytest.mark.parametrize("value", [-128, -1, 0, 1, 127])
def test_one_weight(value: int) -> None:
    encoded = check(np.array([[value]], np.int8), ((RowPlan(0),),))
    assert encoded.lane_taps == (1,) and encoded.lane_symbols == (1 + (value != 0),)


def test_zeros_and_ones() -> None:
    zeros = check(np.zeros((5, 9), np.int8), fresh_plan(np.zeros((5, 9)), 2, 1))
    assert zeros.codes[0].lengths.tolist() == [1] and zeros.lane_taps == (3, 2)
    ones = check(np.ones((5, 9), np.int8), fresh_plan(np.ones((5, 9)), 2, 1))
    assert ones.codes[0].lengths.tolist() == [1, 1] and not ones.codes[0].escape


@pytest.mark.parametrize("run", [0, 1, 254, 255, 256, 4094, 4095, 4096, 4097, 8190, 8191, 8192, 13000])
def test_long_runs(run: int) -> None:
    W = np.zeros((40, run + 2), np.int8)
    W[:, run] = 7
    W[::2, 0] = 1
    encoded = check(W, fresh_plan(W, 1, 1))
    assert encoded.codes[0].escape == (run > 255)
    assert encoded.lane_taps[0] == 20 * (run // 4096 + 1 + (2 + (run - 1) // 4096 if run else 1))


def test_short_runs_save_bits_and_cost_taps() -> None:
    W = random_matrix(np.random.default_rng(5), 64, 400, 0.05, 60)
    plan = fresh_plan(W, 2, 1)
    long, short = check(W, plan, 256), check(W, plan, 256, longest_run=15)
    assert sum(long.lane_taps) == np.count_nonzero(W) < sum(short.lane_taps)
    assert long.sizes()["streams"] > short.sizes()["streams"]
    for longest_run in (-1, 4096):
        with pytest.raises(ValueError, match="longest_run"):
            encode_layer(W, plan, 256, longest_run)


def test_differences_of_extremes() -> None:
    W = np.array([[127, -128], [-128, 127], [127, -128]], np.int8)
    check(W, ((RowPlan(0), RowPlan(1, 0, 0, 7), RowPlan(2, 1, 7, 7)),))


def test_identical_rows_take_one_pass_of_weight_zero() -> None:
    W = np.tile(np.arange(1, 9, dtype=np.int8), (4, 1))
    plan = ((RowPlan(0), RowPlan(1, 0, 0, 1), RowPlan(2, 0, 0, 2), RowPlan(3, 2, 2, 0)),)
    encoded = check(W, plan)
    operations = lane_operations(encoded.codes, encoded.streams[0], 4)
    assert operations.value.tolist() == [*range(1, 9), 0, 0, 0]
    assert operations.row.tolist() == [0] * 8 + [1, 2, 3]
    assert operations.source.tolist()[8:] == [0, 0, 2] and operations.target.tolist()[7:] == [0, 1, 2, 0]
    assert operations.differential.tolist() == [False] * 8 + [True] * 3


BAD_PLANS = {
    "row missing": ((RowPlan(0),),),
    "row repeated": ((RowPlan(0), RowPlan(1), RowPlan(1)),),
    "row too large": ((RowPlan(0), RowPlan(2)),),
    "lane starts in slot 1": ((RowPlan(0, target=1), RowPlan(1)),),
    "lane starts as a difference": ((RowPlan(0),), (RowPlan(1, 0, 0, 0),)),
    "parent in another slot": ((RowPlan(0), RowPlan(1, 0, 1, 0)),),
    "parent later": ((RowPlan(0), RowPlan(1, 2, 0, 1), RowPlan(2)),),
    "no such slot": ((RowPlan(0), RowPlan(1, target=8)),),
    "no such code": ((RowPlan(0), RowPlan(1, table=8)),),
    "negative slot": ((RowPlan(0), RowPlan(1, 0, -1, 0)),),
}


@pytest.mark.parametrize("name", BAD_PLANS)
def test_bad_plan(name: str) -> None:
    with pytest.raises(ValueError):
        encode_layer(np.ones((2, 3), np.int8), BAD_PLANS[name])


def test_parent_was_overwritten() -> None:
    plan = ((RowPlan(0), RowPlan(1), RowPlan(2, 0, 0, 1)),)
    with pytest.raises(ValueError, match="lane 0, row 2: slot 0 does not hold its parent, row 0"):
        encode_layer(np.ones((3, 3), np.int8), plan)


@pytest.mark.parametrize("W", [np.ones(3, int), np.ones((1, 3)), np.full((1, 3), 256), np.full((1, 3), -256)])
def test_bad_weights(W: npt.NDArray[np.int64]) -> None:
    with pytest.raises(ValueError):
        encode_layer(W, ((RowPlan(0),),))


def test_differences_have_nine_bits() -> None:
    plan = ((RowPlan(0), RowPlan(1, 0, 0, 0)),)
    check(np.array([[255, -255], [0, 0]]), plan)
    check(np.array([[200], [-56]]), plan)
    with pytest.raises(ValueError, match="more than 9 bits"):
        encode_layer(np.array([[-200], [56]]), plan)


def test_a_change_of_code_takes_a_literal() -> None:
    W = np.repeat([[1, 2, 3], [-4, -5, -6]], 20, axis=0).astype(np.int8)
    plan = (tuple(RowPlan(row, table=row // 20) for row in range(40)), ())
    encoded = check(W, plan)
    assert [code.escape for code in encoded.codes] == [True, False] and encoded.lane_tables == (0, 0)
    assert encoded.codes[1].entries.size == 4


def test_rare_kinds_of_row_are_literals() -> None:
    plan = ((RowPlan(0), *(RowPlan(row, target=row) for row in range(1, 8))),)
    assert check(np.ones((8, 3), np.int8), plan, max_entries=7).codes[0].escape


def test_decode_layer_checks_its_lanes() -> None:
    encoded = encode_layer(np.eye(4, dtype=np.int8), fresh_plan(np.eye(4), 2, 1))
    for change in (
        {"order": np.zeros(4, np.int64)},
        {"lane_rows": (2, 1)},
        {"lane_rows": (4,)},
        {"positions": 1 << 40},
    ):
        with pytest.raises(StreamError):
            decode_layer(EncodedLayer(**{**vars(encoded), **change}))


def golden_matrix(rows: int, positions: int, density: int, values: int) -> npt.NDArray[np.int8]:
    """A matrix that follows from integer arithmetic alone (Lehmer's generator, 1951); density in per cent."""
    state, W = 48271, np.zeros((rows, positions), np.int8)
    for index in range(rows * positions):
        state = state * 48271 % MODULUS
        if state // 16 % 100 < density:
            state = state * 48271 % MODULUS
            W.flat[index] = (state // 16 % values + 1) * (1 if state // 65536 % 2 else -1)
    return W


CHAIN = (
    (RowPlan(2), RowPlan(0, 2, 0, 1), RowPlan(3, 0, 1, 1)),
    (RowPlan(1), RowPlan(4, 1, 0, 3), RowPlan(5, target=1)),
)
GOLDEN_LAYERS: dict[str, tuple[npt.NDArray[np.int8], Plan | int, int]] = {
    "one weight": (np.array([[-3]], np.int8), 1, 1024),
    "all zero": (np.zeros((3, 4), np.int8), 2, 1024),
    "dense": (golden_matrix(4, 6, 100, 3), 2, 1024),
    "differential": (golden_matrix(6, 24, 30, 2), CHAIN, 1024),
    "long runs": (golden_matrix(2, 9000, 0, 1) + np.pad([[1], [2]], ((0, 0), (8999, 0))).astype(np.int8), 1, 1024),
    "small table": (golden_matrix(8, 64, 30, 1), 3, 16),
    "sparse 48 x 200": (golden_matrix(48, 200, 15, 3), 4, 128),
}


TABLES = (
    (RowPlan(5, table=2), RowPlan(0, 5, 0, 1, 2), RowPlan(3, 0, 1, 1), RowPlan(2)),
    (RowPlan(1, table=1), RowPlan(4, table=1)),
)
GOLDEN_LAYERS["several codes"] = (golden_matrix(6, 40, 40, 3), TABLES, 64)


def golden_record(name: str) -> dict[str, object]:
    W, plan, max_entries = GOLDEN_LAYERS[name]
    encoded = encode_layer(W, fresh_plan(W, plan, 1) if isinstance(plan, int) else plan, max_entries)
    tables = [code.limits() for code in encoded.codes]
    content = b"".join(encoded.streams)
    return {
        "shape": list(W.shape),
        "codes": [
            {"entries": code.entries.tolist(), "limit": limit.tolist(), "base": base.tolist(), "escape_limit": escape}
            for code, (limit, base, escape) in zip(encoded.codes, tables, strict=True)
        ],
        "order": encoded.order.tolist(),
        "lane_tables": list(encoded.lane_tables),
        "lane_bytes": [len(lane) for lane in encoded.streams],
        "streams": [lane.hex() for lane in encoded.streams] if len(content) < 300 else None,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


@pytest.mark.parametrize("name", GOLDEN_LAYERS)
def test_golden_bytes(name: str) -> None:
    """Stream v2 is a promise: another result here is a change of format, which needs a new version number."""
    assert golden_record(name) == json.loads(GOLDEN.read_text())[name]


def test_golden_file_is_complete() -> None:
    assert list(json.loads(GOLDEN.read_text())) == list(GOLDEN_LAYERS)


if __name__ == "__main__":
    records = [f"{json.dumps(name)}: {json.dumps(golden_record(name))}" for name in GOLDEN_LAYERS]
    GOLDEN.write_text("{\n" + ",\n".join(records) + "\n}\n")

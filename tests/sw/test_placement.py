"""headrace.placement."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.placement import Placement, phase_planes, phases_of

KINDS = ["plain", "split", "interleaved"]
SIZES = st.integers(1, 9)


@given(SIZES, SIZES, SIZES, st.booleans(), st.integers(0, 100), st.integers(0, 2**32 - 1))
def test_every_element_has_its_own_byte_inside(c: int, h: int, w: int, split: bool, base: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    place = Placement.make((c, h, w), split, base).ordered(rng.permutation(c))
    offsets = place.offsets()
    assert offsets.shape == (c, h, w) and offsets.dtype == np.int64
    assert len(np.unique(offsets)) == offsets.size
    assert offsets.min() >= base and offsets.max() < base + place.size
    assert 0 <= place.padded_size - place.size < 8 and place.padded_size % 8 == 0
    x = rng.integers(-128, 128, (c, h, w), dtype=np.int8)
    memory = place.pack(x)
    assert len(memory) == place.padded_size
    assert np.array_equal(place.unpack(memory), x)
    assert np.array_equal(place.unpack(memory[: place.size]), x)


def test_dense_placement_is_c_order() -> None:
    place = Placement.make((2, 3, 5))
    assert np.array_equal(place.offsets().ravel(), np.arange(30))
    assert place.tap(2, 1).address == 11 and place.row_address(2) == 10


def test_split_placement_by_hand() -> None:
    place = Placement.make((2, 3, 5), split=True, base=8)  # planes of 2 rows of 3
    assert (place.pitch, place.plane, place.row_phase, place.column_phase) == (3, 24, 12, 6)
    assert place.offsets()[1].tolist() == [
        [32 + 0, 32 + 6, 32 + 1, 32 + 7, 32 + 2],
        [32 + 12, 32 + 18, 32 + 13, 32 + 19, 32 + 14],
        [32 + 3, 32 + 9, 32 + 4, 32 + 10, 32 + 5],
    ]
    assert place.row_address(2) == 11
    with pytest.raises(ValueError, match="row 1"):
        place.row_address(1)


def test_a_single_column_has_no_planes_of_odd_ones() -> None:
    place = Placement.make((2, 5, 1), split=True)
    assert (place.pitch, place.plane, place.row_phase, place.column_phase) == (1, 6, 3, 0)
    assert place.offsets()[1].ravel().tolist() == [6, 9, 7, 10, 8]
    wide = place.widened(4, 3)
    assert (wide.plane, wide.row_phase, wide.column_phase) == (24, 12, 0)
    assert place.tap(0, 1).columns == 0 == place.tap(0, 1).end


@given(SIZES, SIZES, st.booleans())
def test_taps_lead_to_the_elements_under_the_kernel(h: int, w: int, split: bool) -> None:
    place, step = Placement.make((1, h, w), split), 2 if split else 1
    offsets = place.offsets()[0]
    for i, j in np.ndindex(h, w):
        for row, column in np.ndindex((h - i + step - 1) // step, (w - j + step - 1) // step):
            assert place.tap(i, j).address + row * place.pitch + column == offsets[i + step * row, j + step * column]


def test_order_says_which_channel_is_stored_where() -> None:
    place = Placement.make((3, 1, 2)).ordered((2, 0, 1))
    assert place.offsets()[:, 0].tolist() == [[2, 3], [4, 5], [0, 1]]


@given(SIZES, SIZES, SIZES, st.sampled_from(KINDS), st.sampled_from([2, 4, 8]), st.integers(0, 2**32 - 1))
def test_strips_hold_their_rows_and_those_beside_them(c: int, h: int, w: int, kind: str, count: int, seed: int) -> None:
    """Every pixel of a strip's output rows finds, at its tap's address, the element under the kernel."""
    if w == 1 and kind == "interleaved":
        return  # of one column, nothing lies side by side
    rng, split = np.random.default_rng(seed), kind != "plain"
    whole = Placement.make((c, h, w), split).ordered(rng.permutation(c))
    rows = whole.plane // whole.pitch // (phase_planes(w) if split else 1)
    step, beside = -(-rows // count), 2
    pitch = whole.pitch * (4 if kind == "interleaved" else 1)
    held = (step + 2 * beside) * pitch
    phase = whole.pitch if kind == "interleaved" else held * split
    phases = dict(zip(("row_phase", "column_phase"), phases_of(w, phase), strict=True))
    planes = {"plane": max(held, phase_planes(w) * phase), "pitch": pitch, **phases}
    strips = {"strips": count, "strip_step": step * pitch, "strip_halo": beside * pitch}
    place = dataclasses.replace(whole, **planes, **strips, strip_bytes=held)
    assert place.interleaved == (kind == "interleaved")
    x = rng.integers(-128, 128, (c, h, w), dtype=np.int8)
    packed = np.frombuffer(place.pack(x), np.int8)
    assert packed.size == place.packed_size == count * place.padded_size
    stride, channel = (2 if split else 1), int(rng.integers(c))
    position = place.order.index(channel)
    for i, j in ((0, 0), (-1, -1), (1, 2), (-2, 1)):
        for row, column in np.ndindex(rows, whole.pitch):
            at = stride * row + i, stride * column + j
            if not (0 <= at[0] < h and 0 <= at[1] < w):
                continue
            tap = place.tap(i, j)
            memory = packed[row // step * place.padded_size :][: place.padded_size]
            flat = row % step * place.pitch + column
            assert memory[position * place.plane + tap.address + flat] == x[channel][at]
            assert 0 <= row * place.pitch + column + tap.shift < tap.end and 0 <= column + tap.column < tap.columns
    for call in (place.offsets, lambda: place.unpack(packed.tobytes())):
        with pytest.raises(ValueError, match="in strips has no element at one address"):
            call()


SIDE_BY_SIDE = {"split": True, "plane": 8, "pitch": 8, "row_phase": 4, "column_phase": 2}
SIDE_BY_SIDE |= {"strips": 2, "strip_step": 8, "strip_bytes": 8}
"""Phase planes of two columns each."""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": (0, 0)}, "not a permutation of 2 channels"),
        ({"order": (0, 1, 2)}, "not a permutation"),
        ({"plane": 5}, "does not fit its planes"),
        ({"pitch": 2}, "overlap or leave"),
        ({"split": True}, "overlap or leave"),
        ({"plane": 7, "pitch": 5}, "overlap or leave"),
        ({"width": 0}, "must be positive"),
        ({"base": -1}, "must be positive"),
        ({"channels": 1 << 30}, "does not fit its planes"),
        ({"plane": 1 << 22, "strips": 8, "strip_step": 8, "strip_bytes": 16}, "does not fit its planes"),
        ({"strips": 0}, "strips do not fit"),
        ({"strips": 64, "strip_step": 3, "strip_bytes": 6}, "strips do not fit"),
        ({"strips": 2}, "strips do not fit"),
        ({"strips": 2, "strip_step": 3, "strip_bytes": 7}, "strips do not fit"),
        ({"strips": 2, "strip_step": 3, "strip_halo": 4, "strip_bytes": 6}, "strips do not fit"),
        ({"strips": 2, "strip_step": 3, "strip_halo": -1, "strip_bytes": 6}, "strips do not fit"),
        ({"strips": 2, "strip_step": 3, "strip_bytes": 6, "height": 1 << 24}, "strips do not fit"),
        ({**SIDE_BY_SIDE, "column_phase": 1, "row_phase": 2}, "strips do not fit"),
        ({**SIDE_BY_SIDE, "row_phase": 5}, "strips do not fit"),
        ({**SIDE_BY_SIDE, "strip_bytes": 9}, "strips do not fit"),
        ({**SIDE_BY_SIDE, "pitch": 7}, "strips do not fit"),
    ],
)
def test_impossible_placements_are_refused(change: dict, message: str) -> None:
    good = {"channels": 2, "height": 2, "width": 3, "base": 0, "plane": 6, "pitch": 3}
    Placement(**good)
    Placement(**(good | SIDE_BY_SIDE))
    with pytest.raises(ValueError, match=message):
        Placement(**(good | change))


def test_wrong_tensors_are_refused() -> None:
    place = Placement.make((1, 2, 3))
    with pytest.raises(ValueError, match=r"holds int8 \(1, 2, 3\), not int8 \(2, 3\)"):
        place.pack(np.zeros((2, 3), np.int8))
    with pytest.raises(ValueError, match="not int64"):
        place.pack(np.zeros((1, 2, 3), np.int64))
    with pytest.raises(ValueError, match="placement of 6 bytes, not 5"):
        place.unpack(bytes(5))

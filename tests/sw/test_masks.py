"""headrace.masks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.masks import mask_table, reachable
from headrace.placement import Placement, phase_planes

OFFSETS = st.integers(-4, 4)


@given(
    size=st.tuples(st.integers(1, 6), st.integers(1, 9)),
    out=st.tuples(st.integers(1, 6), st.integers(1, 9)),
    offsets=st.lists(st.tuples(OFFSETS, OFFSETS), min_size=1, max_size=5),
    split=st.booleans(),
    pixels=st.sampled_from([1, 4, 8]),
)
def test_a_pixel_counts_where_the_tensor_has_it(
    size: tuple[int, int], out: tuple[int, int], offsets: list[tuple[int, int]], split: bool, pixels: int
) -> None:
    place = Placement.make((1, *size), split)
    pitch, stride = max(place.pitch, out[1]), 2 if split else 1
    place = place.widened(pitch, place.plane // place.pitch // (phase_planes(size[1]) if split else 1))
    taps = [reachable(place.tap(i, j), out, pitch) for i, j in offsets]
    masks, table, phases = mask_table(taps, pitch, out, pixels)
    assert len(table) == max(masks) * phases * bool(table)
    for (i, j), tap, mask in zip(offsets, taps, masks, strict=True):
        for h in range(out[0]):
            for w in range(out[1]):
                flat = h * pitch + w
                word, bit = divmod(flat, pixels)
                counts = 0 <= flat + tap.shift < tap.end
                counts &= not mask or bool(table[(mask - 1) * phases + word % phases] >> bit & 1)
                assert counts == (0 <= stride * h + i < size[0] and 0 <= stride * w + j < size[1])


def test_equal_masks_are_shared() -> None:
    place = Placement.make((1, 8, 8))
    taps = [place.tap(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    masks, table, phases = mask_table(taps, 8, (8, 8), 8)
    assert masks == (1, 0, 2) * 3 and phases == 1
    assert table == (0b11111110, 0b01111111)


def test_without_padding_there_are_none() -> None:
    place = Placement.make((1, 8, 9))
    assert mask_table([place.tap(i, j) for i in range(3) for j in range(3)], 9, (6, 7), 8) == ((0,) * 9, (), 1)

"""The range coder: what goes in comes out, in few bits where it can be foreseen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.codecs.range_coder import Decoder, Encoder, code_number, code_signed, code_tree
from headrace.errors import FormatError

ITEMS = st.lists(
    st.tuples(st.just("bit"), st.integers(0, 1))
    | st.tuples(st.just("direct"), st.integers(0, 2**20 - 1))
    | st.tuples(st.just("tree"), st.integers(0, 255))
    | st.tuples(st.just("number"), st.integers(0, 2**32 - 1))
    | st.tuples(st.just("signed"), st.integers(-(2**31) + 1, 2**31 - 1)),
    max_size=200,
)


def code(coder: Encoder | Decoder, kind: str, value: int) -> int:
    if kind == "bit":
        return coder.bit("a bit", value)
    if kind == "direct":
        return coder.direct(value, 20)
    if kind == "tree":
        return code_tree(coder, "a tree", value, 8)
    return code_number(coder, "a number", value) if kind == "number" else code_signed(coder, "signed", value)


@given(ITEMS)
def test_round_trip(items: list[tuple[str, int]]) -> None:
    encoder = Encoder()
    for kind, value in items:
        assert code(encoder, kind, value) == value
    decoder = Decoder(encoder.finish())
    assert [code(decoder, kind, 0) for kind, _ in items] == [value for _, value in items]


def test_long_carries() -> None:
    """Ones that are all but certain push the interval to its upper end again and again."""
    rng = np.random.default_rng(7)
    bits = (rng.random(50_000) < 0.999).astype(int).tolist()
    encoder = Encoder()
    for bit in bits:
        encoder.bit(0, bit)
    data = encoder.finish()
    decoder = Decoder(data)
    assert [decoder.bit(0) for _ in bits] == bits
    assert 8 * len(data) < 0.05 * len(bits)


def test_the_end_is_noticed() -> None:
    decoder = Decoder(b"\x01")
    with pytest.raises(FormatError, match="ends too early"):
        for _ in range(1000):
            decoder.direct(0, 8)

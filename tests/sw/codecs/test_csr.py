"""CSR: the check matrix, and its being the CSC of the transpose."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.codecs import Csc, Csr
from headrace.errors import FormatError

PAPER = np.array([[1, 0, 4, 0, 0], [0, 10, 0, 0, 0], [2, 3, 0, 0, 5], [0, 0, 0, 0, 0], [0, 0, 0, 0, 6]])


def test_check_matrix():
    encoded = Csr().encode(PAPER.astype(np.float32))
    assert encoded.values.tolist() == [1, 4, 10, 2, 3, 5, 6]
    assert encoded.ci.tolist() == [0, 2, 1, 0, 1, 4, 4]
    assert encoded.starts.tolist() == [0, 2, 3, 6, 6, 7]
    assert encoded.sizes == {"header": 10, "values": 28, "ci": 7, "starts": 6}
    assert np.array_equal(Csr().decode(encoded), PAPER)
    assert Csr().product(encoded, [1, 2, 3, 4, 5]).tolist() == [7, 29, 4, 0, 45]


@given(st.integers(0, 2**32 - 1), st.integers(0, 300), st.integers(0, 300), st.sampled_from([0.0, 0.02, 0.5, 1.0]))
@settings(deadline=None, max_examples=40)
def test_csr_is_the_csc_of_the_transpose(seed, n, m, density):
    rng = np.random.default_rng(seed)
    W = (rng.integers(1, 9, (n, m)) * (rng.random((n, m)) < density)).astype(np.int8)
    rows, columns = Csr().encode(W), Csc().encode(W.T)
    for one, other in ((rows.values, columns.values), (rows.ci, columns.ri), (rows.starts, columns.starts)):
        assert one.dtype == other.dtype and np.array_equal(one, other)


def test_integers_are_summed_as_integers():
    W = np.array([[1 << 62, 3], [-(1 << 62), 5]])
    assert Csr().product(Csr().encode(W), [1, 1]).tolist() == [0, 8]
    assert Csr().product(Csr().encode(W + 1), [1, 1]).tolist() == [2, 10]


def test_damaged_parts():
    encoded = Csr().encode(PAPER)
    for parts, match in (
        ({"ci": np.full_like(encoded.ci, 200)}, "not below 5"),
        ({"ci": encoded.ci[::-1].copy()}, "must increase"),
        ({"starts": encoded.starts[::-1].copy()}, "starts must lead"),
        ({"values": encoded.values[:-1]}, "starts must lead"),
    ):
        broken = dataclasses.replace(encoded, **parts)
        with pytest.raises(FormatError, match=match):
            Csr().decode(broken)
        with pytest.raises(FormatError, match=match):
            Csr().product(broken, np.ones(5))

"""Sizes that theory promises, in bits per entry, to set beside the actual ones."""

from __future__ import annotations

from math import log2

import numpy as np
import numpy.typing as npt

from headrace.codecs.base import Encoded, alphabet, as_matrix
from headrace.codecs.coo import CooEncoded
from headrace.codecs.csc import CscEncoded
from headrace.codecs.cser import CserEncoded
from headrace.codecs.csr import CsrEncoded
from headrace.codecs.hac import HacEncoded
from headrace.codecs.im import ImEncoded
from headrace.codecs.shac import ShacEncoded


def entropy(W: npt.ArrayLike) -> float:
    """Empirical zero-order entropy of a matrix, bits per entry; 0 for an empty one.

    No code that maps entries one by one, whatever its table costs, goes below it.

    Raises:
        ValueError: as `headrace.codecs.Codec.encode`.
    """
    _, counts, _ = alphabet(as_matrix(W).ravel())
    p = counts / max(int(counts.sum()), 1)
    return float(np.abs(np.sum(p * np.log2(p))))  # abs: -0.0 for a one-valued matrix


def hac_bound(n: int, m: int, k: int, dictionary_bits: int = 0) -> float:
    """Upper bound of HAC, bits per entry: 1 + log2 k + B_k / (n m).

    Word padding (under one word) and our header are not part of the papers' count.

    Args:
        n, m: shape; 0.0 is returned for an empty matrix.
        k: distinct values, zero included.
        dictionary_bits: B_k, size of the dictionary.

    Raises:
        ValueError: an argument is negative, or k does not suit the shape.

    Source: arXiv 2007.07967 and 2108.12704, bound of the Huffman address map.
    """
    _check(n, m, k, dictionary_bits)
    if n * m == 0:
        return 0.0
    if k == 0:
        raise ValueError("a matrix with entries has at least one value")
    return 1 + log2(k) + dictionary_bits / (n * m)


def shac_bound(n: int, m: int, s: float, k: int, index_bits: int, dictionary_bits: int = 0) -> float:
    """Upper bound of sHAC, bits per entry: s (1 + log2 k + b_I) + b_I (m + 1) / (n m) + B_k / (n m).

    Args:
        n, m: shape; 0.0 is returned for an empty matrix.
        s: density, nonzeros / (n m).
        k: distinct nonzero values; may be 0 only if s is.
        index_bits: b_I, bits of a row index.
        dictionary_bits: B_k, size of the dictionary.

    Raises:
        ValueError: an argument is negative, s is above 1, or k does not suit s and the shape.

    Source: arXiv 2007.07967 and 2108.12704, bound of the sparse Huffman address map.
    """
    _check(n, m, k, dictionary_bits)
    if not 0 <= s <= 1 or index_bits < 0:
        raise ValueError(f"density {s} must lie in 0 .. 1 and index_bits {index_bits} not be negative")
    if n * m == 0:
        return 0.0
    if s > 0 and k == 0:
        raise ValueError("a matrix with nonzeros has at least one nonzero value")
    coded = s * (1 + log2(k) + index_bits) if s else 0.0
    return coded + (index_bits * (m + 1) + dictionary_bits) / (n * m)


def im_bound(n: int, m: int, k: int, dictionary_bits: int = 0) -> float:
    """Size of IM, bits per entry: ceil(log2 k) + B_k / (n m); arguments and errors as `hac_bound`.

    Source: arXiv 2007.07967 and 2108.12704, index map.
    """
    _check(n, m, k, dictionary_bits)
    if n * m == 0:
        return 0.0
    if k == 0:
        raise ValueError("a matrix with entries has at least one value")
    return (k - 1).bit_length() + dictionary_bits / (n * m)


def csc_bound(n: int, m: int, s: float, value_bits: int, index_bits: int, start_bits: int) -> float:
    """Size of CSC, bits per entry: s (b + b_I) + b_P (m + 1) / (n m). That of CSR is the one of the transpose.

    Args:
        n, m, s: as `shac_bound`.
        value_bits, index_bits, start_bits: b, b_I and b_P, bits of an entry, a row index and a start.

    Raises:
        ValueError: an argument is negative, or s is above 1.

    Source: arXiv 2007.07967 and 2108.12704, where b_P = b_I.
    """
    _check(n, m, 0, min(value_bits, index_bits, start_bits))
    _check_density(s)
    return s * (value_bits + index_bits) + start_bits * (m + 1) / (n * m) if n * m else 0.0


def coo_bound(n: int, m: int, s: float, value_bits: int, row_bits: int, column_bits: int) -> float:
    """Size of COO, bits per entry: s (b + b_R + b_C), the bits of an entry, a row and a column index.

    Raises:
        ValueError: an argument is negative, or s is above 1.
    """
    _check(n, m, 0, min(value_bits, row_bits, column_bits))
    _check_density(s)
    return s * (value_bits + row_bits + column_bits) if n * m else 0.0


def cser_bound(
    n: int, m: int, listed: int, lists: int, index_bits: int, which_bits: int, start_bits: int, dictionary_bits: int = 0
) -> float:
    """Upper bound of CSER, bits per entry: (N b_I + L (b_V + b_P) + b_P (m + 2) + B_k) / (n m).

    Args:
        n, m: shape; 0.0 is returned for an empty matrix.
        listed: N, entries that are not the most frequent value.
        lists: L, pairs of a column and a value in it, the most frequent value left out.
        index_bits, which_bits, start_bits: b_I, b_V and b_P, bits of a row index, of the number of a value, and of the
            start of a list or column (the wider of the two).
        dictionary_bits: B_k, size of all values.

    Raises:
        ValueError: an argument is negative, or `listed` or `lists` more than fits.

    Source: the arrays of Wiedemann et al., IEEE TNNLS 2020 (arXiv 1805.10692).
    """
    _check(n, m, 0, min(index_bits, which_bits, start_bits, dictionary_bits))
    if not 0 <= lists <= listed <= n * m:
        raise ValueError(f"{n} x {m} entries cannot be {listed} entries in {lists} lists")
    if n * m == 0:
        return 0.0
    bits = listed * index_bits + lists * (which_bits + start_bits) + start_bits * (m + 2) + dictionary_bits
    return bits / (n * m)


def upper_bound(encoded: Encoded) -> float | None:
    """The bound above for an encoded matrix, bits per entry, dictionary included; None for a format that has none.

    Headers and the padding of words to whole bytes are not part of the bounds, so a small matrix may exceed its own.
    """
    n, m = encoded.shape
    b = 8 * encoded.dtype.itemsize
    if isinstance(encoded, HacEncoded):
        return hac_bound(n, m, encoded.dictionary.values.size, 8 * encoded.dictionary.nbytes)
    if isinstance(encoded, ImEncoded):
        return im_bound(n, m, encoded.centres.size, 8 * encoded.centres.nbytes)
    if isinstance(encoded, CserEncoded):
        start = max(encoded.starts.itemsize, encoded.column_starts.itemsize)
        widths = (8 * encoded.indices.itemsize, 8 * encoded.which.itemsize, 8 * start)
        return cser_bound(n, m, encoded.indices.size, encoded.which.size, *widths, 8 * encoded.values.nbytes)
    if isinstance(encoded, ShacEncoded):
        k, dictionary = encoded.dictionary.values.size, 8 * encoded.dictionary.nbytes
        return shac_bound(n, m, encoded.ri.size / max(n * m, 1), k, 8 * encoded.ri.itemsize, dictionary)
    if isinstance(encoded, CscEncoded | CsrEncoded | CooEncoded):
        s = encoded.values.size / max(n * m, 1)
        if isinstance(encoded, CscEncoded):
            return csc_bound(n, m, s, b, 8 * encoded.ri.itemsize, 8 * encoded.starts.itemsize)
        if isinstance(encoded, CsrEncoded):
            return csc_bound(m, n, s, b, 8 * encoded.ci.itemsize, 8 * encoded.starts.itemsize)
        return coo_bound(n, m, s, b, 8 * encoded.ri.itemsize, 8 * encoded.ci.itemsize)
    return None


def _check_density(s: float) -> None:
    if not 0 <= s <= 1:
        raise ValueError(f"density {s} must lie in 0 .. 1")


def _check(n: int, m: int, k: int, dictionary_bits: int) -> None:
    if min(n, m, k, dictionary_bits) < 0:
        raise ValueError("sizes must not be negative")
    if k > n * m:
        raise ValueError(f"{n} x {m} entries cannot take {k} values")

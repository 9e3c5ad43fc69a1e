"""Sizes that theory promises, in bits per entry, to set beside the actual ones."""

from __future__ import annotations

from math import log2

import numpy as np
import numpy.typing as npt

from headrace.codecs.base import alphabet, as_matrix


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


def _check(n: int, m: int, k: int, dictionary_bits: int) -> None:
    if min(n, m, k, dictionary_bits) < 0:
        raise ValueError("sizes must not be negative")
    if k > n * m:
        raise ValueError(f"{n} x {m} entries cannot take {k} values")

"""What every storage format of a matrix offers: encode, decode, product, and an exact account of its bytes.

A matrix W is n x m: n inputs, m outputs, output = x^T W, so a column is an output neuron (arXiv 2007.07967).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from headrace.errors import FormatError

Matrix = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Encoded(ABC):
    """A matrix in some storage format.

    Attributes:
        shape: (n, m).
        dtype: type of the entries, native byte order.

    Raises:
        FormatError: the shape is not that of a matrix (n, m below 2**32).
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]

    def __post_init__(self) -> None:
        if len(self.shape) != 2 or min(self.shape) < 0 or max(self.shape) >= 1 << 32:
            raise FormatError(f"{self.shape} is not the shape of a matrix")

    @property
    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Bytes of each part that decoding needs, by name."""

    @property
    def nbytes(self) -> int:
        """Bytes that decoding needs, all parts."""
        return sum(self.sizes.values())

    @property
    def figures(self) -> dict[str, int | float]:
        """Figures of this format beside its size, by name, for reports; most formats have none."""
        return {}

    @property
    def dense_nbytes(self) -> int:
        """Bytes of the same matrix stored densely in its own type."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize


E = TypeVar("E", bound=Encoded)


class Codec(ABC, Generic[E]):
    """A lossless storage format: `decode(encode(W)) == W`, every entry bit for bit, except that -0.0 returns as 0.0.

    Codecs are immutable and hold parameters only.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Name in `CODECS`, different for different parameters; a class attribute where there are none."""

    @abstractmethod
    def encode(self, W: npt.ArrayLike) -> E:
        """Encode a matrix of shape (n, m), any boolean, integer or real type.

        Raises:
            ValueError: W is not two-dimensional, not of such a type, or holds a NaN.
        """

    @abstractmethod
    def decode(self, encoded: E) -> Matrix:
        """The matrix, shape and type as encoded.

        Raises:
            FormatError: the parts do not fit together (sizes, types, dictionary).
            StreamError: the coded words do not decode to a matrix of the promised shape.
        """

    def product(self, encoded: E, x: npt.ArrayLike) -> Matrix:
        """x^T W from the encoded matrix; arguments and result as `dense_product`."""
        return dense_product(self.decode(encoded), x)


def as_matrix(W: npt.ArrayLike) -> Matrix:
    """W as an array that codecs take: two dimensions, native byte order, no NaN, no negative zero.

    Raises:
        ValueError: W is not two-dimensional, not boolean, integer or real, has a NaN or a dimension of 2**32 or more.
    """
    matrix = np.asarray(W)
    if matrix.ndim != 2:
        raise ValueError(f"a matrix has two dimensions, this array has {matrix.ndim}")
    if matrix.dtype.kind not in "biuf":
        raise ValueError(f"entries must be booleans, integers or reals, not {matrix.dtype}")
    if max(matrix.shape) >= 1 << 32:
        raise ValueError(f"shape {matrix.shape} has a dimension of 2**32 or more")
    matrix = matrix.astype(matrix.dtype.newbyteorder("="), copy=False)
    if matrix.dtype.kind == "f":
        if np.isnan(matrix).any():
            raise ValueError("the matrix holds a NaN")
        matrix = matrix + matrix.dtype.type(0)  # -0.0 becomes 0.0, everything else keeps its bits
    return matrix


def alphabet(entries: Matrix) -> tuple[Matrix, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Distinct values of a one-dimensional array free of NaN and -0.0.

    Returns:
        The values in increasing order (k,), how often each occurs, int64 (k,), and the index of each entry, int64 (n,):
        `values[index] == entries`.
    """
    values = np.unique(entries)
    index = np.searchsorted(values, entries)
    counts = np.bincount(index, minlength=values.size)
    return values, counts.astype(np.int64, copy=False), index.astype(np.int64, copy=False)


def dense_product(W: Matrix, x: npt.ArrayLike) -> Matrix:
    """x^T W, the reference that products on encoded matrices are compared with.

    Args:
        W: (n, m).
        x: (n,) or (batch, n).

    Returns:
        (m,) or (batch, m). Integers (or booleans) times integers: int64, exact while the sums fit. Otherwise float64:
        float32 factors multiply exactly, so only the summation rounds.

    Raises:
        ValueError: the shapes do not match.
    """
    x = np.asarray(x)
    if x.ndim not in (1, 2) or x.shape[-1] != W.shape[0]:
        raise ValueError(f"x has shape {x.shape}, must be ({W.shape[0]},) or (batch, {W.shape[0]})")
    wide = np.int64 if W.dtype.kind in "biu" and x.dtype.kind in "biu" else np.float64
    result: Matrix = x.astype(wide) @ W.astype(wide)
    return result


def check_part(name: str, part: Matrix, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
    """Raise `FormatError` unless an encoded part has the given shape and type."""
    if not isinstance(part, np.ndarray) or part.shape != shape or part.dtype != np.dtype(dtype):
        found = f"{part.dtype} {part.shape}" if isinstance(part, np.ndarray) else type(part).__name__
        raise FormatError(f"{name} must be {np.dtype(dtype)} {shape}, found {found}")

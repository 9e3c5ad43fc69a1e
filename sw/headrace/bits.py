"""Bit strings: most significant bit first within a byte, bytes in stream order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from headrace.errors import StreamError

MAX_PACK_LENGTH = 57
"""Longest codeword that `pack_bits` takes, in bits."""

_CHUNK = 1 << 18  # codewords per vectorised step: temporaries stay in cache


def pack_bits(codes: npt.ArrayLike, lengths: npt.ArrayLike) -> tuple[npt.NDArray[np.uint8], int]:
    """Concatenate codewords, most significant bit first.

    Args:
        codes: unsigned integers (n,); codeword i is the low `lengths[i]` bits of `codes[i]`, higher bits are zero.
        lengths: integers (n,), bits, each 0 .. 57; a codeword of length 0 adds nothing.

    Returns:
        The bytes, uint8 (ceil(total / 8),), the last one zero-padded on the right, and the total number of bits.
        Memory beyond the arguments and the result is a few MiB for any n.

    Raises:
        ValueError: shapes differ, an argument is not integer, a length is outside 0 .. 57, or a code has bits above
            its length.
    """
    codes, lengths = np.asarray(codes), np.asarray(lengths)
    if codes.ndim != 1 or codes.shape != lengths.shape:
        raise ValueError(f"codes {codes.shape} and lengths {lengths.shape} must be one-dimensional and of equal size")
    if codes.size == 0:
        return np.zeros(0, np.uint8), 0
    if codes.dtype.kind not in "iu" or lengths.dtype.kind not in "iu":
        raise ValueError("codes and lengths must be integers")
    if lengths.min() < 0 or lengths.max() > MAX_PACK_LENGTH:
        raise ValueError(f"codeword lengths must lie in 0 .. {MAX_PACK_LENGTH}")
    total = int(lengths.sum(dtype=np.int64))
    words = np.zeros(total // 64 + 2, np.uint64)
    position = 0
    for first in range(0, codes.size, _CHUNK):
        part = slice(first, first + _CHUNK)
        position = _pack_chunk(words, position, codes[part].astype(np.uint64), lengths[part].astype(np.int64))
    return words.astype(">u8").view(np.uint8)[: -(-total // 8)].copy(), total


def _pack_chunk(
    words: npt.NDArray[np.uint64], position: int, codes: npt.NDArray[np.uint64], lengths: npt.NDArray[np.int64]
) -> int:
    """OR the codewords into 64-bit `words` from bit `position` on; return the bit position after the last one."""
    if np.any(codes >> lengths.astype(np.uint64)):
        raise ValueError("a code has bits above its length")
    ends = position + np.cumsum(lengths)
    starts = ends - lengths
    index = starts >> 6
    room = 64 - (starts & 63) - lengths  # bits left in the word after the codeword; negative when it spills over
    spill = room < 0
    head = codes << np.maximum(room, 0).astype(np.uint64)
    head[spill] = codes[spill] >> (-room[spill]).astype(np.uint64)
    groups = np.flatnonzero(np.diff(index, prepend=-1))  # the first codeword of each word
    words[index[groups]] |= np.bitwise_or.reduceat(head, groups)
    words[index[spill] + 1] |= codes[spill] << (64 + room[spill]).astype(np.uint64)  # one spill at most per word
    return int(ends[-1])


class BitReader:
    """Sequential reader of a bit string.

    `peek` sees zeros beyond the end, as a table-driven decoder needs near the end of its stream; `skip` and `read`
    raise `StreamError` there and leave `position` as it was.

    Args:
        data: the bytes, or an array whose memory they are.
        total_bits: length of the string in bits; all of `data` by default.
        position: first bit to read.

    Raises:
        ValueError: total_bits is more than `data` holds, or position lies outside the string.
    """

    def __init__(self, data: bytes | npt.NDArray[np.uint8], total_bits: int | None = None, position: int = 0) -> None:
        self._data = data.tobytes() if isinstance(data, np.ndarray) else bytes(data)
        available = 8 * len(self._data)
        self.total_bits = available if total_bits is None else total_bits
        if not 0 <= self.total_bits <= available:
            raise ValueError(f"total_bits is {total_bits}, the data holds {available}")
        if not 0 <= position <= self.total_bits:
            raise ValueError(f"position {position} is outside a string of {self.total_bits} bits")
        self._position = position

    @property
    def position(self) -> int:
        """Bits consumed so far, from the start of the data."""
        return self._position

    @property
    def remaining(self) -> int:
        """Bits left."""
        return self.total_bits - self._position

    def peek(self, n: int) -> int:
        """The next n bits as an integer, the first bit most significant; bits beyond the end are 0."""
        if n < 0:
            raise ValueError(f"cannot read {n} bits")
        present = min(n, self.remaining)
        stop = self._position + present
        covering = self._data[self._position >> 3 : (stop + 7) >> 3]
        value = int.from_bytes(covering, "big") >> (-stop & 7)
        return (value & ((1 << present) - 1)) << (n - present)

    def skip(self, n: int) -> None:
        """Consume n bits."""
        if n < 0:
            raise ValueError(f"cannot read {n} bits")
        if n > self.remaining:
            raise StreamError(f"stream ends at bit {self.total_bits}: {n} bits wanted at bit {self._position}")
        self._position += n

    def read(self, n: int) -> int:
        """Consume n bits and return them as an integer, the first bit most significant."""
        value = self.peek(n)
        self.skip(n)
        return value

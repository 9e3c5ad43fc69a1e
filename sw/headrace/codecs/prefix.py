"""The canonical Huffman code over matrix values that HAC and sHAC share, and its words.

Symbols are ordered by decreasing frequency, equal frequencies by increasing value; the first code is all zeros, each
next one is the previous plus 1, shifted left as lengths grow. Codewords follow each other without padding, most
significant bit first, and are cut into b-bit words, the last one zero-padded on the right.

Source: arXiv 2007.07967 and 2108.12704 (address maps); canonical order as in the authors' code of 2023.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.bits import pack_bits
from headrace.codecs.base import Matrix
from headrace.errors import FormatError, StreamError
from headrace.huffman import MAX_CODE_LENGTH, canonical_codes, code_lengths, limited_code_lengths

Words = npt.NDArray[np.unsignedinteger]

_WORD_TYPES = {32: np.uint32, 64: np.uint64}
_CHUNK = 1 << 15  # bytes of stream decoded at a time; temporaries take some 300 times as much


@dataclass(frozen=True, eq=False)
class Dictionary:
    """A canonical code and what its codewords stand for.

    Attributes:
        values: (k,), in canonical order.
        code_counts: uint32 (longest,); entry i is the number of codewords of i + 1 bits. It determines the codewords.
    """

    values: Matrix
    code_counts: npt.NDArray[np.uint32]

    @staticmethod
    def build(values: Matrix, counts: npt.NDArray[np.int64]) -> tuple[Dictionary, npt.NDArray[np.int64]]:
        """The optimal code for increasing `values` (k,) that occur `counts` (k,) times, and the rank of each value.

        Codes longer than 32 bits, which need more than five million entries, are limited to 32.
        """
        order = np.argsort(-counts, kind="stable")
        lengths = code_lengths(counts[order])
        if lengths.size and lengths[-1] > MAX_CODE_LENGTH:
            lengths = limited_code_lengths(counts[order], MAX_CODE_LENGTH)
        rank = np.empty(order.size, np.int64)
        rank[order] = np.arange(order.size)
        return Dictionary(values[order], np.bincount(lengths.astype(np.intp))[1:].astype(np.uint32)), rank

    @property
    def nbytes(self) -> int:
        """Bytes of the values in their own type plus 4 for each code length up to the longest."""
        return int(self.values.nbytes + self.code_counts.nbytes)

    @property
    def lengths(self) -> npt.NDArray[np.uint8]:
        """Bits of each codeword, (k,), non-decreasing."""
        return np.repeat(np.arange(1, self.code_counts.size + 1, dtype=np.uint8), self.code_counts.astype(np.intp))

    @property
    def codes(self) -> npt.NDArray[np.uint32]:
        """Codewords, (k,)."""
        return canonical_codes(self.lengths)

    def check(self, dtype: np.dtype) -> None:
        """Raise `FormatError` unless this is a prefix code over values of the given type."""
        if self.values.ndim != 1 or self.values.dtype != dtype:
            raise FormatError(f"dictionary values must be {dtype} (k,), found {self.values.dtype} {self.values.shape}")
        counts = self.code_counts
        if counts.ndim != 1 or counts.dtype != np.uint32 or counts.size > MAX_CODE_LENGTH:
            raise FormatError(f"code counts must be uint32, at most {MAX_CODE_LENGTH} of them")
        if int(counts.sum(dtype=np.uint64)) != self.values.size:
            raise FormatError("dictionary has not as many values as codewords")
        longest = counts.size
        if sum(int(count) << (longest - 1 - i) for i, count in enumerate(counts)) > 1 << longest:
            raise FormatError("dictionary is not a prefix code")


def check_word_bits(word_bits: int) -> None:
    """Raise `ValueError` unless words may have this many bits."""
    if word_bits not in _WORD_TYPES:
        raise ValueError(f"words have 32 or 64 bits, not {word_bits}")


def encode_ranks(dictionary: Dictionary, ranks: npt.NDArray[np.int64], word_bits: int) -> Words:
    """Words of the codewords of the given dictionary entries, in order; `word_bits` is 32 or 64."""
    data, _ = pack_bits(dictionary.codes[ranks], dictionary.lengths[ranks])
    size = word_bits // 8
    padded = np.zeros(-(-data.size // size) * size, np.uint8)
    padded[: data.size] = data
    return padded.view(f">u{size}").astype(_WORD_TYPES[word_bits])


def column_ends(
    dictionary: Dictionary, ranks: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.unsignedinteger]:
    """Exclusive end bit of each column of `counts` (m,) codewords: uint32 (m,), uint64 from 2**32 bits on."""
    bits = np.zeros(ranks.size + 1, np.int64)
    np.cumsum(dictionary.lengths[ranks], dtype=np.int64, out=bits[1:])
    ends = bits[np.cumsum(counts)]
    return ends.astype(np.uint32 if bits[-1] < 1 << 32 else np.uint64)


def decode_ranks(dictionary: Dictionary, words: Words, count: int) -> npt.NDArray[np.int64]:
    """Dictionary entries of `count` codewords, int64 (count,). The dictionary must have passed its check.

    The length of the codeword that would start at each bit of the stream is found for all bits at once; a
    walk from codeword to codeword then picks the real ones.

    Raises:
        FormatError: the words are neither 32 nor 64 bits wide.
        StreamError: a code is not in the dictionary, or `count` codewords and the zero padding do not fill the words.
    """
    if words.ndim != 1 or words.dtype not in (np.uint32, np.uint64):
        raise FormatError(f"words must be uint32 or uint64 (count,), found {words.dtype} {words.shape}")
    total = 8 * words.nbytes
    if count > (total if dictionary.values.size else 0):
        raise StreamError(f"stream of {total} bits and {dictionary.values.size} symbols cannot hold {count} codewords")
    ranks = np.empty(count, np.int64)
    position = _decode(dictionary, words, ranks) if count else 0
    word_bits = 8 * words.itemsize
    if position > total:
        raise StreamError(f"stream of {total} bits ends within the last of {count} codewords")
    if -(-position // word_bits) != words.size:
        raise StreamError(f"stream has {words.size} words, its {count} codewords fill {-(-position // word_bits)}")
    if position % word_bits and int(words[-1]) & ((1 << (-position % word_bits)) - 1):
        raise StreamError("padding after the last codeword is not zero")
    return ranks


def _decode(dictionary: Dictionary, words: Words, ranks: npt.NDArray[np.int64]) -> int:
    """Fill `ranks` from the first codewords of the words; return the bit after the last, which may lie past the end."""
    data = np.concatenate([words.astype(words.dtype.newbyteorder(">")).view(np.uint8), np.zeros(8, np.uint8)])
    lengths, codes = dictionary.lengths.astype(np.int64), dictionary.codes.astype(np.int64)
    longest = int(lengths[-1])
    first = np.flatnonzero(np.diff(lengths, prepend=0))  # the first symbol of each length
    shift = longest - lengths[first]
    # Padded to the longest, the codes of one length fill one interval, and intervals ascend with the length.
    floor = codes[first] << shift
    bounds = np.append(floor, codes[-1] + 1)
    step_of = np.append(lengths[first], 0).astype(np.uint8)  # 0: above the last code

    done, position = 0, 0
    for start in range(0, words.nbytes, _CHUNK):
        windows = _windows(data, start, min(_CHUNK, words.nbytes - start), longest)
        group = np.searchsorted(bounds, windows, side="right") - 1
        hops = _walk(step_of[group].tobytes(), position - 8 * start, ranks.size - done)
        found = group[hops]
        ranks[done : done + len(hops)] = first[found] + ((windows[hops] - floor[found]) >> shift[found])
        done += len(hops)
        if hops:
            position = 8 * start + hops[-1] + int(step_of[found[-1]])
        if done == ranks.size:
            return position
    raise StreamError(f"stream of {8 * words.nbytes} bits ends after {done} of {ranks.size} codewords")


def _windows(data: npt.NDArray[np.uint8], start: int, size: int, width: int) -> npt.NDArray[np.int64]:
    """The `width` <= 32 bits that follow each bit of bytes start .. start + size - 1, int64 (8 * size,)."""
    octets = np.ndarray((size,), ">u8", data, start, (1,)).astype(np.uint64)  # eight bytes from each byte on
    shifts = (64 - width - np.arange(8)).astype(np.uint64)
    mask = np.uint64((1 << width) - 1)
    return ((octets[:, None] >> shifts) & mask).ravel().view(np.int64)


def _walk(steps: bytes, position: int, count: int) -> list[int]:
    """Positions of up to `count` codewords from `position` on, `steps` being the code length at each bit."""
    hops: list[int] = []
    while position < len(steps) and len(hops) < count:
        step = steps[position]
        if step == 0:
            raise StreamError("the stream holds a code that is not in the dictionary")
        hops.append(position)
        position += step
    return hops

"""An adaptive binary range coder for what surrounds the streams: few numbers, of distributions that nobody knows.

Source: G. N. N. Martin, "Range encoding" (Video & Data Recording, 1979); carry propagation and the shift-and-add
adaptation of probabilities are those of LZMA (I. Pavlov, LZMA SDK).
"""

from __future__ import annotations

from collections.abc import Hashable

from headrace.errors import FormatError

_TOP = 1 << 24
_HALF = 1 << 11  # of 2**12: probabilities have 12 bits
_RATE = 4
_CLASSES = 33


class Encoder:
    """Codes bits, each with the probability learnt in its context; any hashable object names a context."""

    def __init__(self) -> None:
        self._low, self._range = 0, 0xFFFFFFFF
        self._cache, self._pending = 0, 0
        self._out = bytearray()
        self._zero: dict[Hashable, int] = {}

    def bit(self, context: Hashable, bit: int) -> int:
        """Code one bit, and return it."""
        zero = self._zero.get(context, _HALF)
        bound = (self._range >> 12) * zero
        if bit:
            self._low += bound
            self._range -= bound
            self._zero[context] = zero - (zero >> _RATE)
        else:
            self._range = bound
            self._zero[context] = zero + ((2 * _HALF - zero) >> _RATE)
        while self._range < _TOP:
            self._range <<= 8
            self._shift()
        return bit

    def direct(self, value: int, bits: int) -> int:
        """Code the low `bits` bits of a number, each as likely 0 as 1."""
        for place in reversed(range(bits)):
            self._range >>= 1
            if value >> place & 1:
                self._low += self._range
            while self._range < _TOP:
                self._range <<= 8
                self._shift()
        return value

    def finish(self) -> bytes:
        """All bytes; zeros at the end are left out."""
        for _ in range(5):
            self._shift()
        return bytes(self._out[1:]).rstrip(b"\0")

    def _shift(self) -> None:
        if self._low < 0xFF000000 or self._low >= 1 << 32:
            carry = self._low >> 32
            self._out.append((self._cache + carry) & 0xFF)
            self._out += bytes([(0xFF + carry) & 0xFF]) * self._pending
            self._pending = 0
            self._cache = self._low >> 24 & 0xFF
        else:
            self._pending += 1
        self._low = (self._low & 0x00FFFFFF) << 8


class Decoder:
    """Reads what an Encoder wrote, from the same contexts in the same order. Bytes past the end are zeros."""

    def __init__(self, data: bytes) -> None:
        self._data, self._next = data, 4
        self._code, self._range = int.from_bytes(data[:4].ljust(4, b"\0"), "big"), 0xFFFFFFFF
        self._zero: dict[Hashable, int] = {}

    def bit(self, context: Hashable, _bit: int = 0) -> int:
        """The next bit."""
        zero = self._zero.get(context, _HALF)
        bound = (self._range >> 12) * zero
        if self._code < bound:
            self._range = bound
            self._zero[context] = zero + ((2 * _HALF - zero) >> _RATE)
            bit = 0
        else:
            self._code -= bound
            self._range -= bound
            self._zero[context] = zero - (zero >> _RATE)
            bit = 1
        self._normalise()
        return bit

    def direct(self, _value: int, bits: int) -> int:
        """The next number of `bits` bits."""
        value = 0
        for _ in range(bits):
            self._range >>= 1
            bit = int(self._code >= self._range)
            self._code -= self._range * bit
            value = 2 * value + bit
            self._normalise()
        return value

    def _normalise(self) -> None:
        while self._range < _TOP:
            byte = self._data[self._next] if self._next < len(self._data) else 0
            self._next += 1
            if self._next > len(self._data) + 64:
                raise FormatError("side information ends too early")
            self._range <<= 8
            self._code = self._code << 8 | byte


Coder = Encoder | Decoder
"""What codes a structure can be written once: `code(coder, value)` returns the value, read or written."""


def code_tree(coder: Coder, context: Hashable, value: int, bits: int) -> int:
    """A number of `bits` bits, every bit in a context of those above it."""
    node = 1
    for place in reversed(range(bits)):
        node = 2 * node + coder.bit((context, node), value >> place & 1)
    return node - (1 << bits)


def code_number(coder: Coder, context: Hashable, value: int) -> int:
    """A number of at most 32 bits, not negative: its length, its second bit, and the others directly (Elias' gamma code
    with a learnt length)."""
    length = 0
    while length < _CLASSES - 1 and coder.bit((context, length), int(value.bit_length() > length)):
        length += 1
    if length < 2:
        return length
    second = coder.bit((context, length, "second"), value >> (length - 2) & 1)
    return (2 + second) << (length - 2) | coder.direct(value & ((1 << (length - 2)) - 1), length - 2)


def code_signed(coder: Coder, context: Hashable, value: int) -> int:
    """A number of at most 31 bits and a sign."""
    folded = code_number(coder, context, 2 * value if value >= 0 else -2 * value - 1)
    return folded >> 1 if folded & 1 == 0 else -(folded + 1 >> 1)

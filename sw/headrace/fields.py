"""Bit-field records: one description from which the host packs words and the RTL derives its layouts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """`width` bits; two's complement where `signed`. `doc` goes into the generated documentation."""

    name: str
    width: int
    doc: str = ""
    signed: bool = False

    def check(self, value: int) -> int:
        """The field's bits of `value`; ValueError where it does not fit."""
        low, high = (
            (-(1 << (self.width - 1)), (1 << (self.width - 1)) - 1) if self.signed else (0, (1 << self.width) - 1)
        )
        if not low <= value <= high:
            raise ValueError(f"{self.name} = {value} is outside {low}..{high}")
        return value & ((1 << self.width) - 1)


@dataclass(frozen=True)
class Record:
    """Fields packed from the least significant bit up."""

    name: str
    fields: tuple[Field, ...]

    @property
    def width(self) -> int:
        return sum(field.width for field in self.fields)

    def most(self, name: str) -> int:
        """The largest number that an unsigned field holds. KeyError for a name that there is not."""
        return (1 << {field.name: field.width for field in self.fields}[name]) - 1

    def pack(self, values: Mapping[str, int]) -> int:
        """One integer; fields not given are zero. ValueError for an unknown name or a value that does not fit."""
        unknown = set(values) - {field.name for field in self.fields}
        if unknown:
            raise ValueError(f"{self.name} has no field {', '.join(sorted(unknown))}")
        word, position = 0, 0
        for field in self.fields:
            try:
                word |= field.check(int(values.get(field.name, 0))) << position
            except ValueError as error:
                raise ValueError(f"{self.name}: {error}") from None
            position += field.width
        return word

    def unpack(self, word: int) -> dict[str, int]:
        values, position = {}, 0
        for field in self.fields:
            value = word >> position & ((1 << field.width) - 1)
            if field.signed and value >> (field.width - 1):
                value -= 1 << field.width
            values[field.name] = value
            position += field.width
        return values

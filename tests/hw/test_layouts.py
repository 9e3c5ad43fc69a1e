"""Amaranth layouts against the records they are made from."""

from __future__ import annotations

import random

import pytest

from headrace import isa
from headrace.fields import Field, Record
from headrace.registers import REGISTERS
from headrace_hw.layouts import layout
from hw.streams import plain

RECORDS = [value for value in vars(isa).values() if isinstance(value, Record)]
RECORDS += [register.record for register in REGISTERS.values() if register.fields]


def extremes(field: Field) -> tuple[int, int]:
    half = 1 << (field.width - 1)
    return (-half, half - 1) if field.signed else (0, 2 * half - 1)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_fields_lie_where_the_host_packs_them(record: Record) -> None:
    dice = random.Random(record.name)
    shape = layout(record)
    assert shape.size == record.width
    choices = [
        {field.name: extremes(field)[0] for field in record.fields},
        {field.name: extremes(field)[1] for field in record.fields},
        *({field.name: dice.randint(*extremes(field)) for field in record.fields} for _ in range(20)),
    ]
    for values in choices:
        word = record.pack(values)
        assert shape.const(values).as_value().value == word
        assert plain(shape.from_bits(word)) == values == record.unpack(word)

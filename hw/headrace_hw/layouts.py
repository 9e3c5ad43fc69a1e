"""Amaranth layouts of the records that host and device share."""

from __future__ import annotations

from amaranth.hdl import Shape, signed, unsigned
from amaranth.lib import data

from headrace.fields import Record


def layout(record: Record) -> data.StructLayout:
    """The record's fields from the least significant bit up; signed fields are signed."""
    fields: dict[str, Shape] = {
        field.name: signed(field.width) if field.signed else unsigned(field.width) for field in record.fields
    }
    return data.StructLayout(fields)

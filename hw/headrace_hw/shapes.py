"""Payloads that the blocks of the datapath pass to each other."""

from __future__ import annotations

from enum import IntEnum

from amaranth import signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import Out, Signature

from headrace import isa
from headrace.config import Config

INDEX_BITS = 16  # of tables, rows, channels: the widest that a descriptor can name
ERROR_CODE_BITS = max(isa.ErrorCode).bit_length()


class Table(IntEnum):
    """Which table a beat belongs to, in the order in which they lie in memory."""

    LANES = 0
    CODE = 1
    TAPS = 2
    MASKS = 3
    SYMBOLS = 4
    CHANNELS = 5


class TableWrite(Signature):
    """One beat of a table, broadcast to whoever keeps that table. `index` counts the table's beats.

    Tables have two halves: one layer's are written to half `bank` while another layer uses the other.
    """

    def __init__(self) -> None:
        super().__init__(
            {"valid": Out(1), "bank": Out(1), "table": Out(Table), "index": Out(INDEX_BITS), "data": Out(64)}
        )


def address_bits(config: Config) -> int:
    """Width of a byte address of the activation memory."""
    return (config.x_bytes - 1).bit_length()


def pixel_bits(config: Config) -> int:
    """Width of a pixel's number within a word."""
    return (config.pixels - 1).bit_length()


def index_bits(config: Config) -> int:
    """Width of a symbol table index."""
    return (config.symbols - 1).bit_length()


class Fault(IntEnum):
    """What is wrong with a symbol."""

    NONE = 0
    BAD_SYMBOL = 1
    UNDERRUN = 2


SYMBOL = data.StructLayout(
    {
        "end": 1,
        "value": signed(isa.VALUE_BITS),
        "run": isa.LITERAL_RUN_BITS,
        "target": isa.SLOT_BITS,
        "source": isa.SLOT_BITS,
        "differential": 1,
        "fault": Fault,
    }
)


def operation_layout(config: Config) -> data.StructLayout:
    """One tap of one row: `value` times the words of pixels that start at `address`.

    Pixels count as `Masks` says: `position` is the first one's flat index, `mask` where its mask row begins.
    """
    return data.StructLayout(
        {
            "address": address_bits(config),
            "value": signed(isa.VALUE_BITS),
            "position": signed(INDEX_BITS),
            "end": INDEX_BITS,
            "every_column": 1,
            "mask": (config.masks - 1).bit_length(),
            "first": 1,
            "last": 1,
            "source": isa.SLOT_BITS,
            "target": isa.SLOT_BITS,
            "differential": 1,
        }
    )


def sums_layout(config: Config) -> data.StructLayout:
    """A word of accumulators of one output channel; `lane`: who made it.

    `first` and `last` mark the first and the last word of a pass over the row's words; `final`: of the row's last pass.
    """
    return data.StructLayout(
        {
            "sums": data.ArrayLayout(signed(config.acc_bits), config.pixels),
            "channel": INDEX_BITS,
            "lane": 8,
            "first": 1,
            "last": 1,
            "final": 1,
        }
    )


def pixels_layout(config: Config) -> data.StructLayout:
    """A word of int8 results of one output channel."""
    return data.StructLayout(
        {
            "pixels": data.ArrayLayout(signed(8), config.pixels),
            "channel": INDEX_BITS,
            "lane": 8,
            "first": 1,
            "last": 1,
        }
    )


def masked_write_layout(config: Config) -> data.StructLayout:
    """Up to P bytes to the activation memories: element n goes to `address` + n where mask bit n is set.

    `address` is that of a lane whose `keep_from` is 0; the lanes that keep half word `piece` of the plane, in which
    the write begins, do it, each as many whole words below. With `load` it is for lanes `lane_from` <= n < `lane_to`,
    at `address`.
    """
    return data.StructLayout(
        {
            "address": address_bits(config),
            "piece": signed(INDEX_BITS),
            "load": 1,
            "data": data.ArrayLayout(unsigned(8), config.pixels),
            "mask": config.pixels,
        }
    )


def bank_write_layout(config: Config) -> data.StructLayout:
    """The same, rotated to byte columns: those of mask `here` are for word `word`, those of `beyond` for the next."""
    return data.StructLayout(
        {
            "piece": signed(INDEX_BITS),
            "load": 1,
            "word": address_bits(config) - pixel_bits(config),
            "data": 8 * config.pixels,
            "here": config.pixels,
            "beyond": config.pixels,
        }
    )

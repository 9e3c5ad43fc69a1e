"""The layout of a descriptor, and whether a configuration can hold what it asks for."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data

from headrace import isa
from headrace.config import Config
from headrace.isa import Opcode

from .layouts import layout

DESCRIPTOR = layout(isa.DESCRIPTOR)
CHECK_CYCLES = 4
"""After a descriptor has come, until it is known whether it is valid."""


def valid_descriptor(m: Module, descriptor: data.View, config: Config) -> Signal:
    """1 where the opcode exists, its fields lie within the configuration's limits and the address is a multiple of
    8; CHECK_CYCLES later."""
    # Of numbers that are sums' parts the bits beyond their limits do not count: those that have some are refused.
    x_bits, beat_bits = config.x_bytes.bit_length(), (config.x_bytes // isa.BEAT_BYTES).bit_length()
    end = Signal(x_bits + 1)
    small, moves = Signal(2), Signal()
    m.d.sync += [
        end.eq(descriptor.x_address[:x_bits] + (descriptor.beats[:beat_bits] << 3)),
        small.eq(Cat(~descriptor.x_address[x_bits:].any(), ~descriptor.beats[beat_bits:].any())),
        moves.eq(small.all() & (end <= config.x_bytes) & descriptor.beats.any() & ~descriptor.x_address[:3].any()),
    ]
    lanes, blocks, store = Signal(2), Signal(), Signal()
    m.d.sync += [
        lanes.eq(Cat(descriptor.lane_from < descriptor.lane_to, descriptor.lane_to <= config.lanes)),
        blocks.eq(descriptor.in_channels.any() & ~(descriptor.in_plane[:3] | descriptor.stride[:3]).any()),
        store.eq(descriptor.lane_from == 0),
    ]
    within = _within(m, descriptor, config)
    same = Signal()
    m.d.sync += same.eq(_table_beats(m, descriptor, config) == descriptor.beats)

    valid = Signal()
    with m.Switch(descriptor.opcode):
        with m.Case(Opcode.END):
            m.d.sync += valid.eq(1)
        with m.Case(Opcode.LOAD):
            m.d.sync += valid.eq(moves & lanes.all() & blocks)
        with m.Case(Opcode.STORE):
            m.d.sync += valid.eq(moves & store)
        with m.Case(Opcode.LAYER):
            m.d.sync += valid.eq(within & same)
        with m.Default():
            m.d.sync += valid.eq(0)
    with m.If(descriptor.address[:3].any()):
        m.d.sync += valid.eq(0)
    return valid


def _within(m: Module, layer: data.View, config: Config) -> Signal:
    """1 where each field of a layer is within its limits; two cycles later."""
    limits = {
        "in_channels": None,
        "taps": config.taps,
        "phases": None,
        "words": config.acc_words,
        "out_channels": config.channels,
        "symbol_beats": config.symbols // 2,
        "code_tables": config.code_tables,
        "pitch": None,
    }
    holds = [
        layer[name].any() if high is None else (layer[name] != 0) & (layer[name] <= high)
        for name, high in limits.items()
    ]
    holds += [
        layer.mask_beats <= config.masks,
        layer.slot_shift <= isa.SLOT_SHIFT_MAX,
        layer.clamp_low <= layer.clamp_high,
        ~layer.gathered.any() | (layer.uniform & ~layer.maximum & (layer.words == 1)),
        ~layer.gathered.any() | (layer.out_columns <= layer.gathered),
        layer.gathered <= config.gathered_rows,
        ~layer.total | (~layer.gathered.any() & ~layer.maximum & (layer.words == 1)),
    ]
    each, within = Signal(len(holds)), Signal()
    m.d.sync += [each.eq(Cat(holds)), within.eq(each.all())]
    return within


def _table_beats(m: Module, layer: data.View, config: Config) -> Signal:
    """Beats of the tables of a layer that is within its limits; two cycles later."""
    codes, taps, masks, symbols, channels = (
        layer[name][: high.bit_length()]
        for name, high in (
            ("code_tables", config.code_tables),
            ("taps", config.taps),
            ("mask_beats", config.masks),
            ("symbol_beats", config.symbols // 2),
            ("out_channels", config.channels),
        )
    )
    assert isa.CODE_BEATS == 0b1101
    parts = [codes + (codes << 2) + (codes << 3), taps + masks, symbols + Mux(layer.uniform, 1, channels)]
    sums = [Signal(len(part), name=f"table_beats_{n}") for n, part in enumerate(parts)]
    total = Signal(16)
    m.d.sync += [part.eq(value) for part, value in zip(sums, parts, strict=True)]
    m.d.sync += total.eq(sum(sums, start=Const(isa.LANE_TABLES * config.lanes)))
    return total

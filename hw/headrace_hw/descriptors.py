"""Whether a configuration can hold what a descriptor asks for."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data

from headrace import isa
from headrace.config import Config
from headrace.isa import Opcode


def valid_descriptor(m: Module, descriptor: data.View, config: Config) -> Signal:
    """1 where the opcode exists, its fields lie within the configuration's limits and the address is a multiple of
    8."""
    beats = (
        isa.LANE_TABLES * config.lanes
        + isa.CODE_BEATS * descriptor.code_tables
        + descriptor.taps
        + descriptor.mask_beats
        + descriptor.symbol_beats
        + Mux(descriptor.uniform, 1, descriptor.out_channels)
    )
    fits, valid = Signal(), Signal()
    end = descriptor.x_address + (descriptor.beats << 3)
    moves = (descriptor.beats != 0) & ~descriptor.x_address[:3].any() & (end <= config.x_bytes)
    gathers = descriptor.uniform & ~descriptor.maximum & (descriptor.words == 1) & config.gathers
    with m.Switch(descriptor.opcode):
        with m.Case(Opcode.END):
            m.d.comb += fits.eq(1)
        with m.Case(Opcode.LOAD):
            lanes = (descriptor.lane_from < descriptor.lane_to) & (descriptor.lane_to <= config.lanes)
            m.d.comb += fits.eq(moves & lanes)
        with m.Case(Opcode.STORE):
            m.d.comb += fits.eq(moves & (descriptor.lane_from == 0))
        with m.Case(Opcode.LAYER):
            m.d.comb += fits.eq(
                (descriptor.in_channels != 0)
                & (descriptor.taps != 0)
                & (descriptor.taps <= config.taps)
                & (descriptor.mask_beats <= config.masks)
                & (descriptor.phases != 0)
                & (descriptor.words != 0)
                & (descriptor.words <= config.acc_words)
                & (descriptor.out_channels != 0)
                & (descriptor.out_channels <= config.channels)
                & (descriptor.symbol_beats != 0)
                & (descriptor.symbol_beats <= config.symbols // 2)
                & (descriptor.code_tables != 0)
                & (descriptor.code_tables <= config.code_tables)
                & (descriptor.pitch != 0)
                & (descriptor.slot_shift <= isa.SLOT_SHIFT_MAX)
                & (~descriptor.gathered | gathers)
                & (descriptor.clamp_low <= descriptor.clamp_high)
                & (descriptor.beats == beats)
            )
    m.d.comb += valid.eq(fits & ~descriptor.address[:3].any())
    return valid

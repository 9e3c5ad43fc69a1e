"""Entropy decoder of a lane: 64-bit beats in, one symbol per cycle out."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from headrace import isa
from headrace.config import Config

from .codes import Codes
from .layouts import layout
from .shapes import SYMBOL, Fault, Table, TableWrite, index_bits

PIECE = 16
WINDOW = 40
REFILL_BELOW = WINDOW - PIECE  # a window refilled below this always holds a codeword in the next cycle
ENTRY_BITS = isa.VALUE_BITS + isa.RUN_BITS + 1


class Decoder(wiring.Component):
    """Canonical Huffman decoder: parallel length compare, shift by the length in the same cycle.

    Decodes ahead while `enable` is high, also past the lane's last row: whoever counts rows stops listening, and a
    fault counts only when its symbol is used. Once `i_ended` is high and the beats are used up, zeros follow; a
    symbol with any bit of those carries Fault.UNDERRUN. A literal takes two cycles, escape and literal, and up to two
    more if the window has to be refilled first; one that ends a row selects the code of what follows, which takes as
    many cycles as a code has beats besides. See Codes for when the first code is selected.
    Latency: 3 cycles from a beat's arrival to its first symbol. Reset to forget a stream.

    Source: canonical decoding by first codes, Moffat and Turpin, IEEE Trans. Commun. 45(10), 1997.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(64)),
                "i_ended": In(1),
                "enable": In(1),
                "code_tables": In(isa.CODE_TABLE_BITS + 1),
                "first_table": In(isa.CODE_TABLE_BITS),
                "table": In(TableWrite()),
                "o": Out(stream.Signature(SYMBOL)),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        longest = isa.MAX_CODE_LENGTH
        m.submodules.codes = codes = Codes(self._config)
        wiring.connect(m, wiring.flipped(self.table), codes.i)
        m.d.comb += [codes.code_tables.eq(self.code_tables), codes.first_table.eq(self.first_table)]

        # Beats to pieces, first byte in the high half of a piece.
        beat = Signal(64)
        pieces_left = Signal(range(5))
        piece = Cat(beat[8:16], beat[0:8])
        virtual = Signal()
        insert = Signal()
        m.d.comb += [
            virtual.eq(self.enable & (pieces_left == 0) & self.i_ended),
            self.i.ready.eq((pieces_left == 0) | (insert & (pieces_left == 1))),
        ]
        with m.If(insert & (pieces_left != 0)):
            m.d.sync += [beat.eq(beat >> PIECE), pieces_left.eq(pieces_left - 1)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [beat.eq(self.i.payload), pieces_left.eq(4)]

        # The loop: compare, shift, refill.
        window = Signal(WINDOW)
        fill = Signal(range(WINDOW + 1))
        virtual_pieces = Signal(2)  # saturates at 3, more than a window holds
        literal = Signal()
        head = window[-longest:]
        beyond = Signal(longest)
        length = Signal(range(longest + 1), init=1)  # 1 too for bits that are no codeword
        consume, shift = Signal(), Signal(range(isa.LITERAL_BITS + 1))
        s0_ready = Signal()
        escape = Signal()
        m.d.comb += [
            beyond.eq(Cat(head >= codes.limit[n] for n in range(longest))),
            escape.eq(~literal & (head >= codes.escape_limit)),
            consume.eq(self.enable & ~codes.busy & s0_ready & (fill >= Mux(literal, isa.LITERAL_BITS, longest))),
        ]
        length_one_hot = Cat(Const(1, 1), beyond[:-1]) & ~beyond
        for n in range(longest):
            with m.If(length_one_hot[n]):
                m.d.comb += length.eq(n + 1)
        with m.If(consume):
            m.d.comb += shift.eq(Mux(literal, isa.LITERAL_BITS, length))
        m.d.comb += insert.eq((fill <= REFILL_BELOW) & ((pieces_left != 0) | virtual))
        refilled = Signal(WINDOW)
        placed = Signal(WINDOW)
        m.d.comb += [
            placed.eq(Cat(Const(0, WINDOW - PIECE), Mux(virtual, 0, piece)) >> fill),
            refilled.eq(window | Mux(insert, placed, 0)),
        ]
        shifted = Signal(WINDOW)
        with m.Switch(shift):
            for amount in (*range(1, longest + 1), isa.LITERAL_BITS):
                with m.Case(amount):
                    m.d.comb += shifted.eq(refilled << amount)
            with m.Default():
                m.d.comb += shifted.eq(refilled)
        m.d.sync += [window.eq(shifted), fill.eq(fill - shift + Mux(insert, PIECE, 0))]
        with m.If(insert & virtual & (virtual_pieces != 3)):
            m.d.sync += virtual_pieces.eq(virtual_pieces + 1)
        with m.If(consume):
            m.d.sync += literal.eq(escape)
        literal_bits = window[-isa.LITERAL_BITS :]
        following_row = data.View(layout(isa.ROW), literal_bits[: isa.ROW.width])
        m.d.comb += [
            codes.switch.eq(consume & literal & data.View(layout(isa.LITERAL), literal_bits).end),
            codes.table.eq(following_row.table),
        ]

        # Stage 0: what was consumed. An escape itself yields no symbol.
        s0_valid = Signal()
        s0 = Signal(
            data.StructLayout(
                {
                    "head": longest,
                    "length": length.shape(),
                    "base_place": codes.base_place.shape(),
                    "literal": 1,
                    "raw": isa.LITERAL_BITS,
                    "bad": 1,
                }
            )
        )
        s1_ready = Signal()
        m.d.comb += s0_ready.eq(~s0_valid | s1_ready)
        with m.If(s0_ready):
            m.d.sync += [
                s0_valid.eq(consume & ~escape),
                s0.head.eq(head),
                s0.length.eq(length),
                s0.base_place.eq(codes.place + length - 1),
                s0.literal.eq(literal),
                s0.raw.eq(literal_bits),
                s0.bad.eq(~literal & beyond[-1]),
            ]
        # `fill` after the symbol is known one cycle after it; what it lacks then are zeros made up behind the end.
        underrun = Signal()
        m.d.comb += underrun.eq(fill < Cat(Const(0, 4), virtual_pieces))

        # Stage 1: table look-up.
        index = Signal(index_bits(self._config))
        codeword = Signal(longest)
        for n in range(1, longest + 1):
            with m.If(s0.length == n):
                m.d.comb += codeword.eq(s0.head >> (longest - n))
        m.d.comb += [codes.base_place.eq(s0.base_place), index.eq(codeword + codes.base)]
        entry = self._symbol_table(m, index, s0_valid & s1_ready)
        s1_valid, s1_literal, s1_raw, s1_fault = Signal(), Signal(), Signal(isa.LITERAL_BITS), Signal(Fault)
        m.d.comb += s1_ready.eq(~s1_valid | self.o.ready)
        with m.If(s1_ready):
            m.d.sync += [
                s1_valid.eq(s0_valid),
                s1_literal.eq(s0.literal),
                s1_raw.eq(s0.raw),
                s1_fault.eq(Mux(underrun, Fault.UNDERRUN, Mux(s0.bad, Fault.BAD_SYMBOL, Fault.NONE))),
            ]

        raw = data.View(layout(isa.LITERAL), s1_raw)
        tap = data.View(layout(isa.SYMBOL), Cat(entry, Const(0, 32 - ENTRY_BITS)))
        row = data.View(layout(isa.ROW), Mux(s1_literal, s1_raw[: isa.ROW.width], entry[:-1]))
        symbol = self.o.payload
        m.d.comb += [
            self.o.valid.eq(s1_valid),
            symbol.end.eq(Mux(s1_literal, raw.end, tap.end)),
            symbol.value.eq(Mux(s1_literal, raw.value, tap.value)),
            symbol.run.eq(Mux(s1_literal, raw.run, tap.run)),
            symbol.target.eq(row.target),
            symbol.source.eq(row.source),
            symbol.differential.eq(row.differential),
            symbol.fault.eq(s1_fault),
        ]
        return m

    def _symbol_table(self, m: Module, index: Signal, enable: object) -> Signal:
        """Two entries a word, as they arrive; read in one cycle."""
        m.submodules.symbols = memory = Memory(shape=unsigned(2 * ENTRY_BITS), depth=self._config.symbols // 2, init=[])
        write, read = memory.write_port(), memory.read_port()
        odd = Signal()
        entry = Signal(ENTRY_BITS)
        m.d.comb += [
            write.addr.eq(self.table.index),
            write.data.eq(Cat(self.table.data[:ENTRY_BITS], self.table.data[32 : 32 + ENTRY_BITS])),
            write.en.eq(self.table.valid & (self.table.table == Table.SYMBOLS)),
            read.addr.eq(index >> 1),
            read.en.eq(enable),
            entry.eq(Mux(odd, read.data[ENTRY_BITS:], read.data[:ENTRY_BITS])),
        ]
        with m.If(enable):
            m.d.sync += odd.eq(index[0])
        return entry

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

PIECE = 16  # more than a codeword, so that no shift uses up two
ENTRY_BITS = isa.VALUE_BITS + isa.RUN_BITS + 1
HALF_LITERAL = isa.LITERAL_BITS // 2


class Decoder(wiring.Component):
    """Canonical Huffman decoder: parallel length compare, shift by the length in the same cycle.

    Decodes ahead while `enable` is high, also past the lane's last row: whoever counts rows stops listening, and a
    fault counts only when its symbol is used. Once `i_ended` is high and the beats are used up, zeros follow; a
    symbol with any bit of those carries Fault.UNDERRUN. A literal takes three cycles, one of them for its escape; one
    that ends a row selects the code of what follows, which takes as many cycles as Codes needs besides. `start` (a
    pulse) selects the first code, of the tables in half `bank`.
    Latency: 7 cycles from a beat's arrival to its first symbol. Reset to forget a stream.

    Source: canonical decoding by first codes, Moffat and Turpin, IEEE Trans. Commun. 45(10), 1997.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(64)),
                "i_ended": In(1),
                "enable": In(1),
                "bank": In(1),
                "start": In(1),
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
        m.d.comb += [
            codes.bank.eq(self.bank),
            codes.start.eq(self.start),
            codes.code_tables.eq(self.code_tables),
            codes.first_table.eq(self.first_table),
        ]

        # Beats to pieces, first byte in the high half of a piece; behind the end, pieces of zeros. Three of them are at
        # hand: where the offset went past the first in the cycle before, the second and the third count, and all move
        # up. So no register waits for the loop to know what it needs.
        piece_layout = data.StructLayout({"bits": PIECE, "virtual": 1})
        beat = Signal(64)
        pieces_left = Signal(range(5))
        # Registers that need no reset have one to spare, for zeros.
        pieces = [Signal(piece_layout, name=f"piece_{n}", reset_less=True) for n in range(3)]
        held = Signal(3)
        offset = Signal(range(2 * PIECE))
        used_up = offset[-1]
        moves = [~held[: n + 1].all() | used_up for n in range(3)]  # to piece n from the one behind it
        refill = moves[2]
        empty = pieces_left == 0
        swapped = [Cat(beat[n + 8 : n + 16], beat[n : n + 8]) for n in range(0, 64, PIECE)]
        piece = Mux(
            pieces_left[1], Mux(pieces_left[0], swapped[1], swapped[2]), Mux(pieces_left[0], swapped[3], swapped[0])
        )
        m.d.comb += self.i.ready.eq(empty | (refill & (pieces_left == 1)))
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [beat.eq(self.i.payload), pieces_left.eq(4)]
        with m.Elif(refill & ~empty):
            m.d.sync += pieces_left.eq(pieces_left - 1)
        for n in range(2):
            with m.If(moves[n]):
                m.d.sync += [pieces[n].eq(pieces[n + 1]), held[n].eq(held[n + 1])]
        with m.If(refill):
            m.d.sync += [
                pieces[2].bits.eq(piece),
                pieces[2].virtual.eq(empty),
                held[2].eq(~empty | (self.enable & self.i_ended)),
            ]
            with m.If(empty):
                m.d.sync += pieces[2].bits.eq(0)
        present, following, window_held = Signal(piece_layout), Signal(piece_layout), Signal()
        m.d.comb += [
            present.eq(Mux(used_up, pieces[1], pieces[0])),
            following.eq(Mux(used_up, pieces[2], pieces[1])),
            window_held.eq(Mux(used_up, held[1:].all(), held[:2].all())),
        ]

        # The loop: compare the head, shift it, append what follows: `behind` begins `offset` bits into the first piece.
        # A literal's two halves are shifted out one after the other.
        head, primed = Signal(longest), Signal()
        behind = Signal(longest)
        literal, second_half, switch = Signal(), Signal(), Signal()
        first_half = Signal(HALF_LITERAL)
        beyond = Signal(longest)  # the codeword is longer than n + 1 bits
        length = Signal(range(longest + 1))
        move, consume = Signal(), Signal()
        advance = Signal()  # of all stages behind the loop
        escape = Signal()
        m.d.comb += [
            behind.eq((Cat(following.bits, present.bits) << offset[:-1])[2 * PIECE - longest : 2 * PIECE]),
            beyond.eq(Cat(head[longest - 1 - n :] >= codes.limit[n][longest - 1 - n :] for n in range(longest))),
            escape.eq(~literal & (head >= codes.escape_limit)),
            move.eq(self.enable & window_held & (~primed | (~switch & ~codes.busy & advance))),
            consume.eq(move & primed),
        ]
        # What the head and the offset become after a shift by any length; `beyond`, a thermometer, chooses. At first
        # the whole head is shifted, and of a literal half of it: known early, so these join late.
        after = []
        for n in range(longest):
            candidate = Signal(longest + 5, name=f"after_{n + 1}")
            m.d.comb += candidate.eq(
                Cat((Cat(behind, head) << (n + 1))[longest : 2 * longest], (offset[:-1] + n + 1)[:5])
            )
            after.append(candidate)
        thirds = [
            Mux(beyond[n + 1], after[n + 2], Mux(beyond[n], after[n + 1], after[n])) for n in range(0, longest, 3)
        ]
        fixed, by_fixed = Signal(), Signal(longest + 5)
        low, high = Signal(longest + 5), Signal(longest + 5)
        chosen = Signal(longest + 5)
        m.d.comb += [
            fixed.eq(literal | ~primed),
            by_fixed.eq(Mux(primed, after[HALF_LITERAL - 1], after[longest - 1])),
            low.eq(Mux(fixed, by_fixed, Mux(beyond[2], thirds[1], thirds[0]))),
            high.eq(Mux(fixed, by_fixed, Mux(beyond[8], thirds[3], thirds[2]))),
            chosen.eq(Mux(beyond[5], high, low)),
        ]
        m.d.sync += used_up.eq(0)
        with m.If(move):
            m.d.sync += [Cat(head, offset).eq(chosen), primed.eq(1)]
        # Stage 0: how long it was, and whether made-up bits came into the head for it.
        moved, was_longer, was_fixed = Signal(), Signal(longest - 1), Signal(range(longest + 1))
        all_made_up, some_made_up = Signal(), Signal()
        with m.If(advance):
            m.d.sync += [
                moved.eq(move),
                was_longer.eq(beyond[:-1]),
                was_fixed.eq(Mux(fixed, Mux(primed, HALF_LITERAL, longest), 0)),
                all_made_up.eq(present.virtual),
                some_made_up.eq(following.virtual & chosen[-1]),
            ]
        length_one_hot = Cat(Const(1, 1), was_longer) & Cat(~was_longer, Const(1, 1))
        for n in range(longest):
            with m.If(length_one_hot[n]):
                m.d.comb += length.eq(n + 1)
        # Stage 1: how many made-up bits those were; `made_up` came before. Those that exceed the head's length have
        # been consumed.
        made_up, newly, underrun = Signal(range(longest + 2)), Signal(range(PIECE)), Signal()
        m.d.comb += underrun.eq(made_up + newly > longest)
        with m.If(advance):
            m.d.sync += newly.eq(0)
            with m.If(moved & all_made_up):
                m.d.sync += newly.eq(Mux(was_fixed != 0, was_fixed, length))
            with m.Elif(moved & some_made_up):
                m.d.sync += newly.eq(offset[:-1])
            m.d.sync += made_up.eq(Mux(underrun, longest + 1, made_up + newly))
        with m.If(consume):
            m.d.sync += [
                literal.eq(escape | (literal & ~second_half)),
                second_half.eq(literal & ~second_half),
                first_half.eq(head[-HALF_LITERAL:]),
            ]
        literal_bits = Cat(head[-HALF_LITERAL:], first_half)
        following_row = data.View(layout(isa.ROW), literal_bits[: isa.ROW.width])
        m.d.sync += [
            switch.eq(consume & second_half & data.View(layout(isa.LITERAL), literal_bits).end),
            codes.table.eq(following_row.table),
        ]
        m.d.comb += codes.switch.eq(switch)

        # Stage 0, too: what was consumed. An escape itself yields no symbol, nor does a literal's first half.
        s0_valid = Signal()
        s0 = Signal(
            data.StructLayout(
                {
                    "head": longest,
                    "literal": 1,
                    "raw": isa.LITERAL_BITS,
                    "bad": 1,
                }
            )
        )
        with m.If(advance):
            m.d.sync += [
                s0_valid.eq(consume & Mux(literal, second_half, ~escape)),
                s0.head.eq(head),
                s0.literal.eq(literal),
                s0.raw.eq(literal_bits),
                s0.bad.eq(~literal & beyond[-1]),
            ]
        # Stage 1: the codeword, and the base of its length.
        s1_valid, s1_literal, s1_raw, s1_bad = Signal(), Signal(), Signal(isa.LITERAL_BITS), Signal()
        s1_codeword, s1_base = Signal(longest), Signal(index_bits(self._config))
        codeword = Signal(longest)
        for n in range(1, longest + 1):
            with m.If(length == n):
                m.d.comb += codeword.eq(s0.head >> (longest - n))
        m.d.comb += codes.length.eq(length)
        with m.If(advance):
            m.d.sync += [
                s1_valid.eq(s0_valid),
                s1_literal.eq(s0.literal),
                s1_raw.eq(s0.raw),
                s1_bad.eq(s0.bad),
                s1_codeword.eq(codeword),
                s1_base.eq(codes.base),
            ]

        # Stage 2: table look-up.
        index = Signal(index_bits(self._config))
        m.d.comb += index.eq(s1_codeword + s1_base)
        entry = self._symbol_table(m, index, advance)
        s2_valid, s2_literal, s2_raw, s2_fault = Signal(), Signal(), Signal(isa.LITERAL_BITS), Signal(Fault)
        m.d.comb += advance.eq(~s2_valid | self.o.ready)
        with m.If(advance):
            m.d.sync += [
                s2_valid.eq(s1_valid),
                s2_literal.eq(s1_literal),
                s2_raw.eq(s1_raw),
                s2_fault.eq(
                    Mux(
                        Mux(s1_bad, made_up >= longest, underrun),  # bits that are no codeword have no length
                        Fault.UNDERRUN,
                        Mux(s1_bad, Fault.BAD_SYMBOL, Fault.NONE),
                    )
                ),
            ]

        raw = data.View(layout(isa.LITERAL), s2_raw)
        tap = data.View(layout(isa.SYMBOL), Cat(entry, Const(0, 32 - ENTRY_BITS)))
        row = data.View(layout(isa.ROW), Mux(s2_literal, s2_raw[: isa.ROW.width], entry[:-1]))
        symbol = self.o.payload
        m.d.comb += [
            self.o.valid.eq(s2_valid),
            symbol.end.eq(Mux(s2_literal, raw.end, tap.end)),
            symbol.value.eq(Mux(s2_literal, raw.value, tap.value)),
            symbol.run.eq(Mux(s2_literal, raw.run, tap.run)),
            symbol.target.eq(row.target),
            symbol.source.eq(row.source),
            symbol.differential.eq(row.differential),
            symbol.fault.eq(s2_fault),
        ]
        return m

    def _symbol_table(self, m: Module, index: Signal, enable: object) -> Signal:
        """Two entries a word, as they arrive, of two layers; read in one cycle."""
        m.submodules.symbols = memory = Memory(shape=unsigned(2 * ENTRY_BITS), depth=self._config.symbols, init=[])
        write, read = memory.write_port(), memory.read_port()
        odd = Signal()
        entry = Signal(ENTRY_BITS)
        m.d.comb += [
            write.addr.eq(Cat(self.table.index[: len(write.addr) - 1], self.table.bank)),
            write.data.eq(Cat(self.table.data[:ENTRY_BITS], self.table.data[32 : 32 + ENTRY_BITS])),
            write.en.eq(self.table.valid & (self.table.table == Table.SYMBOLS)),
            read.addr.eq(Cat(index[1:], self.bank)),
            read.en.eq(enable),
            entry.eq(Mux(odd, read.data[ENTRY_BITS:], read.data[:ENTRY_BITS])),
        ]
        with m.If(enable):
            m.d.sync += odd.eq(index[0])
        return entry

"""LaneFetcher asks for the lanes' streams exactly, and never for more than its FIFOs can take."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Array, Assert, Assume, Cat, Cover, Module, Mux, Signal
from amaranth.lib import memory

from .harness import Harness, Queue, delayed, load, patient_stream
from .open_fifos import open_fifos

LANES, FIFO_BEATS, BURST_BEATS, FIRST_BEATS = 2, 3, 2, 1  # small: a FIFO is nearly full after the second burst
PAGE_BEATS = 4096 // 8
WAIT, CHOOSE, LOOK, SIZE, UPDATE, REQUEST = range(6)  # in the order in which the block's state machine names them


def open_memories() -> SimpleNamespace:
    """Stands for `amaranth.lib.memory`: a Memory also shows its rows, once `peeks[n].addr` is n; `made` lists them."""
    made: list[Any] = []

    class OpenMemory(memory.Memory):
        def __init__(self, *, shape: Any, depth: int, init: list[Any]) -> None:
            super().__init__(shape=shape, depth=depth, init=init)
            self.peeks = [self.read_port(domain="comb") for _ in range(depth)]
            made.append(self)

    return SimpleNamespace(Memory=OpenMemory, made=made)


class FetcherHarness(Harness):
    """Layers follow each other: streams set for all lanes, then `request`, then `switch` when the lanes have ended.

    Beats that were asked for come when and in what order of lanes they like; memory and lanes are free, too. `clear`
    is not used.
    """

    name = "fetcher"
    properties = (
        "streams requested exactly, none over 4 KiB; always room for a beat; order; each layer's beats; no idling"
    )
    depth, induction, cover_depth = 10, 6, 24

    def build(self, m: Module) -> None:
        fifos, memories = open_fifos(self.edits), open_memories()
        module = load("headrace_hw.fetcher", self.edits, fifo=fifos, memory=memories, FIRST_BEATS=FIRST_BEATS)
        dut = module.LaneFetcher(LANES, FIFO_BEATS, BURST_BEATS)
        inside = self.dut(m, dut)
        stream, request, beat = dut.i_stream, dut.o_request, dut.i_beat
        for value in (stream.valid, stream.payload.as_value(), request.ready, beat.valid, beat.payload.as_value()):
            self.free(m, value)
        for value in (dut.request, dut.switch):
            self.free(m, value)
        state, held = inside.fsm_state, Signal(range(FIFO_BEATS + 1))
        m.d.comb += held.eq(Mux(state == REQUEST, inside.beats, 0))

        # The layers: streams are set until they are requested, and then again after the switch.
        waiting, turn, given = Signal(), Signal(), Signal(LANES)
        m.d.sync += [waiting.eq((waiting | dut.request) & ~dut.switch), turn.eq(turn ^ dut.request)]
        m.d.sync += given.eq(Mux(dut.request, 0, given | (stream.valid << stream.p.lane)))
        m.d.comb += [
            Assume(~stream.valid | ~waiting),
            Assume(~dut.request | (~waiting & given.all() & dut.requested & ~stream.valid)),
            Assume(~dut.switch | (waiting & dut.ended.all())),
            Assume(stream.p.address[:3] == 0),
            Assume(stream.p.beats <= (1 << 29) - stream.p.address[3:]),
        ]

        # Per lane: what is still to be asked for, and will be once a request that is new in this cycle is told.
        expected = Array(Signal(32, name=f"expected{n}") for n in range(LANES))
        left = Array(Signal(32, name=f"left{n}") for n in range(LANES))
        pending = Array(Signal(range(FIFO_BEATS + 1), name=f"pending{n}") for n in range(LANES))
        owner = request.p.tag[1:-1]
        new = request.valid & ~delayed(m, request.valid & ~request.ready)
        m.d.comb += [Assert(patient_stream(m, request)), Assume(~beat.valid | (pending[beat.p.tag[1:-1]] != 0))]
        with m.If(new):
            m.d.comb += [
                Assert((request.p.beats >= 1) & (request.p.beats <= BURST_BEATS) & (request.p.beats <= left[owner])),
                Assert(request.p.address == expected[owner]),
                Assert(request.p.address[3:12] + request.p.beats <= PAGE_BEATS),
                Assert(request.p.tag[-1] == ~turn),
                Assert(request.p.tag[0] == (request.p.beats == left[owner])),
            ]
        to_ask, able = Signal(LANES), Signal(LANES)
        wheres, lefts = Array(Signal(32) for _ in range(LANES)), Array(Signal(32) for _ in range(LANES))
        for n in range(LANES):
            lane = dut.lane[n]
            self.free(m, lane.ready)
            mine = request.valid & (owner == n)
            comes = beat.valid & (beat.p.tag[1:-1] == n)
            told = Mux(new & mine, request.p.beats, 0)
            m.d.comb += [wheres[n].eq(expected[n] + (told << 3)), lefts[n].eq(left[n] - told)]
            address, beats, present = Signal(32), Signal(32), Signal(32)  # coming stream; present layer's untaken beats
            with m.If(stream.valid & (stream.p.lane == n)):
                m.d.sync += [address.eq(stream.p.address), beats.eq(stream.p.beats)]
            m.d.sync += expected[n].eq(Mux(dut.request, address, wheres[n]))
            m.d.sync += left[n].eq(Mux(dut.request, beats, lefts[n]))
            m.d.sync += pending[n].eq(pending[n] + Mux(mine & request.ready, request.p.beats, 0) - comes)
            m.d.sync += present.eq(Mux(dut.switch, beats, present - (lane.valid & lane.ready)))

            # The queue itself asserts that no beat finds it full.
            ends = beat.p.last & beat.p.tag[0]
            queue = Queue(m, 65, FIFO_BEATS, comes, Cat(beat.p.data, ends), lane.valid & lane.ready)
            is_end = [
                (k + 1 == present) | (waiting & (k + 1 == present + beats)) for k in range(FIFO_BEATS)
            ]  # beat k of the queue, and of what comes
            offered = Mux(inside.index == n, held, 0)
            under_way = queue.count + pending[n] + offered
            m.d.comb += [
                Assert(patient_stream(m, lane)),
                Assert(lane.valid == ((queue.count != 0) & (present != 0))),
                Assert(~lane.valid | (lane.payload == queue.entries[0][:64])),
                Assume(~comes | (ends == Array(is_end)[queue.count])),
                Assert(dut.ended[n] == (present == 0)),
                Assert(under_way <= FIFO_BEATS),
                Assert(under_way + lefts[n] == present + Mux(waiting, beats, 0)),
                to_ask[n].eq(lefts[n] != 0),
                able[n].eq(to_ask[n] & (FIFO_BEATS - under_way >= BURST_BEATS)),
                Cover(comes & (queue.count == FIFO_BEATS - 1)),
                Cover(lane.valid & lane.ready & (present == 1) & (queue.count == 2)),  # the next layer's beat is here
            ]

            # For induction: the block's registers are those of the reference.
            low, high, place = (memories.made[k].peeks[row] for k, row in ((0, n), (0, n + LANES), (1, n)))
            coming, going = (Mux(inside.half, a, b) for a, b in ((high.data, low.data), (low.data, high.data)))
            here = Mux(inside.begun[n], place.data.as_value(), going)
            queue.agrees(m, fifos.made[n].stored)
            m.d.comb += [low.addr.eq(n), high.addr.eq(n + LANES), place.addr.eq(n)]
            m.d.comb += [
                Assert(fifos.made[n].level == queue.count),
                Assert(getattr(inside, f"credit{n}") + under_way == FIFO_BEATS),
                Assert(inside.wants[n] == to_ask[n]),
                Assert(~to_ask[n] | (here == Cat(wheres[n], lefts[n]))),
                Assert(~given[n] | waiting | (coming == Cat(address, beats))),
                Assert(~(given[n] | waiting) | (inside.coming[n] == (beats != 0))),
                *(Assert((k >= queue.count) | (queue.entries[k][64] == is_end[k])) for k in range(FIFO_BEATS)),
                Assert((address[:3] == 0) & (beats <= (1 << 29) - address[3:])),
                Assert((wheres[n][:3] == 0) & (lefts[n] <= (1 << 29) - wheres[n][3:])),
                Assert((state != CHOOSE) | ~inside.pool[n] | able[n]),
                Assert((state < LOOK) | (state > UPDATE) | (inside.index != n) | able[n]),
            ]

        m.d.comb += [
            Assert(dut.requested == ~to_ask.any()),
            Assert(state <= REQUEST),
            Assert((state != CHOOSE) | inside.pool.any()),
            Assert(inside.half == turn),
            Assert(~(waiting & given.any())),
        ]
        after_pool = [id(signal) for signal in inside.in_order].index(id(inside.pool)) + 1
        place, remaining, last = inside.in_order[after_pool : after_pool + 3]  # which have no names of their own
        with m.If((state == SIZE) | (state == UPDATE)):
            m.d.comb += Assert((place == wheres[inside.index]) & (remaining == lefts[inside.index]))
        with m.If(state == UPDATE):
            page = PAGE_BEATS - place[3:12]
            longest = Mux(inside.begun.bit_select(inside.index, 1), BURST_BEATS, FIRST_BEATS)
            limit = Mux(page < longest, page, longest)
            m.d.comb += [
                Assert(inside.beats == Mux(remaining < limit, remaining, limit)),
                Assert(last == (remaining == inside.beats)),
            ]

        # A lane with beats to ask for, and room, gets its request.
        quiet = [able.any() & ~request.valid]
        for _ in range(5):
            quiet.append(delayed(m, quiet[-1]))
        m.d.comb += Assert(~Cat(quiet).all())
        m.d.comb += Cover(to_ask.all() & new & dut.lane[0].valid & dut.lane[1].valid)

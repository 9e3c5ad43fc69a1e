"""LaneFetcher asks for the lanes' streams exactly, and never for more than its FIFOs can take."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Array, Assert, Assume, Cover, Module, Mux, Signal
from amaranth.lib import memory

from .harness import Harness, Queue, delayed, load, patient_stream
from .open_fifos import open_fifos

LANES, FIFO_BEATS, BURST_BEATS = 2, 3, 2  # small: a FIFO is nearly full after the first burst
PAGE_BEATS = 4096 // 8
WAIT, CHOOSE, SIZE, UPDATE, REQUEST = range(5)  # in the order in which the block's state machine names them


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
    """A lane gets a new stream when its last one has ended. Beats that were asked for come when and in what order of
    lanes they like; the memory and the lanes are free, too. `clear` is not used.
    """

    name = "fetcher"
    properties = "streams requested exactly, none over 4 KiB; always room for a beat; order; ended, busy; no idling"
    depth, induction, cover_depth = 10, 6, 24

    def build(self, m: Module) -> None:
        fifos, memories = open_fifos(self.edits), open_memories()
        module = load("headrace_hw.fetcher", self.edits, fifo=fifos, memory=memories)
        dut = module.LaneFetcher(LANES, FIFO_BEATS, BURST_BEATS)
        inside = self.dut(m, dut)
        stream, request, beat = dut.i_stream, dut.o_request, dut.i_beat
        for value in (stream.valid, stream.payload.as_value(), request.ready, beat.valid, beat.payload.as_value()):
            self.free(m, value)
        asked = request.valid & request.ready
        (streams,) = memories.made
        state = inside.fsm_state
        after_pool = [id(signal) for signal in inside.in_order].index(id(inside.pool)) + 1
        address, remaining, last = inside.in_order[after_pool : after_pool + 3]
        m.d.comb += [
            Assume(stream.p.address[:3] == 0),
            Assume(stream.p.beats <= (1 << 29) - stream.p.address[3:]),
            Assert(patient_stream(m, request)),
            Assert(state <= REQUEST),
        ]

        expected = Array(Signal(32, name=f"expected{n}") for n in range(LANES))
        left = Array(Signal(32, name=f"left{n}") for n in range(LANES))
        pending = Array(Signal(range(FIFO_BEATS + 1), name=f"pending{n}") for n in range(LANES))
        going, ready = Signal(LANES), Signal(LANES)
        held = Signal(range(FIFO_BEATS + 1))  # beats of the request that is offered
        m.d.comb += held.eq(Mux(state == REQUEST, inside.beats, 0))
        with m.If(request.valid):
            m.d.comb += [
                Assert((request.p.beats >= 1) & (request.p.beats <= BURST_BEATS)),
                Assert(request.p.beats <= left[request.p.tag]),
                Assert(request.p.address == expected[request.p.tag]),
                Assert(request.p.address[3:12] + request.p.beats <= PAGE_BEATS),
            ]
        m.d.comb += Assume(~beat.valid | (pending[beat.p.tag] != 0))

        for n in range(LANES):
            lane = dut.lane[n]
            self.free(m, lane.ready)
            starts = stream.valid & (stream.p.lane == n)
            asks = asked & (request.p.tag == n)
            comes = beat.valid & (beat.p.tag == n)
            with m.If(starts):
                m.d.sync += [expected[n].eq(stream.p.address), left[n].eq(stream.p.beats)]
            with m.If(asks):
                m.d.sync += [
                    expected[n].eq(expected[n] + (request.p.beats << 3)),
                    left[n].eq(left[n] - request.p.beats),
                ]
            m.d.sync += pending[n].eq(pending[n] + Mux(asks, request.p.beats, 0) - comes)

            # The queue's own assertion: a beat never finds it full.
            queue = Queue(m, 64, FIFO_BEATS, comes, beat.p.data, lane.valid & lane.ready)
            ended = (left[n] == 0) & (pending[n] == 0) & (queue.count == 0)
            m.d.comb += [
                Assume(~starts | ended),
                Assert(patient_stream(m, lane)),
                Assert(lane.valid == (queue.count != 0)),
                Assert(~lane.valid | (lane.payload == queue.entries[0])),
                Assert(dut.ended[n] == ended),
                going[n].eq((left[n] != 0) | (pending[n] != 0)),
                ready[n].eq((left[n] != 0) & (FIFO_BEATS - queue.count - pending[n] >= BURST_BEATS)),
            ]

            # For induction: the block's registers are those of the reference.
            offers = Mux(inside.index == n, held, 0)
            row = streams.peeks[n]
            queue.agrees(m, fifos.made[n].stored)
            able = inside.wants[n] & (getattr(inside, f"credit{n}") >= BURST_BEATS)
            m.d.comb += [
                row.addr.eq(n),
                Assert(fifos.made[n].level == queue.count),
                Assert(getattr(inside, f"credit{n}") + queue.count + pending[n] + offers == FIFO_BEATS),
                Assert(inside.wants[n] == (left[n] != offers)),
                Assert(~inside.wants[n] | (row.data.address == expected[n] + (offers << 3))),
                Assert(~inside.wants[n] | (row.data.beats == left[n] - offers)),
                Assert((expected[n][:3] == 0) & (left[n] <= (1 << 29) - expected[n][3:])),
                Assert((state != CHOOSE) | ~inside.pool[n] | able),
                Assert(((state != SIZE) & (state != UPDATE)) | (inside.index != n) | able),
            ]
            m.d.comb += [Cover(comes & (queue.count == FIFO_BEATS - 1)), Cover(asks & (left[n] == request.p.beats))]

        m.d.comb += [
            Assert(dut.busy == going.any()),
            Assert(inside.under_way == pending[0] + pending[1] + held),
            Assert((state != CHOOSE) | inside.pool.any()),
        ]
        with m.If((state == UPDATE) | (state == REQUEST)):
            page = PAGE_BEATS - address[3:12]
            limit = Mux(page < BURST_BEATS, page, BURST_BEATS)
            m.d.comb += [
                Assert(address == expected[inside.index]),
                Assert(remaining == left[inside.index]),
                Assert(inside.beats == Mux(remaining < limit, remaining, limit)),
                Assert(last == (remaining == inside.beats)),
            ]

        # A lane with beats to ask for, and room, gets its request; only a new stream's arrival holds that up.
        quiet = [ready.any() & ~request.valid & ~stream.valid]
        for _ in range(4):
            quiet.append(delayed(m, quiet[-1]))
        m.d.comb += Assert(~(quiet[0] & quiet[1] & quiet[2] & quiet[3] & quiet[4]))
        m.d.comb += Cover(going.all() & asked & delayed(m, dut.lane[0].valid & dut.lane[1].valid))

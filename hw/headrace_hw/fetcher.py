"""Keeps the stream FIFO of every lane filled over one read port."""

from __future__ import annotations

from amaranth.hdl import Fragment, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, fifo, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .burst import PAGE_BEATS, Block
from .reader import ReadBeat, ReadRequest

LUT_FIFO_BEATS = 64
"""FIFOs up to this depth are of LUTs, deeper ones of block RAM (one more cycle of latency)."""


class LaneStream(data.StructLayout):
    """`beats` 64-bit beats from byte `address`, a multiple of 8, on are lane `lane`'s stream."""

    def __init__(self, lane_bits: int) -> None:
        super().__init__({"lane": lane_bits, "address": 32, "beats": 32})


class LaneFetcher(wiring.Component):
    """Requests the lanes' streams in bursts, round robin, and sorts the beats into one FIFO per lane.

    A lane is served while it has beats left to request and room for `burst_beats` beats, those under way
    counted, so `i_beat` is always ready. A burst crosses no 4 KiB boundary. One burst every four cycles at most.

    `i_stream` takes effect in the next cycle and is always ready; the lane's former stream must have ended.
    `ended[n]`: every beat of lane n's stream has arrived and been taken (so also before a stream is set).
    `busy`: some lane has beats still to request or to arrive. `clear` forgets all streams and beats and withdraws a
    pending request; beats under way would go astray, so the reader must be idle.
    Beats with `error` count like others; who sees it on the reader's output decides what to do.
    """

    def __init__(self, lanes: int, fifo_beats: int, burst_beats: int) -> None:
        if lanes < 1:
            raise ValueError(f"lanes = {lanes} is less than 1")
        if not 1 <= burst_beats <= min(256, fifo_beats):
            raise ValueError(f"burst_beats = {burst_beats} is outside 1..{min(256, fifo_beats)}")
        self.lanes = lanes
        self.fifo_beats = fifo_beats
        self.burst_beats = burst_beats
        self.tag_bits = max(1, (lanes - 1).bit_length())
        super().__init__(
            {
                "i_stream": In(stream.Signature(LaneStream(self.tag_bits), always_ready=True)),
                "o_request": Out(stream.Signature(ReadRequest(self.tag_bits))),
                "i_beat": In(stream.Signature(ReadBeat(self.tag_bits), always_ready=True)),
                "lane": Out(stream.Signature(64)).array(lanes),
                "ended": Out(lanes),
                "busy": Out(1),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: object) -> Fragment:
        m = Module()
        wants = Signal(self.lanes)  # beats left to request
        room = Signal(self.lanes)  # FIFO room for a whole burst
        issue = Signal()
        index = Signal(range(self.lanes))
        beats = Signal(9)

        depth, burst_beats = self.fifo_beats, self.burst_beats
        kind = fifo.SyncFIFO if depth <= LUT_FIFO_BEATS else fifo.SyncFIFOBuffered
        for n in range(self.lanes):
            m.submodules[f"fifo{n}"] = queue = kind(width=64, depth=depth)
            credit = Signal(range(depth + 1), init=depth, name=f"credit{n}")  # room less beats under way
            taken = Signal(name=f"taken{n}")
            m.d.comb += [
                queue.w_data.eq(self.i_beat.p.data),
                queue.w_en.eq(self.i_beat.valid & (self.i_beat.p.tag == n)),
                self.lane[n].p.eq(queue.r_data),
                self.lane[n].valid.eq(queue.r_rdy),
                queue.r_en.eq(self.lane[n].ready),
                taken.eq(queue.r_rdy & queue.r_en),
                room[n].eq(credit >= burst_beats),
                self.ended[n].eq(~wants[n] & (credit == depth)),
            ]
            m.d.sync += credit.eq(credit + taken - Mux(issue & (index == n), beats, 0))

        under_way = Signal(range(self.lanes * depth + 1))
        m.d.sync += under_way.eq(under_way + Mux(issue, beats, 0) - self.i_beat.valid)
        m.d.comb += self.busy.eq(wants.any() | under_way.any())

        self._request(m, wants, room, issue, index, beats)
        return ResetInserter(self.clear)(m)

    def _request(self, m: Module, wants: Signal, room: Signal, issue: Signal, index: Signal, beats: Signal) -> None:
        """Choose a lane, look its stream up, note what will be left, request a burst.

        `issue`: in this cycle the burst is taken from the lane's stream and room.
        """
        m.submodules.streams = streams = memory.Memory(shape=Block, depth=self.lanes, init=[])
        read = streams.read_port(domain="comb")
        write = streams.write_port()
        served = Signal(self.lanes)  # lanes up to the one served last: they come after the others
        pool = Signal(self.lanes)
        address, left, last = Signal(32), Signal(32), Signal()
        limit = Signal(9)
        page = Signal(range(PAGE_BEATS + 1))
        request = self.o_request
        m.d.comb += [
            read.addr.eq(index),
            page.eq(PAGE_BEATS - read.data.address[3:12]),
            limit.eq(Mux(page < self.burst_beats, page, self.burst_beats)),
            request.p.address.eq(address),
            request.p.beats.eq(beats),
            request.p.tag.eq(index),
        ]
        with m.If(self.i_stream.valid):
            m.d.comb += [write.addr.eq(self.i_stream.p.lane), write.en.eq(1)]
            m.d.comb += [write.data.address.eq(self.i_stream.p.address), write.data.beats.eq(self.i_stream.p.beats)]
            m.d.sync += wants.bit_select(self.i_stream.p.lane, 1).eq(self.i_stream.p.beats.any())
        with m.Else():
            m.d.comb += [write.addr.eq(index), write.en.eq(issue)]
            m.d.comb += [write.data.address.eq(address + (beats << 3)), write.data.beats.eq(left - beats)]
            with m.If(issue & last):
                m.d.sync += wants.bit_select(index, 1).eq(0)

        able = wants & room
        m.d.sync += pool.eq(Mux((able & ~served).any(), able & ~served, able))
        with m.FSM():
            with m.State("WAIT"), m.If(able.any()):
                m.next = "CHOOSE"
            with m.State("CHOOSE"):
                for n in reversed(range(self.lanes)):
                    with m.If(pool[n]):
                        m.d.sync += [index.eq(n), served.eq((2 << n) - 1)]
                m.next = "SIZE"
            with m.State("SIZE"):
                m.d.sync += [
                    address.eq(read.data.address),
                    left.eq(read.data.beats),
                    beats.eq(Mux(read.data.beats <= limit, read.data.beats, limit)),
                    last.eq(read.data.beats <= limit),
                ]
                m.next = "UPDATE"
            with m.State("UPDATE"), m.If(~self.i_stream.valid):  # which needs the memory's write port
                m.d.comb += issue.eq(1)
                m.next = "REQUEST"
            with m.State("REQUEST"):
                m.d.comb += request.valid.eq(1)
                with m.If(request.ready):
                    m.next = "WAIT"
                    with m.If(able.any()):
                        m.next = "CHOOSE"

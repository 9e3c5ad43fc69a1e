"""Keeps the stream FIFO of every lane filled over one read port."""

from __future__ import annotations

from amaranth.hdl import Cat, Fragment, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, fifo, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .burst import PAGE_BEATS, Block
from .reader import ReadBeat, ReadRequest

LUT_FIFO_BEATS = 64
"""FIFOs up to this depth are of LUTs, deeper ones of block RAM (one more cycle of latency)."""
FIRST_BEATS = 4
"""Longest first burst of a stream: all lanes can begin soon."""


class LaneStream(data.StructLayout):
    """`beats` 64-bit beats from byte `address`, a multiple of 8, on are lane `lane`'s stream."""

    def __init__(self, lane_bits: int) -> None:
        super().__init__({"lane": lane_bits, "address": 32, "beats": 32})


class LaneFetcher(wiring.Component):
    """Requests the lanes' streams in bursts, round robin, and sorts the beats into one FIFO per lane.

    A lane is served while it has beats left to request and room for `burst_beats` beats, those under way counted, so
    `i_beat` is always ready; before others, while it has no more than half a burst. A burst crosses no 4 KiB boundary.
    One burst every five cycles at most.

    Two layers at a time: streams that are set by `i_stream` (always ready) are those of the coming layer. `request` (a
    pulse, when all of them are set and `requested` is high) lets them be requested, behind those of the present layer.
    Requests are tagged, from the lowest bit up, with whether this is the stream's last burst, the lane, and 0 for the
    first layer since `clear`, 1 for the next, and so on in turn. `switch` (a pulse) makes the coming layer the present
    one: its beats are now given to the lanes, and not before; it must come after `request` and when all lanes have
    ended.

    `ended[n]`: lane n has taken every beat of its stream of the present layer. `requested`: no beat is left to request.
    `clear` forgets all streams and beats and withdraws a pending request; beats under way would go astray, so the
    reader must be idle. Beats with `error` count like others; who sees it on the reader's output decides what to do.
    """

    def __init__(self, lanes: int, fifo_beats: int, burst_beats: int) -> None:
        if lanes < 1:
            raise ValueError(f"lanes = {lanes} is less than 1")
        if not 1 <= burst_beats <= min(256, fifo_beats):
            raise ValueError(f"burst_beats = {burst_beats} is outside 1..{min(256, fifo_beats)}")
        self.lanes = lanes
        self.fifo_beats = fifo_beats
        self.burst_beats = burst_beats
        lane_bits = max(1, (lanes - 1).bit_length())
        self.tag_bits = lane_bits + 1
        """Bits of a tag below that of the layer."""
        super().__init__(
            {
                "i_stream": In(stream.Signature(LaneStream(lane_bits), always_ready=True)),
                "o_request": Out(stream.Signature(ReadRequest(self.tag_bits + 1))),
                "i_beat": In(stream.Signature(ReadBeat(self.tag_bits + 1), always_ready=True)),
                "lane": Out(stream.Signature(64)).array(lanes),
                "ended": Out(lanes, init=(1 << lanes) - 1),
                "request": In(1),
                "requested": Out(1),
                "switch": In(1),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: object) -> Fragment:
        m = Module()
        wants = Signal(self.lanes)  # beats left to request
        room = Signal(self.lanes)  # FIFO room for a whole burst
        short = Signal(self.lanes)  # at most half a burst there or under way
        issue = Signal()
        index = Signal(range(self.lanes))
        beats = Signal(9)
        set_stream = self.i_stream

        depth, burst_beats = self.fifo_beats, self.burst_beats
        kind = fifo.SyncFIFO if depth <= LUT_FIFO_BEATS else fifo.SyncFIFOBuffered
        coming = Signal(self.lanes)  # the coming layer has a stream for the lane
        for n in range(self.lanes):
            m.submodules[f"fifo{n}"] = queue = kind(width=65, depth=depth)
            credit = Signal(range(depth + 1), init=depth, name=f"credit{n}")  # room less beats under way
            taken, end = Signal(name=f"taken{n}"), Signal(name=f"end{n}")  # a beat is; it is its stream's last
            m.d.comb += [
                queue.w_data.eq(Cat(self.i_beat.p.data, self.i_beat.p.last & self.i_beat.p.tag[0])),
                queue.w_en.eq(self.i_beat.valid & (self.i_beat.p.tag[1:-1] == n)),
                Cat(self.lane[n].p, end).eq(queue.r_data),
                self.lane[n].valid.eq(queue.r_rdy & ~self.ended[n]),
                queue.r_en.eq(self.lane[n].ready & ~self.ended[n]),
                taken.eq(queue.r_rdy & queue.r_en),
                room[n].eq(credit >= burst_beats),
                short[n].eq(credit >= depth - burst_beats // 2),
            ]
            m.d.sync += credit.eq(credit + taken - Mux(issue & (index == n), beats, 0))
            with m.If(set_stream.valid & (set_stream.p.lane == n)):
                m.d.sync += coming[n].eq(set_stream.p.beats.any())
            with m.If(self.switch):
                m.d.sync += self.ended[n].eq(~coming[n])
            with m.Elif(taken):
                m.d.sync += self.ended[n].eq(end)

        m.d.comb += self.requested.eq(~wants.any())
        self._request(m, wants, coming, room, short, issue, index, beats)
        return ResetInserter(self.clear)(m)

    def _request(
        self,
        m: Module,
        wants: Signal,
        coming: Signal,
        room: Signal,
        short: Signal,
        issue: Signal,
        index: Signal,
        beats: Signal,
    ) -> None:
        """Choose a lane, look its stream up, note what will be left, request a burst.

        `issue`: in this cycle the burst is taken from the lane's stream and room.
        """
        m.submodules.streams = streams = memory.Memory(shape=Block, depth=2 * self.lanes, init=[])
        m.submodules.places = places = memory.Memory(shape=Block, depth=self.lanes, init=[])
        read, first_write = streams.read_port(domain="comb"), streams.write_port()
        went_on, write = places.read_port(domain="comb"), places.write_port()
        half = Signal()  # of `streams`, where the coming layer's are
        layer = Signal()
        begun = Signal(self.lanes)  # lanes of which a burst has been requested: `places` says where to go on
        served = Signal(self.lanes)  # lanes up to the one served last: they come after the others
        pool = Signal(self.lanes)
        address, left, last = Signal(32), Signal(32), Signal()
        here = Signal(Block)
        longest, limit = Signal(9), Signal(9)
        page = Signal(range(PAGE_BEATS + 1))
        request = self.o_request
        m.d.comb += [
            first_write.addr.eq(self.i_stream.p.lane + Mux(half, self.lanes, 0)),
            first_write.data.address.eq(self.i_stream.p.address),
            first_write.data.beats.eq(self.i_stream.p.beats),
            first_write.en.eq(self.i_stream.valid),
            read.addr.eq(index + Mux(half, 0, self.lanes)),
            went_on.addr.eq(index),
            here.eq(Mux(begun.bit_select(index, 1), went_on.data.as_value(), read.data.as_value())),
            page.eq(PAGE_BEATS - address[3:12]),
            longest.eq(Mux(begun.bit_select(index, 1), self.burst_beats, min(FIRST_BEATS, self.burst_beats))),
            limit.eq(Mux(page < longest, page, longest)),
            request.p.address.eq(address),
            request.p.beats.eq(beats),
            request.p.tag.eq(Cat(last, index | layer << (self.tag_bits - 1))),
            write.addr.eq(index),
            write.en.eq(issue),
            write.data.address.eq(address + (beats << 3)),
            write.data.beats.eq(left - beats),
        ]
        with m.If(issue):
            m.d.sync += [begun.bit_select(index, 1).eq(1), layer.eq(~half)]
            with m.If(last):
                m.d.sync += wants.bit_select(index, 1).eq(0)
        with m.If(self.request):
            m.d.sync += [wants.eq(coming), begun.eq(0), half.eq(~half)]

        able, first = Signal(self.lanes), Signal(self.lanes)
        m.d.comb += [
            able.eq(wants & room),
            first.eq(Mux((able & short).any(), able & short, able)),
        ]
        m.d.sync += pool.eq(Mux((first & ~served).any(), first & ~served, first))
        with m.FSM():
            with m.State("WAIT"), m.If(able.any()):
                m.next = "CHOOSE"
            with m.State("CHOOSE"):
                for n in reversed(range(self.lanes)):
                    with m.If(pool[n]):
                        m.d.sync += [index.eq(n), served.eq((2 << n) - 1)]
                m.next = "LOOK"
            with m.State("LOOK"):
                m.d.sync += [address.eq(here.address), left.eq(here.beats)]
                m.next = "SIZE"
            with m.State("SIZE"):
                m.d.sync += [beats.eq(Mux(left <= limit, left, limit)), last.eq(left <= limit)]
                m.next = "UPDATE"
            with m.State("UPDATE"):
                m.d.comb += issue.eq(1)
                m.next = "REQUEST"
            with m.State("REQUEST"):
                m.d.comb += request.valid.eq(1)
                with m.If(request.ready):
                    m.next = "WAIT"
                    with m.If(able.any()):
                        m.next = "CHOOSE"

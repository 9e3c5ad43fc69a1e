"""The read side: blocks for the sequencer and streams for the lanes over one AXI master."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from headrace.config import Config

from .axi import AXI4ReadSignature
from .burst import Block, BurstSplitter
from .fetcher import LaneFetcher, LaneStream
from .reader import ReadMaster


class ReadSide(wiring.Component):
    """Blocks go before lane bursts. Every beat that arrives passes by `beat_*` for one cycle.

    Beats of a block wait for `block_ready`; those of lanes have their place reserved. `clear` forgets blocks and
    streams that have not been requested, and requests nothing more; it may be held while the reader is not idle, and
    beats are thrown away then.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        lane_bits = max(1, (config.lanes - 1).bit_length())
        super().__init__(
            {
                "i_block": In(stream.Signature(Block)),
                "i_stream": In(stream.Signature(LaneStream(lane_bits), always_ready=True)),
                "block_ready": In(1),
                "beat_valid": Out(1),
                "beat_data": Out(64),
                "beat_error": Out(1),
                "beat_of_block": Out(1),
                "beat_lane": Out(8),
                "lane": Out(stream.Signature(64)).array(config.lanes),
                "ended": Out(config.lanes),
                "streaming": Out(1),
                "clear": In(1),
                "idle": Out(1),
                "axi": Out(AXI4ReadSignature()),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        config = self._config
        splitter = BurstSplitter(config.burst_beats)
        m.submodules.splitter = ResetInserter(self.clear)(splitter)
        m.submodules.fetcher = fetcher = LaneFetcher(config.lanes, config.fifo_beats, config.burst_beats)
        m.submodules.master = master = ReadMaster(fetcher.tag_bits + 1)
        connect(m, flipped(self.i_block), splitter.i)
        connect(m, flipped(self.i_stream), fetcher.i_stream)
        connect(m, master.axi, flipped(self.axi))
        for n in range(config.lanes):
            connect(m, fetcher.lane[n], flipped(self.lane[n]))

        # A request that waits stays the one that is offered.
        block_turn, waiting, waiting_block = Signal(), Signal(), Signal()
        lane_request, request = fetcher.o_request, master.i
        m.d.comb += [
            block_turn.eq(Mux(waiting, waiting_block, splitter.o.valid)),
            request.valid.eq(Mux(block_turn, splitter.o.valid, lane_request.valid) & ~self.clear),
            request.payload.address.eq(Mux(block_turn, splitter.o.payload.address, lane_request.payload.address)),
            request.payload.beats.eq(Mux(block_turn, splitter.o.payload.beats, lane_request.payload.beats)),
            request.payload.tag.eq(Mux(block_turn, 1 << fetcher.tag_bits, lane_request.payload.tag)),
            splitter.o.ready.eq(block_turn & request.ready),
            lane_request.ready.eq(~block_turn & request.ready),
        ]
        m.d.sync += [waiting.eq(request.valid & ~request.ready & ~self.clear), waiting_block.eq(block_turn)]

        beat = master.o.payload
        m.d.comb += [
            self.beat_of_block.eq(beat.tag[-1]),
            master.o.ready.eq(~self.beat_of_block | self.block_ready | self.clear),
            self.beat_valid.eq(master.o.valid & master.o.ready),
            self.beat_data.eq(beat.data),
            self.beat_error.eq(beat.error),
            self.beat_lane.eq(beat.tag[:-1]),
            fetcher.i_beat.valid.eq(self.beat_valid & ~self.beat_of_block),
            fetcher.i_beat.payload.eq(Cat(beat.data, beat.tag[:-1], beat.last, beat.error)),
            fetcher.clear.eq(self.clear),
            self.ended.eq(fetcher.ended),
            self.streaming.eq(fetcher.busy),
            self.idle.eq(master.idle),
        ]
        return m

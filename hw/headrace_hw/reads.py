"""The read side: blocks for the sequencer and streams for the lanes over the AXI read masters."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from headrace.config import Config

from .axi import AXI4ReadSignature
from .burst import Block, BurstSplitter
from .fetcher import LaneFetcher, LaneStream
from .reader import ReadMaster

Beat = data.StructLayout({"valid": 1, "data": 64, "error": 1, "of_block": 1, "lane": 8, "layer": 1})
"""A beat that arrives in this cycle: of a block, or of the stream of a lane, of one of two layers (see LaneFetcher)."""


class ReadSide(wiring.Component):
    """Port p serves lanes p, p + ports, ..., and blocks that are meant for it, before lane bursts. Every beat that
    arrives passes by `beat` for one cycle.

    With `blocks_first`, a port's lanes wait until all of its block has been requested.
    Beats of a block wait for their port's `block_ready`; those of lanes have their place reserved. `request`,
    `requested`, `switch` and `ended`: see LaneFetcher. `clear` forgets blocks and streams that have not been requested,
    and requests nothing more; it may be held while the masters are not idle, and beats are thrown away then.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        lane_bits = max(1, (config.lanes - 1).bit_length())
        super().__init__(
            {
                "i_block": In(stream.Signature(Block)).array(config.read_ports),
                "i_stream": In(stream.Signature(LaneStream(lane_bits), always_ready=True)),
                "blocks_first": In(1),
                "block_ready": In(config.read_ports),
                "beat": Out(data.ArrayLayout(Beat, config.read_ports)),
                "lane": Out(stream.Signature(64)).array(config.lanes),
                "ended": Out(config.lanes),
                "request": In(1),
                "requested": Out(1),
                "switch": In(1),
                "clear": In(1),
                "idle": Out(1),
                "axi": Out(AXI4ReadSignature()).array(config.read_ports),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        config, ports = self._config, self._config.read_ports
        requested, idle = [], []
        for p in range(ports):
            fetcher = LaneFetcher(config.lanes // ports, config.fifo_beats, config.burst_beats)
            master = ReadMaster(fetcher.tag_bits + 2)
            splitter = BurstSplitter(config.burst_beats)
            m.submodules[f"fetcher_{p}"], m.submodules[f"master_{p}"] = fetcher, master
            m.submodules[f"splitter_{p}"] = ResetInserter(self.clear)(splitter)
            connect(m, flipped(self.i_block[p]), splitter.i)
            connect(m, master.axi, flipped(self.axi[p]))
            for n in range(config.lanes // ports):
                connect(m, fetcher.lane[n], flipped(self.lane[n * ports + p]))
                m.d.comb += self.ended[n * ports + p].eq(fetcher.ended[n])
            lane = self.i_stream.payload.lane
            m.d.comb += [
                fetcher.i_stream.valid.eq(self.i_stream.valid & (lane % ports == p)),
                fetcher.i_stream.payload.lane.eq(lane // ports),
                fetcher.i_stream.payload.address.eq(self.i_stream.payload.address),
                fetcher.i_stream.payload.beats.eq(self.i_stream.payload.beats),
                fetcher.request.eq(self.request),
                fetcher.switch.eq(self.switch),
                fetcher.clear.eq(self.clear),
            ]
            self._share(m, p, splitter, fetcher, master)
            of_block = master.o.payload.tag[-1]
            beat = master.o.payload
            tag = beat.tag[:-1]
            m.d.comb += [
                master.o.ready.eq(~of_block | self.block_ready[p] | self.clear),
                self.beat[p].valid.eq(master.o.valid & master.o.ready),
                self.beat[p].data.eq(beat.data),
                self.beat[p].error.eq(beat.error),
                self.beat[p].of_block.eq(of_block),
                self.beat[p].lane.eq(tag[1:-1] * ports + p),
                self.beat[p].layer.eq(tag[-1]),
                fetcher.i_beat.valid.eq(self.beat[p].valid & ~of_block),
                fetcher.i_beat.payload.eq(Cat(beat.data, tag, beat.last, beat.error)),
            ]
            requested.append(fetcher.requested)
            idle.append(master.idle)
        m.d.comb += [self.requested.eq(Cat(requested).all()), self.idle.eq(Cat(idle).all())]
        return m

    def _share(self, m: Module, p: int, splitter: BurstSplitter, fetcher: LaneFetcher, master: ReadMaster) -> None:
        """Blocks and lanes at one master. A request that waits stays the one that is offered."""
        block_turn, waiting, waiting_block = (
            Signal(name=f"{name}_{p}") for name in ("block_turn", "waiting", "waiting_block")
        )
        lane_request, request = fetcher.o_request, master.i
        of_block = 1 << (fetcher.tag_bits + 1)
        m.d.comb += [
            block_turn.eq(Mux(waiting, waiting_block, splitter.o.valid | (self.blocks_first & ~splitter.i.ready))),
            request.valid.eq(Mux(block_turn, splitter.o.valid, lane_request.valid) & ~self.clear),
            request.payload.address.eq(Mux(block_turn, splitter.o.payload.address, lane_request.payload.address)),
            request.payload.beats.eq(Mux(block_turn, splitter.o.payload.beats, lane_request.payload.beats)),
            request.payload.tag.eq(Mux(block_turn, of_block, lane_request.payload.tag)),
            splitter.o.ready.eq(block_turn & request.ready),
            lane_request.ready.eq(~block_turn & request.ready),
        ]
        m.d.sync += [waiting.eq(request.valid & ~request.ready & ~self.clear), waiting_block.eq(block_turn)]

"""The accelerator: AXI4 masters, one AXI4-Lite slave, one interrupt."""

from __future__ import annotations

from amaranth import Module, Mux, ResetInserter, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from headrace import isa
from headrace.config import Config
from headrace.registers import ADDRESS_BITS

from .activations import WriteAligner
from .axi import AXI4ReadSignature, AXI4WriteSignature, AXILiteSignature
from .buffer import Buffer
from .csr import Registers
from .lanes import Lanes
from .layouts import layout
from .loader import Loaders
from .maxima import Maxima
from .reads import ReadSide
from .requant import Requant
from .sequencer import Sequencer
from .shapes import Table, pixels_layout
from .storer import Storer
from .tables import TableLoader
from .totals import Totals
from .writeback import WriteBack
from .writer import BlockWriter


class Top(wiring.Component):
    """Everything together; docs/hardware.md says what it does, `headrace.session` drives it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "axi_read": Out(AXI4ReadSignature()).array(config.read_ports),
                "axi_write": Out(AXI4WriteSignature()),
                "csr": In(AXILiteSignature(ADDRESS_BITS)),
                "irq": Out(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.registers = registers = Registers(config)
        m.submodules.sequencer = sequencer = Sequencer(config)
        m.submodules.reads = reads = ReadSide(config)
        m.submodules.tables = tables = TableLoader()
        m.submodules.lanes = lanes = Lanes(config)
        # An error may end a row midway: what waits for the rest of it is reset.
        maxima, writeback = Maxima(config), WriteBack(config)
        m.submodules.maxima = ResetInserter(sequencer.clear)(maxima)
        m.submodules.writeback = ResetInserter(sequencer.clear)(writeback)
        m.submodules.totals = totals = ResetInserter(sequencer.clear)(Totals(config))
        m.submodules.requant = requant = Requant(config)
        m.submodules.pixels = pixels = Buffer(pixels_layout(config))
        m.submodules.aligner = aligner = WriteAligner(config)
        m.submodules.loaders = loaders = Loaders(config)
        m.submodules.storer = storer = Storer(config)
        m.submodules.writer = writer = BlockWriter(config.burst_beats)
        descriptor, coming = sequencer.descriptor, sequencer.coming

        # Registers and sequencer.
        connect(m, flipped(self.csr), registers.bus)
        connect(m, sequencer.o_profile, registers.i_profile)
        m.d.comb += [
            sequencer.start.eq(registers.start),
            sequencer.abort.eq(registers.abort),
            sequencer.program.eq(registers.program),
            sequencer.data.eq(registers.data),
            sequencer.watchdog.eq(registers.watchdog),
            registers.busy.eq(sequencer.busy),
            registers.finish.eq(sequencer.finish),
            registers.fail.eq(sequencer.fail),
            registers.error.eq(sequencer.error),
            registers.cycles.eq(sequencer.cycles),
            self.irq.eq(registers.irq),
        ]

        # Reads: descriptors to the sequencer, activations to the loaders, tables, streams to the lanes.
        for port in range(config.read_ports):
            connect(m, reads.axi[port], flipped(self.axi_read[port]))
            block = reads.beat[port]
            chosen = sequencer.read_port == port
            m.d.comb += [
                reads.i_block[port].valid.eq(sequencer.o_read.valid & chosen),
                reads.i_block[port].payload.eq(sequencer.o_read.payload),
                loaders.i[port].valid.eq(block.valid & block.of_block & loaders.expects[port]),
                loaders.i[port].payload.eq(block.data),
                reads.block_ready[port].eq(
                    Mux(loaders.expects[port], loaders.i[port].ready, ~sequencer.blocks_wait if port == 0 else 0)
                ),
            ]
            with m.If(chosen):
                m.d.comb += sequencer.o_read.ready.eq(reads.i_block[port].ready)
        block = reads.beat[0]
        block_valid = block.valid & block.of_block
        m.d.comb += [
            sequencer.beat.eq(reads.beat),
            sequencer.reader_idle.eq(reads.idle),
            sequencer.streams_requested.eq(reads.requested),
            sequencer.streams_ended.eq(reads.ended.all()),
            reads.request.eq(sequencer.stream_request),
            reads.switch.eq(sequencer.lanes_start),
            reads.clear.eq(sequencer.forget),
            reads.blocks_first.eq(~sequencer.running),  # the coming layer waits for its tables
            loaders.start.eq(sequencer.load_start),
            loaders.clear.eq(sequencer.forget),
            loaders.x_address.eq(coming.x_address),
            loaders.x_stride.eq(coming.in_plane),
            loaders.blocks.eq(coming.in_channels),
            loaders.beats.eq(coming.beats),
            tables.start.eq(sequencer.table_start),
            tables.bank.eq(sequencer.coming_bank),
            tables.i.valid.eq(block_valid & sequencer.tabling),
            tables.i.payload.eq(block.data),
            tables.lengths[Table.LANES].eq(isa.LANE_TABLES * config.lanes),
            tables.lengths[Table.CODE].eq(isa.CODE_BEATS * coming.code_tables),
            tables.lengths[Table.TAPS].eq(coming.taps),
            tables.lengths[Table.MASKS].eq(coming.mask_beats),
            tables.lengths[Table.SYMBOLS].eq(coming.symbol_beats),
            tables.lengths[Table.CHANNELS].eq(Mux(coming.uniform, 1, coming.out_channels)),
            sequencer.streams_known.eq(tables.streams_known),
            sequencer.table_done.eq(tables.done),
        ]
        stream_entry = data.View(layout(isa.LANE_STREAM), tables.o.data)
        m.d.comb += [
            reads.i_stream.valid.eq(tables.o.valid & (tables.o.table == Table.LANES) & (tables.o.index < config.lanes)),
            reads.i_stream.payload.lane.eq(tables.o.index),
            reads.i_stream.payload.address.eq(stream_entry.address + registers.program),
            reads.i_stream.payload.beats.eq(stream_entry.beats),
        ]

        # Lanes, and their results back to the activation memory; buffers keep `ready` from passing all the way through.
        connect(m, tables.o, lanes.table)
        connect(m, tables.o, requant.table)
        connect(m, tables.o, writeback.table)
        connect(m, lanes.o, maxima.i)
        connect(m, maxima.o, totals.i)
        connect(m, totals.o, requant.i)
        connect(m, requant.o, pixels.i)
        connect(m, pixels.o, writeback.i)
        connect(m, aligner.o, lanes.i_write)
        for n in range(config.lanes):
            connect(m, reads.lane[n], lanes.stream[n])
            m.d.comb += sequencer.lane_error_code[n].eq(lanes.error_code[n])
        # Beside a layer, beats take turns with results: behind those that wait are others, of streams and tables too.
        results_turn = Signal()
        m.d.sync += results_turn.eq(loaders.o.valid)
        results_idle = ~(pixels.o.valid | maxima.busy | totals.busy | requant.busy | writeback.busy | aligner.results)
        m.d.comb += [
            lanes.ended.eq(reads.ended),
            lanes.start.eq(sequencer.lanes_start),
            lanes.keep_start.eq(sequencer.layer_start),
            lanes.load_from.eq(coming.lane_from),
            lanes.load_to.eq(coming.lane_to),
            lanes.table_phases.eq(coming.phases),
            lanes.gathered.eq(descriptor.gathered),
            requant.bank.eq(sequencer.bank),
            writeback.bank.eq(sequencer.bank),
            lanes.running.eq(sequencer.running),
            lanes.clear.eq(sequencer.lanes_clear),
            lanes.count_start.eq(sequencer.start),
            lanes.stall_read.eq(registers.stall_read),
            lanes.stall_lane.eq(registers.stall_lane),
            registers.stall.eq(lanes.stall),
            sequencer.lane_error.eq(lanes.error),
            sequencer.stalled_lanes.eq(lanes.stalled_lanes),
            sequencer.lanes_idle.eq(lanes.done),
            sequencer.results_idle.eq(results_idle),
            maxima.maximum.eq(descriptor.maximum),
            totals.total.eq(descriptor.total),
            requant.uniform.eq(descriptor.uniform),
            requant.clamp_low.eq(descriptor.clamp_low),
            requant.clamp_high.eq(descriptor.clamp_high),
            sequencer.load_busy.eq(loaders.busy | aligner.loads),
            loaders.go.eq(~writeback.o.valid | ~results_turn),
            writeback.o.ready.eq(~loaders.wants | results_turn),
            aligner.i.valid.eq(loaders.wants | writeback.o.valid),
            aligner.i.payload.eq(Mux(loaders.o.valid, loaders.o.payload.as_value(), writeback.o.payload.as_value())),
        ]
        with m.If(sequencer.lanes_start):  # the layer before may be `descriptor` still
            for name in ("in_channels", "taps", "in_plane", "words", "phases", "slot_shift", "maximum", "code_tables"):
                m.d.sync += getattr(lanes.layer, name).eq(coming[name])
            m.d.sync += lanes.layer.bank.eq(sequencer.coming_bank)
        for name in writeback.geometry.signature.members:
            m.d.comb += getattr(writeback.geometry, name).eq(descriptor[name])

        # STORE.
        connect(m, sequencer.o_write, writer.i)
        connect(m, storer.o, writer.i_data)
        connect(m, writer.axi, flipped(self.axi_write))
        m.d.comb += [
            storer.start.eq(sequencer.store_start),
            storer.x_address.eq(coming.x_address),
            storer.beats.eq(coming.beats),
            storer.read_data.eq(lanes.read_data),
            lanes.read_address.eq(storer.read_address),
            sequencer.write_done.eq(writer.done),
            sequencer.write_error.eq(writer.error),
            # After an error, too, what is on its way to the activation memory gets there before another program starts.
            sequencer.writes_idle.eq(writer.idle & ~sequencer.load_busy & results_idle),
        ]
        return m

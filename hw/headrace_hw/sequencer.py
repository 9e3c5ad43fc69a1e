"""The sequencer: runs a program of descriptors, one after the other, and prepares the next layer while one runs."""

from __future__ import annotations

from amaranth import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from headrace.config import Config

from .back import Back
from .burst import Block
from .counters import CycleCounters
from .csr import ERROR, Profile
from .descriptors import DESCRIPTOR
from .faults import Faults
from .front import Front
from .reads import Beat
from .shapes import ERROR_CODE_BITS
from .signatures import Signatures


class Sequencer(wiring.Component):
    """Fetches descriptors and runs them; see `isa.Opcode`. `start` is a pulse while not `busy`.

    The front fetches descriptors, into `coming`, and the tables of layers, into half `coming_bank` of the table
    memories, which it then gives to the back: the back runs layers, of `descriptor` and half `bank`. So the front is
    one layer ahead; streams of the coming layer are requested too (`stream_request`) once their addresses have arrived
    (`streams_known`) and those of the present layer have been requested. LOAD, STORE and END are the front's own and
    wait for the back, but for a LOAD `beside` a layer. The blocks of a LOAD are requested one after the other, over
    `read_port` in turn, for the loaders, which have begun at `load_start`. While a LOAD or STORE is under way, the next
    descriptor is requested; its beats wait while `blocks_wait`. A layer begins at most LAYER_GAP cycles after the one
    before, if its tables have arrived by then.

    `cycles`: of the program. `o_profile`: of a descriptor that ends; see CycleCounters.

    `lanes_start`, which follows `lanes_clear`, makes the lanes ready for the coming layer: in the cycle of
    `layer_start`, or before it while the present layer's results are on their way. They decode only while `running`, so
    that what they read has been written.

    The first error ends the program: a cycle later, two if it is a lane's, `fail` pulses with `error`, then the
    sequencer stays busy, holding both `clear`s and `forget`, until the AXI masters and all that writes activations are
    idle, and can be started anew. `clear` also follows each layer.
    """

    LAYER_GAP = Back.LAYER_GAP

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                # Registers
                "start": In(1),
                "abort": In(1),
                "program": In(32),
                "data": In(32),
                "watchdog": In(32),
                "busy": Out(1),
                "finish": Out(1),
                "fail": Out(1),
                "error": Out(ERROR),
                "cycles": Out(32),
                "o_profile": Out(stream.Signature(Profile, always_ready=True)),
                # Reads: blocks, and every beat that arrives
                "o_read": Out(stream.Signature(Block)),
                "read_port": Out(1),
                "beat": In(data.ArrayLayout(Beat, config.read_ports)),
                "reader_idle": In(1),
                "streams_known": In(1),
                "stream_request": Out(1),
                "streams_requested": In(1),
                "streams_ended": In(1),
                # Writes
                "o_write": Out(stream.Signature(Block)),
                "write_done": In(1),
                "write_error": In(1),
                "writes_idle": In(1),
                # Datapath: the front's
                "coming": Out(DESCRIPTOR),
                "coming_bank": Out(1),
                "blocks_wait": Out(1),
                "load_start": Out(1),
                "load_busy": In(1),
                "store_start": Out(1),
                "table_start": Out(1),
                "tabling": Out(1),
                "table_done": In(1),
                # The back's
                "descriptor": Out(DESCRIPTOR),
                "bank": Out(1),
                "layer_start": Out(1),
                "running": Out(1),
                "lanes_idle": In(1),
                "results_idle": In(1),
                "lanes_clear": Out(1),
                "lanes_start": Out(1),
                "clear": Out(1),
                "forget": Out(1),
                "lane_error": In(config.lanes),
                "lane_error_code": In(ERROR_CODE_BITS).array(config.lanes),
                "stalled_lanes": In(range(config.lanes + 1)),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.submodules.front = front = Front(self._config)
        m.submodules.back = back = Back()
        m.submodules.signatures = signatures = Signatures(self._config)
        m.submodules.counters = counters = CycleCounters(self._config)
        m.submodules.faults = faults = Faults(self._config)
        parts = (front, back, signatures, counters, faults)
        for part in parts:
            self._share(m, part)
        put_out = [name for part in parts for name, member in part.signature.members.items() if member.flow == Out]
        assert all(put_out.count(name) == 1 for name in self.signature.members if name in put_out)
        m.d.comb += [
            front.block.eq(self.beat[0]),
            front.back_idle.eq(back.idle),
            front.back_ends.eq(back.ends),
            front.wrong.eq(faults.wrong),
            back.offered.eq(front.offered),
            back.coming_ordinal.eq(front.ordinal),
            back.signature_differs.eq(signatures.differs),
            signatures.expected.eq(self.descriptor.signature),
            counters.working.eq(front.working),
            counters.front_ends.eq(front.ends),
            counters.front_ordinal.eq(front.ordinal),
            counters.beside.eq(front.beside),
            counters.back_ends.eq(back.ends),
            counters.back_ordinal.eq(back.ordinal),
            faults.working.eq(front.working),
            faults.front_fault.eq(front.fault),
            faults.front_layer.eq(front.layer),
            faults.front_number.eq(front.ordinal.number),
            faults.back_idle.eq(back.idle),
            faults.back_wrong.eq(back.signature_wrong),
            faults.back_layer.eq(self.descriptor.layer),
            faults.back_number.eq(back.ordinal.number),
            faults.late.eq(counters.late),
        ]
        return m

    def _share(self, m: Module, part: wiring.Component) -> None:
        """Ports of a part that have the name of one of the sequencer's are that one: what one part puts out there,
        others take in."""
        for name, member in part.signature.members.items():
            if name not in self.signature.members:
                continue
            inner, outer = getattr(part, name), getattr(self, name)
            if member.is_signature:
                connect(m, inner, flipped(outer))
                continue
            for one, other in zip(inner, outer, strict=True) if member.dimensions else [(inner, outer)]:
                m.d.comb += one.eq(other) if member.flow == In else other.eq(one)

"""The register file behind AXI4-Lite, derived from `headrace.registers`."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Signal, Value, ValueLike
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from headrace.config import Config
from headrace.isa import ISA_VERSION
from headrace.registers import ADDRESS_BITS, MAGIC, PROFILE_ENTRIES, REGISTERS

from .axi import AXILiteSignature
from .layouts import layout

ERROR = layout(REGISTERS["ERROR"].record)
Profile = data.StructLayout({"index": (PROFILE_ENTRIES - 1).bit_length(), "cycles": 32, "stall": 32})
"""Cycles of descriptor `index`, and stall cycles summed over lanes."""


class Registers(wiring.Component):
    """AXI4-Lite slave. One read or write takes a few cycles; the answer is always OKAY, unmapped registers read as 0.

    `start` (suppressed while `busy`), `clear` and `abort` are one-cycle strobes. STATUS.done is set by `finish`,
    STATUS.error and ERROR by the first `fail` since start; `start` and `clear` reset them. `irq` is a level: enabled
    and (done or error). `stall` answers `stall_lane` while `stall_read` is high, at most one cycle in three.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "bus": In(AXILiteSignature(ADDRESS_BITS)),
                "start": Out(1),
                "clear": Out(1),
                "abort": Out(1),
                "program": Out(32),
                "data": Out(32),
                "watchdog": Out(32),
                "interrupt_enable": Out(1),
                "busy": In(1),
                "finish": In(1),
                "fail": In(1),
                "error": In(ERROR),
                "cycles": In(32),
                "stall_read": Out(1),
                "stall_lane": Out((config.lanes - 1).bit_length()),
                "stall": In(32),
                "i_profile": In(stream.Signature(Profile, always_ready=True)),
                "irq": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        done, failed = Signal(), Signal()
        error = Signal(ERROR)
        write, address, word, mask = self._writes(m)

        control = Signal(layout(REGISTERS["CONTROL"].record))
        with m.If(write & (address == REGISTERS["CONTROL"].offset >> 2)):
            m.d.comb += control.eq(word & mask)
        m.d.comb += [
            self.start.eq(control.start & ~self.busy),
            self.clear.eq(control.clear),
            self.abort.eq(control.abort),
            self.irq.eq(self.interrupt_enable & (done | failed)),
        ]
        with m.If(self.start | self.clear):
            m.d.sync += [done.eq(0), failed.eq(0), error.eq(0)]
        with m.If(self.finish):
            m.d.sync += done.eq(1)
        with m.If(self.fail & (~failed | self.start | self.clear)):
            m.d.sync += [failed.eq(1), error.eq(self.error)]

        status = Signal(layout(REGISTERS["STATUS"].record))
        m.d.comb += [status.busy.eq(self.busy), status.done.eq(done), status.error.eq(failed)]
        self._reads(
            m,
            {
                "MAGIC": [MAGIC],
                "VERSION": [ISA_VERSION],
                "CONFIG": [self.config.hash],
                "STATUS": [status],
                "ERROR": [error],
                "CYCLES": [self.cycles],
                **{name: [value] for name, value in self._variables(m, write, address, word, mask).items()},
            },
        )
        return m

    def _variables(self, m: Module, write: Value, address: Value, word: Value, mask: Value) -> dict[str, Value]:
        """The rw registers, each the port of its name, and their writes."""
        ports = {
            "PROGRAM": self.program,
            "DATA": self.data,
            "WATCHDOG": self.watchdog,
            "INTERRUPT": self.interrupt_enable,
        }
        assert set(ports) == {name for name, register in REGISTERS.items() if register.access == "rw"}
        variables = {}
        for name, port in ports.items():
            register = REGISTERS[name]
            variables[name] = value = Signal(len(port), init=register.reset, name=name.lower())
            m.d.comb += port.eq(value)
            with m.If(write & (address == register.offset >> 2)):
                m.d.sync += value.eq((value & ~mask) | (word & mask))
        return variables

    def _writes(self, m: Module) -> tuple[Value, Value, Value, Value]:
        """AW, W, B. A strobe with word address, data, bit mask, when address and data have come, in whatever order."""
        bus = self.bus
        address, word, strobes = Signal(ADDRESS_BITS - 2), Signal(32), Signal(4)
        have_address, have_data = Signal(), Signal()
        write = Signal()
        m.d.comb += [
            bus.awready.eq(~have_address),
            bus.wready.eq(~have_data),
            write.eq(have_address & have_data & ~bus.bvalid),
        ]
        with m.If(bus.awvalid & bus.awready):
            m.d.sync += [have_address.eq(1), address.eq(bus.awaddr[2:])]
        with m.If(bus.wvalid & bus.wready):
            m.d.sync += [have_data.eq(1), word.eq(bus.wdata), strobes.eq(bus.wstrb)]
        with m.If(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        with m.If(write):
            m.d.sync += [have_address.eq(0), have_data.eq(0), bus.bvalid.eq(1)]
        return write, address, word, Cat(bit.replicate(8) for bit in strobes)

    def _reads(self, m: Module, values: dict[str, Sequence[ValueLike]]) -> None:
        """AR, R. The word address is looked up in the cycle after it came, the answer follows one cycle later."""
        bus = self.bus
        profile = REGISTERS["PROFILE"]
        m.submodules.profile = store = memory.Memory(shape=64, depth=PROFILE_ENTRIES, init=[])
        store_write, store_read = store.write_port(), store.read_port()
        m.d.comb += [
            store_write.en.eq(self.i_profile.valid),
            store_write.addr.eq(self.i_profile.p.index),
            store_write.data.eq(Cat(self.i_profile.p.cycles, self.i_profile.p.stall)),
            store_read.addr.eq(bus.araddr[3:]),
            store_read.en.eq(bus.arvalid & bus.arready),
        ]
        address = Signal(ADDRESS_BITS - 2)
        look_up = Signal()
        m.d.comb += bus.arready.eq(~look_up & ~bus.rvalid)
        m.d.sync += look_up.eq(bus.arvalid & bus.arready)
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += address.eq(bus.araddr[2:])
        with m.If(bus.rready):
            m.d.sync += bus.rvalid.eq(0)
        stall = REGISTERS["STALL"].offset >> 2
        assert stall % (1 << len(self.stall_lane)) == 0
        m.d.comb += [self.stall_read.eq(look_up), self.stall_lane.eq(address)]
        with m.If(look_up):
            m.d.sync += [bus.rvalid.eq(1), bus.rdata.eq(0)]
            with m.Switch(address):
                for name, words in values.items():
                    for n, word in enumerate(words):
                        with m.Case((REGISTERS[name].offset >> 2) + n):
                            m.d.sync += bus.rdata.eq(word)
            with m.If((address >= stall) & (address < stall + self.config.lanes)):
                m.d.sync += bus.rdata.eq(self.stall)
            assert profile.count == 2 * PROFILE_ENTRIES and profile.offset % (4 * profile.count) == 0
            with m.If(address[len(store_read.addr) + 1 :] == profile.offset // (4 * profile.count)):
                m.d.sync += bus.rdata.eq(store_read.data.word_select(address[0], 32))
